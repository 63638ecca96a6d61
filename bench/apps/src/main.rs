//! One axum router on Ringway, and on hyper over tokio's current-thread and multi-thread runtimes, with
//! one worker each and the same certificate.
//!
//! Paths: `/trivial` (1 KB of text), `/json` (1 KB by serde), `/upload` (content is read and counted),
//! `/events` (a stream of events that never come), `/stream` (events as fast as they are taken), `/never` (a
//! handler that never ends), `/wait` (a byte is sent over a Unix socket and comes back). A site of Ringway
//! has each of them as a route of its own, beside a file, `/1k`, and a native handler, `/native` (1 KB).

#![forbid(unsafe_code)]

mod app;

use std::{error::Error, net::SocketAddr, path::PathBuf};

use axum::Router;
use clap::{Parser, ValueEnum};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use ringway::{
    native::{Head, Outcome, Reply},
    server::Builder,
};
use ringway_bench_peer::{Options as Peer, exit_on_error};
use tokio_rustls::TlsAcceptor;

/// Who serves.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum On {
    /// Ringway, with the router for all paths.
    Ringway,
    /// Ringway, with a route for each path, beside files.
    Site,
    Current,
    Multi,
    /// Nobody: answers the bytes of `/wait`.
    Echo,
}

#[derive(Clone, Debug, Parser)]
struct Options {
    #[arg(value_enum)]
    on: On,

    /// The folder of files
    #[arg(long)]
    root: PathBuf,

    #[arg(long)]
    listen: SocketAddr,

    #[arg(long)]
    cert: PathBuf,

    #[arg(long)]
    key: PathBuf,

    /// Ringway speaks HTTP/2 as well; the peers do not
    #[arg(long)]
    http2: bool,

    /// The Unix socket of `/wait`
    #[arg(long)]
    echo: PathBuf,
}

fn main() {
    let options = Options::parse();
    exit_on_error(match options.on {
        On::Ringway => ringway(&options, |server| server.service(app::router(&options.echo))),
        On::Site => ringway(&options, |server| {
            let server = server.root(&options.root).handler_at("/native", native);
            app::PATHS
                .into_iter()
                .fold(server, |server, path| server.service_at(path, app::router(&options.echo)))
        }),
        On::Current => tokio(&options, tokio::runtime::Builder::new_current_thread()),
        On::Multi => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(1);
            tokio(&options, builder)
        }
        On::Echo => app::echo(&options.echo).map_err(Into::into),
    });
}

fn native(_: &Head<'_>, reply: &mut Reply) -> Outcome {
    reply.field("Content-Type", "text/plain; charset=utf-8").body(app::TEXT.as_bytes());
    Outcome::Done
}

fn ringway(
    options: &Options,
    answers: impl FnOnce(Builder) -> Builder,
) -> Result<(), Box<dyn Error>> {
    let mut config = ringway::config::Config::default();
    config.listen = vec![options.listen];
    config.limits.body_bytes = 16 << 20;
    config.limits.connections = 20_000;
    // Ringway times every request and counts every byte, as it does by default;
    // the peers have nothing like it, so that the comparison charges Ringway for it.
    config.http2 = options.http2;
    let memory = config.memory_ceiling(1).total();
    let builder = answers(Builder::from(config));
    let server = builder
        .certificate(&options.cert, &options.key)
        .ktls(ringway::config::KtlsMode::Off)
        .workers(1)
        .start()?;
    // As the start block of the command line.
    println!("Ringway serves {:?}", options.on);
    println!("  at           https://{}/", server.addresses()[0]);
    println!("  memory       at most {} MiB of user memory", memory >> 20);
    println!("  stop         SIGTERM");
    server.wait()?;
    Ok(())
}

fn tokio(options: &Options, mut builder: tokio::runtime::Builder) -> Result<(), Box<dyn Error>> {
    let peer = Peer {
        dir: options.root.clone(),
        listen: options.listen,
        cert: options.cert.clone(),
        key: options.key.clone(),
        read_files: false,
    };
    let router = app::router(&options.echo);
    builder.enable_all().build()?.block_on(async move {
        let acceptor = TlsAcceptor::from(peer.shared_tls()?);
        let listener = tokio::net::TcpListener::from_std(peer.listener()?)?;
        // On a worker of the runtime, not on the thread that blocks.
        tokio::spawn(accept(acceptor, listener, router))
            .await?
            .map_err(|error| error.to_string())?;
        Ok(())
    })
}

async fn accept(
    acceptor: TlsAcceptor,
    listener: tokio::net::TcpListener,
    router: Router,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    loop {
        let (socket, _) = listener.accept().await?;
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            // A client may break off at any time.
            let Ok(stream) = acceptor.accept(socket).await else { return };
            let service = TowerToHyperService::new(router);
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
