//! Listeners without TLS: HTTP/1.1 as it comes, and redirects to HTTPS.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::{
    configured::{Configured, H2},
    server::PATIENCE,
};

const FILE: &str = "plain = '127.0.0.1:0'\nredirect = '127.0.0.1:0'\n";

/// A server with both kinds of listeners; the ports of the plain one and of the other.
fn start() -> (Configured, u16, u16) {
    start_with(FILE)
}

fn start_with(first: &str) -> (Configured, u16, u16) {
    let sites = "[[site]]\nheaders = 'strict'\n[[site.route]]\nfiles = 'www'\n";
    let server = Configured::start_with(first, sites, |folder| {
        fs::create_dir(folder.join("www")).unwrap();
        fs::write(folder.join("www/index.html"), "home").unwrap();
        fs::write(folder.join("www/large.bin"), large()).unwrap();
    });
    let port = |label: &str| {
        let line = server.start_block.lines().find(|line| line.trim().starts_with(label)).unwrap();
        let (_, rest) = line.split_once("http://127.0.0.1:").unwrap();
        rest.split('/').next().unwrap().parse().unwrap()
    };
    let (plain, redirect) = (port("plain"), port("redirect"));
    (server, plain, redirect)
}

fn large() -> Vec<u8> {
    (0..5_000_011_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn connect(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends bytes and reads until the server closes.
fn exchange(port: u16, request: &[u8]) -> Vec<u8> {
    let mut socket = connect(port);
    socket.write_all(request).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    answer
}

fn head_and_content(answer: &[u8]) -> (String, &[u8]) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end + 2].to_vec()).unwrap(), &answer[end + 4..])
}

#[test]
fn files_are_served_without_tls() {
    let (_server, plain, _) = start();
    let closes = "Host: x\r\nConnection: close\r\n\r\n";
    let answer = exchange(plain, format!("GET / HTTP/1.1\r\n{closes}").as_bytes());
    let (head, content) = head_and_content(&answer);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && content == b"home", "{head}");
    // A client would ignore it, and it must not be sent (RFC 6797 section 7.2).
    assert!(!head.contains("Strict-Transport-Security"), "{head}");
    assert!(head.contains("X-Frame-Options: SAMEORIGIN\r\n"), "{head}");
    let answer = exchange(plain, format!("GET /large.bin HTTP/1.1\r\n{closes}").as_bytes());
    let (_, content) = head_and_content(&answer);
    assert!(content == large(), "{} bytes", content.len());
    let range = format!("GET /large.bin HTTP/1.1\r\nRange: bytes=4999990-\r\n{closes}");
    let answer = exchange(plain, range.as_bytes());
    let (head, content) = head_and_content(&answer);
    assert!(head.starts_with("HTTP/1.1 206 ") && content == &large()[4_999_990..], "{head}");
    // Many requests at a time, and one in pieces.
    let many = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    let many = format!("{many}GET /missing HTTP/1.1\r\n{closes}");
    let answer = exchange(plain, many.as_bytes());
    let text = String::from_utf8_lossy(&answer);
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 100);
    assert_eq!(text.matches("HTTP/1.1 404 Not Found").count(), 1);
    let mut socket = connect(plain);
    for byte in format!("GET / HTTP/1.1\r\n{closes}").bytes() {
        socket.write_all(&[byte]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
}

#[test]
fn what_is_no_request_is_refused_and_the_end_of_a_client_is_an_end() {
    let (server, plain, redirect) = start();
    for port in [plain, redirect] {
        let answer = exchange(port, b"\x16\x03\x01\x00\x05hello\r\n\r\n");
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
        let answer = exchange(port, b"GET / HTTP/1.1\r\n\r\n");
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
        // It says nothing, and leaves.
        drop(connect(port));
        // It stops in the middle.
        let mut socket = connect(port);
        socket.write_all(b"GET / HT").unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
    }
    assert_eq!(server.connect().get("/").text(), "home");
    assert_eq!(H2::connect(&server).get("x", "/").unwrap().0, 200);
    assert!(!server.log().contains("defect"), "{}", server.log());
}

#[test]
fn the_other_listener_sends_everybody_to_https() {
    let (server, _, redirect) = start();
    for (request, location) in [
        ("GET /a%20b?c=d HTTP/1.1\r\nHost: example.com\r\n", "https://example.com:PORT/a%20b?c=d"),
        (
            "POST //evil.example HTTP/1.1\r\nHost: example.com:80\r\n",
            "https://example.com:PORT/evil.example",
        ),
        ("HEAD / HTTP/1.1\r\nHost: [::1]\r\n", "https://[::1]:PORT/"),
    ] {
        let request = format!("{request}Connection: close\r\n\r\n");
        let answer = exchange(redirect, request.as_bytes());
        let (head, _) = head_and_content(&answer);
        assert!(head.starts_with("HTTP/1.1 308 Permanent Redirect\r\n"), "{head}");
        let location = location.replace("PORT", &server.port.to_string());
        assert!(head.contains(&format!("Location: {location}\r\n")), "{head}");
    }
    let answer = exchange(redirect, b"GET / HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "it names no host");
    let answer = exchange(redirect, b"GET /../x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 400 "));
}

/// A container engine or a balancer publishes the listener under another port.
#[test]
fn redirects_name_the_port_that_clients_reach() {
    for (port, location) in [(443, "https://a/b"), (8444, "https://a:8444/b")] {
        let (_server, _, redirect) = start_with(&format!("{FILE}redirect_port = {port}\n"));
        let request = b"GET /b HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n";
        let answer = exchange(redirect, request);
        let (head, _) = head_and_content(&answer);
        assert!(head.contains(&format!("Location: {location}\r\n")), "{head}");
    }
}
