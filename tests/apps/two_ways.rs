//! Streams of HTTP/2 on which both sides speak: trailers of requests, exchanges as gRPC has them,
//! tunnels.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::DefaultBodyLimit,
    http::{HeaderMap, Method},
    routing::post,
};
use ringway::config::Config;

use super::{
    http2::{client, collect, request},
    requests::counts_content,
    server::{configured, serve},
};

/// Gives back what it gets, piece by piece.
fn echo() -> Router {
    Router::new()
        .route("/echo", post(|body: Body| async move { Body::new(body) }))
        .layer(DefaultBodyLimit::disable())
}

#[test]
fn trailers_of_a_request_reach_the_application() {
    let server = serve(counts_content());
    client(&server, |mut sender| async move {
        for (content, trailing) in [(0, 1), (5, 1), (40_000, 3), (5, 0)] {
            let (answer, mut stream) =
                sender.send_request(request(Method::POST, "/"), false).unwrap();
            stream.send_data(Bytes::from(vec![1; content]), false).unwrap();
            let mut trailers = HeaderMap::new();
            for at in 0..trailing {
                trailers.append("x-sum", format!("{at}").parse().unwrap());
            }
            // A field that only a head may have.
            trailers.append("content-length", "7".parse().unwrap());
            stream.send_trailers(trailers.clone()).unwrap();
            trailers.remove("content-length");
            let (text, _) = collect(answer.await.unwrap().into_body()).await.unwrap();
            let expected = (trailing > 0).then_some(trailers);
            assert_eq!(String::from_utf8(text).unwrap(), format!("{content} {expected:?}"));
        }
    });
    assert_eq!(server.end().defects, 0);
}

/// A pause that an upload may not make.
const PAUSE: Duration = Duration::from_millis(700);

fn impatient(stream_idle: Duration) -> Config {
    let mut config = Config::default();
    config.timeouts.body_progress = PAUSE / 4;
    config.timeouts.body_min_rate = 1_000_000;
    config.timeouts.stream_idle = stream_idle;
    config
}

#[test]
fn both_sides_may_be_silent_for_long() {
    let server = configured(impatient(Duration::from_secs(600)), |builder| builder.service(echo()));
    client(&server, |mut sender| async move {
        let (answer, mut stream) =
            sender.send_request(request(Method::POST, "/echo"), false).unwrap();
        let mut body = answer.await.unwrap().into_body();
        for word in ["one", "two", "three"] {
            tokio::time::sleep(PAUSE).await;
            stream.send_data(Bytes::from_static(word.as_bytes()), false).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), word);
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert!(collect(body).await.unwrap().0.is_empty());
    });
    assert_eq!(server.end().timed_out, 0);
}

#[test]
fn a_call_of_grpc_may_pause_before_its_answer_begins() {
    let app = Router::new().route("/", post(|all: Bytes| async move { all }));
    let server = configured(impatient(Duration::from_secs(600)), |builder| builder.service(app));
    client(&server, |mut sender| async move {
        let mut head = request(Method::POST, "/");
        head.headers_mut().insert("content-type", "application/grpc+proto".parse().unwrap());
        let (answer, mut stream) = sender.send_request(head, false).unwrap();
        for word in ["one", "two"] {
            stream.send_data(Bytes::from_static(word.as_bytes()), false).unwrap();
            tokio::time::sleep(PAUSE).await;
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert_eq!(collect(answer.await.unwrap().into_body()).await.unwrap().0, b"onetwo");
    });
    assert_eq!(server.end().timed_out, 0);
}

#[test]
fn a_two_way_stream_that_is_silent_for_too_long_is_reset() {
    let server = configured(impatient(PAUSE), |builder| builder.service(echo()));
    client(&server, |mut sender| async move {
        let (answer, mut stream) =
            sender.send_request(request(Method::POST, "/echo"), false).unwrap();
        stream.send_data(Bytes::from_static(b"one"), false).unwrap();
        let body = answer.await.unwrap().into_body();
        let error = collect(body).await.expect_err("it waits for ever");
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
        // The connection goes on.
        let (answer, mut stream) =
            sender.send_request(request(Method::POST, "/echo"), false).unwrap();
        stream.send_data(Bytes::from_static(b"two"), true).unwrap();
        assert_eq!(collect(answer.await.unwrap().into_body()).await.unwrap().0, b"two");
    });
    assert_eq!(server.end().timed_out, 1);
}

#[test]
fn more_content_than_may_come_resets_a_stream_whose_answer_has_begun() {
    let mut config = Config::default();
    config.limits.body_bytes = 1000;
    let server = configured(config, |builder| builder.service(echo()));
    client(&server, |mut sender| async move {
        for _ in 0..2 {
            let (answer, mut stream) =
                sender.send_request(request(Method::POST, "/echo"), false).unwrap();
            stream.send_data(Bytes::from(vec![1; 600]), false).unwrap();
            let mut body = answer.await.unwrap().into_body();
            assert_eq!(body.data().await.unwrap().unwrap().len(), 600);
            stream.send_data(Bytes::from(vec![1; 600]), false).unwrap();
            let error = collect(body).await.expect_err("it was more");
            assert_eq!(error.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
        }
    });
    assert_eq!(server.end().defects, 0);
}

/// An answer that begins and never ends does not keep its client from being cut when that is silent;
/// one whose request has ended may take as long as it likes.
#[test]
fn silence_counts_only_while_the_client_could_speak() {
    let slow = || async {
        let pieces = tokio_stream::StreamExt::then(tokio_stream::iter(0..3), |_| async {
            tokio::time::sleep(PAUSE).await;
            Ok::<_, Infallible>(Bytes::from_static(b"x"))
        });
        Body::from_stream(pieces)
    };
    let app = Router::new().route("/", post(slow));
    let server = configured(impatient(PAUSE / 2), |builder| builder.service(app));
    client(&server, |mut sender| async move {
        let (answer, _) = sender.send_request(request(Method::POST, "/"), true).unwrap();
        assert_eq!(collect(answer.await.unwrap().into_body()).await.unwrap().0, b"xxx");
    });
    assert_eq!(server.end().timed_out, 0);
}

#[cfg(feature = "upgrade")]
mod tunnels {
    use axum::{
        Router,
        extract::ws::{Message, WebSocketUpgrade},
        http::{Method, Request, StatusCode},
        routing::any,
    };

    use super::{Bytes, client, collect, request, serve};

    fn app() -> Router {
        let echo = any(|upgrade: WebSocketUpgrade| async {
            upgrade.on_upgrade(|mut socket| async move {
                while let Some(Ok(message)) = socket.recv().await {
                    if matches!(message, Message::Text(_) | Message::Binary(_))
                        && socket.send(message).await.is_err()
                    {
                        return;
                    }
                }
            })
        });
        Router::new().route("/echo", echo).route("/", any(|| async { "plain" }))
    }

    fn connect(path: &str, protocol: &'static str) -> Request<()> {
        let mut head = request(Method::CONNECT, path);
        head.extensions_mut().insert(h2::ext::Protocol::from_static(protocol));
        head.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
        head
    }

    /// A masked frame with FIN.
    fn frame(opcode: u8, payload: &[u8]) -> Bytes {
        let mut frame = vec![0x80 | opcode, 0xfe];
        frame.extend((payload.len() as u16).to_be_bytes());
        frame.extend([1, 2, 3, 4]);
        frame.extend(
            payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, mask)| byte ^ mask),
        );
        frame.into()
    }

    #[test]
    fn a_websocket_of_axum_runs_over_a_stream() {
        let server = serve(app());
        client(&server, |mut sender| async move {
            // SETTINGS have come once an answer has.
            let (plain, _) = sender.send_request(request(Method::GET, "/"), true).unwrap();
            collect(plain.await.unwrap().into_body()).await.unwrap();
            assert!(sender.is_extended_connect_protocol_enabled());
            let (answer, mut stream) =
                sender.send_request(connect("/echo", "websocket"), false).unwrap();
            // Frames may come before the tunnel is open.
            stream.send_data(frame(1, &[b'0'; 200]), false).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            assert!(!answer.headers().contains_key("content-length"));
            let mut body = answer.into_body();
            let mut received = Vec::new();
            for round in 1..=100_u8 {
                while received.len() < 204 {
                    let piece = body.data().await.unwrap().unwrap();
                    body.flow_control().release_capacity(piece.len()).unwrap();
                    received.extend_from_slice(&piece);
                }
                assert_eq!(received[..4], [0x81, 126, 0, 200]);
                assert!(received[4..].iter().all(|byte| *byte == b'0' + (round - 1) % 10));
                received.clear();
                stream.send_data(frame(1, &[b'0' + round % 10; 200]), false).unwrap();
            }
            stream.send_data(frame(8, &1000_u16.to_be_bytes()), true).unwrap();
            let (rest, _) = collect(body).await.unwrap();
            assert!(rest.ends_with(&[0x88, 2, 3, 232]), "{rest:?}");
        });
        assert_eq!(server.end().defects, 0);
    }

    #[test]
    fn a_tunnel_that_is_not_accepted_is_an_ordinary_answer() {
        let server = serve(app());
        client(&server, |mut sender| async move {
            let (answer, _) = sender.send_request(connect("/none", "websocket"), true).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
            // The client's end is the tunnel's.
            let (answer, mut stream) =
                sender.send_request(connect("/echo", "websocket"), false).unwrap();
            let answer = answer.await.unwrap();
            stream.send_data(Bytes::new(), true).unwrap();
            collect(answer.into_body()).await.unwrap();
        });
        assert_eq!(server.end().defects, 0);
    }
}
