//! Clients that end their side, and what they get all the same.

use std::{io::Write, time::Duration};

use super::{
    answer, ask,
    logged::lines,
    of_file,
    upstream::{Upstream, read_head},
};
use crate::{configured::Configured, server::Server};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const ASKS: &str =
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCHES: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn close_notify_before_the_answer_is_a_half_close() {
    let (upstream, go) = Upstream::held();
    let server = Server::proxy(&[&upstream.address], &["--max", "1", "--wait", "60s"]);
    let mut asked = 0;
    for (method, content) in [("GET", &b""[..]), ("POST", b"content")] {
        let mut first = server.connect();
        let head =
            format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", content.len());
        first.send(&[head.as_bytes(), content].concat());
        // The second one waits in line.
        asked += 1;
        upstream.expect_requests(asked);
        let mut second = server.connect();
        second.send(b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
        first.close();
        second.close();
        std::thread::sleep(Duration::from_millis(50));
        for client in [&mut first, &mut second] {
            go.send(()).unwrap();
            let answer = answer(client, "GET").unwrap();

            assert_eq!((answer.head.status, &*answer.body), (200, &b"ok"[..]), "{method}");
            client.expect_close();
        }
        // The second one's.
        asked += 1;
    }
}

/// An end within the content is no half-close: nobody knows what the rest would have been.
#[test]
fn close_notify_within_content_ends_the_exchange() {
    let upstream = Upstream::raw(|stream, note| {
        let head = read_head(stream).unwrap();
        note(super::upstream::Request { head, ..Default::default() });
        let mut seen = Vec::new();
        // It ends without the rest, in whatever way.
        let _ = std::io::Read::read_to_end(stream, &mut seen);
        assert!(seen.len() <= 5000);
    });
    let server = Server::proxy(&[&upstream.address], &["--hold-request", "1KiB"]);
    let mut client = server.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n");
    client.send(&[b'x'; 5000]);
    upstream.expect_requests(1);
    client.close();
    upstream.expect_ended(1);
}

/// The end of a client's side of a tunnel reaches the server, whose side goes on.
#[test]
fn a_tunnel_ends_side_by_side() {
    let upstream = Upstream::raw(|stream, _| {
        read_head(stream).unwrap();
        let _ = stream.write_all(SWITCHES);
        let mut all = Vec::new();
        std::io::Read::read_to_end(stream, &mut all).unwrap();
        all.reverse();
        let _ = stream.write_all(&all);
    });
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    client.send(ASKS.as_bytes());
    assert_eq!(client.try_head().unwrap().status, 101);
    client.send(b"abc");
    client.close();
    let (rest, end) = client.end();
    assert_eq!((&*rest, end), (&b"cba"[..], crate::client::End::Notified));
}

#[test]
fn tunnels_have_a_bound_and_leave_their_places() {
    let upstream = Upstream::raw(|stream, _| {
        let Some(head) = read_head(stream) else { return };
        let answer = if head.starts_with("GET /chat") { SWITCHES } else { OK };
        let _ = stream.write_all(answer);
        let _ = std::io::copy(stream, &mut std::io::sink());
    });
    let server = of_file(&upstream, "tunnels = 2\nproxy_status = true\n", "");
    let mut open: Vec<_> = (0..2)
        .map(|_| {
            let mut client = server.connect();
            client.send(ASKS.as_bytes());
            assert_eq!(client.try_head().unwrap().status, 101);
            client
        })
        .collect();
    let mut third = server.connect();
    third.send(ASKS.as_bytes());
    let refused = answer(&mut third, "GET").unwrap();
    assert_eq!(refused.head.status, 503);
    assert_eq!(refused.head.need("Retry-After"), "1");
    assert_eq!(refused.head.need("Proxy-Status"), "ringway; error=connection_limit_reached");
    // Requests that switch nothing have no part in it, and the connection goes on.
    assert_eq!(ask(&mut third, "GET", "/", "", b"").body, b"ok");
    open.pop();
    upstream.expect_ended(1);
    // The place is given back just behind the connection.
    let deadline = std::time::Instant::now() + crate::server::PATIENCE;
    loop {
        let mut fourth = server.connect();
        fourth.send(ASKS.as_bytes());
        if fourth.try_head().unwrap().status == 101 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "a place is not given back");
    }
}

#[test]
fn protocols_and_their_silence_are_settings() {
    let upstream = Upstream::raw(|stream, note| {
        let Some(head) = read_head(stream) else { return };
        note(super::upstream::Request { head, ..Default::default() });
        let other = b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n";
        let _ = stream.write_all(other);
        let _ = std::io::copy(stream, &mut std::io::sink());
    });
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let server = Configured::start(
        &format!(
            "[observe]\naccess_log = '{}'\n[[site]]\n[[site.route]]\npath = '/'\nproxy = 'app'\n\
             [pool.app]\nservers = '{}'\nupgrade = 'other'\ntunnel_idle = '1s'\n",
            log.display(),
            upstream.address
        ),
        |_| {},
    );
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n");
    assert_eq!(client.try_head().unwrap().status, 101);
    // Both sides are silent, until it is closed.
    upstream.expect_ended(1);
    let line = &lines(&log, 1)[0];
    assert!(line.contains("server.tunnel_idle"), "{line}");
    // What is given takes the place of the usual ones.
    let mut usual = server.connect();
    usual.send(ASKS.as_bytes());
    upstream.expect_requests(2);
    assert!(upstream.requests()[1].fields("upgrade").is_empty());
}
