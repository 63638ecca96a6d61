//! Content on its way, both ways and in every framing.

use std::{
    io::{Read, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::{
    answer, ask, expect_cut,
    upstream::{Then, Upstream, read_head},
};
use crate::server::{PATIENCE, Server};

fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect()
}

/// Answers with what it got.
fn echo() -> Upstream {
    Upstream::start(|request, stream| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
        let _ = stream.write_all(&[head.as_bytes(), &request.body].concat());
        Then::Continue
    })
}

#[test]
fn content_comes_back_as_it_went() {
    let upstream = echo();
    let server = Server::proxy(&[&upstream.address], &["--hold-request", "64KiB"]);
    let mut client = server.connect();
    // What may run twice takes a kept connection, however slow this client is between two requests.
    for bytes in [0, 1, 100, 5_000, 16_384, 16_385, 65_536, 65_537, 200_000, 1 << 20] {
        let content = noise(bytes);
        let answer = ask(&mut client, "PUT", "/", "", &content);
        assert_eq!(answer.head.status, 200, "{bytes}");
        assert!(answer.body == content, "{bytes}");
    }
    assert_eq!(upstream.connections(), 1, "every one of them was ordinary");
}

#[test]
fn chunked_content_that_is_held_gets_a_length_and_longer_content_streams() {
    let upstream = echo();
    let server = Server::proxy(&[&upstream.address], &["--hold-request", "4KiB"]);
    for (bytes, framing) in [(3_000, "content-length"), (100_000, "transfer-encoding")] {
        let content = noise(bytes);
        let mut client = server.connect();
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in content.chunks(997) {
            client
                .send(&[format!("{:x};x=y\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
        }
        client.send(b"0\r\n\r\n");
        let answer = answer(&mut client, "POST").unwrap();
        assert!(answer.body == content);
        let requests = upstream.requests();
        assert_eq!(requests.last().unwrap().fields(framing).len(), 1, "{bytes}");
    }
}

#[test]
fn a_slow_client_takes_no_connection_before_its_content_is_there() {
    let upstream = echo();
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    for byte in *b"abcdefg" {
        client.send(&[byte]);
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(upstream.connections(), 0, "seven of eight bytes are held");
    client.send(b"h");
    assert_eq!(answer(&mut client, "POST").unwrap().body, b"abcdefgh");
}

/// Content that comes fast is waited for in bulk; the server gets what came while the client holds back
/// the rest.
#[test]
fn a_server_gets_what_came_of_long_content() {
    const STEPS: [usize; 5] = [300_000, 400_000, 70, 900_000, 2_000_000];
    let (tell, told) = mpsc::channel();
    let upstream = Upstream::raw(move |stream, _| {
        let _ = read_head(stream);
        let (mut all, mut piece) = (0, [0; 16 << 10]);
        while let Ok(1..) = stream.read(&mut piece).inspect(|count| all += count) {
            let _ = tell.send(all);
        }
    });
    let server = Server::seen_proxy(&[&upstream.address], &["--max-body", "16MiB"]);
    let mut client = server.connect();
    // One more byte, which never comes.
    let length = STEPS.iter().sum::<usize>() + 1;
    client
        .send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").as_bytes());
    let mut sent = 0;
    for step in STEPS {
        client.send(&noise(step));
        sent += step;
        while told.recv_timeout(PATIENCE).expect("what came is passed on") < sent {}
    }
    drop(client);
    // What came with the handshake is opened before the kernel takes over.
    server.expect_kernel_tls(0, (sent - (64 << 10)) as u64);
}

#[test]
fn a_client_that_waits_for_100_gets_it_once() {
    let upstream = echo();
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(client.try_head().unwrap().status, 100);
    client.send(b"hi");
    assert_eq!(answer(&mut client, "POST").unwrap().body, b"hi");
    assert!(upstream.requests()[0].fields("expect").is_empty());
}

#[test]
fn each_framing_of_a_response_arrives_whole() {
    let large = noise(300_000);
    let upstream = Upstream::start({
        let large = large.clone();
        move |request, stream| {
            let chunked = |content: &[u8]| {
                let pieces = content.chunks(7_001).map(|piece| {
                    [format!("{:X};e=\"v\"\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
                });
                let end = b"0\r\nX-Trailer: y\r\n\r\n".to_vec();
                pieces.chain([end]).collect::<Vec<_>>().concat()
            };
            let (head, content, then) = match request.path() {
                "/length" => {
                    (format!("Content-Length: {}", large.len()), large.clone(), Then::Continue)
                }
                "/chunked" => {
                    ("Transfer-Encoding: chunked".into(), chunked(&large), Then::Continue)
                }
                "/close" => ("X: y".into(), large.clone(), Then::Close),
                "/empty" => ("Content-Length: 0".into(), Vec::new(), Then::Continue),
                "/no-chunks" => ("Transfer-Encoding: chunked".into(), chunked(b""), Then::Continue),
                other => panic!("{other}"),
            };
            let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
            let _ = stream.write_all(&[head.as_bytes(), &content].concat());
            then
        }
    });
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    for (path, content, known) in [
        ("/length", &large[..], true),
        ("/chunked", &large, false),
        ("/close", &large, false),
        ("/empty", b"", true),
        ("/no-chunks", b"", false),
        ("/length", &large, true),
    ] {
        let answer = ask(&mut client, "GET", path, "", b"");
        assert!(answer.body == content, "{path}: {} bytes", answer.body.len());
        assert_eq!(answer.head.field("Content-Length").is_some(), known, "{path}");
    }
    assert_eq!(upstream.connections(), 2, "only the one that closed was not used again");
}

#[test]
fn answers_without_content_have_none() {
    let upstream = Upstream::start(|request, stream| {
        let answer = match request.path() {
            "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
            "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        };
        let _ = stream.write_all(answer.as_bytes());
        Then::Continue
    });
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    for (method, path, status) in [("GET", "/204", 204), ("GET", "/304", 304), ("HEAD", "/", 200)] {
        let answer = ask(&mut client, method, path, "", b"");
        assert_eq!(answer.head.status, status);
        if method == "HEAD" {
            assert_eq!(answer.head.promised(), 5);
        }
    }
    assert_eq!(upstream.connections(), 1);
}

/// Every position at which a response can end too early.
#[test]
fn a_response_that_is_cut_anywhere_never_looks_whole() {
    const LENGTH: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    for whole in [LENGTH, CHUNKED] {
        let head = whole.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let upstream = Upstream::start(move |request, stream| {
            let cut = request.path()[1..].parse::<usize>().unwrap();
            let _ = stream.write_all(&whole[..cut]);
            Then::Close
        });
        let server = Server::proxy(&[&upstream.address], &["--tries", "0"]);
        for cut in 0..whole.len() {
            let mut client = server.connect();
            let path = format!("/{cut}");
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            if cut < head {
                let answer = answer(&mut client, "GET").unwrap();
                assert_eq!(answer.head.status, 502, "cut at {cut}");
            } else {
                expect_cut(&mut client, "GET", &format!("cut at {cut}"));
            }
        }
        let answer = ask(&mut server.connect(), "GET", &format!("/{}", whole.len()), "", b"");
        assert_eq!(answer.body, b"abcdef");
    }
}

/// Long content is received into the memory that it is sent from.
#[test]
fn long_content_arrives_whole_and_a_cut_of_it_never_looks_whole() {
    const LONG: usize = 1 << 20;
    let content = noise(LONG);
    let upstream = Upstream::start({
        let content = content.clone();
        move |request, stream| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n");
            let mut words = request.path()[1..].split('-').map(|word| word.parse().unwrap());
            let (cut, piece): (usize, usize) = (words.next().unwrap(), words.next().unwrap());
            let whole = [head.as_bytes(), &content, b"more"].concat();
            let end = whole.len().min(head.len() + cut);
            for piece in whole[..end].chunks(piece) {
                let _ = stream.write_all(piece);
            }
            if cut == LONG { Then::Continue } else { Then::Close }
        }
    });
    let server = Server::proxy(&[&upstream.address], &["--tries", "0"]);
    let mut client = server.connect();
    for piece in [LONG * 2, 150_000, 16_384, 9_999] {
        for _ in 0..3 {
            let answer = ask(&mut client, "GET", &format!("/{LONG}-{piece}"), "", b"");
            assert!(answer.body == content, "{piece}: {} bytes", answer.body.len());
        }
    }
    assert_eq!(upstream.connections(), 1, "each exchange was an ordinary one");
    for cut in [0, 1, 60_000, 70_000, 131_072, 300_001, LONG - 1] {
        let mut client = server.connect();
        client.send(format!("GET /{cut}-{LONG} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        expect_cut(&mut client, "GET", &format!("cut at {cut}"));
    }
    // Bytes behind the end belong to nobody, and end the connection.
    let mut client = server.connect();
    let path = format!("/{}-{}", LONG + 4, LONG * 2);
    for _ in 0..3 {
        assert!(ask(&mut client, "GET", &path, "", b"").body == content);
    }
    let seen = upstream.requests().iter().filter(|request| request.path() == path).count();
    assert_eq!(seen, 3);
}

#[test]
fn a_response_may_come_byte_by_byte() {
    let whole =
        b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n\
                  5\r\nabcde\r\n00a\r\n0123456789\r\n0\r\n\r\n";
    let upstream = Upstream::start(move |_, stream| {
        for byte in whole {
            let _ = stream.write_all(&[*byte]);
            if byte % 8 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        Then::Continue
    });
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(ask(&mut client, "GET", "/", "", b"").body, b"abcde0123456789");
    }
    assert_eq!(upstream.connections(), 1);
}

/// What has come leaves at once: nothing waits for more.
#[test]
fn events_are_passed_on_as_they_come() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |_, stream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head);
        for _ in 0..3 {
            let _ = stream.write_all(b"7\r\ndata: x\r\n");
            // The next one only once the client has this one.
            let _ = wait.lock().unwrap().recv();
        }
        let _ = stream.write_all(b"0\r\n\r\n");
        Then::Continue
    });
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.try_head().unwrap().status, 200);
    let mut seen = Vec::new();
    for event in 1..=3 {
        while seen.windows(7).filter(|bytes| *bytes == b"data: x").count() < event {
            let mut piece = [0; 100];
            let read = client.read(&mut piece).unwrap();
            seen.extend_from_slice(&piece[..read]);
        }
        go.send(()).unwrap();
    }
}

#[test]
fn an_answer_before_the_end_of_the_request_is_passed_on() {
    let upstream = Upstream::raw(|stream, _| {
        read_head(stream).unwrap();
        let _ = stream.read(&mut [0; 1000]);
        let _ = stream.write_all(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno");
    });
    let server = Server::proxy(&[&upstream.address], &["--hold-request", "1KiB"]);
    let mut client = server.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client.send(&noise(100_000));
    let answer = answer(&mut client, "POST").unwrap();
    assert_eq!((answer.head.status, &*answer.body), (413, &b"no"[..]));
    upstream.expect_ended(1);
}

/// A client that stops reading stops the server, and gets all of it later.
#[test]
fn a_client_that_reads_late_gets_everything() {
    let large = noise(24 << 20);
    let upstream = Upstream::start({
        let large = large.clone();
        move |_, stream| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", large.len());
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&large);
            Then::Continue
        }
    });
    let server = Server::proxy(&[&upstream.address], &[]);
    let before = server.anonymous_kib();
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.expect_requests(1);
    thread::sleep(Duration::from_millis(300));
    let held = server.anonymous_kib().saturating_sub(before);
    assert!(held < 8 << 10, "{held} KiB are held for a client that reads nothing");
    assert!(answer(&mut client, "GET").unwrap().body == large);
}

/// A response that fits what is held for its client leaves its server at once, however slow the client is.
#[test]
fn a_slow_client_does_not_keep_its_server() {
    const HELD: usize = 6 << 20;
    let large = noise(4 << 20);
    let upstream = Upstream::start({
        let large = large.clone();
        move |request, stream| {
            let content = if request.path() == "/large" { &large[..] } else { b"small" };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
            let _ = stream.write_all(&[head.as_bytes(), content].concat());
            Then::Continue
        }
    });
    let held = format!("{HELD}");
    let server = Server::proxy(
        &[&upstream.address],
        &["--max", "1", "--wait", "60s", "--hold-response", &held],
    );
    let mut slow = server.connect();
    slow.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.expect_requests(1);
    // The only connection is given back while the slow client has read nothing.
    let answer_of_other = ask(&mut server.connect(), "GET", "/small", "", b"");
    assert_eq!(answer_of_other.body, b"small");
    assert_eq!(upstream.connections(), 1, "it is used again");
    assert!(answer(&mut slow, "GET").unwrap().body == large);
}
