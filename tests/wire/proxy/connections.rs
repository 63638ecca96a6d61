//! Connections to servers: kept, closed, never shared wrongly.

use std::{
    io::Write,
    net::TcpListener,
    os::unix::net::UnixListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use super::{
    ask,
    upstream::{Then, Upstream, read_head, read_request},
};
use crate::server::Server;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_connection_is_used_again_only_after_an_ordinary_exchange() {
    let upstream = Upstream::start(|request, stream| {
        let answer: &[u8] = match request.path() {
            "/close" => b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            "/1.0" => b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            "/behind" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            _ => OK,
        };
        let _ = stream.write_all(answer);
        Then::Continue
    });
    let server = Server::proxy(&[&upstream.address], &["--tries", "1"]);
    let mut client = server.connect();
    let mut used = 0;
    for path in ["/close", "/1.0", "/behind"] {
        for path in ["/", path] {
            let answer = ask(&mut client, "GET", path, "", b"");
            assert_eq!((answer.head.status, &*answer.body), (200, &b"ok"[..]), "{path}");
        }
        used += 1;
        assert_eq!(upstream.connections(), used, "not again after {path}");
    }
    // Content with GET is unusual.
    ask(&mut client, "GET", "/", "", b"content");
    ask(&mut client, "GET", "/", "", b"");
    assert_eq!(upstream.connections(), used + 2);
}

/// A FIN, or bytes, while unused: noticed when it comes, and no request fails for it.
#[test]
fn a_connection_that_ends_while_unused_costs_nobody_a_request() {
    for stray in [&b""[..], b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"x"] {
        let upstream = Upstream::raw(move |stream, note| {
            note(read_request(stream).unwrap());
            let _ = stream.write_all(OK);
            thread::sleep(Duration::from_millis(20));
            let _ = stream.write_all(stray);
        });
        let server = Server::proxy(&[&upstream.address], &["--tries", "0"]);
        let mut client = server.connect();
        for round in 0..5 {
            let method = if round % 2 == 0 { "GET" } else { "POST" };
            let content: &[u8] = if method == "POST" { b"content" } else { b"" };
            let answer = ask(&mut client, method, "/", "", content);
            assert_eq!((answer.head.status, &*answer.body), (200, &b"ok"[..]));
            upstream.expect_ended(round + 1);
        }
        if !stray.is_empty() {
            server.expect_logged("desync", 1);
        }
    }
}

/// The race that nobody can win: the server closes a connection just as a request is sent on it.
#[test]
fn what_may_run_twice_is_tried_again_on_a_fresh_connection_and_nothing_else_is() {
    for (method, content, status, requests) in [
        ("GET", &b""[..], 200, 3),
        ("PUT", b"content", 200, 3),
        ("POST", b"content", 502, 2),
        ("PATCH", b"content", 502, 2),
    ] {
        let upstream = Upstream::raw(|stream, note| {
            for number in 0.. {
                let Some(read) = read_request(stream) else { return };
                note(super::upstream::Request { number, ..read });
                if number == 1 {
                    return;
                }
                let _ = stream.write_all(OK);
            }
        });
        let server = Server::proxy(&[&upstream.address], &["--tries", "1"]);
        let mut client = server.connect();
        assert_eq!(ask(&mut client, "GET", "/first", "", b"").head.status, 200);
        let answer = ask(&mut client, method, "/second", "", content);
        assert_eq!(answer.head.status, status, "{method}");
        let seen = upstream.requests();
        assert_eq!(seen.len(), requests, "{method}: {seen:?}");
        let numbers: Vec<_> = seen.iter().map(|request| request.number).collect();
        assert!([0, 1, 0].starts_with(&numbers), "{method}: {numbers:?}");
        assert_eq!(upstream.connections(), requests - 1, "{method}");
    }
}

/// A server that closes connections only as the next request comes is found out all the same: then none is kept
/// for so long, and a request that must not run twice never meets the closing. Clients that make it fail at once
/// are not taken for that.
#[test]
fn a_server_that_closes_as_a_request_comes_is_found_out() {
    let rest = Duration::from_millis(600);
    for (rests, learned) in [(true, true), (false, false)] {
        let upstream = Upstream::raw(|stream, note| {
            for number in 0..2 {
                let Some(read) = read_request(stream) else { return };
                note(super::upstream::Request { number, ..read });
                let _ = stream.write_all(if number == 0 { OK } else { b"" });
            }
        });
        let server = Server::proxy(&[&upstream.address], &["--tries", "1"]);
        let mut client = server.connect();
        let mut ask = |method: &str| {
            assert_eq!(ask(&mut client, method, "/", "", b"").head.status, 200, "{method}");
            thread::sleep(if rests { rest } else { Duration::ZERO });
        };
        (0..4).for_each(|_| ask("GET"));
        if learned {
            server.expect_logged("closes unused connections after about", 1);
            ["GET", "POST", "GET"].into_iter().for_each(&mut ask);
        }
        let numbers: Vec<_> = upstream.requests().iter().map(|request| request.number).collect();
        let expected: &[usize] =
            if learned { &[0, 1, 0, 1, 0, 1, 0, 0, 0, 0] } else { &[0, 1, 0, 1, 0, 1, 0] };
        assert_eq!(numbers, expected);
        assert_eq!(server.log().contains("closes unused connections"), learned);
    }
}

/// Of a server of which nothing is known, a request that must not run twice takes no connection that has rested.
#[test]
fn what_must_not_run_twice_takes_no_connection_that_has_rested() {
    let upstream = Upstream::fixed(OK);
    let server = Server::proxy(&[&upstream.address], &["--tries", "0"]);
    let mut client = server.connect();
    for method in ["GET", "POST", "GET", "GET"] {
        ask(&mut client, method, "/", "", b"");
        thread::sleep(Duration::from_millis(600));
    }
    let numbers: Vec<_> = upstream.requests().iter().map(|request| request.number).collect();
    assert_eq!(numbers, [0, 0, 1, 2]);
}

/// Nothing wakes a task when the send of a request without content is done. What fails has to be noticed
/// all the same, and before a deadline.
#[test]
fn a_server_that_resets_its_connection_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let _ = stream.peek(&mut [0]);
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
    });
    let patient = ["--first-byte-timeout", "1h", "--send-timeout", "1h"];
    let server = Server::proxy(&[&address], &patient);
    let mut client = server.connect();
    for round in 1..=10 {
        let answer = ask(&mut client, "GET", "/", "", b"");
        assert_eq!(answer.head.status, 502, "round {round}");
    }
}

#[test]
fn a_server_that_fails_is_answered_by_another() {
    let good = Upstream::fixed(OK);
    let reserved = crate::port::Reserved::new();
    let gone = format!("http://127.0.0.1:{}", reserved.number);
    let server = Server::proxy(&[&gone, &good.address], &[]);
    for round in 0..20 {
        let content: &[u8] = if round % 2 == 0 { b"" } else { b"content" };
        let method = if round % 2 == 0 { "GET" } else { "POST" };
        let answer = ask(&mut server.connect(), method, "/", "", content);
        assert_eq!(answer.head.status, 200, "round {round}");
    }
    server.expect_logged("fails and gets no requests", 1);
}

#[test]
fn a_client_that_leaves_ends_its_exchange() {
    let upstream = Upstream::raw(|stream, note| {
        let head = read_head(stream).unwrap();
        note(super::upstream::Request { head, ..Default::default() });
        // The end of the connection, which comes with the client's.
        assert!(read_head(stream).is_none());
    });
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.expect_requests(1);
    drop(client);
    upstream.expect_ended(1);
}

#[test]
fn a_unix_socket_is_a_server_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let count = Arc::clone(&count);
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let mut piece = [0; 1000];
                while let Ok(read) = std::io::Read::read(&mut stream, &mut piece) {
                    if read == 0 {
                        return;
                    }
                    bytes.extend_from_slice(&piece[..read]);
                    if bytes.ends_with(b"\r\n\r\n") {
                        bytes.clear();
                        count.fetch_add(1, SeqCst);
                        let _ = stream.write_all(OK);
                    }
                }
            });
        }
    });
    let server = Server::proxy(&[&format!("unix:{}", path.display())], &[]);
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(ask(&mut client, "GET", "/", "", b"").body, b"ok");
    }
    assert_eq!(served.load(SeqCst), 3);
}

#[test]
fn clients_of_http_1_0_are_served() {
    let upstream = Upstream::fixed(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    let head = client.try_head().unwrap();
    assert_eq!((head.status, head.field("Transfer-Encoding")), (200, None));
    let (body, end) = client.end();
    assert_eq!((&*body, end), (&b"ok"[..], crate::client::End::Notified));
    let host = upstream.requests()[0].fields("host")[0].to_owned();
    assert_eq!(format!("http://{host}"), upstream.address);
}
