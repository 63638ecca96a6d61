//! WebSockets as RFC 6455 has them, case by case: what a client sends, byte by byte, and what an echo of
//! axum on Ringway answers, over HTTP/1.1 and over HTTP/2 (RFC 8441).
//!
//! Autobahn's test suite is no client here: `autobahntestsuite` of PyPI (25.10.1) is source of Python 2,
//! which Python 3 cannot import. The cases below are those of its chapters but for compression.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    http::{Method, StatusCode},
    routing::any,
};

use super::{
    client::Client,
    http2::{client, collect, request},
    server::{Running, serve},
};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// Every client's frame has it here.
const MASK: [u8; 4] = [0x12, 0xfe, 0, 0x7f];

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let said = matches!(message, Message::Text(_) | Message::Binary(_));
        if said && socket.send(message).await.is_err() {
            return;
        }
    }
}

fn app() -> Router {
    Router::new().route("/", any(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) }))
}

fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(masked | length as u8),
        length @ 126..65_536 => {
            frame.push(masked | 0x7e);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(masked | 0x7f);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    let mask = mask.inspect(|mask| frame.extend(mask)).unwrap_or([0; 4]);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame of a client with FIN.
fn whole(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x80 | opcode, Some(MASK), payload)
}

/// A frame of a client without FIN.
fn part(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(opcode, Some(MASK), payload)
}

/// A frame of the server.
fn served(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x80 | opcode, None, payload)
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

/// What has to come of what a client sends.
enum Answer {
    /// Exactly this.
    Exactly(Vec<u8>),
    /// This, and then at most a close frame: the connection has failed (section 7.1.7).
    Fails(Vec<u8>),
}

struct Case {
    name: String,
    sent: Vec<u8>,
    answer: Answer,
}

/// Sent, and then an orderly end, which is answered.
fn echoed(name: &str, sent: &[Vec<u8>], answer: &[Vec<u8>]) -> Case {
    let end = close(1000, b"");
    let sent = [sent.concat(), whole(CLOSE, &end)].concat();
    let answer = Answer::Exactly([answer.concat(), served(CLOSE, &end)].concat());
    Case { name: name.to_owned(), sent, answer }
}

/// What is wrong stands between a message that is answered and one that must not be.
fn fails(name: &str, wrong: &[Vec<u8>]) -> Case {
    let sent = [whole(TEXT, b"before"), wrong.concat(), whole(TEXT, b"behind")].concat();
    Case { name: name.to_owned(), sent, answer: Answer::Fails(served(TEXT, b"before")) }
}

/// Sections 5.2, 5.6: messages in one frame.
fn messages() -> Vec<Case> {
    let lengths = [0, 1, 125, 126, 127, 128, 4096, 65_535, 65_536, 1_000_000];
    let of = |opcode, length: usize| {
        let payload: Vec<u8> = (0..length).map(|at| b'a' + (at % 23) as u8).collect();
        let name = format!("opcode {opcode}, {length} bytes");
        echoed(&name, &[whole(opcode, &payload)], &[served(opcode, &payload)])
    };
    let mut cases: Vec<_> =
        lengths.into_iter().flat_map(|length| [of(TEXT, length), of(BINARY, length)]).collect();
    let unmasked = frame(0x80 | TEXT, None, b"unmasked");
    cases.push(fails("a frame without a mask (5.1)", &[unmasked]));
    let zero = frame(0x80 | TEXT, Some([0; 4]), b"zero");
    cases.push(echoed("a mask of zeros", &[zero], &[served(TEXT, b"zero")]));
    for bits in [0x40, 0x20, 0x10, 0x70] {
        let reserved = frame(0x80 | bits | TEXT, Some(MASK), b"reserved");
        cases.push(fails(&format!("reserved bits {bits:#x}"), &[reserved]));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        cases.push(fails(&format!("reserved opcode {opcode}"), &[whole(opcode, b"x")]));
    }
    cases
}

/// Sections 5.4 and 5.5: fragments, and control frames between them.
fn fragments() -> Vec<Case> {
    let long = [b'p'; 125];
    let pings: Vec<_> = (0..10_u8).map(|at| whole(PING, &[at])).collect();
    let pongs: Vec<_> = (0..10_u8).map(|at| served(PONG, &[at])).collect();
    let letters: Vec<_> = (0..200)
        .map(|at| match at {
            0 => part(TEXT, b"a"),
            199 => whole(0, b"a"),
            _ => part(0, b"a"),
        })
        .collect();
    vec![
        echoed("an empty ping", &[whole(PING, b"")], &[served(PONG, b"")]),
        echoed("the longest ping", &[whole(PING, &long)], &[served(PONG, &long)]),
        echoed("ten pings", &pings, &pongs),
        echoed("a pong that nobody asked for", &[whole(PONG, b"x")], &[]),
        fails("a ping of 126 bytes", &[whole(PING, &[b'p'; 126])]),
        fails("a ping in fragments", &[part(PING, b"x"), whole(0, b"y")]),
        echoed("two fragments", &[part(TEXT, b"Hel"), whole(0, b"lo")], &[served(TEXT, b"Hello")]),
        echoed("200 fragments", &letters, &[served(TEXT, &[b'a'; 200])]),
        echoed(
            "empty fragments",
            &[part(BINARY, b""), part(0, b""), whole(0, b"")],
            &[served(BINARY, b"")],
        ),
        echoed(
            "control frames between fragments",
            &[part(TEXT, b"a"), whole(PING, b"1"), part(0, b"b"), whole(PONG, b""), whole(0, b"c")],
            &[served(PONG, b"1"), served(TEXT, b"abc")],
        ),
        fails("a continuation of nothing", &[whole(0, b"x")]),
        fails("a continuation of nothing without FIN", &[part(0, b"x")]),
        fails("a message within a message", &[part(TEXT, b"a"), whole(TEXT, b"b")]),
        fails("a continuation behind the end", &[part(TEXT, b"a"), whole(0, b"b"), part(0, b"c")])
            .also(served(TEXT, b"ab")),
    ]
}

impl Case {
    /// What comes before the failure besides.
    fn also(mut self, more: Vec<u8>) -> Self {
        if let Answer::Fails(answer) = &mut self.answer {
            answer.extend(more);
        }
        self
    }
}

/// Section 8.1: text is UTF-8.
fn text() -> Vec<Case> {
    let kosme = "κόσμε \u{10ffff} \u{d7ff} \u{e000}".as_bytes();
    let bytes: Vec<_> = kosme
        .iter()
        .enumerate()
        .map(|(at, byte)| match at {
            0 => part(TEXT, &[*byte]),
            at if at + 1 == kosme.len() => whole(0, &[*byte]),
            _ => part(0, &[*byte]),
        })
        .collect();
    let mut cases = vec![
        echoed("text of several bytes each", &[whole(TEXT, kosme)], &[served(TEXT, kosme)]),
        echoed("a fragment for each byte of it", &bytes, &[served(TEXT, kosme)]),
        echoed(
            "anything as binary",
            &[whole(BINARY, b"\xff\xfe\x80")],
            &[served(BINARY, b"\xff\xfe\x80")],
        ),
        fails("it ends within a character", &[whole(TEXT, b"abc\xce")]),
        fails("it breaks in the second fragment", &[part(TEXT, b"\xce"), whole(0, b"\xce")]),
    ];
    for wrong in [
        &b"\xed\xa0\x80"[..],
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xfe",
        b"\xff",
        b"\x80",
        b"\xf8\x88\x80\x80\x80",
    ] {
        cases.push(fails(&format!("text {}", wrong.escape_ascii()), &[whole(TEXT, wrong)]));
    }
    cases
}

/// Sections 5.5.1 and 7.4: close frames.
fn closes() -> Vec<Case> {
    let exactly = |name: String, payload: &[u8]| Case {
        name,
        sent: [whole(CLOSE, payload), whole(TEXT, b"behind")].concat(),
        answer: Answer::Exactly(served(CLOSE, payload)),
    };
    let mut cases = vec![exactly("a close without a code".to_owned(), b"")];
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        cases.push(exactly(format!("code {code}"), &close(code, b"")));
    }
    cases.push(exactly("the longest reason".to_owned(), &close(1000, &[b'r'; 123])));
    cases.push(exactly("a reason of several bytes each".to_owned(), &close(1000, "ß€".as_bytes())));
    for code in [0, 999, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let name = format!("code {code}, which nobody may send");
        cases.push(fails(&name, &[whole(CLOSE, &close(code, b""))]));
    }
    cases.push(fails("a close of one byte", &[whole(CLOSE, b"\x03")]));
    cases.push(fails("a close that is too long", &[whole(CLOSE, &close(1000, &[b'r'; 124]))]));
    cases.push(fails("a reason that is no text", &[whole(CLOSE, &close(1000, b"\xff"))]));
    cases.push(fails("a close in fragments", &[part(CLOSE, b"\x03\xe8")]));
    cases.push(Case {
        name: "a close within a message".to_owned(),
        sent: [part(TEXT, b"a"), whole(CLOSE, &close(1000, b"")), whole(0, b"b")].concat(),
        answer: Answer::Exactly(served(CLOSE, &close(1000, b""))),
    });
    cases
}

fn cases() -> Vec<Case> {
    [messages(), fragments(), text(), closes()].into_iter().flatten().collect()
}

fn check(case: &Case, received: &[u8]) {
    let shown = |bytes: &[u8]| bytes[..bytes.len().min(80)].escape_ascii().to_string();
    match &case.answer {
        Answer::Exactly(answer) => assert!(
            received == answer,
            "{}: {} instead of {}",
            case.name,
            shown(received),
            shown(answer)
        ),
        Answer::Fails(answer) => {
            let rest = received.strip_prefix(&answer[..]);
            let ends = rest.is_some_and(|rest| rest.is_empty() || rest[0] == 0x80 | CLOSE);
            assert!(ends, "{}: {}", case.name, shown(received));
            let echoed = received.windows(6).any(|bytes| bytes == b"behind");
            assert!(!echoed, "{}: it goes on behind what is wrong", case.name);
        }
    }
}

/// Sends `pieces` over HTTP/1.1; what came until the connection ended.
fn over_http1(server: &Running, pieces: &[&[u8]]) -> Vec<u8> {
    let mut client = Client::connect(server);
    client.send(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert!(client.read_until(b"\r\n\r\n").starts_with("HTTP/1.1 101 "));
    client.0.sock.set_write_timeout(Some(Duration::from_secs(300))).unwrap();
    for piece in pieces {
        // A connection that has failed takes no more.
        if client.0.write_all(piece).and_then(|()| client.0.flush()).is_err() {
            break;
        }
    }
    let mut received = Vec::new();
    // How it ends is not the point here.
    let _ = client.0.read_to_end(&mut received);
    received
}

#[test]
fn websockets_over_http1_keep_to_the_rules() {
    let server = serve(app());
    for case in cases() {
        check(&case, &over_http1(&server, &[&case.sent]));
        if case.sent.len() < 300 {
            let bytes: Vec<_> = case.sent.chunks(1).collect();
            check(&case, &over_http1(&server, &bytes));
        }
    }
    assert_eq!(server.end().defects, 0);
}

/// Sends content for as long as the stream takes it.
async fn send_what_it_takes(stream: &mut h2::SendStream<Bytes>, mut content: Bytes) {
    while !content.is_empty() {
        stream.reserve_capacity(content.len());
        let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return;
        };
        let piece = content.split_to(room.min(content.len()));
        if stream.send_data(piece, false).is_err() {
            return;
        }
    }
    let _ = stream.send_data(Bytes::new(), true);
}

#[test]
fn websockets_over_http2_keep_to_the_rules() {
    let server = serve(app());
    client(&server, |mut sender| async move {
        // SETTINGS have come once an answer has.
        let (refused, _) = sender.send_request(request(Method::GET, "/"), true).unwrap();
        collect(refused.await.unwrap().into_body()).await.unwrap();
        for case in cases() {
            for chopped in [false, true] {
                if chopped && case.sent.len() >= 300 {
                    continue;
                }
                sender = sender.ready().await.unwrap();
                let mut head = request(Method::CONNECT, "/");
                head.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
                head.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
                let (answer, mut stream) = sender.send_request(head, false).unwrap();
                let answer = answer.await.unwrap();
                assert_eq!(answer.status(), StatusCode::OK);
                let sent = Bytes::from(case.sent.clone());
                let sending = tokio::spawn(async move {
                    if chopped {
                        for at in 0..sent.len() {
                            if stream.send_data(sent.slice(at..=at), false).is_err() {
                                return;
                            }
                            tokio::task::yield_now().await;
                        }
                        let _ = stream.send_data(Bytes::new(), true);
                    } else {
                        send_what_it_takes(&mut stream, sent).await;
                    }
                });
                let received = collect(answer.into_body()).await.map(|(bytes, _)| bytes);
                sending.abort();
                match received {
                    Ok(received) => check(&case, &received),
                    Err(error) => assert!(error.is_reset(), "{}: {error}", case.name),
                }
            }
        }
    });
    assert_eq!(server.end().defects, 0);
}
