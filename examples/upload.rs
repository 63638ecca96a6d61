//! Uploads by a handler, downloads by Ringway itself: what is stored in the folder leaves by the way of
//! files, with ranges, conditions and the cache. `cargo run --example upload -- 127.0.0.1:8443 folder`,
//! then
//!
//! ```sh
//! curl -k -T report.pdf https://localhost:8443/upload/report.pdf
//! curl -k -r 0-99 https://localhost:8443/report.pdf
//! ```

use std::{io, path::PathBuf, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    routing::put,
};
use tokio::{fs, io::AsyncWriteExt as _};
use tokio_stream::StreamExt as _;

/// Stores content as it comes: it is read from the client no faster than it is written.
async fn store(
    State(folder): State<Arc<PathBuf>>,
    Path(name): Path<String>,
    content: Body,
) -> Result<StatusCode, StatusCode> {
    if name.starts_with('.') || name.contains(['/', '\\']) {
        return Err(StatusCode::BAD_REQUEST);
    }
    // Under another name until it is whole: nobody downloads a half of it.
    let partial = folder.join(format!(".{name}.partial"));
    let stored = write(&partial, content).await;
    if stored.is_err() {
        let _ = fs::remove_file(&partial).await;
        return Err(StatusCode::BAD_REQUEST);
    }
    let renamed = fs::rename(&partial, folder.join(name)).await;
    renamed.map(|()| StatusCode::CREATED).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn write(path: &std::path::Path, content: Body) -> io::Result<()> {
    let mut file = fs::File::create(path).await?;
    let mut pieces = content.into_data_stream();
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece.map_err(io::Error::other)?).await?;
    }
    file.flush().await
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8443".to_owned());
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| ".".to_owned()));
    let app = Router::new()
        .route("/upload/{name}", put(store))
        .layer(DefaultBodyLimit::disable())
        // A client that leaves halfway is no reason to leave a file behind.
        .layer(ringway::to_the_end())
        .with_state(Arc::new(folder.clone()));
    let mut config = ringway::config::Config::default();
    config.limits.body_bytes = 1 << 30;
    config.listen = vec![address.parse()?];
    let server =
        ringway::server::Builder::from(config).root(folder).service_at("/upload", app).start()?;
    println!("https://localhost:{}/", server.addresses()[0].port());
    server.wait()?;
    Ok(())
}
