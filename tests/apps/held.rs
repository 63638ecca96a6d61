//! Who holds a worker, and what the log says of applications.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, Once, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use axum::{Router, routing::get};

use super::{
    client::Client,
    leaving::until,
    server::{client_config, serve, start},
};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = record.args().to_string();
            LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    fn flush(&self) {}
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Lines).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
}

fn said(words: &[&str]) -> bool {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().any(|line| words.iter().all(|word| line.contains(word)))
}

#[test]
fn a_handler_that_holds_its_worker_is_named_while_it_does() {
    listen();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let hold = move || {
        let released = Arc::clone(&released);
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            released.lock().unwrap().recv().unwrap();
            "released"
        }
    };
    let app = Router::new()
        .route("/a-long-report", get(hold).layer(ringway::endpoint("/a-long-report")))
        .route("/", get(|| async { "quick" }));
    let server = start(|builder| builder.service(app).workers(2));
    let mut client = Client::connect(&server);
    client.send(b"GET /a-long-report HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // Named while it lasts: the handler is released by nobody but this test.
    until(|| said(&["has been in /a-long-report for 200 ms", "connections wait"]));
    // Clients that have come to the other worker get their answers meanwhile.
    let address = server.address();
    let asking: Vec<_> = (0..16).map(|_| thread::spawn(move || ask_quickly(address))).collect();
    until(|| asking.iter().any(JoinHandle::is_finished));
    release.send(()).unwrap();
    client.read_until(b"\r\n\r\nreleased");
    for one in asking {
        one.join().unwrap();
    }
}

/// Asks a hundred times for what is quick.
fn ask_quickly(address: SocketAddr) {
    let mut client = Client::to(address, client_config());
    for _ in 0..100 {
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.read_until(b"\r\n\r\nquick");
    }
}

#[test]
fn a_panic_is_logged_with_its_endpoint() {
    listen();
    let fails = get(|| async { assert!(std::env::args().count() == 0, "what went wrong") });
    let app = Router::new().route("/fails", fails.layer(ringway::endpoint("/fails/{id}")));
    let server = serve(app);
    assert!(server.curl("/fails", &[]).starts_with("HTTP/1.1 500 "));
    until(|| said(&["an application panicked: what went wrong", "/fails/{id}"]));
}
