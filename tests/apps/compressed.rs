//! What services answer, compressed while it is sent, for clients of both protocols.

use std::{
    convert::Infallible,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use axum::{
    Router,
    response::{Sse, sse::Event},
    routing::get,
};
use ringway::config::Compression;
use tokio_stream::StreamExt as _;

use super::server::start;

const PROTOCOLS: [&str; 2] = ["--http1.1", "--http2"];

#[test]
fn a_service_is_compressed_if_its_path_says_so() {
    let text = "a line of text\n".repeat(2_000);
    let content = text.clone();
    let app = || {
        let content = content.clone();
        Router::new().fallback(get(move || async { content }))
    };
    let server = start(|builder| {
        let builder = builder.service(app()).service_at("/plain", app());
        builder.compress_at("/", Compression::ALL)
    });
    for protocol in PROTOCOLS {
        let ask = |path: &str, accepts: &[&str]| {
            let answer = server.curl(path, &[&[protocol], accepts].concat());
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(body == text, "{protocol} {path}: {} bytes", body.len());
            head.to_lowercase()
        };
        // A worker that has no time to compress sends the plain content.
        let patience = Instant::now() + Duration::from_secs(300);
        let coded = loop {
            let coded = ask("/", &["--compressed"]);
            if coded.contains("content-encoding: ") {
                break coded;
            }
            assert!(Instant::now() < patience, "never compressed: {coded}");
        };
        assert!(coded.contains("vary: accept-encoding"), "{coded}");
        let identity = ask("/", &[]);
        assert!(!identity.contains("content-encoding: "), "{identity}");
        assert!(identity.contains("vary: accept-encoding"), "{identity}");
        let plain = ask("/plain", &["--compressed"]);
        assert!(!plain.contains("content-encoding") && !plain.contains("vary"), "{plain}");
    }
    assert_eq!(server.end().defects, 0);
}

/// The encoder holds no event back.
#[test]
fn events_arrive_one_by_one_through_an_encoder() {
    let (sender, _) = tokio::sync::broadcast::channel::<String>(8);
    let source = sender.clone();
    let app = Router::new().fallback(get(move || async move {
        let events = tokio_stream::wrappers::BroadcastStream::new(source.subscribe());
        Sse::new(events.map(|text| Ok::<_, Infallible>(Event::default().data(text.unwrap()))))
    }));
    let server = start(|builder| builder.service(app).compress_at("/", Compression::ALL));
    for protocol in PROTOCOLS {
        let mut client = Command::new("curl")
            .args(["-skSN", "--compressed", "--max-time", "300", protocol])
            .args(["--resolve", &format!("localhost:{}:127.0.0.1", server.address().port())])
            .arg(server.url("/"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is installed");
        let patience = Instant::now() + Duration::from_secs(300);
        while sender.receiver_count() == 0 {
            assert!(Instant::now() < patience, "{protocol}: the service was not asked");
            thread::sleep(Duration::from_millis(5));
        }
        let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
        for round in 0..20 {
            sender.send(format!("number {round}")).unwrap();
            let line = lines.next().expect("the stream goes on").unwrap();
            assert_eq!(line, format!("data: number {round}"), "{protocol}");
            assert_eq!(lines.next().unwrap().unwrap(), "");
        }
        client.kill().unwrap();
        client.wait().unwrap();
        while sender.receiver_count() > 0 {
            assert!(Instant::now() < patience, "{protocol}: the service was not dropped");
            thread::sleep(Duration::from_millis(5));
        }
    }
    assert_eq!(server.end().compress_shed, 0);
}
