//! Clients that leave, and servers that stop.

use std::{
    convert::Infallible,
    net::Shutdown,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    routing::{get, post},
};
use tokio_stream::StreamExt as _;

use super::{
    client::{Client, reset},
    server::serve,
};

/// Waits for what must happen.
#[track_caller]
pub(crate) fn until(mut what: impl FnMut() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(300), "it did not happen");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Counts itself for as long as it lives.
pub(crate) struct Guard(Arc<AtomicUsize>);

impl Guard {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Content of one piece that counts itself.
struct Counted {
    piece: Option<Bytes>,
    _guard: Guard,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.piece.take().map(|piece| Ok(http_body::Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_none()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.piece.as_ref().map_or(0, Bytes::len) as u64)
    }
}

/// The connection stays, and nothing of an answer that was whole at once does.
#[test]
fn an_answer_is_dropped_once_it_is_given() {
    let live = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&live);
    let answer = move || async move {
        Body::new(Counted { piece: Some(Bytes::from_static(b"fine")), _guard: Guard::new(&count) })
    };
    let server = serve(Router::new().route("/", get(answer)));
    let mut client = Client::connect(&server);
    for _ in 0..3 {
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.read_until(b"fine");
        until(|| live.load(SeqCst) == 0);
    }
}

#[test]
fn a_client_that_leaves_ends_its_handler() {
    let live = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&live);
    let reading = Arc::clone(&live);
    let app = Router::new()
        .route(
            "/wait",
            get(move || async move {
                let _guard = Guard::new(&count);
                std::future::pending::<()>().await;
            }),
        )
        .route(
            "/read",
            post(move |body: Body| async move {
                let _guard = Guard::new(&reading);
                let mut pieces = body.into_data_stream();
                while pieces.next().await.is_some() {}
            }),
        );
    let server = serve(app);
    for round in 0..6 {
        let mut client = Client::connect(&server);
        if round % 2 == 0 {
            client.send(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
        } else {
            client
                .send(b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nfive.");
        }
        until(|| live.load(SeqCst) == 1);
        if round % 3 == 0 {
            client.0.conn.send_close_notify();
            let _ = client.0.conn.write_tls(&mut client.0.sock);
        }
        drop(client);
        until(|| live.load(SeqCst) == 0);
    }
    let counts = server.end();
    assert_eq!(counts.defects, 0);
}

/// A client that has sent more than its handler asks for, from which nothing is received any more.
#[test]
fn a_client_that_has_sent_ahead_is_seen_to_leave() {
    let live = Arc::new(AtomicUsize::new(0));
    let [waits, posted, streams] = [(); 3].map(|()| Arc::clone(&live));
    let app = Router::new()
        .route(
            "/wait",
            get(move || async move {
                let _guard = Guard::new(&waits);
                std::future::pending::<()>().await;
            }),
        )
        .route(
            "/post",
            post(move |_body: Body| async move {
                let _guard = Guard::new(&posted);
                std::future::pending::<()>().await;
            }),
        )
        .route(
            "/stream",
            get(move || async move {
                let guard = Guard::new(&streams);
                Body::from_stream(tokio_stream::pending::<Result<&str, Infallible>>().map(
                    move |piece| {
                        let _ = &guard;
                        piece
                    },
                ))
            }),
        );
    let server = serve(app);
    let asks: [&[u8]; 3] = [
        b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\nGET /wait HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\nthe beginning",
        b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\nGET /wait HTTP/1.1\r\n",
    ];
    let leaves: [fn(Client); 2] = [reset, |client| {
        client.0.sock.shutdown(Shutdown::Write).unwrap();
        // The socket stays open: no reset follows.
        std::mem::forget(client);
    }];
    for (asks, leaves) in asks.into_iter().flat_map(|asks| leaves.map(|leaves| (asks, leaves))) {
        let mut client = Client::connect(&server);
        client.send(asks);
        until(|| live.load(SeqCst) == 1);
        leaves(client);
        until(|| live.load(SeqCst) == 0);
    }
    let counts = server.end();
    assert_eq!(counts.defects, 0);
}

/// Many clients leave in mid-handler, while content is read or an answer is sent: nothing of them is
/// missing afterwards.
#[test]
fn whatever_clients_leave_behind_is_given_back() {
    const CLIENTS: usize = 60;
    let rounds = std::env::var("RINGWAY_LEAVING_ROUNDS").ok();
    // The nightly run has 10,000 clients.
    let rounds: usize = rounds.map_or(30, |rounds| rounds.parse().expect("a number"));
    let live = Arc::new(AtomicUsize::new(0));
    let counts = [(); 3].map(|()| Arc::clone(&live));
    let [waits, reads, sends] = counts;
    let app = Router::new()
        .route(
            "/wait",
            get(move || async move {
                let _guard = Guard::new(&waits);
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }),
        )
        .route(
            "/read",
            post(move |body: Body| async move {
                let _guard = Guard::new(&reads);
                let mut kept = Vec::new();
                let mut pieces = body.into_data_stream();
                while let Some(piece) = pieces.next().await {
                    kept.push(piece);
                }
            }),
        )
        .route(
            "/send",
            get(move || async move {
                let guard = Guard::new(&sends);
                let pieces = std::iter::repeat_with(move || {
                    let _ = &guard;
                    Ok::<_, std::convert::Infallible>(axum::body::Bytes::from_static(&[0; 10_000]))
                });
                Body::from_stream(tokio_stream::iter(pieces))
            }),
        );
    let server = serve(app);
    let account = || {
        let anatomy = server.get().anatomy();
        let worker = anatomy.workers[0].as_ref().expect("the worker answers");
        (anatomy.connections(), worker.ring)
    };
    let (_, before) = account();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let open = descriptors();
    let config = super::server::client_config();
    for round in 0..rounds {
        let mut clients: Vec<_> =
            (0..CLIENTS).map(|_| Client::connect_with(&server, Arc::clone(&config))).collect();
        for (at, client) in clients.iter_mut().enumerate() {
            match (at + round) % 3 {
                0 => client.send(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n"),
                1 => {
                    let head =
                        b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n";
                    client.send(&[&head[..], &vec![b'x'; 1000 * at]].concat());
                }
                _ => client.send(b"GET /send HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            }
        }
        until(|| live.load(SeqCst) == CLIENTS);
        drop(clients);
        until(|| live.load(SeqCst) == 0);
    }
    until(|| account().0 == 0);
    // What the worker itself waits for is not always all in flight.
    until(|| account().1.in_flight <= before.in_flight + 4);
    // Every buffer is home, and nothing is queued.
    until(|| {
        let (_, after) = account();
        after.receive_buffers_free == after.receive_buffers && after.write_queue_bytes == 0
    });
    // Other tests of this process open and close theirs.
    until(|| descriptors() <= open + 200);
    let counts = server.end();
    assert_eq!((counts.defects, counts.requests > 0), (0, true));
}

#[test]
fn a_client_that_reads_nothing_holds_its_stream_back() {
    let polled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&polled);
    let app = Router::new().route(
        "/",
        get(move || async move {
            let pieces = std::iter::repeat_with(move || {
                count.fetch_add(1, SeqCst);
                Ok::<_, std::convert::Infallible>(axum::body::Bytes::from_static(&[0; 16_384]))
            });
            Body::from_stream(tokio_stream::iter(pieces))
        }),
    );
    let server = serve(app);
    let mut client = Client::connect(&server);
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.read_until(b"\r\n\r\n");
    // However long it takes until nothing moves: what the sockets hold is some megabytes.
    let mut before = 0;
    until(|| {
        thread::sleep(Duration::from_millis(200));
        let now = polled.load(SeqCst);
        std::mem::replace(&mut before, now) == now
    });
    assert!(
        polled.load(SeqCst) < 4096,
        "64 MiB and more were polled for a client that reads nothing"
    );
}

#[test]
fn a_drain_lets_exchanges_finish() {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let app = Router::new().route(
        "/",
        get(move || async move {
            count.fetch_add(1, SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
            "done"
        }),
    );
    let server = serve(app);
    let mut client = Client::connect(&server);
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until(|| begun.load(SeqCst) == 1);
    server.get().handle().drain(Duration::from_secs(60));
    let answer = client.read_until(b"done");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
    server.end();
}
