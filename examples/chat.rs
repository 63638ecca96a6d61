//! A chat over WebSockets: `cargo run --example chat --features upgrade`, and two clients on
//! `wss://localhost:8443/chat`. What one says all others hear, over HTTP/1.1 and HTTP/2.

use axum::{
    Router,
    extract::{
        State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    response::Response,
    routing::any,
};
use ringway::Server;
use tokio::sync::broadcast::{self, error::RecvError};

/// Messages that a slow client may lag behind, before it misses some.
const LAG: usize = 64;

/// The longest message, in bytes.
const LONGEST: usize = 4096;

type Said = broadcast::Sender<(u64, String)>;

async fn join(State(said): State<Said>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(LONGEST).on_upgrade(|socket| talk(socket, said))
}

/// Passes on what this client says, and tells it what others say, until it leaves.
async fn talk(mut socket: WebSocket, said: Said) {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let own = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut others = said.subscribe();
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    // An error says that nobody listens.
                    let _ = said.send((own, text.to_string()));
                }
                // Behind a close comes the end, once it was answered.
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            said = others.recv() => match said {
                Ok((who, text)) if who != own => {
                    if socket.send(Message::Text(text.into())).await.is_err() {
                        return;
                    }
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8443".to_owned());
    let (said, _) = broadcast::channel(LAG);
    let app = Router::new().route("/chat", any(join)).with_state(said);
    let server = Server::builder().listen(address.parse()?).service(app).start()?;
    println!("https://localhost:{}/chat", server.addresses()[0].port());
    server.wait()?;
    Ok(())
}
