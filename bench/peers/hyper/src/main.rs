//! hyper on tokio (epoll) and tokio-rustls, one thread: the file in memory, or read from the page
//! cache for each request.

#![forbid(unsafe_code)]

mod body;

use std::convert::Infallible;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use clap::Parser;
use http_body_util::{Either, Full};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use ringway_bench_peer::{Files, Options, exit_on_error};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;

use crate::body::FileBody;

type Body = Either<Full<Bytes>, FileBody>;

/// Runs the tasks of HTTP/2 connections on this thread.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F: Future<Output: 'static> + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = exit_on_error(runtime.map_err(Into::into));
    exit_on_error(LocalSet::new().block_on(&runtime, serve(options)));
}

async fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    let files = Rc::new(Files::load(&options.dir)?);
    let mut tls = options.tls()?;
    tls.alpn_protocols.insert(0, b"h2".to_vec());
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::from_std(options.listener()?)?;
    let read_files = options.read_files;
    loop {
        let (socket, _) = listener.accept().await?;
        let (acceptor, files) = (acceptor.clone(), Rc::clone(&files));
        spawn_local(async move {
            // A client may break off at any time.
            let Ok(stream) = acceptor.accept(socket).await else { return };
            let service = service_fn(|request| {
                let response = answer(&request, &files, read_files);
                async { Ok::<_, Infallible>(response) }
            });
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let connection = http2::Builder::new(Local)
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service);
                let _ = connection.await;
                return;
            }
            let connection = http1::Builder::new()
                .pipeline_flush(true)
                .serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        });
    }
}

fn answer<B>(request: &Request<B>, files: &Files, read_files: bool) -> Response<Body> {
    let empty = |status| {
        let mut response = Response::new(Either::Left(Full::default()));
        *response.status_mut() = status;
        response
    };
    let Some(file) = files.get(request.uri().path()) else { return empty(StatusCode::NOT_FOUND) };
    let (len, body) = if read_files {
        match FileBody::open(&file.path) {
            Ok(body) => (body.left(), Either::Right(body)),
            Err(_) => return empty(StatusCode::INTERNAL_SERVER_ERROR),
        }
    } else {
        (file.body.len() as u64, Either::Left(Full::new(file.body.clone())))
    };
    Response::builder()
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, len)
        .header(LAST_MODIFIED, &file.last_modified)
        .header(ETAG, &file.etag)
        .body(body)
        .unwrap_or_else(|_| empty(StatusCode::INTERNAL_SERVER_ERROR))
}
