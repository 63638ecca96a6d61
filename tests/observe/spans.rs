//! Slow requests as spans: a collector gets the request with its stages, in the trace of its caller.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc,
    time::Duration,
};

use crate::{PATIENCE, connect, folder, program::wait_until, start, stop};

/// A collector that takes every message: its address, and the content of each.
fn collector() -> (String, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (given, taken) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
            let content = loop {
                let read = stream.read(&mut piece).unwrap();
                assert!(read > 0, "the message is cut");
                bytes.extend_from_slice(&piece[..read]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.split("Content-Length: ").nth(1).unwrap();
                let length: usize = length.lines().next().unwrap().parse().unwrap();
                if let Some(content) = bytes.get(head.len() + 4..head.len() + 4 + length) {
                    break content.to_vec();
                }
            };
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            if given.send(content).is_err() {
                return;
            }
        }
    });
    (address, taken)
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_slow_request_is_a_part_of_its_callers_trace() {
    let folder = folder();
    let (address, taken) = collector();
    let server = start(folder.path(), |config| {
        config.observe.otlp = Some(address.parse().unwrap());
        config.observe.otlp_slow = Duration::ZERO;
    });
    let mut client = connect(&server);
    let trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    client.send(format!("GET /?slow HTTP/1.1\r\nHost: localhost\r\n{trace}\r\n\r\n").as_bytes());
    assert_eq!(client.response().0, 200);
    let message = taken.recv_timeout(PATIENCE).unwrap();
    // The id of the trace is field 1 of a span, that of the parent field 4.
    let id = [0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21];
    assert!(has(&message, &[&[10, 16][..], &id].concat()));
    assert!(has(&message, b"\x22\x08\xb7\xad\x6b\x71\x69\x20\x33\x31"));
    for name in ["ringway.blame", "url.query", "slow", "run_queue", "first_write"] {
        assert!(has(&message, name.as_bytes()), "{name}");
    }
    wait_until("the spans are counted", || {
        server.anatomy().spans.is_some_and(|spans| spans.exported >= 1)
    });
    let anatomy = std::sync::Arc::new(server.anatomy());
    let metrics = anatomy.to_metrics(ringway::observe::Exposition::Prometheus);
    assert!(metrics.contains("ringway_spans_total{fate=\"failed\"} 0"), "{metrics}");
    client.close();
    stop(server);
}

#[test]
fn what_is_neither_slow_nor_failed_is_no_span() {
    let folder = folder();
    let (address, taken) = collector();
    let server = start(folder.path(), |config| {
        config.observe.otlp = Some(address.parse().unwrap());
        config.observe.otlp_slow = PATIENCE;
    });
    let mut client = connect(&server);
    for _ in 0..50 {
        assert_eq!(client.get("/?quick").0, 200);
    }
    client.send(b"GET /half");
    client.reset();
    let message = taken.recv_timeout(PATIENCE).unwrap();
    assert!(has(&message, b"/half") && has(&message, b"client.reset.head"));
    assert!(!has(&message, b"quick"));
    stop(server);
}
