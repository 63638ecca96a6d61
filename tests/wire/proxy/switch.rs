//! Connections that switch to another protocol: WebSocket.

use std::{
    io::{Read, Write},
    time::Duration,
};

use super::{
    ask,
    upstream::{Then, Upstream, read_head},
};
use crate::server::Server;

const ASKS: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
                    Upgrade: WebSocket\r\nSec-WebSocket-Key: x\r\n\r\n";

/// Answers 101 and echoes; before that it has seen no byte behind the head.
fn echo() -> Upstream {
    Upstream::raw(|stream, note| {
        let Some(head) = read_head(stream) else { return };
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut early = [0; 100];
        let early = stream.read(&mut early).unwrap_or(0);
        note(super::upstream::Request { head, body: vec![0; early], ..Default::default() });
        stream.set_read_timeout(None).unwrap();
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\nhello";
        let _ = stream.write_all(answer.as_bytes());
        let mut bytes = [0; 16_384];
        while let Ok(read) = stream.read(&mut bytes) {
            if read == 0 || &bytes[..read] == b"bye" || stream.write_all(&bytes[..read]).is_err() {
                return;
            }
        }
    })
}

fn expect(client: &mut crate::client::Client, expected: &[u8]) {
    let mut seen = vec![0; expected.len()];
    let mut filled = 0;
    while filled < seen.len() {
        let read = client.read(&mut seen[filled..]).unwrap();
        assert!(read > 0, "an end within the tunnel");
        filled += read;
    }
    assert!(seen == expected);
}

#[test]
fn a_websocket_passes_both_ways_and_no_byte_before_101() {
    let upstream = echo();
    let server = Server::proxy(&[&upstream.address], &["--between-timeout", "200ms"]);
    let mut client = server.connect();
    client.send(&[ASKS.as_bytes(), b"early"].concat());
    let head = client.try_head().unwrap();
    assert_eq!((head.status, head.need("Upgrade")), (101, "websocket"));
    assert!(head.lists("Connection", "upgrade"));
    assert_eq!(head.need("Sec-WebSocket-Accept"), "y");
    expect(&mut client, b"helloearly");
    let request = &upstream.requests()[0];
    assert_eq!(request.fields("upgrade"), ["websocket"]);
    assert_eq!(request.fields("connection"), ["Upgrade"]);
    assert_eq!(request.fields("sec-websocket-key"), ["x"]);
    assert!(request.body.is_empty(), "bytes came before 101");
    // Longer than two pieces of a response may be apart.
    std::thread::sleep(Duration::from_millis(400));
    for bytes in [1, 1_000, 100_000] {
        let message: Vec<u8> = (0..bytes).map(|at: u32| (at % 251) as u8).collect();
        client.send(&message);
        expect(&mut client, &message);
    }
    client.send(b"bye");
    client.expect_close();
}

#[test]
fn a_client_that_leaves_ends_the_tunnel() {
    let upstream = echo();
    let server = Server::proxy(&[&upstream.address], &[]);
    let mut client = server.connect();
    client.send(ASKS.as_bytes());
    assert_eq!(client.try_head().unwrap().status, 101);
    drop(client);
    upstream.expect_ended(1);
}

#[test]
fn other_protocols_and_unasked_switches_are_not_passed_on() {
    let upstream = Upstream::start(|request, stream| {
        let answer: &[u8] = match request.path() {
            "/other" => b"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        };
        let _ = stream.write_all(answer);
        Then::Continue
    });
    let server = Server::proxy(&[&upstream.address], &["--tries", "0"]);
    let mut client = server.connect();
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n";
    assert_eq!(ask(&mut client, "GET", "/", h2c, b"").body, b"ok");
    let post = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    assert_eq!(ask(&mut client, "POST", "/", post, b"content").body, b"ok");
    // A server that does not switch answers as ever.
    assert_eq!(ask(&mut client, "GET", "/", post, b"").body, b"ok");
    let requests = upstream.requests();
    assert!(requests[..2].iter().all(|request| request.fields("upgrade").is_empty()));
    assert_eq!(requests[2].fields("upgrade"), ["websocket"]);
    assert_eq!(ask(&mut client, "GET", "/other", post, b"").head.status, 502);
}
