//! How request content reaches an application.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Request},
    http::StatusCode,
    routing::{get, post},
};
use http_body::Body as _;
use tokio_stream::StreamExt as _;

use super::{
    client::Client,
    server::{configured, serve},
};

fn sum() -> Router {
    let app = Router::new().route(
        "/sum",
        post(|body: Body| async move {
            let (mut bytes, mut sum) = (0, 0_u64);
            let mut pieces = body.into_data_stream();
            while let Some(piece) = pieces.next().await {
                let Ok(piece) = piece else { return (StatusCode::BAD_REQUEST, "broken".into()) };
                bytes += piece.len();
                sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            }
            (StatusCode::OK, format!("{bytes} {sum}"))
        }),
    );
    app.layer(DefaultBodyLimit::disable())
}

fn upload(length: usize) -> (tempfile::NamedTempFile, u64) {
    let bytes: Vec<u8> = (0..length).map(|at| (at % 253) as u8).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    (file, bytes.iter().map(|byte| u64::from(*byte)).sum())
}

/// An application takes part in its client's trace.
#[test]
fn what_names_a_request_reaches_the_application() {
    let named = |request: Request| async move {
        let field = |name| request.headers().get(name).map_or("", |value| value.to_str().unwrap());
        ["traceparent", "tracestate", "x-request-id"].map(field).join(" ")
    };
    let server = serve(Router::new().route("/", get(named)));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let field = format!("traceparent: {parent}");
    for version in ["--http1.1", "--http2"] {
        let fields = ["-H", &field, "-H", "tracestate: a=b,c=d", "-H", "x-request-id: mine"];
        let answer = server.curl("/", &[&[version][..], &fields].concat());
        assert!(answer.ends_with(&format!("\r\n\r\n{parent} a=b,c=d mine")), "{version}: {answer}");
    }
    assert_eq!(server.end().defects, 0);
}

#[test]
fn uploads_arrive_whole_however_they_are_framed() {
    let server = serve(sum());
    for length in [0, 1, 4095, 4096, 16_384, 200_000, 900_000] {
        let (file, sum) = upload(length);
        let data = format!("@{}", file.path().display());
        for framing in [&[][..], &["-H", "Transfer-Encoding: chunked"], &["-H", "Expect:"]] {
            let arguments = [&["-X", "POST", "--data-binary", &data], framing].concat();
            let answer = server.curl("/sum", &arguments);
            assert!(answer.ends_with(&format!("\r\n\r\n{length} {sum}")), "{framing:?}: {answer}");
        }
    }
    assert_eq!(server.end().defects, 0);
}

#[test]
fn a_connection_goes_on_behind_an_upload() {
    let server = serve(sum());
    let mut client = Client::connect(&server);
    for round in 1..20_usize {
        let length = 1 + round * 777;
        client.send(
            format!("POST /sum HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
                .as_bytes(),
        );
        for part in vec![1_u8; length].chunks(1000) {
            client.send(part);
        }
        let expected = format!("\r\n\r\n{length} {length}");
        assert!(client.read_until(expected.as_bytes()).starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[test]
fn short_content_that_comes_with_its_head_is_there_at_the_first_poll() {
    let polled_once = |mut body: Body| async move {
        match poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await {
            Poll::Ready(Some(Ok(frame))) => {
                let content = frame.into_data().unwrap_or_default();
                let is_end = body.is_end_stream();
                format!("{} of {:?}, {is_end}.", content.len(), content.first())
            }
            _ => "later.".to_owned(),
        }
    };
    let server = serve(Router::new().route("/", post(polled_once)));
    let mut client = Client::connect(&server);
    let request = |byte: u8, length: usize| {
        let head =
            format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), &vec![byte; length]].concat()
    };
    // What is longer is read as it is wanted, and lent where it lies.
    client.send(
        &[request(b'a', 1), request(b'b', 4095), request(b'c', 4096), request(b'd', 9)].concat(),
    );
    for content in
        ["1 of Some(97), true.", "4095 of Some(98), true.", "later.", "9 of Some(100), true."]
    {
        client.read_until(format!("\r\n\r\n{content}").as_bytes());
    }
}

#[test]
fn a_handler_is_polled_once_for_a_piece_that_it_waits_for() {
    let counted = |body: Body| async move {
        let (mut pieces, mut polls) = (body.into_data_stream(), 0);
        let read = async {
            let mut count = 0;
            while let Some(Ok(_)) = pieces.next().await {
                count += 1;
            }
            count
        };
        let mut read = std::pin::pin!(read);
        let count: usize = poll_fn(|cx| {
            polls += 1;
            read.as_mut().poll(cx)
        })
        .await;
        format!("{count} in {polls}!")
    };
    let app = Router::new().route("/", post(counted)).layer(DefaultBodyLimit::disable());
    let server = serve(app);
    let mut client = Client::connect(&server);
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n");
    client.send(&vec![b'x'; 900_000]);
    let answer = client.read_until(b"!");
    let (_, counts) = answer.rsplit_once("\r\n").unwrap();
    let (pieces, polls) = counts.trim_end_matches('!').split_once(" in ").unwrap();
    let [pieces, polls]: [usize; 2] = [pieces, polls].map(|number| number.parse().unwrap());
    assert!(pieces >= 50, "{counts}");
    // A poll before the first, one for the end, and some for what came together with a wake.
    assert!(polls <= pieces + pieces / 4 + 4, "{counts}");
}

#[test]
fn an_answer_may_begin_before_the_request_ends() {
    let app = Router::new().route("/", post(|body: Body| async { body }));
    let server = serve(app);
    let mut client = Client::connect(&server);
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    let head = client.read_until(b"\r\n\r\n");
    assert!(head.contains("Transfer-Encoding: chunked\r\n"), "{head}");
    for word in ["one", "three", "and more"] {
        let chunk = format!("{:x}\r\n{word}\r\n", word.len());
        client.send(chunk.as_bytes());
        assert_eq!(client.read_until(chunk.as_bytes()), chunk);
    }
    client.send(b"0\r\n\r\n");
    assert_eq!(client.read_until(b"0\r\n\r\n"), "0\r\n\r\n");
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nok");
    assert!(client.read_until(b"ok").contains("Content-Length: 2\r\n"), "the connection went on");
}

#[test]
fn the_client_is_called_to_continue_when_its_content_is_wanted() {
    let app = Router::new()
        .route("/read", post(|text: String| async { text }))
        .route("/refuse", post(|| async { StatusCode::FORBIDDEN }));
    let server = serve(app);
    let ask = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let mut client = Client::connect(&server);
    client.send(ask("/read").as_bytes());
    assert_eq!(client.read_until(b"\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(b"text");
    assert!(client.read_until(b"\r\n\r\ntext").starts_with("HTTP/1.1 200 OK\r\n"));
    client.send(ask("/refuse").as_bytes());
    let (text, ended) = client.read_to_end();
    assert!(text.starts_with("HTTP/1.1 403 Forbidden\r\n"), "no 100 before it: {text}");
    assert!(text.contains("Connection: close\r\n") && ended, "{text}");
}

#[test]
fn content_beyond_the_limit_is_refused() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let app = Router::new().route(
        "/",
        post(move |body: Body| async move {
            count.fetch_add(1, SeqCst);
            let mut pieces = body.into_data_stream();
            while let Some(Ok(_)) = pieces.next().await {}
        }),
    );
    let app = app.layer(DefaultBodyLimit::disable());
    let mut config = ringway::config::Config::default();
    config.limits.body_bytes = 1000;
    let server = configured(config, |builder| builder.service(app));
    let mut client = Client::connect(&server);
    let head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n";
    client.send(head);
    assert!(client.read_until(b"\r\n\r\n").starts_with("HTTP/1.1 413 "));
    let mut client = Client::connect(&server);
    client.send(&[&head[..], &[b'x'; 1001]].concat());
    assert!(client.read_until(b"\r\n\r\n").starts_with("HTTP/1.1 413 "));
    assert_eq!(calls.load(SeqCst), 0, "the length was stated");
    let mut client = Client::connect(&server);
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(&[&b"3e9\r\n"[..], &[b'x'; 1001], b"\r\n0\r\n\r\n"].concat());
    assert!(client.read_until(b"\r\n\r\n").starts_with("HTTP/1.1 413 "));
    assert_eq!(calls.load(SeqCst), 1);
}

#[test]
fn content_that_nobody_wants_is_passed_over_or_ends_the_connection() {
    let server = serve(Router::new().route("/", get(|| async { "a" }).post(|| async { "b" })));
    let mut client = Client::connect(&server);
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n");
    client.read_until(b"\r\n\r\nb");
    client.send(&[b'x'; 5000]);
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.read_until(b"\r\n\r\na");
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n");
    client.read_until(b"\r\n\r\nb");
    client.send(&vec![b'x'; 200_000]);
    assert_eq!(client.read_to_end(), (String::new(), true));
}

#[test]
fn a_body_may_be_read_on_another_thread() {
    let app = Router::new().route(
        "/",
        post(|request: Request| async {
            let read = tokio::spawn(async {
                let bytes: Bytes =
                    axum::body::to_bytes(request.into_body(), 10 << 20).await.unwrap();
                bytes.len()
            });
            read.await.unwrap().to_string()
        }),
    );
    let server = serve(app);
    let (file, _) = upload(700_000);
    let data = format!("@{}", file.path().display());
    for _ in 0..20 {
        let answer = server.curl("/", &["-X", "POST", "--data-binary", &data]);
        assert!(answer.ends_with("\r\n\r\n700000"), "{answer}");
    }
}

#[test]
fn malformed_content_is_refused_and_never_an_end() {
    let ends = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ends);
    let app = Router::new().route(
        "/",
        post(move |body: Body| async move {
            let mut pieces = body.into_data_stream();
            while let Some(piece) = pieces.next().await {
                if piece.is_err() {
                    return;
                }
            }
            count.fetch_add(1, SeqCst);
        }),
    );
    let server = serve(app);
    let mut client = Client::connect(&server);
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nnonsense\r\n");
    assert!(client.read_until(b"\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert_eq!(server.end().defects, 0);
    assert_eq!(ends.load(SeqCst), 0);
}

/// Answers with the length of the content, and the trailers behind it.
pub(crate) fn counts_content() -> Router {
    Router::new().route(
        "/",
        post(|mut body: Body| async move {
            let (mut content, mut trailers) = (0, None);
            while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                match frame.unwrap().into_data() {
                    Ok(data) => content += data.len(),
                    Err(frame) => trailers = frame.into_trailers().ok(),
                }
            }
            format!("{content} {trailers:?}")
        }),
    )
}

#[test]
fn trailers_come_behind_chunked_content() {
    let server = serve(counts_content());
    let mut client = Client::connect(&server);
    for (trailers, expected) in [
        ("", "5 None"),
        ("X-Sum: 7\r\nx-sum: 8\r\n", r#"5 Some({"x-sum": "7", "x-sum": "8"})"#),
        // Fields that frame or route a message are none of a trailer.
        ("Content-Length: 3\r\nX-Sum: 9\r\nHost: other\r\n", r#"5 Some({"x-sum": "9"})"#),
    ] {
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}5\r\nhello\r\n0\r\n{trailers}\r\n").as_bytes());
        let answer = client.read_until(expected.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert_eq!(server.end().defects, 0);
}
