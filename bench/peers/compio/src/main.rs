//! hyper on compio (io_uring) and rustls, one thread: the file in memory. compio has no HTTP
//! server of its own; hyper over cyper-core and compio-tls is what its makers offer for it.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::error::Error;
use std::rc::Rc;

use bytes::Bytes;
use clap::Parser;
use compio::driver::{DriverType, ProactorBuilder};
use compio::net::TcpListener;
use compio::runtime::{RuntimeBuilder, spawn};
use compio::tls::TlsAcceptor;
use cyper_core::HyperStream;
use http_body_util::Full;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use ringway_bench_peer::{Files, Options, exit_on_error};

const ENTRIES: u32 = 4096;

fn main() {
    let options = Options::parse();
    let mut proactor = ProactorBuilder::new();
    proactor.capacity(ENTRIES).driver_type(DriverType::IoUring);
    let runtime = RuntimeBuilder::new().with_proactor(proactor).build();
    exit_on_error(exit_on_error(runtime.map_err(Into::into)).block_on(serve(options)));
}

async fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    let files = Rc::new(Files::load(&options.dir)?);
    let acceptor = TlsAcceptor::from(options.shared_tls()?);
    let listener = TcpListener::from_std(options.listener()?)?;
    loop {
        let (socket, _) = listener.accept().await?;
        let (acceptor, files) = (acceptor.clone(), Rc::clone(&files));
        let connection = async move {
            // A client may break off at any time.
            let Ok(stream) = acceptor.accept(socket).await else { return };
            let service = service_fn(|request| {
                let response = answer(&request, &files);
                async { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .pipeline_flush(true)
                .serve_connection(HyperStream::new_tls(stream), service);
            let _ = connection.await;
        };
        spawn(connection).detach();
    }
}

fn answer<B>(request: &Request<B>, files: &Files) -> Response<Full<Bytes>> {
    let empty = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    };
    let Some(file) = files.get(request.uri().path()) else { return empty(StatusCode::NOT_FOUND) };
    Response::builder()
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, file.body.len())
        .header(LAST_MODIFIED, &file.last_modified)
        .header(ETAG, &file.etag)
        .body(Full::new(file.body.clone()))
        .unwrap_or_else(|_| empty(StatusCode::INTERNAL_SERVER_ERROR))
}
