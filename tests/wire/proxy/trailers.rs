//! Trailers and interim responses, which go on.

use std::io::Write;

use super::{
    answer, of_file,
    upstream::{Then, Upstream},
};
use crate::{client::Client, server::Server};

fn lines(client: &mut Client) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let line = super::line(client).unwrap();
        if line.is_empty() {
            return lines;
        }
        lines.push(line);
    }
}

#[test]
fn trailers_of_a_response_reach_a_client_that_takes_them() {
    let upstream = Upstream::fixed(
        b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\
          X-Sum:  7\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\n\r\n",
    );
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    for (fields, expected) in [
        ("TE: trailers\r\nConnection: TE\r\n", vec!["X-Sum: 7"]),
        ("TE: gzip, trailers\r\n", vec!["X-Sum: 7"]),
        ("TE: gzip\r\n", vec![]),
        ("", vec![]),
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
        let head = client.try_head().unwrap();
        assert_eq!((head.status, head.need("Transfer-Encoding")), (200, "chunked"));
        for expected in ["2", "ok", "0"] {
            assert_eq!(super::line(&mut client).unwrap(), expected);
        }
        assert_eq!(lines(&mut client), expected, "{fields:?}");
        let request = upstream.requests().pop().unwrap();
        let te = if expected.is_empty() { vec![] } else { vec!["trailers"] };
        assert_eq!(request.fields("te"), te);
        let connection = if expected.is_empty() { vec![] } else { vec!["TE"] };
        assert_eq!(request.fields("connection"), connection);
    }
    assert_eq!(upstream.connections(), 1, "trailers are ordinary");
}

#[test]
fn trailers_of_a_request_reach_the_server_held_or_streamed() {
    let upstream = Upstream::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let server = Server::proxy(&[&upstream.address], &["--hold-request", "4KiB"]);
    for size in [3_000, 100_000] {
        let mut client = server.connect();
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client
            .send(&[format!("{size:x}\r\n").as_bytes(), &vec![b'x'; size], b"\r\n0\r\n"].concat());
        client.send(b"X-Sum: 7\r\nHost: evil\r\nX_F: 1\r\nContent-Length: 3\r\n\r\n");
        assert_eq!(answer(&mut client, "POST").unwrap().body, b"ok");
        let request = upstream.requests().pop().unwrap();
        assert_eq!(request.fields("transfer-encoding"), ["chunked"], "{size}");
        assert_eq!(request.body.len(), size);
        assert_eq!(request.trailers, ["X-Sum: 7"], "{size}");
    }
}

#[test]
fn interim_responses_go_on_to_clients_of_http_1_1() {
    let upstream = Upstream::start(|_, stream| {
        let _ = stream.write_all(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\
              Connection: X-Hop\r\nX-Hop: 1\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
              HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        );
        Then::Continue
    });
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let hints = client.try_head().unwrap();
        assert_eq!((hints.status, hints.need("Link")), (103, "</a>; rel=preload"));
        for gone in ["Connection", "X-Hop", "Content-Length", "Transfer-Encoding"] {
            assert_eq!(hints.field(gone), None);
        }
        assert_eq!(client.try_head().unwrap().status, 102);
        assert_eq!(answer(&mut client, "GET").unwrap().body, b"ok");
    }
    assert_eq!(upstream.connections(), 1);
    let mut old = server.connect();
    old.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(old.try_head().unwrap().status, 200);
}

/// What failed is named to the client only where the pool says so.
#[test]
fn reasons_are_given_in_proxy_status() {
    let upstream = Upstream::start(|request, stream| {
        let _ = match request.path() {
            "/cut" => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-"),
            "/bad" => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
            "/own" => stream.write_all(b"HTTP/1.1 502 Own\r\nContent-Length: 0\r\n\r\n"),
            "/nothing" => Ok(()),
            _ => stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        };
        Then::Close
    });
    for (tells, options) in [(true, "proxy_status = true\ntries = 0\n"), (false, "tries = 0\n")] {
        let server = of_file(&upstream, options, "");
        for (method, path, status, error) in [
            ("GET", "/cut", 502, Some("http_response_incomplete")),
            ("GET", "/bad", 502, Some("http_protocol_error")),
            ("GET", "/nothing", 502, Some("connection_terminated")),
            ("HEAD", "/coding", 502, Some("http_response_transfer_coding")),
            ("GET", "/own", 502, None),
        ] {
            let answer = super::ask(&mut server.connect(), method, path, "", b"");
            assert_eq!(answer.head.status, status, "{path}");
            let expected = error.filter(|_| tells).map(|error| format!("ringway; error={error}"));
            assert_eq!(answer.head.field("Proxy-Status"), expected.as_deref(), "{path}");
        }
    }
}
