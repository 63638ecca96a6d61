//! What applications answer, and how it reaches the client.

use std::{
    cell::Cell,
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Extension, Path},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response, Sse, sse::Event},
    routing::get,
};
use http_body::{Frame, SizeHint};
use ringway::observe::Route;
use tokio_stream::StreamExt as _;

use super::{
    client::Client,
    server::{serve, start},
};

fn stream(pieces: Vec<&'static str>) -> Response {
    let pieces =
        pieces.into_iter().map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece.as_bytes())));
    Body::from_stream(tokio_stream::iter(pieces)).into_response()
}

#[test]
fn a_router_answers_as_it_would_elsewhere() {
    let app = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/items/{id}", get(|Path(id): Path<u32>| async move { Json(vec![id, id + 1]) }))
        .route(
            "/teapot",
            get(|| async { (StatusCode::IM_A_TEAPOT, [("x-tea", "green")], "short") }),
        )
        .route("/nothing", get(|| async { StatusCode::NO_CONTENT }));
    let server = serve(app);
    let hello = server.curl("/", &[]);
    assert!(hello.starts_with("HTTP/1.1 200 OK\r\n"), "{hello}");
    assert!(
        hello.contains("\r\nserver: ringway") || hello.contains("\r\nServer: ringway"),
        "{hello}"
    );
    assert!(hello.contains("\r\nDate: ") && hello.ends_with("\r\n\r\nhello"), "{hello}");
    assert!(hello.to_lowercase().contains("content-length: 5\r\n"), "{hello}");
    let items = server.curl("/items/41", &[]);
    assert!(items.contains("content-type: application/json\r\n") && items.ends_with("[41,42]"));
    let teapot = server.curl("/teapot", &[]);
    assert!(teapot.starts_with("HTTP/1.1 418 ") && teapot.contains("\r\nx-tea: green\r\n"));
    let nothing = server.curl("/nothing", &[]);
    assert!(nothing.starts_with("HTTP/1.1 204 No Content\r\n"), "{nothing}");
    assert!(!nothing.to_lowercase().contains("content-length"), "{nothing}");
    assert!(server.curl("/items/x", &[]).starts_with("HTTP/1.1 400 Bad Request\r\n"));
    assert!(server.curl("/none", &[]).starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(server.curl("/", &["-X", "POST"]).starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
    assert_eq!(server.end().defects, 0);
}

#[test]
fn a_head_has_the_length_and_no_content() {
    let server = serve(Router::new().route("/", get(|| async { "hello" })));
    let mut client = Client::connect(&server);
    client.send(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (text, ended) = client.read_to_end();
    let (first, second) = text.split_once("\r\n\r\n").unwrap();
    assert!(first.contains("Content-Length: 5"), "{text}");
    assert!(
        second.starts_with("HTTP/1.1 200 OK\r\n") && second.ends_with("\r\n\r\nhello"),
        "{text}"
    );
    assert!(ended);
}

#[test]
fn a_head_says_no_length_that_a_get_would_not() {
    let app = Router::new()
        .route("/stream", get(|| async { stream(vec!["one", "two"]) }))
        .route("/none", get(|| async {}));
    let server = serve(app);
    for protocol in ["--http1.1", "--http2"] {
        // The router takes the content out of either.
        let head = server.curl("/stream", &[protocol, "-I"]).to_lowercase();
        assert!(head.contains(" 200") && !head.contains("content-length"), "{protocol}: {head}");
        let head = server.curl("/none", &[protocol, "-I"]).to_lowercase();
        assert!(head.contains("content-length: 0\r\n"), "{protocol}: {head}");
    }
}

#[test]
fn an_answer_may_end_its_connection() {
    let app = Router::new()
        .route("/whole", get(|| async { ([("connection", "close")], "bye") }))
        .route("/listed", get(|| async { ([("connection", "x-hop, Close")], "bye") }))
        .route("/stream", get(|| async { ([("connection", "close")], stream(vec!["b", "ye"])) }))
        .route("/goes-on", get(|| async { ([("connection", "keep-alive, x-hop")], "bye") }));
    let server = serve(app);
    for (path, answers) in [("/whole", 1), ("/listed", 1), ("/stream", 1), ("/goes-on", 2)] {
        let mut client = Client::connect(&server);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n");
        client.send(format!("{request}\r\n{request}Connection: close\r\n\r\n").as_bytes());
        let (text, ended) = client.read_to_end();
        assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), answers, "{path}: {text}");
        assert_eq!(text.matches("Connection: close\r\n").count(), 1, "{path}: {text}");
        assert!(ended && !text.contains("x-hop"), "{path}: {text}");
        let text = server.curl(path, &["--http2"]);
        assert!(text.starts_with("HTTP/2 200") && !text.contains("connection:"), "{text}");
    }
    assert_eq!(server.end().defects, 0);
}

#[test]
fn content_of_unknown_length_is_chunked() {
    let server =
        serve(Router::new().route("/", get(|| async { stream(vec!["one", "", "two two"]) })));
    let mut client = Client::connect(&server);
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (text, ended) = client.read_to_end();
    assert!(text.contains("Transfer-Encoding: chunked\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n3\r\none\r\n7\r\ntwo two\r\n0\r\n\r\n"), "{text}");
    assert!(ended);
    let old = server.curl("/", &["--http1.0"]);
    assert!(old.ends_with("\r\n\r\nonetwo two"), "{old}");
    assert!(!old.contains("chunked") && old.contains("Connection: close\r\n"), "{old}");
}

#[test]
fn long_content_arrives_whole() {
    let pattern: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let bytes = Bytes::from(pattern.clone());
    let (whole, pieces) = (bytes.clone(), bytes);
    let app = Router::new().route("/whole", get(move || async { whole })).route(
        "/pieces",
        get(move || async move {
            let lengths = [1, 3000, 5000, 70_000, 16_384].into_iter().cycle();
            let mut rest = pieces;
            let pieces = lengths.map_while(move |length: usize| {
                let piece = rest.split_to(length.min(rest.len()));
                (!piece.is_empty()).then_some(Ok::<_, Infallible>(piece))
            });
            Body::from_stream(tokio_stream::iter(pieces))
        }),
    );
    let server = serve(app);
    for path in ["/whole", "/pieces"] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = file.path().to_str().unwrap();
        let (status, said) = server.try_curl(path, &["--no-include", "-o", name]);
        assert_eq!(status, Some(0), "{path}: {said}");
        assert!(std::fs::read(file.path()).unwrap() == pattern, "{path}");
    }
    assert_eq!(server.end().defects, 0);
}

/// Content of a stated length in these pieces.
struct Pieces {
    left: Vec<&'static str>,
    /// It panics when it is asked whether it has ended.
    panics: bool,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = (!self.left.is_empty()).then(|| self.left.remove(0));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
    }

    fn is_end_stream(&self) -> bool {
        assert!(!self.panics, "on purpose");
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.iter().map(|piece| piece.len() as u64).sum())
    }
}

/// Whether the content is there when the head is must not show, but in how it leaves.
#[test]
fn a_short_answer_in_one_piece_leaves_like_a_page() {
    let pieces = |left: &[&'static str], panics| {
        let left = left.to_vec();
        move || async move { Response::new(Body::new(Pieces { left, panics })) }
    };
    let app = Router::new()
        .route("/whole", get(pieces(&["hello"], false)))
        .route("/none", get(pieces(&[], false)))
        .route("/pieces", get(pieces(&["he", "", "llo"], false)))
        .route("/long", get(|| async { "l".repeat(13 << 10) }))
        .route("/panics", get(pieces(&["hello"], true)));
    let server = serve(app);
    let long = "l".repeat(13 << 10);
    for (path, content) in
        [("/whole", "hello"), ("/none", ""), ("/pieces", "hello"), ("/long", long.as_str())]
    {
        let mut client = Client::connect(&server);
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        client.send(request.as_bytes());
        let (text, ended) = client.read_to_end();
        let (head, found) = text.split_once("\r\n\r\n").unwrap();
        let length = format!("content-length: {}", content.len());
        assert!(head.to_lowercase().contains(&length), "{path}: {head}");
        assert_eq!(head.to_lowercase().matches("content-length").count(), 1, "{path}: {head}");
        assert!(found == content && ended, "{path}: {found}");
    }
    let ledger = server.get().anatomy().ledger;
    assert_eq!(ledger.carried(Route::UserPage).payload(), 5);
    let mut client = Client::connect(&server);
    client.send(b"GET /panics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (text, ended) = client.read_to_end();
    assert!(text.starts_with("HTTP/1.1 500 ") && ended, "no head had left: {text}");
    assert_eq!(server.end().defects, 0);
}

#[test]
fn what_tokio_has_works_within_a_handler() {
    let app = Router::new().route(
        "/",
        get(|| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let accepted = tokio::spawn(async move { listener.accept().await.is_ok() });
            tokio::net::TcpStream::connect(address).await.unwrap();
            let blocking = tokio::task::spawn_blocking(|| 2).await.unwrap();
            format!("{} {blocking}", accepted.await.unwrap())
        }),
    );
    let server = serve(app);
    for _ in 0..50 {
        assert!(server.curl("/", &[]).ends_with("true 2"));
    }
}

#[test]
fn events_leave_as_they_come() {
    let (sender, _) = tokio::sync::broadcast::channel::<String>(16);
    let source = sender.clone();
    let app = Router::new().route(
        "/",
        get(move || async move {
            let events = tokio_stream::wrappers::BroadcastStream::new(source.subscribe());
            Sse::new(events.map(|text| Ok::<_, Infallible>(Event::default().data(text.unwrap()))))
        }),
    );
    let server = serve(app);
    let mut client = Client::connect(&server);
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.read_until(b"\r\n\r\n");
    assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
    for round in 0..100 {
        sender.send(format!("number {round}")).unwrap();
        let event = client.read_until(b"\n\n\r\n");
        assert!(event.ends_with(&format!("data: number {round}\n\n\r\n")), "{event}");
    }
}

#[test]
fn a_stream_that_fails_is_cut_visibly() {
    let app = Router::new().route(
        "/",
        get(|| async {
            let pieces = [Ok(Bytes::from_static(b"some")), Err(std::io::Error::other("broken"))];
            Body::from_stream(tokio_stream::iter(pieces))
        }),
    );
    let server = serve(app);
    let mut client = Client::connect(&server);
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (text, ended) = client.read_to_end();
    assert!(!text.contains("\r\n0\r\n") && !ended, "{text}");
    let (status, said) = server.try_curl("/", &["--http1.0"]);
    assert_ne!(status, Some(0), "{said}");
}

#[test]
fn a_panic_is_one_exchanges_end() {
    let app = Router::new()
        .route("/call", get(|| async { assert!(std::env::args().count() == 0, "on purpose") }))
        .route("/fine", get(|| async { "fine" }))
        .route(
            "/body",
            get(|| async {
                let pieces = (0..3).map(|at| match at {
                    2 => panic!("on purpose"),
                    _ => Ok::<_, Infallible>(Bytes::from_static(b"piece")),
                });
                Body::from_stream(tokio_stream::iter(pieces))
            }),
        );
    let server = serve(app);
    let mut other = Client::connect(&server);
    for _ in 0..3 {
        assert!(server.curl("/call", &[]).starts_with("HTTP/1.1 500 Internal Server Error\r\n"));
        assert_ne!(server.try_curl("/body", &[]).0, Some(0));
        other.send(b"GET /fine HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(other.read_until(b"fine").starts_with("HTTP/1.1 200 OK\r\n"));
    }
    assert_eq!(server.end().defects, 0);
}

#[test]
fn content_is_as_long_as_its_head_says_or_it_is_cut() {
    let with = |length: &'static str| {
        let mut response = stream(vec!["four", "more"]);
        response.headers_mut().insert("content-length", length.parse().unwrap());
        response
    };
    let app = Router::new()
        .route("/exact", get(move || async move { with("8") }))
        .route("/more", get(move || async move { with("9") }))
        .route("/less", get(move || async move { with("7") }))
        .route("/none", get(move || async move { with("eight") }));
    let server = serve(app);
    assert!(server.curl("/exact", &[]).ends_with("\r\n\r\nfourmore"));
    for path in ["/more", "/less"] {
        assert_ne!(server.try_curl(path, &[]).0, Some(0), "{path}");
    }
    assert!(server.curl("/none", &[]).starts_with("HTTP/1.1 500 "));
}

#[test]
fn services_stand_beside_files_and_the_longest_prefix_decides() {
    let named = |name: &'static str| {
        Router::new().fallback(move |uri: axum::http::Uri| async move { format!("{name} {uri}") })
    };
    let (api, deeper) = (named("api"), named("deeper"));
    let server = start(|builder| builder.service_at("/api", api).service_at("/api/v2/", deeper));
    for (path, expected) in [
        ("/api", "api /api"),
        ("/api/x?y=%20", "api /api/x?y=%20"),
        ("/api/v2", "deeper /api/v2"),
        ("/api/v2/z", "deeper /api/v2/z"),
        ("/api/v22", "api /api/v22"),
        ("/file.txt", "a file\n"),
    ] {
        let answer = server.curl(path, &[]);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(expected), "{answer}");
    }
    assert!(server.curl("/apix", &[]).starts_with("HTTP/1.1 404 "));
}

#[test]
fn a_service_may_belong_to_one_thread() {
    let server = start(|builder| {
        builder.service_per_worker(|worker| async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!((worker.number, worker.count), (0, 1));
            Local(Rc::new(Cell::new(0)))
        })
    });
    for count in 1..4 {
        assert!(server.curl("/", &[]).ends_with(&format!("request {count}")));
    }
}

#[derive(Clone)]
struct Local(Rc<Cell<u32>>);

impl tower_service::Service<http::Request<ringway::Body>> for Local {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<ringway::Body>) -> Self::Future {
        let count = Rc::clone(&self.0);
        Box::pin(async move {
            tokio::task::yield_now().await;
            count.set(count.get() + 1);
            Ok(Response::new(format!("request {}", count.get())))
        })
    }
}

#[test]
fn a_handler_knows_its_connection() {
    let app = Router::new().route(
        "/",
        get(|Extension(on): Extension<ringway::Connection>, fields: HeaderMap| async move {
            assert_eq!(fields["x-sent"], "yes");
            let peer = on.peer().unwrap().ip();
            format!("{peer} {} {} {}", on.tls_version(), on.protocol(), on.worker())
        }),
    );
    let server = serve(app);
    let said = server.curl("/", &["-H", "X-Sent: yes"]);
    assert!(said.ends_with("127.0.0.1 TLSv1.3 http/1.1 0"), "{said}");
}

#[test]
fn a_handler_that_takes_too_long_is_given_up() {
    let app = Router::new()
        .route("/never", get(|| async { std::future::pending::<()>().await }))
        .route("/", get(|| async { "fine" }));
    let server = start(|builder| builder.service(app).handler_timeout(Duration::from_millis(50)));
    let mut client = Client::connect(&server);
    client.send(b"GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.read_until(b"\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
}
