//! axum with tower-http's ServeDir on tokio (epoll) and tokio-rustls, one thread besides tokio's
//! pool for files.

#![forbid(unsafe_code)]

use std::error::Error;

use axum::Router;
use clap::Parser;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use ringway_bench_peer::{Options, exit_on_error};
use tokio_rustls::TlsAcceptor;
use tower_http::services::ServeDir;

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    exit_on_error(exit_on_error(runtime.map_err(Into::into)).block_on(serve(options)));
}

async fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    let router: Router = Router::new().fallback_service(ServeDir::new(&options.dir));
    let acceptor = TlsAcceptor::from(options.shared_tls()?);
    let listener = tokio::net::TcpListener::from_std(options.listener()?)?;
    loop {
        let (socket, _) = listener.accept().await?;
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            // A client may break off at any time.
            let Ok(stream) = acceptor.accept(socket).await else { return };
            let service = TowerToHyperService::new(router);
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        });
    }
}
