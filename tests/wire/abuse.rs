//! Clients that are slow on purpose: each wait has a deadline, and others are served meanwhile.

use std::io::Write;

use crate::client::{ClientOptions, End, connect, drain};
use crate::server::Server;
use crate::site::{HELLO, Site};

#[test]
fn a_handshake_that_does_not_come() {
    // So long that an honest client is in time on a crowded machine.
    let server = Server::plain(&["--handshake-timeout", "10s"]);
    let mut silent = connect(server.port).unwrap();
    let mut partial = connect(server.port).unwrap();
    partial.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
    for socket in [&mut silent, &mut partial] {
        let said = drain(socket);
        assert!(said.is_empty() || said[0] == 0x15, "{}", said.escape_ascii());
    }
}

/// One byte at a time does not move the deadline.
#[test]
fn a_handshake_that_trickles() {
    let server = Server::plain(&["--handshake-timeout", "1s"]);
    let mut socket = connect(server.port).unwrap();
    let mut writes = 0;
    while socket.write_all(&[[0x16, 3, 1, 2, 0, 1][writes.min(5)]]).is_ok() {
        writes += 1;
        assert!(writes < 2_000, "a handshake without end");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    drain(&mut socket);
}

#[test]
fn a_head_that_does_not_come() {
    let server = Server::plain(&["--head-timeout", "1s"]);
    for options in [ClientOptions::default(), ClientOptions::tls12()] {
        let mut client = server.connect_as(&options);
        client.send(b"GET / HTTP/1.1\r\nHost: local");
        let response = client.response("GET");
        assert_eq!(response.status, 408);
        assert!(response.closes());
        client.expect_close();
    }
}

#[test]
fn a_head_that_trickles() {
    let server = Server::plain(&["--head-timeout", "1s"]);
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n");
    let mut sent = 0;
    while client.send(b"X: y\r\n") {
        sent += 1;
        assert!(sent < 2_000, "a head without end");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_request_that_does_not_come() {
    let server = Server::plain(&["--head-timeout", "1s", "--idle-timeout", "1s"]);
    // Nothing after the handshake: a word or none, but an end.
    let mut silent = server.connect();
    silent.handshake().unwrap();
    let (said, _) = silent.end();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    // Nothing after a response.
    let mut idle = server.connect();
    assert_eq!(idle.get("/hello.txt").body, HELLO);
    idle.expect_close();
}

#[test]
fn a_body_that_does_not_come() {
    let server = Server::plain(&["--body-timeout", "1s", "--head-timeout", "1s"]);
    for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut client = server.connect();
        let head = format!("GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
        client.send(head.as_bytes());
        client.send(b"5\r\nhel");
        let (said, _) = client.end();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 "), "{said}");
    }
}

/// A body that never stands still and never ends either: the minimum rate ends it.
#[test]
fn a_body_that_trickles() {
    let server = Server::plain(&["--body-timeout", "1s", "--body-min-rate", "10000"]);
    let mut client = server.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n");
    let mut sent = 0;
    while client.send(b"x") {
        sent += 1;
        assert!(sent < 2_000, "a body without end");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // Its answer may be lost to a reset; it is no answer to the request.
    let (said, _) = client.end();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
}

/// A reader that takes a little at a time, so that no wait is long, is below the minimum rate all
/// the same, and cut off.
#[test]
fn a_reader_below_the_minimum_rate() {
    let site = Site::new();
    let size = 64 << 20;
    site.noise("big", size);
    let server =
        Server::start(site, &["--response-timeout", "1s", "--response-min-rate", "50000000"]);
    let mut client = server.connect();
    client.send(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.try_head().unwrap();
    let mut have = 0;
    let mut buffer = [0; 10_000];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        have += read;
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(have < size, "served to the end, however slowly it reads");
    assert_ne!(client.end().1, End::Notified, "a cut response must not look whole");
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
}

#[test]
fn a_reader_that_does_not_read() {
    let site = Site::new();
    site.noise("big", 64 << 20);
    let server = Server::start(site, &["--response-timeout", "1s"]);
    let before = server.descriptors();
    let mut stalled: Vec<_> = (0..8)
        .map(|_| {
            let mut client = server.connect();
            client.send(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client.try_head().unwrap();
            client
        })
        .collect();
    // Others are served.
    for _ in 0..50 {
        assert_eq!(server.connect().get("/hello.txt").body, HELLO);
    }
    // The stalled ones are given up: their descriptors go while the clients still hold theirs.
    let deadline = std::time::Instant::now() + crate::server::PATIENCE;
    while server.descriptors() > before + 2 {
        assert!(std::time::Instant::now() < deadline, "stalled responses are never given up");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    for client in &mut stalled {
        assert_ne!(client.end().1, End::Notified, "a cut response must not look whole");
    }
}

/// A reader that is slow, but reads, is served to the end.
#[test]
fn a_reader_that_is_slow() {
    let site = Site::new();
    let size = 3_000_000;
    let hash = site.noise("file", size);
    let server = Server::start(site, &["--response-timeout", "20s"]);
    let mut client = server.connect();
    client.send(b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.try_head().unwrap().promised(), size as u64);
    let mut body = Vec::new();
    let mut buffer = [0; 10_000];
    while body.len() < size {
        let read = client.read(&mut buffer).unwrap();
        assert_ne!(read, 0);
        body.extend_from_slice(&buffer[..read]);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(crate::site::sha256(&body), hash);
}

/// Thousands of requests whose answers nobody reads: the server stops reading, and holds little.
#[test]
fn requests_without_readers_do_not_pile_up() {
    let site = Site::new();
    site.noise("file", 100_000);
    let server = Server::start(site, &["--response-timeout", "2s"]);
    assert_eq!(server.connect().get("/file").status, 200);
    let before = server.resident_kib();
    let mut client = server.connect();
    client.handshake().unwrap();
    client.socket.set_write_timeout(Some(std::time::Duration::from_secs(3))).unwrap();
    let request = b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1_000);
    for _ in 0..100 {
        if client.tls.writer().write_all(&request).is_err()
            || client.tls.write_tls(&mut client.socket).is_err()
        {
            break;
        }
    }
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB held for a client that does not read");
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
}
