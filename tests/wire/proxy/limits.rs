//! Bounds: connections, the line, times.

use std::{io::Write, thread, time::Duration};

use super::{
    answer, ask, expect_cut,
    upstream::{Then, Upstream, read_head},
};
use crate::server::Server;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_server_never_has_more_connections_than_it_bears() {
    let upstream = Upstream::start(|request, stream| {
        thread::sleep(Duration::from_millis(2));
        let _ = stream.write_all(OK);
        // Some connections end, so that places are given back in both ways.
        if request.path().ends_with('7') { Then::Close } else { Then::Continue }
    });
    let server =
        Server::proxy(&[&upstream.address], &["--max", "3", "--wait", "60s", "--tries", "5"]);
    thread::scope(|scope| {
        for client in 0..12 {
            let server = &server;
            scope.spawn(move || {
                let mut connection = server.connect();
                for round in 0..20 {
                    let path = format!("/{client}/{round}");
                    let answer = ask(&mut connection, "GET", &path, "", b"");
                    assert_eq!((answer.head.status, &*answer.body), (200, &b"ok"[..]), "{path}");
                }
            });
        }
    });
    assert!(upstream.peak() <= 3, "{} connections at a time", upstream.peak());
    assert_eq!(upstream.requests().len(), 240, "each request came once");
}

#[test]
fn a_full_line_and_a_long_wait_are_503() {
    let (upstream, go) = Upstream::held();
    let options = ["--max", "1", "--waiting", "1", "--wait", "200ms"];
    let server = Server::proxy(&[&upstream.address], &options);
    let mut first = server.connect();
    first.send(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.expect_requests(1);
    // It waits in line, and too long.
    let mut second = server.connect();
    assert_eq!(ask(&mut second, "GET", "/second", "", b"").head.status, 503);
    server.expect_logged("connection_limit_reached", 1);
    go.send(()).unwrap();
    assert_eq!(answer(&mut first, "GET").unwrap().body, b"ok");
    go.send(()).unwrap();
    assert_eq!(ask(&mut second, "GET", "/third", "", b"").head.status, 200);
    let paths: Vec<_> =
        upstream.requests().iter().map(|request| request.path().to_owned()).collect();
    assert_eq!(paths, ["/first", "/third"], "a request that waited in vain is never sent");
}

#[test]
fn without_a_line_a_busy_server_is_503_at_once() {
    let (upstream, go) = Upstream::held();
    let server = Server::proxy(&[&upstream.address], &["--max", "1", "--waiting", "0"]);
    let mut first = server.connect();
    first.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.expect_requests(1);
    assert_eq!(ask(&mut server.connect(), "GET", "/", "", b"").head.status, 503);
    go.send(()).unwrap();
    assert_eq!(answer(&mut first, "GET").unwrap().head.status, 200);
}

/// An unused connection of one worker serves a client of another.
#[test]
fn connections_are_lent_between_workers() {
    let upstream = Upstream::fixed(OK);
    let options = ["--max", "1", "--wait", "60s", "--keep-idle", "60s"];
    let server = Server::proxy(&[&upstream.address], &options);
    for _ in 0..20 {
        // Each connection is the kernel's to give to either worker.
        assert_eq!(ask(&mut server.connect(), "GET", "/", "", b"").head.status, 200);
    }
    assert_eq!(upstream.peak(), 1);
}

#[test]
fn a_server_that_does_not_answer_is_504_and_one_that_is_not_there_502() {
    let silent = Upstream::raw(|stream, _| while read_head(stream).is_some() {});
    let server = Server::proxy(&[&silent.address], &["--first-byte-timeout", "100ms"]);
    let mut client = server.connect();
    for _ in 0..2 {
        assert_eq!(ask(&mut client, "GET", "/", "", b"").head.status, 504);
    }
    assert_eq!(silent.connections(), 2, "a late answer is not asked for again");
    server.expect_logged("http_response_timeout", 2);

    let reserved = crate::port::Reserved::new();
    let gone = format!("http://127.0.0.1:{}", reserved.number);
    let server = Server::proxy(&[&gone], &[]);
    assert_eq!(ask(&mut server.connect(), "GET", "/", "", b"").head.status, 502);
    server.expect_logged("connection_refused", 1);
}

#[test]
fn a_server_that_stalls_within_its_answer_cuts_it() {
    let stalling = Upstream::raw(|stream, _| {
        read_head(stream).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        let _ = read_head(stream);
    });
    let server = Server::proxy(&[&stalling.address], &["--between-timeout", "100ms"]);
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_cut(&mut client, "GET", "a stall");
    stalling.expect_ended(1);
}

#[test]
fn unused_connections_end_after_their_time() {
    let upstream = Upstream::fixed(OK);
    let server = Server::proxy(&[&upstream.address], &["--keep-idle", "50ms"]);
    assert_eq!(ask(&mut server.connect(), "GET", "/", "", b"").head.status, 200);
    upstream.expect_ended(1);
}

/// A connection whose request said that it ends is not handed to who waits in line: its server is about to
/// close it, and what must not run twice would fail.
#[test]
fn a_connection_that_ends_is_not_handed_on() {
    let upstream = Upstream::start(|_, stream| {
        thread::sleep(Duration::from_millis(5));
        let _ = stream.write_all(OK);
        Then::Close
    });
    let options = ["--max", "1", "--wait", "60s", "--keep", "0", "--tries", "0"];
    let server = Server::proxy(&[&upstream.address], &options);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.connect();
                for _ in 0..10 {
                    assert_eq!(ask(&mut client, "POST", "/", "", b"content").head.status, 200);
                }
            });
        }
    });
    assert_eq!(upstream.connections(), 40);
}
