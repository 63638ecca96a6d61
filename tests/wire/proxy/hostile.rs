//! Servers that break the rules: the client gets 502, and nobody else notices.

use std::{io::Write, thread, time::Duration};

use super::{
    ask,
    upstream::{Then, Upstream},
};
use crate::server::Server;

#[test]
fn malformed_responses_are_502() {
    const BAD: [&[u8]; 16] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA: \0\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 999 x\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"<html>hello</html>",
        b"ok",
        b"\x15\x03\x01\x00\x02\x02\x16",
    ];
    let upstream = Upstream::start(|request, stream| {
        let which: usize = request.path()[1..].parse().unwrap();
        let _ = stream.write_all(BAD[which]);
        Then::Close
    });
    let server = Server::proxy(&[&upstream.address], &["--tries", "0"]);
    let mut client = server.connect();
    for (which, bytes) in BAD.iter().enumerate() {
        let answer = ask(&mut client, "GET", &format!("/{which}"), "", b"");
        assert_eq!(answer.head.status, 502, "{}", bytes.escape_ascii());
    }
}

#[test]
fn heads_without_end_and_floods_of_interim_responses_are_502() {
    for flood in [&b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"[..], b"A:\r\n"] {
        let upstream = Upstream::start(move |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            while stream.write_all(flood).is_ok() {}
            Then::Close
        });
        let server = Server::proxy(&[&upstream.address], &["--tries", "0"]);
        assert_eq!(ask(&mut server.connect(), "GET", "/", "", b"").head.status, 502);
        upstream.expect_ended(1);
        server.expect_logged("http_response_header_section_size", 1);
    }
    let upstream = Upstream::start(|_, stream| {
        while stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
        Then::Close
    });
    let server = Server::proxy(&[&upstream.address], &["--tries", "0"]);
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let statuses: Vec<_> = (0..9).map(|_| client.try_head().unwrap().status).collect();
    assert_eq!(statuses, [&[102; 8][..], &[502]].concat());
    upstream.expect_ended(1);
}

#[test]
fn malformed_chunks_cut_the_answer() {
    for bad in ["x\r\n", "-1\r\n", "3\r\nabcd\r\n", "3\nabc\r\n", "11111111111111111\r\n"] {
        let upstream = Upstream::start(move |_, stream| {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
            let _ = stream.write_all(format!("{head}{bad}").as_bytes());
            Then::Close
        });
        let server = Server::proxy(&[&upstream.address], &[]);
        let mut client = server.connect();
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        super::expect_cut(&mut client, "GET", bad);
    }
}
