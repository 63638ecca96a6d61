//! Request heads that must be refused (RFC 9112 and 9110), each with its status.

use crate::delivery::{DELIVERIES, deliver, refused, show};
use crate::server::Server;

/// `GET / HTTP/1.1` with these field lines, each with its CRLF.
fn with(fields: &str) -> Vec<u8> {
    format!("GET /hello.txt HTTP/1.1\r\n{fields}\r\n").into_bytes()
}

#[test]
fn request_lines() {
    let server = Server::plain(&[]);
    for line in [
        "GET /hello.txt",
        "GET  /hello.txt HTTP/1.1",
        "GET /hello.txt  HTTP/1.1",
        "GET /hello.txt HTTP/1.1 ",
        " GET /hello.txt HTTP/1.1",
        "GET\t/hello.txt HTTP/1.1",
        "GET /hello .txt HTTP/1.1",
        "GET /hello.txt http/1.1",
        "GET /hello.txt HTTP/1",
        "GET /hello.txt HTTP/1.1x",
        "GET /hello.txt HTTQ/1.1",
        "G@T /hello.txt HTTP/1.1",
        "GET hello.txt HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /hello.txt#part HTTP/1.1",
        "GET /h\u{e9}llo.txt HTTP/1.1",
        "GET /hello\u{1}.txt HTTP/1.1",
        "GET ftp://localhost/hello.txt HTTP/1.1",
        "GET https:///hello.txt HTTP/1.1",
    ] {
        refused(&server, &[400], format!("{line}\r\nHost: localhost\r\n\r\n").as_bytes());
    }
}

/// RFC 9110 section 2.5 would have a higher minor version treated as the highest that is known. There
/// is no HTTP/1.2, so nobody but probes sends it, and what a proxy before us reads in it need not be
/// what we would: like what else is ambiguous it is refused, with the status for versions.
#[test]
fn versions() {
    let server = Server::plain(&[]);
    for version in ["HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/9.9"] {
        let request = format!("GET /hello.txt {version}\r\nHost: localhost\r\n\r\n");
        refused(&server, &[505], request.as_bytes());
    }
}

#[test]
fn hosts() {
    let server = Server::plain(&[]);
    for fields in [
        "",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost\r\nHost: other\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: user@a\r\n",
        "Host: a:port\r\n",
        "Host: [::1\r\n",
    ] {
        refused(&server, &[400], &with(fields));
    }
}

#[test]
fn field_lines() {
    let server = Server::plain(&[]);
    for lines in [
        "Accept : */*\r\n",
        "Accept\t: */*\r\n",
        " Accept: */*\r\n",
        "Accept: a,\r\n b\r\n",
        "Accept: a,\r\n\tb\r\n",
        "Accept\r\n",
        ": value\r\n",
        "Ac(cept: a\r\n",
        "X: a\0b\r\n",
        "X: a\rb\r\n",
        "X: a\u{7f}b\r\n",
        "X: a\u{1b}b\r\n",
    ] {
        refused(&server, &[400], &with(&format!("Host: localhost\r\n{lines}")));
    }
}

#[test]
fn line_ends() {
    let server = Server::plain(&[]);
    for request in [
        &b"GET /hello.txt HTTP/1.1\nHost: localhost\n\n"[..],
        b"GET /hello.txt HTTP/1.1\nHost: localhost\r\n\r\n",
        b"GET /hello.txt HTTP/1.1\r\nHost: localhost\n\r\n",
        b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\n",
        b"GET /hello.txt HTTP/1.1\rHost: localhost\r\n\r\n",
        b"GET /hello.txt HTTP/1.1\r\r\nHost: localhost\r\n\r\n",
    ] {
        refused(&server, &[400], request);
    }
}

#[test]
fn targets_that_are_too_long() {
    let server = Server::plain(&[]);
    let path = "a".repeat(9_000);
    refused(&server, &[414], format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
}

#[test]
fn heads_that_are_too_large() {
    let server = Server::plain(&[]);
    let value = "a".repeat(20_000);
    refused(&server, &[431], &with(&format!("Host: localhost\r\nX: {value}\r\n")));
    let lines = "X: y\r\n".repeat(101);
    refused(&server, &[431], &with(&format!("Host: localhost\r\n{lines}")));
}

#[test]
fn a_head_without_end_is_refused_at_its_limit() {
    let server = Server::plain(&[]);
    let endless = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}", "a".repeat(20_000));
    refused(&server, &[431], endless.as_bytes());
    let endless = format!("GET /{}", "a".repeat(20_000));
    refused(&server, &[414], endless.as_bytes());
}

/// Bounds of heads as they are configured; what keeps them is served.
#[test]
fn heads_are_bounded_as_configured() {
    let options = ["--max-head", "2KiB", "--max-fields", "10", "--max-target", "300"];
    let server = Server::plain(&options);
    for (target, lines, status) in [
        (250, String::new(), 404),
        (350, String::new(), 414),
        (10, format!("X: {}\r\n", "a".repeat(1_500)), 404),
        (10, format!("X: {}\r\n", "a".repeat(3_000)), 431),
        (10, "X: y\r\n".repeat(9), 404),
        (10, "X: y\r\n".repeat(10), 431),
    ] {
        let path = "a".repeat(target);
        let request = format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        let mut client = server.connect();
        client.send(request.as_bytes());
        let answer = client.response("GET");
        assert_eq!(answer.status, status, "{target} {} bytes", lines.len());
    }
}

#[test]
fn expectations() {
    let server = Server::plain(&[]);
    refused(&server, &[417], &with("Host: localhost\r\nExpect: a-miracle\r\n"));
}

#[test]
fn every_refusal_is_a_page_with_a_date() {
    let server = Server::plain(&[]);
    for way in DELIVERIES {
        let request = with("");
        let (_, response) = deliver(&server, way, &request);
        assert!(response.need("Date").ends_with(" GMT"), "{way:?}: {}", show(&request));
        assert!(response.need("Content-Type").starts_with("text/html"));
        assert!(!response.body.is_empty());
    }
}
