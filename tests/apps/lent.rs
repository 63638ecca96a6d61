//! Receive buffers in the hands of an application.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use ringway::config::Config;
use tokio_stream::StreamExt as _;

use super::{
    leaving::until,
    server::{Running, configured},
};

type Kept = Arc<Mutex<Vec<Vec<Bytes>>>>;

/// A server that keeps all pieces of what is sent to `/keep`, on a listener without TLS: there, a receive
/// buffer holds content alone.
fn serve(buffers: usize) -> (Running, Kept) {
    let kept = Kept::default();
    let keep = Arc::clone(&kept);
    let handler = move |body: Body| async move {
        let mut pieces = Vec::new();
        let mut stream = body.into_data_stream();
        while let Some(piece) = stream.next().await {
            pieces.push(piece.unwrap());
        }
        keep.lock().unwrap().push(pieces);
        "kept"
    };
    let app = Router::new()
        .route("/keep", post(handler))
        .route("/", get(|| async { "plain" }))
        .layer(DefaultBodyLimit::disable());
    let mut config = Config::default();
    config.plain = vec!["127.0.0.1:0".parse().unwrap()];
    config.limits.receive_buffers = buffers;
    (configured(config, |builder| builder.service(app)), kept)
}

fn ask(server: &Running, request: &[u8], end: &str) {
    let plain = server.get().plain_addresses()[0];
    let mut client = TcpStream::connect(plain).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
    client.write_all(request).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(end), "{answer}");
}

fn content(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ seed) as u8).collect()
}

fn upload(server: &Running, content: &[u8]) {
    let length = content.len();
    let head = format!(
        "POST /keep HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    ask(server, &[head.as_bytes(), content].concat(), "\r\n\r\nkept");
}

/// Buffers of the worker, and those of them that are at home.
fn buffers(server: &Running) -> (usize, usize) {
    let anatomy = server.get().anatomy();
    let ring = anatomy.workers[0].as_ref().expect("the worker answers").ring;
    (ring.receive_buffers as usize, ring.receive_buffers_free as usize)
}

#[test]
fn content_is_lent_and_comes_back_from_any_thread() {
    let (server, kept) = serve(64);
    let sent = content(900_000, 1);
    upload(&server, &sent);
    let pieces = kept.lock().unwrap().pop().unwrap();
    assert!(pieces.concat() == sent);
    let taken = server.get().anatomy().ledger.taken();
    // The head may have come in two pieces, which is another row.
    assert_eq!(taken.lent + taken.copied_for_application, 900_000, "{taken:?}");
    assert!(taken.lent >= 4096, "nothing was lent: {taken:?}");
    // What is kept pins two buffers, and the rest of it none.
    until(|| buffers(&server) == (64, 62));
    thread::spawn(move || drop(pieces)).join().unwrap();
    until(|| buffers(&server) == (64, 64));
    assert_eq!(server.end().defects, 0);
}

#[test]
fn an_application_that_keeps_all_starves_nobody() {
    let (server, kept) = serve(8);
    for round in 0..12 {
        upload(&server, &content(100_000, round));
    }
    until(|| buffers(&server).1 >= 4);
    ask(&server, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "\r\n\r\nplain");
    let worst = buffers(&server);
    assert_eq!(worst, (8, 4), "half of them are lent");
    let end = server.end();
    // The worker is gone, and what was lent is still there.
    for (round, pieces) in kept.lock().unwrap().drain(..).enumerate() {
        assert!(pieces.concat() == content(100_000, round));
    }
    assert_eq!(end.defects, 0);
}
