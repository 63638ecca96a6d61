//! Server-sent events, and a server that ends in order: `cargo run --example events`, then
//!
//! ```sh
//! curl -kN https://localhost:8443/events &
//! curl -k https://localhost:8443/say -d 'good morning'
//! ```
//!
//! Ctrl-C ends the streams, finishes what is being answered, and then the program.

use std::convert::Infallible;

use axum::{
    Extension, Router,
    extract::State,
    http::StatusCode,
    response::{Sse, sse::Event},
    routing::{get, post},
};
use ringway::{Connection, Server};
use tokio::sync::broadcast;
use tokio_stream::{Stream, StreamExt as _, wrappers::BroadcastStream};

async fn events(
    State(words): State<broadcast::Sender<String>>,
    Extension(on): Extension<Connection>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    // A slow client misses words; it does not hold up the others.
    let words = BroadcastStream::new(words.subscribe()).filter_map(Result::ok);
    let events = words.map(|word| Ok(Event::default().data(word)));
    Sse::new(Until { events, drained: Box::pin(on.draining()) })
}

async fn say(State(words): State<broadcast::Sender<String>>, word: String) -> StatusCode {
    match words.send(word) {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::NOT_FOUND,
    }
}

/// Events until the server stops.
struct Until<S> {
    events: S,
    drained: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<S: Stream + Unpin> Stream for Until<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        if self.drained.as_mut().poll(cx).is_ready() {
            return std::task::Poll::Ready(None);
        }
        std::pin::Pin::new(&mut self.events).poll_next(cx)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8443".to_owned());
    let (words, _) = broadcast::channel(64);
    let app =
        Router::new().route("/events", get(events)).route("/say", post(say)).with_state(words);
    let server = Server::builder().listen(address.parse()?).service(app).start()?;
    println!("https://localhost:{}/events", server.addresses()[0].port());
    server.shutdown_on(tokio::signal::ctrl_c()).await?;
    println!("ended in order");
    Ok(())
}
