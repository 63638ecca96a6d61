//! Tunnels through HTTP/2: extended CONNECT (RFC 8441), passed on to a server that speaks WebSocket over
//! HTTP/1.1.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64ct::{Base64, Encoding as _};
use ringway_bench_h2::frame::{code, flag, kind};

use crate::peer::{Ended, Peer, asking};
use crate::server::Server;
use crate::target::Target;
use crate::upstream::{Request, Upstream, read_head};

/// SETTINGS_ENABLE_CONNECT_PROTOCOL.
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// Answers a handshake as the path says; a tunnel gives back what comes, until a byte 0.
fn serve(stream: &mut TcpStream, seen: &dyn Fn(Request)) {
    let Some(head) = read_head(stream) else { return };
    let request = Request { head, ..Request::default() };
    seen(request.clone());
    let keys = request.fields("sec-websocket-key");
    assert_eq!(keys.len(), 1, "one key, which is ours: {}", request.head);
    let hashed = [keys[0].as_bytes(), b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    let mut accept = Base64::encode_string(digest(&SHA1_FOR_LEGACY_USE_ONLY, &hashed).as_ref());
    let status = match request.path() {
        "/refused" => "HTTP/1.1 403 Forbidden\r\nContent-Length: 2",
        "/plain" => "HTTP/1.1 200 OK\r\nContent-Length: 2",
        path => {
            if path == "/forged" {
                accept = Base64::encode_string(b"something else");
            }
            "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\nX-Own: 1"
        }
    };
    let answer = format!("{status}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes());
    if !answer.contains(" 101 ") {
        let _ = stream.write_all(b"no");
        return;
    }
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        let part = &bytes[..count];
        let end = part.iter().position(|byte| *byte == 0);
        let _ = stream.write_all(&part[..end.unwrap_or(count)]);
        if end.is_some() {
            return;
        }
    }
}

/// Asks for a tunnel.
fn connect(peer: &mut Peer, path: &str, protocol: &str) -> u32 {
    let fields = [
        &asking("CONNECT", path)[..],
        &[
            (":protocol", protocol),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "theirs"),
        ],
    ]
    .concat();
    peer.request(&fields, false)
}

#[test]
fn a_websocket_is_passed_on() {
    let upstream = Upstream::raw(serve);
    let target = Target::of(Server::proxy(&[&upstream.address], &["--body-timeout", "1s"]));
    let mut peer = target.connect();
    peer.until(|peer| !peer.settings.is_empty());
    assert!(peer.settings.contains(&(ENABLE_CONNECT_PROTOCOL, 1)), "{:?}", peer.settings);
    let stream = connect(&mut peer, "/chat?a=b", "websocket");
    peer.until(|peer| peer.answers[&stream].status != 0);
    let answer = &peer.answers[&stream];
    assert_eq!((answer.status, answer.field("x-own")), (200, Some("1")));
    for gone in ["sec-websocket-accept", "upgrade", "connection", "content-length"] {
        assert_eq!(answer.field(gone), None);
    }
    // Other requests share the connection, and more than any bound on a request's content passes.
    let mut expected = 0;
    let piece = vec![7; 10_000];
    for round in 0..300 {
        peer.frame(kind::DATA, 0, stream, &piece);
        expected += piece.len();
        peer.until(|peer| peer.answers[&stream].body.len() == expected);
        if round == 100 {
            // Longer than a request's content may pause.
            std::thread::sleep(std::time::Duration::from_millis(1_500));
        }
    }
    // The server ends its side.
    peer.frame(kind::DATA, 0, stream, b"end\0");
    assert_eq!(peer.answer(stream).body.len(), expected + 3);
    let [request] = &upstream.requests()[..] else { panic!("{:?}", upstream.requests()) };
    assert!(request.head.starts_with("GET /chat?a=b HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.fields("upgrade"), ["websocket"]);
    assert_eq!(request.fields("connection"), ["Upgrade"]);
    assert_eq!(request.fields("sec-websocket-version"), ["13"]);
    upstream.expect_ended(1);
}

#[test]
fn a_client_that_resets_its_tunnel_ends_the_connection_behind_it() {
    let upstream = Upstream::raw(serve);
    let target = Target::of(Server::proxy(&[&upstream.address], &[]));
    let mut peer = target.connect();
    let stream = connect(&mut peer, "/", "websocket");
    peer.until(|peer| peer.answers[&stream].status != 0);
    peer.frame(kind::RST_STREAM, 0, stream, &code::CANCEL.to_be_bytes());
    upstream.expect_ended(1);
    peer.ping(*b"goes  on");
    peer.until(|peer| peer.pongs.contains(b"goes  on"));
}

#[test]
fn what_is_no_tunnel_opens_none() {
    let upstream = Upstream::raw(serve);
    let target = Target::of(Server::proxy(&[&upstream.address], &[]));
    let mut peer = target.connect();
    for (path, protocol, status) in [
        ("/refused", "websocket", 403),
        // Any success would open the tunnel for the client.
        ("/plain", "websocket", 502),
        ("/forged", "websocket", 502),
        ("/", "connect-udp", 501),
    ] {
        let stream = connect(&mut peer, path, protocol);
        peer.until(|peer| peer.answers[&stream].status != 0);
        peer.frame(kind::DATA, flag::END_STREAM, stream, b"x");
        assert_eq!(peer.answer(stream).status, status, "{path}");
    }
    // `:protocol` belongs to CONNECT, which then has a path.
    let get = [&asking("GET", "/")[..], &[(":protocol", "websocket")]].concat();
    let stream = peer.request(&get, true);
    peer.expect_reset(stream, code::PROTOCOL_ERROR);
    let pathless = [(":method", "CONNECT"), (":authority", "a:1"), (":protocol", "websocket")];
    let stream = peer.request(&pathless, true);
    peer.expect_reset(stream, code::PROTOCOL_ERROR);
}

#[test]
fn a_server_of_files_announces_no_tunnels() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    peer.until(|peer| !peer.settings.is_empty());
    assert!(peer.settings.iter().all(|(name, _)| *name != ENABLE_CONNECT_PROTOCOL));
    let stream = connect(&mut peer, "/", "websocket");
    assert_eq!(peer.ended(stream), Ended::Reset(code::PROTOCOL_ERROR));
    peer.expect_alive();
}
