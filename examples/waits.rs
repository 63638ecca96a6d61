//! Handlers that wait, block the worker, and answer piece by piece: to see in the anatomy whose time
//! that is. `cargo run --example waits`, then
//!
//! ```sh
//! curl -k https://localhost:8443/wait
//! curl -k https://localhost:8443/block
//! curl -s http://127.0.0.1:9090/anatomy.json
//! ```
//!
//! `ADMIN` names another address for the admin listener, `ACCESS_LOG` a file for the access log; port 0 of
//! `LISTEN` takes a free one.

use std::{error::Error, time::Duration};

use axum::{Router, body::Body, routing::get};
use ringway::config::Config;
use tokio_stream::StreamExt as _;

/// How long each of them takes, in all.
const TIME: Duration = Duration::from_millis(300);

/// Others are served meanwhile.
async fn wait() -> &'static str {
    tokio::time::sleep(TIME).await;
    "waited\n"
}

/// Nobody else on this worker is: computing for long belongs into `ringway::offload`.
async fn block() -> &'static str {
    std::thread::sleep(TIME);
    "blocked\n"
}

async fn pieces() -> Body {
    let pieces = tokio_stream::iter(["one\n", "two\n", "three\n"]).throttle(TIME / 2);
    Body::from_stream(pieces.map(Ok::<_, std::convert::Infallible>))
}

fn main() -> Result<(), Box<dyn Error>> {
    let app = Router::new()
        .route("/", get(|| async { "at once\n" }))
        .route("/wait", get(wait))
        .route("/block", get(block))
        .route("/pieces", get(pieces));
    let mut config = Config::default();
    let variable = |name| std::env::var(name).ok();
    config.listen = vec![variable("LISTEN").as_deref().unwrap_or("127.0.0.1:8443").parse()?];
    config.workers = Some(1);
    config.observe.admin = Some(variable("ADMIN").as_deref().unwrap_or("127.0.0.1:9090").parse()?);
    config.observe.access_log =
        variable("ACCESS_LOG").map(|path| std::path::PathBuf::from(path).into());
    config.observe.server_timing = true;
    config.log_format = ringway::config::LogFormat::Json;
    let server = ringway::server::Builder::from(config).service(app).start()?;
    println!("listening on {}", server.addresses()[0]);
    server.wait()?;
    Ok(())
}
