//! WebSockets of axum, spoken to in bytes (RFC 6455).

use std::io::{Read as _, Write as _};

use axum::{
    Router,
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    routing::get,
};

use super::{client::Client, server::serve};

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let is_content = matches!(message, Message::Text(_) | Message::Binary(_));
        if is_content && socket.send(message).await.is_err() {
            return;
        }
    }
}

fn app() -> Router {
    Router::new()
        .route("/echo", get(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) }))
        .route("/", get(|| async { "plain" }))
}

/// A client that has been upgraded.
struct Socket(Client);

impl Socket {
    fn open(mut client: Client) -> Self {
        client.send(
            b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\n\
              Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        let head = client.read_until(b"\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let lower = head.to_lowercase();
        assert!(lower.contains("\r\nconnection: upgrade\r\n"), "{head}");
        assert!(lower.contains("\r\nupgrade: websocket\r\n"), "{head}");
        // The value of RFC 6455 section 1.3.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        assert!(!lower.contains("content-length") && !lower.contains("transfer-encoding"));
        Self(client)
    }

    /// Sends a masked frame with FIN.
    fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..65_536 => {
                frame.push(0x80 | 0x7e);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 0x7f);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.0.0.write_all(&frame).unwrap();
        self.0.0.flush().unwrap();
    }

    fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Opcode and payload of the next frame.
    fn receive(&mut self) -> (u8, Vec<u8>) {
        let head = self.exactly(2);
        let length = match head[1] {
            126 => u16::from_be_bytes(self.exactly(2).try_into().unwrap()) as usize,
            127 => u64::from_be_bytes(self.exactly(8).try_into().unwrap()) as usize,
            length => usize::from(length),
        };
        (head[0] & 15, self.exactly(length))
    }
}

#[test]
fn messages_of_every_size_come_back() {
    let server = serve(app());
    let mut socket = Socket::open(Client::connect(&server));
    for length in [0, 1, 125, 126, 4000, 16_384, 65_535, 65_536, 1_000_000] {
        let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        // Larger than what both sides hold: it is read while it is written.
        socket.send(2, &payload);
        let mut all = Vec::new();
        while all.len() < payload.len() || length == 0 {
            let (opcode, part) = socket.receive();
            assert!(matches!(opcode, 0 | 2), "{opcode}");
            all.extend(part);
            if length == 0 {
                break;
            }
        }
        assert!(all == payload, "{length} bytes");
    }
    socket.send(9, b"ping");
    assert_eq!(socket.receive(), (10, b"ping".to_vec()));
    socket.send(8, &1000_u16.to_be_bytes());
    assert_eq!(socket.receive(), (8, 1000_u16.to_be_bytes().to_vec()));
    let (rest, ended) = socket.0.read_to_end();
    assert!(rest.is_empty() && ended, "the connection ends in order");
    assert_eq!(server.end().defects, 0);
}

#[test]
fn an_upgrade_may_follow_other_requests_and_frames_may_come_with_it() {
    let server = serve(app());
    let mut client = Client::connect(&server);
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.read_until(b"\r\n\r\nplain");
    let mut socket = Socket::open(client);
    for round in 0..200 {
        let text = format!("message {round}");
        socket.send(1, text.as_bytes());
        assert_eq!(socket.receive(), (1, text.into_bytes()));
    }
    drop(socket);
    // What asks for no upgrade gets what the handler says of it.
    let mut client = Client::connect(&server);
    client.send(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(client.read_until(b"\r\n\r\n").starts_with("HTTP/1.1 4"));
}
