//! `ringway::upgrade`: another protocol over a tunnel of Ringway's own.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{Method, StatusCode, Version, header},
    response::{IntoResponse, Response},
    routing::any,
};
use ringway::config::Config;

use super::{
    client::{Client, reset},
    http2::{client, collect, request},
    leaving::until,
    server::{configured, serve},
};

/// Sends everything back in capitals, and counts who does.
async fn shout(State(live): State<Arc<AtomicUsize>>, mut request: Request) -> Response {
    if ringway::wanted_protocol(&request) != Some("shout") {
        return StatusCode::UPGRADE_REQUIRED.into_response();
    }
    let tunnel = ringway::upgrade(&mut request).expect("a tunnel is offered");
    assert!(ringway::upgrade(&mut request).is_none(), "once");
    let (mut reader, mut writer) = tunnel.split();
    tokio::spawn(async move {
        live.fetch_add(1, SeqCst);
        while let Some(Ok(bytes)) = reader.receive().await {
            let capitals = bytes.to_ascii_uppercase();
            if writer.send(&capitals).await.is_err() || bytes.ends_with(b".") {
                break;
            }
        }
        live.fetch_sub(1, SeqCst);
    });
    // One answer for both versions of HTTP.
    let upgrade = [(header::UPGRADE, "shout")];
    (StatusCode::SWITCHING_PROTOCOLS, upgrade).into_response()
}

/// Accepts, and has not taken the tunnel.
async fn accept(request: Request) -> Response {
    let http2 = request.version() == Version::HTTP_2;
    if http2 { StatusCode::OK } else { StatusCode::SWITCHING_PROTOCOLS }.into_response()
}

/// Keeps the tunnel, but does not accept.
async fn refuse(State(failed): State<Arc<AtomicUsize>>, mut request: Request) -> StatusCode {
    let mut tunnel = ringway::upgrade(&mut request).expect("a tunnel is offered");
    tokio::spawn(async move {
        assert!(matches!(tunnel.receive().await, Some(Err(_))));
        assert!(tunnel.send(b"to nobody").await.is_err());
        failed.fetch_add(1, SeqCst);
    });
    StatusCode::FORBIDDEN
}

fn app(count: &Arc<AtomicUsize>) -> Router {
    Router::new()
        .route("/shout", any(shout))
        .route("/accept", any(accept))
        .route("/refuse", any(refuse))
        .with_state(Arc::clone(count))
}

fn head(path: &str, protocol: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
    )
}

#[test]
fn a_tunnel_over_http1_carries_any_protocol() {
    let live = Arc::default();
    let server = serve(app(&live));
    let mut one = Client::connect(&server);
    // Bytes of the other protocol may come with the head.
    one.send(format!("{}early,", head("/shout", "shout")).as_bytes());
    let answer = one.read_until(b"\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nupgrade: shout\r\n"), "{answer}");
    one.read_until(b"EARLY,");
    // More than both sides hold, read while it is written.
    let long = vec![b'x'; 300_000];
    let mut writer = one.0.sock.try_clone().unwrap();
    let mut sealed = Vec::new();
    for piece in long.chunks(10_000) {
        one.0.conn.writer().write_all(piece).unwrap();
        while one.0.conn.wants_write() {
            one.0.conn.write_tls(&mut sealed).unwrap();
        }
    }
    let sending = std::thread::spawn(move || writer.write_all(&sealed).unwrap());
    let mut back = vec![0; long.len()];
    one.0.read_exact(&mut back).unwrap();
    assert!(back.iter().all(|byte| *byte == b'X'));
    sending.join().unwrap();
    one.send(b"the end.");
    let (rest, in_order) = one.read_to_end();
    assert_eq!((&*rest, in_order), ("THE END.", true));
    // A client that leaves ends its tunnel.
    let mut two = Client::connect(&server);
    two.send(head("/shout", "shout").as_bytes());
    two.read_until(b"\r\n\r\n");
    until(|| live.load(SeqCst) == 1);
    drop(two);
    until(|| live.load(SeqCst) == 0);
    assert_eq!(server.end().defects, 0);
}

#[test]
fn a_tunnel_that_nobody_opens_carries_nothing() {
    let failed = Arc::default();
    let server = serve(app(&failed));
    let mut client = Client::connect(&server);
    client.send(head("/shout", "whisper").as_bytes());
    assert!(client.read_until(b"\r\n\r\n").starts_with("HTTP/1.1 426 "));
    client.send(head("/refuse", "shout").as_bytes());
    assert!(client.read_until(b"\r\n\r\n").starts_with("HTTP/1.1 403 "));
    until(|| failed.load(SeqCst) == 1);
    client.send(head("/accept", "shout").as_bytes());
    assert!(client.read_until(b"\r\n\r\n").starts_with("HTTP/1.1 101 "));
    assert_eq!(client.read_to_end(), (String::new(), true));
    // 101 that nobody has asked for is no answer.
    let answer = server.curl("/accept", &[]);
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert_eq!(server.end().defects, 0);
}

#[test]
fn a_tunnel_over_http2_is_a_stream() {
    let live = Arc::default();
    let server = serve(app(&live));
    client(&server, |mut sender| async move {
        // SETTINGS have come once an answer has.
        let (plain, _) = sender.send_request(request(Method::GET, "/none"), true).unwrap();
        collect(plain.await.unwrap().into_body()).await.unwrap();
        let connect = |path: &str| {
            let mut head = request(Method::CONNECT, path);
            head.extensions_mut().insert(h2::ext::Protocol::from_static("shout"));
            head
        };
        let (answer, mut stream) = sender.send_request(connect("/shout"), false).unwrap();
        stream.send_data(Bytes::from_static(b"one"), false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let mut body = answer.into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "ONE");
        stream.send_data(Bytes::from_static(b"two"), true).unwrap();
        assert_eq!(collect(body).await.unwrap().0, b"TWO");
        let (answer, _stream) = sender.send_request(connect("/accept"), false).unwrap();
        assert_eq!(collect(answer.await.unwrap().into_body()).await.unwrap().0, b"");
    });
    until(|| live.load(SeqCst) == 0);
    assert_eq!(server.end().defects, 0);
}

#[test]
fn an_ordinary_request_has_no_tunnel() {
    let app = Router::new().route(
        "/",
        any(|mut request: Request| async move {
            let none = ringway::upgrade(&mut request).is_none();
            let body: Body = format!("{none} {:?}", ringway::wanted_protocol(&request)).into();
            body
        }),
    );
    let server = serve(app);
    // Without `Connection: upgrade` the field is no request for one.
    for fields in [&[][..], &["-H", "Upgrade: shout"]] {
        assert!(server.curl("/", fields).ends_with("\r\n\r\ntrue None"));
    }
}

/// What a tunnel's client sent, and whether its side ended in order.
type Endings = Arc<Mutex<Vec<(Bytes, bool)>>>;

/// Receives to the end of the client's side, notes it, and says goodbye.
async fn listen(State(endings): State<Endings>, mut request: Request) -> Response {
    let mut tunnel = ringway::upgrade(&mut request).expect("a tunnel is offered");
    tokio::spawn(async move {
        let mut all = Vec::new();
        let in_order = loop {
            match tunnel.receive().await {
                Some(Ok(bytes)) => all.extend_from_slice(&bytes),
                Some(Err(_)) => break false,
                None => break true,
            }
        };
        endings.lock().unwrap().push((all.into(), in_order));
        let _ = tunnel.send(b"goodbye").await;
    });
    if request.version() == Version::HTTP_2 {
        return StatusCode::OK.into_response();
    }
    (StatusCode::SWITCHING_PROTOCOLS, [(header::UPGRADE, "x")]).into_response()
}

#[test]
fn a_client_ends_its_side_in_order_or_not() {
    let endings = Endings::default();
    let server = serve(Router::new().route("/", any(listen)).with_state(Arc::clone(&endings)));
    let ended = || endings.lock().unwrap().pop();
    let open = |last: &str| {
        let mut client = Client::connect(&server);
        client.send(head("/", "x").as_bytes());
        client.read_until(b"\r\n\r\n");
        client.send(last.as_bytes());
        client
    };
    // close_notify is an end, behind which the answer still comes.
    let mut client = open("one");
    client.0.conn.send_close_notify();
    client.0.flush().unwrap();
    assert_eq!(client.read_to_end(), ("goodbye".to_owned(), true));
    assert_eq!(ended(), Some(("one".into(), true)));
    // FIN alone is none: an attacker can send that.
    let client = open("two");
    client.0.sock.shutdown(Shutdown::Write).unwrap();
    until(|| !endings.lock().unwrap().is_empty());
    assert_eq!(ended(), Some(("two".into(), false)));
    // Nor is a reset.
    reset(open("three"));
    until(|| !endings.lock().unwrap().is_empty());
    assert!(matches!(ended(), Some((_, false))));
    assert_eq!(server.end().defects, 0);
}

#[test]
fn a_client_of_http2_ends_its_side_in_order_or_not() {
    let endings = Endings::default();
    let server = serve(Router::new().route("/", any(listen)).with_state(Arc::clone(&endings)));
    client(&server, |mut sender| async move {
        let (plain, _) = sender.send_request(request(Method::GET, "/none"), true).unwrap();
        collect(plain.await.unwrap().into_body()).await.unwrap();
        for in_order in [true, false] {
            let mut head = request(Method::CONNECT, "/");
            head.extensions_mut().insert(h2::ext::Protocol::from_static("x"));
            let (answer, mut stream) = sender.send_request(head, false).unwrap();
            let answer = answer.await.unwrap();
            stream.send_data(Bytes::from_static(b"one"), in_order).unwrap();
            if in_order {
                assert_eq!(collect(answer.into_body()).await.unwrap().0, b"goodbye");
            } else {
                stream.send_reset(h2::Reason::CANCEL);
            }
            let ended = loop {
                if let Some(ended) = endings.lock().unwrap().pop() {
                    break ended;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            };
            assert_eq!(ended.1, in_order);
        }
    });
    assert_eq!(server.end().defects, 0);
}

/// A configuration in which tunnels may be silent for so long, and all else only for a moment.
fn silent_for(tunnel_idle: Duration) -> Config {
    let mut config = Config::default();
    config.timeouts.body_progress = MOMENT;
    config.timeouts.stream_idle = MOMENT;
    config.timeouts.tunnel_idle = tunnel_idle;
    config
}

const MOMENT: Duration = Duration::from_millis(100);

#[test]
fn a_tunnel_may_be_silent_for_long() {
    let live = Arc::default();
    let server =
        configured(silent_for(Duration::from_secs(600)), |builder| builder.service(app(&live)));
    let mut one = Client::connect(&server);
    one.send(head("/shout", "shout").as_bytes());
    one.read_until(b"\r\n\r\n");
    std::thread::sleep(MOMENT * 5);
    one.send(b"still here.");
    assert_eq!(one.read_to_end(), ("STILL HERE.".to_owned(), true));
    client(&server, |mut sender| async move {
        let (answer, mut stream) = sender.send_request(shouting(), false).unwrap();
        let body = answer.await.unwrap().into_body();
        tokio::time::sleep(MOMENT * 5).await;
        stream.send_data(Bytes::from_static(b"still here."), false).unwrap();
        assert_eq!(collect(body).await.unwrap().0, b"STILL HERE.");
    });
    assert_eq!(server.end().defects, 0);
}

#[test]
fn a_tunnel_that_is_silent_for_too_long_is_closed() {
    let live = Arc::default();
    let server = configured(silent_for(MOMENT), |builder| builder.service(app(&live)));
    let mut one = Client::connect(&server);
    one.send(head("/shout", "shout").as_bytes());
    let (answer, in_order) = one.read_to_end();
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(!in_order, "neither side has ended it");
    client(&server, |mut sender| async move {
        let (answer, _stream) = sender.send_request(shouting(), false).unwrap();
        let error = collect(answer.await.unwrap().into_body()).await.expect_err("it is closed");
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    });
    until(|| live.load(SeqCst) == 0);
    let counted = || {
        let ends = &server.get().anatomy().ends;
        let silent =
            ends.iter().filter(|(_, end, _)| end.to_string().starts_with("server.tunnel_idle."));
        silent.map(|(.., count)| count).sum::<u64>() >= 2
    };
    until(counted);
    assert_eq!(server.end().defects, 0);
}

fn shouting() -> http::Request<()> {
    let mut head = request(Method::CONNECT, "/shout");
    head.extensions_mut().insert(h2::ext::Protocol::from_static("shout"));
    head
}
