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
    let metrics =
        || Arc::new(server.get().anatomy()).to_metrics(ringway::observe::Exposition::Prometheus);
    until(|| metrics().contains("ringway_endpoint_held_total{endpoint=\"/a-long-report\"} 1\n"));
}

#[test]
fn offloaded_work_is_reported() {
    let compute =
        || async { ringway::offload(|| "computed").await.map_err(|error| error.to_string()) };
    let server = serve(Router::new().route("/", get(compute)));
    for _ in 0..3 {
        assert!(server.curl("/", &[]).ends_with("\r\n\r\ncomputed"));
    }
    // Other tests of this process have their jobs among them.
    let figure = |name: &str| -> u64 {
        let report: serde_json::Value =
            serde_json::from_str(&server.get().anatomy().to_json()).unwrap();
        report["offload"][name].as_u64().unwrap_or_else(|| panic!("{name} in {report}"))
    };
    // A job is counted as run behind the answer that it wakes.
    until(|| figure("begun") >= 3 && figure("ran_ns") > 0);
    assert!(figure("threads") >= 1 && figure("waited_ns") > 0);
    let metrics =
        Arc::new(server.get().anatomy()).to_metrics(ringway::observe::Exposition::Prometheus);
    for name in
        ["jobs_total", "refused_total", "waiting", "wait_seconds_total", "run_seconds_total"]
    {
        assert!(metrics.contains(&format!("\nringway_offload_{name} ")), "{name}: {metrics}");
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
