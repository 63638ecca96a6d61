//! The application, the same on every server.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::{Sse, sse::Event},
    routing::{get, post},
};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::Mutex,
};
use tokio_stream::StreamExt as _;

/// 1,024 bytes.
pub(crate) const TEXT: &str = match str::from_utf8(&[b'r'; 1024]) {
    Ok(text) => text,
    Err(_) => panic!("it is ASCII"),
};

/// What the router answers.
pub(crate) const PATHS: [&str; 7] =
    ["/trivial", "/json", "/upload", "/events", "/stream", "/never", "/wait"];

/// An answer of about 1 KB as JSON.
#[derive(Serialize)]
struct Item {
    id: u64,
    name: &'static str,
    price: f64,
    tags: [&'static str; 3],
}

/// Connections to the echo that are not in use.
#[derive(Clone)]
struct Echo(Arc<(PathBuf, Mutex<Vec<UnixStream>>)>);

/// The routes.
pub(crate) fn router(echo: &Path) -> Router {
    Router::new()
        .route("/trivial", get(|| async { TEXT }))
        .route("/json", get(json))
        .route("/upload", post(upload))
        .route("/events", get(events))
        .route("/stream", get(stream))
        .route("/never", get(std::future::pending::<StatusCode>))
        .route("/wait", get(wait))
        .layer(DefaultBodyLimit::disable())
        .with_state(Echo(Arc::new((echo.to_owned(), Mutex::new(Vec::new())))))
}

async fn json() -> Json<Vec<Item>> {
    let item = |id| Item { id, name: "an item with a name", price: 9.5, tags: ["a", "b", "c"] };
    Json((1000..1014).map(item).collect())
}

async fn upload(body: Body) -> Result<String, StatusCode> {
    let mut pieces = body.into_data_stream();
    let mut sum = 0;
    while let Some(piece) = pieces.next().await {
        sum += piece.map_err(|_| StatusCode::BAD_REQUEST)?.len();
    }
    Ok(sum.to_string())
}

async fn events() -> Sse<impl tokio_stream::Stream<Item = Result<Event, std::convert::Infallible>>>
{
    let first = tokio_stream::once(Ok(Event::default().data("open")));
    Sse::new(first.chain(tokio_stream::pending()))
}

/// Events as fast as they are taken.
async fn stream() -> Sse<impl tokio_stream::Stream<Item = Result<Event, std::convert::Infallible>>>
{
    let event = || Ok(Event::default().data(TEXT));
    Sse::new(tokio_stream::iter(std::iter::repeat_with(event)))
}

async fn wait(State(echo): State<Echo>) -> Result<&'static str, StatusCode> {
    let (path, free) = &*echo.0;
    let failed = |_: io::Error| StatusCode::INTERNAL_SERVER_ERROR;
    let taken = free.lock().await.pop();
    let mut stream = match taken {
        Some(stream) => stream,
        None => UnixStream::connect(path).await.map_err(failed)?,
    };
    stream.write_all(b"x").await.map_err(failed)?;
    stream.read_exact(&mut [0]).await.map_err(failed)?;
    free.lock().await.push(stream);
    Ok(TEXT)
}

/// Answers each byte with itself, in a process of its own.
pub(crate) fn echo(path: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        thread::spawn(move || {
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
        });
    }
    Ok(())
}
