//! Applications over HTTP/2, asked by the client of the crate `h2` and by curl.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::DefaultBodyLimit,
    http::{HeaderMap, Method, Request, Response, StatusCode},
    response::IntoResponse,
    routing::{any, get, post},
};
use h2::{RecvStream, SendStream, client::SendRequest};
use tokio::sync::Semaphore;
use tokio_stream::StreamExt as _;

use super::server::{Running, client_config, configured, serve, start};

/// Longer than anything takes that is not stuck.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs a client of the crate `h2` against a server.
pub(crate) fn client<F: Future<Output = ()>>(
    server: &Running,
    run: impl FnOnce(SendRequest<Bytes>) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let whole = async {
        let tcp = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        let mut config = (*client_config()).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tls = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        let (sender, connection) = h2::client::handshake(tls).await.unwrap();
        let connection = tokio::spawn(connection);
        run(sender.ready().await.unwrap()).await;
        let ended = connection.await.unwrap();
        assert!(ended.is_ok(), "the connection ends in order: {ended:?}");
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, whole).await.expect("stuck") });
}

pub(crate) fn request(method: Method, path: &str) -> Request<()> {
    let uri = format!("https://localhost{path}");
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

/// All content of an answer, and its trailers.
pub(crate) async fn collect(
    mut body: RecvStream,
) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        all.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len())?;
    }
    Ok((all, body.trailers().await?))
}

async fn ask(sender: &mut SendRequest<Bytes>, method: Method, path: &str) -> Response<Vec<u8>> {
    let (answer, _) = sender.send_request(request(method, path), true).unwrap();
    let (parts, body) = answer.await.unwrap().into_parts();
    Response::from_parts(parts, collect(body).await.unwrap().0)
}

/// Sends all of some content, as far as the window is open.
async fn send_all(stream: &mut SendStream<Bytes>, mut content: Bytes) {
    while !content.is_empty() {
        stream.reserve_capacity(content.len());
        let capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let capacity = capacity.expect("a window").unwrap();
        stream.send_data(content.split_to(capacity.min(content.len())), false).unwrap();
    }
    stream.send_data(Bytes::new(), true).unwrap();
}

/// An application that gives back what it gets, piece by piece.
fn echo() -> Router {
    let echo = post(|body: Body| async move { Body::new(body) });
    Router::new().route("/echo", echo).layer(DefaultBodyLimit::disable())
}

#[test]
fn a_router_answers_as_over_http1() {
    let app = Router::new()
        .route("/", get(|| async { "hello" }))
        .route(
            "/teapot",
            get(|| async { (StatusCode::IM_A_TEAPOT, [("x-tea", "green")], "short") }),
        )
        .route("/nothing", get(|| async { StatusCode::NO_CONTENT }))
        .route(
            "/fields",
            any(|request: axum::extract::Request| async move {
                let field = |name: &str| {
                    let value = request.headers().get(name);
                    value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
                };
                let (version, uri) = (request.version(), request.uri().clone());
                format!(
                    "{version:?} {} {uri} {} {}",
                    request.method(),
                    field("x-a"),
                    field("cookie")
                )
            }),
        );
    let server = serve(app);
    client(&server, |mut sender| async move {
        let hello = ask(&mut sender, Method::GET, "/").await;
        assert_eq!((hello.status(), &hello.body()[..]), (StatusCode::OK, &b"hello"[..]));
        assert_eq!(hello.headers()["content-length"], "5");
        assert_eq!(hello.headers()["server"], "ringway");
        assert!(hello.headers().contains_key("date"));
        let head = ask(&mut sender, Method::HEAD, "/").await;
        assert_eq!(head.headers()["content-length"], "5");
        assert!(head.body().is_empty());
        let teapot = ask(&mut sender, Method::GET, "/teapot").await;
        assert_eq!(teapot.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(teapot.headers()["x-tea"], "green");
        let nothing = ask(&mut sender, Method::GET, "/nothing").await;
        assert_eq!(nothing.status(), StatusCode::NO_CONTENT);
        assert!(!nothing.headers().contains_key("content-length"));
        assert_eq!(ask(&mut sender, Method::GET, "/none").await.status(), StatusCode::NOT_FOUND);
        let mut fields = request(Method::PUT, "/fields?q=1");
        fields.headers_mut().insert("x-a", "b".parse().unwrap());
        for crumb in ["a=b", "c=d"] {
            fields.headers_mut().append("cookie", crumb.parse().unwrap());
        }
        let (answer, _) = sender.send_request(fields, true).unwrap();
        let (text, _) = collect(answer.await.unwrap().into_body()).await.unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text, "HTTP/2.0 PUT https://localhost/fields?q=1 b a=b; c=d");
    });
    assert_eq!(server.end().defects, 0);
}

#[test]
fn content_of_any_length_arrives_whole_both_ways() {
    let server = configured(
        {
            let mut config = ringway::config::Config::default();
            config.limits.body_bytes = 16 << 20;
            config
        },
        |builder| builder.service(echo()),
    );
    client(&server, |mut sender| async move {
        let mut running = Vec::new();
        for length in [0, 1, 16_384, 65_535, 65_536, 200_000, 3_000_000] {
            let content: Bytes = (0..length).map(|at| (at % 251) as u8).collect();
            sender = sender.ready().await.unwrap();
            let (answer, mut stream) =
                sender.send_request(request(Method::POST, "/echo"), false).unwrap();
            running.push(tokio::spawn(async move {
                let expected = content.clone();
                let sent = async { send_all(&mut stream, content).await };
                let received = async {
                    let answer = answer.await.unwrap();
                    assert_eq!(answer.status(), StatusCode::OK);
                    collect(answer.into_body()).await.unwrap().0
                };
                let ((), received) = tokio::join!(sent, received);
                assert!(received == expected, "{length} bytes");
            }));
        }
        for one in running {
            one.await.unwrap();
        }
    });
    assert_eq!(server.end().defects, 0);
}

#[test]
fn each_side_may_speak_in_turn() {
    let server = serve(echo());
    client(&server, |mut sender| async move {
        let (answer, mut stream) =
            sender.send_request(request(Method::POST, "/echo"), false).unwrap();
        let mut body = answer.await.unwrap().into_body();
        for word in ["one", "two", "three"] {
            stream.send_data(Bytes::from_static(word.as_bytes()), false).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), word);
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert!(collect(body).await.unwrap().0.is_empty());
    });
}

/// Content that ends with trailers.
struct WithTrailers(u8);

impl http_body::Body for WithTrailers {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.0 += 1;
        Poll::Ready(match self.0 {
            1 => Some(Ok(http_body::Frame::data(Bytes::from_static(b"content")))),
            2 => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                Some(Ok(http_body::Frame::trailers(trailers)))
            }
            _ => None,
        })
    }
}

#[test]
fn trailers_end_an_answer() {
    let server = serve(Router::new().route("/", get(|| async { Body::new(WithTrailers(0)) })));
    client(&server, |mut sender| async move {
        let (answer, _) = sender.send_request(request(Method::GET, "/"), true).unwrap();
        let (content, trailers) = collect(answer.await.unwrap().into_body()).await.unwrap();
        assert_eq!(content, b"content");
        assert_eq!(trailers.unwrap()["grpc-status"], "0");
    });
}

/// A client that takes nothing holds the application back, and one that is not listened to cannot send
/// more than a window.
#[test]
fn each_side_holds_back_the_other() {
    let (made, may_read) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (counted, reads) = (Arc::clone(&made), Arc::clone(&may_read));
    let app = Router::new()
        .route(
            "/endless",
            get(move || async move {
                let pieces = std::iter::repeat_with(move || {
                    counted.fetch_add(1, SeqCst);
                    Ok::<_, Infallible>(Bytes::from(vec![7; 10_000]))
                });
                Body::from_stream(tokio_stream::iter(pieces))
            }),
        )
        .route(
            "/deaf",
            post(move |body: Body| async move {
                let _ = reads.acquire().await;
                axum::body::to_bytes(body, usize::MAX).await.unwrap().len().to_string()
            }),
        )
        .layer(DefaultBodyLimit::disable());
    let server = serve(app);
    client(&server, |mut sender| async move {
        let (answer, _) = sender.send_request(request(Method::GET, "/endless"), true).unwrap();
        let body = answer.await.unwrap().into_body();
        let (deaf, mut stream) =
            sender.send_request(request(Method::POST, "/deaf"), false).unwrap();
        let mut sent = 0;
        stream.reserve_capacity(500_000);
        while sent < 65_535 {
            let capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
            let capacity = capacity.unwrap().unwrap();
            stream.send_data(Bytes::from(vec![1; capacity]), false).unwrap();
            sent += capacity;
            stream.reserve_capacity(500_000 - sent);
        }
        // The window stays shut, and others are served.
        for _ in 0..20 {
            assert_eq!(
                ask(&mut sender, Method::GET, "/none").await.status(),
                StatusCode::NOT_FOUND
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!((sent, stream.capacity()), (65_535, 0));
        assert!(made.load(SeqCst) <= 8, "{} pieces for a window of 65,535", made.load(SeqCst));
        // What it holds of the connection's window comes back.
        drop(body);
        may_read.add_permits(1);
        send_all(&mut stream, Bytes::from(vec![1; 500_000 - sent])).await;
        let (text, _) = collect(deaf.await.unwrap().into_body()).await.unwrap();
        assert_eq!(text, b"500000");
    });
}

/// Tells when it is dropped.
struct Dropped(Arc<Semaphore>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

#[test]
fn a_request_that_is_cancelled_ends_its_handler_and_nothing_else() {
    let gone = Arc::new(Semaphore::new(0));
    let guard = Arc::clone(&gone);
    let app = Router::new().route("/", get(|| async { "hello" })).route(
        "/waits",
        any(move || async move {
            let _dropped = Dropped(guard);
            std::future::pending::<()>().await;
        }),
    );
    let server = serve(app);
    client(&server, |mut sender| async move {
        for _ in 0..3 {
            let (answer, mut stream) =
                sender.send_request(request(Method::POST, "/waits"), false).unwrap();
            assert_eq!(&ask(&mut sender, Method::GET, "/").await.body()[..], b"hello");
            stream.send_reset(h2::Reason::CANCEL);
            gone.acquire().await.unwrap().forget();
            drop(answer);
        }
        assert_eq!(&ask(&mut sender, Method::GET, "/").await.body()[..], b"hello");
    });
    let counts = server.end();
    assert_eq!((counts.http2_reset_by_client, counts.http2_patience_cancelled), (3, 12));
    assert_eq!(counts.http2_opened, counts.http2_closed, "streams are open without a client");
    assert!(counts.http2_opened >= 3 && counts.http2_goaway_protocol == 0, "{counts:?}");
}

#[test]
fn an_answer_that_breaks_off_resets_its_stream_alone() {
    let app = Router::new()
        .route("/", get(|| async { "hello" }))
        .route(
            "/breaks",
            get(|| async {
                let pieces = [Ok(Bytes::from_static(b"a part")), Err("broken")];
                Body::from_stream(tokio_stream::iter(pieces))
            }),
        )
        .route(
            "/short",
            get(|| async {
                let pieces = tokio_stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"abc"))]);
                ([("content-length", "9")], Body::from_stream(pieces)).into_response()
            }),
        );
    let server = serve(app);
    client(&server, |mut sender| async move {
        for path in ["/breaks", "/short"] {
            let (answer, _) = sender.send_request(request(Method::GET, path), true).unwrap();
            let error = match answer.await {
                Ok(answer) => collect(answer.into_body()).await.expect_err(path),
                Err(error) => error,
            };
            assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{path}: {error}");
            assert_eq!(&ask(&mut sender, Method::GET, "/").await.body()[..], b"hello");
        }
    });
    assert_eq!(server.end().defects, 0);
}

#[test]
fn content_that_does_not_come_or_is_too_much_is_refused() {
    let mut config = ringway::config::Config::default();
    config.limits.body_bytes = 100_000;
    // So long that the client that sends too much is in time on a crowded machine.
    config.timeouts.body_progress = Duration::from_secs(3);
    let read = |body: Body| async move {
        axum::body::to_bytes(body, usize::MAX)
            .await
            .map_err(|_| StatusCode::BAD_REQUEST)
            .map(|_| ())
    };
    let app = Router::new().route("/", post(read)).layer(DefaultBodyLimit::disable());
    let server = configured(config, |builder| builder.service(app));
    client(&server, |mut sender| async move {
        let (answer, mut stream) = sender.send_request(request(Method::POST, "/"), false).unwrap();
        stream.send_data(Bytes::from_static(b"a part"), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), StatusCode::REQUEST_TIMEOUT);
        let (answer, mut stream) = sender.send_request(request(Method::POST, "/"), false).unwrap();
        let sending = tokio::spawn(async move {
            loop {
                stream.reserve_capacity(10_000);
                match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                    Some(Ok(capacity)) => {
                        if stream.send_data(Bytes::from(vec![1; capacity]), false).is_err() {
                            break;
                        }
                    }
                    _ => break,
                }
            }
        });
        assert_eq!(answer.await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
        sending.await.unwrap();
    });
}

#[test]
fn curl_gets_100_before_it_sends() {
    let app = Router::new().route("/", post(|content: String| async move { content }));
    let server = serve(app);
    let asks = ["--http2", "-v", "--expect100-timeout", "100", "-H", "Expect: 100-continue"];
    let said = server.curl("/", &[&asks[..], &["-d", "content"]].concat());
    assert!(said.contains("HTTP/2 100") && said.contains("HTTP/2 200"), "{said}");
    assert!(said.contains("content"), "{said}");
}

/// While one application waits for its client, others of the same connection are answered.
#[test]
fn many_streams_at_once() {
    let stream = |pieces: usize| {
        let pieces = (0..pieces).map(|at| Ok::<_, Infallible>(Bytes::from(vec![at as u8; 777])));
        let pieces = tokio_stream::iter(pieces).then(|piece| async {
            tokio::task::yield_now().await;
            piece
        });
        Body::from_stream(pieces)
    };
    let server = serve(Router::new().route("/", get(move || async move { stream(200) })));
    client(&server, |sender| async move {
        let mut running = Vec::new();
        for _ in 0..60 {
            let mut sender = sender.clone().ready().await.unwrap();
            running.push(tokio::spawn(async move {
                let answer = ask(&mut sender, Method::GET, "/").await;
                assert_eq!(answer.body().len(), 200 * 777);
            }));
        }
        for one in running {
            one.await.unwrap();
        }
    });
    assert_eq!(server.end().defects, 0);
}

#[test]
fn content_may_end_before_it_has_begun() {
    let nothing = || async {
        let pieces = tokio_stream::empty::<Result<Bytes, Infallible>>();
        Body::from_stream(pieces)
    };
    let server = serve(Router::new().route("/", get(nothing)));
    client(&server, |mut sender| async move {
        for _ in 0..3 {
            let answer = ask(&mut sender, Method::GET, "/").await;
            assert_eq!((answer.status(), answer.body().len()), (StatusCode::OK, 0));
        }
    });
    assert_eq!(server.end().defects, 0);
}

/// A handler that is polled with its request's head has as long as one that waits for content.
#[test]
fn a_handler_that_takes_too_long_is_given_up() {
    let never = || async { std::future::pending::<()>().await };
    let app = Router::new().route("/", any(never));
    let server = start(|builder| builder.service(app).handler_timeout(Duration::from_millis(50)));
    client(&server, |mut sender| async move {
        for ends in [true, false] {
            let (answer, stream) = sender.send_request(request(Method::POST, "/"), ends).unwrap();
            assert_eq!(answer.await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
            drop(stream);
        }
    });
    assert_eq!(server.end().defects, 0);
}
