//! What Ringway gives applications besides the exchange itself.

use std::{
    cell::Cell,
    convert::Infallible,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Extension,
    routing::get,
};
use tokio_stream::{Stream, StreamExt as _};

use super::{
    client::Client,
    leaving::until,
    server::{serve, start},
};

#[test]
fn a_handler_may_run_to_its_end() {
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (begins, ends) = (Arc::clone(&begun), Arc::clone(&ended));
    let app = Router::new()
        .route(
            "/",
            get(move || async move {
                begins.fetch_add(1, SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
                ends.fetch_add(1, SeqCst);
                "done"
            }),
        )
        .route("/panic", get(|| async { assert!(std::env::args().count() == 0, "on purpose") }))
        .layer(ringway::to_the_end());
    let server = serve(app);
    for round in 1..10 {
        let mut client = Client::connect(&server);
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        until(|| begun.load(SeqCst) == round);
        drop(client);
        until(|| ended.load(SeqCst) == round);
    }
    assert!(server.curl("/", &[]).ends_with("done"));
    assert!(server.curl("/panic", &[]).starts_with("HTTP/1.1 500 "));
}

#[test]
fn a_stream_without_end_ends_with_the_server() {
    fn events(on: &ringway::Connection) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let draining = on.draining();
        tokio::spawn(async move {
            sender.send(Ok(Bytes::from_static(b"begun"))).await.unwrap();
            draining.await;
            sender.send(Ok(Bytes::from_static(b"ended"))).await.unwrap();
        });
        tokio_stream::wrappers::ReceiverStream::new(receiver)
    }
    let app = Router::new().route(
        "/",
        get(|Extension(on): Extension<ringway::Connection>| async move {
            Body::from_stream(events(&on).map(|piece| piece))
        }),
    );
    let server = serve(app);
    let mut client = Client::connect(&server);
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.read_until(b"begun\r\n");
    server.get().handle().drain(Duration::from_secs(60));
    let (text, ended) = client.read_to_end();
    assert!(text.ends_with("ended\r\n0\r\n\r\n") && ended, "{text}");
    assert_eq!(server.end().defects, 0);
}

#[test]
fn tasks_may_belong_to_the_thread_of_a_worker() {
    #[derive(Clone)]
    struct Local;

    impl tower_service::Service<http::Request<ringway::Body>> for Local {
        type Response = http::Response<String>;
        type Error = Infallible;
        type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: http::Request<ringway::Body>) -> Self::Future {
            Box::pin(async {
                let count = Rc::new(Cell::new(0));
                let theirs = Rc::clone(&count);
                let task = tokio::task::spawn_local(async move {
                    for _ in 0..3 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        theirs.set(theirs.get() + 1);
                    }
                });
                task.await.unwrap();
                Ok(http::Response::new(count.get().to_string()))
            })
        }
    }

    let server = start(|builder| builder.service_per_worker(|_| async { Local }));
    for _ in 0..5 {
        assert!(server.curl("/", &[]).ends_with("\r\n\r\n3"));
    }
    server.end();
}

#[test]
fn a_server_ends_on_a_signal_within_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let app = Router::new().route("/", get(|| async { "hello" }));
        let folder = tempfile::tempdir().unwrap();
        let server = ringway::Server::builder()
            .root(folder.path())
            .listen("127.0.0.1:0".parse().unwrap())
            .workers(1)
            .service(app)
            .start()
            .unwrap();
        let address = server.addresses()[0];
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(async move {
            let curl = tokio::task::spawn_blocking(move || {
                let url = format!("https://{address}/");
                std::process::Command::new("curl").args(["-sk", &url]).output().unwrap().stdout
            });
            assert_eq!(curl.await.unwrap(), b"hello");
            stop.send(()).unwrap();
        });
        let counts = server.shutdown_on(stopped).await.unwrap();
        assert_eq!(counts.defects, 0);
    });
}

#[cfg(feature = "axum")]
#[test]
fn a_handler_of_axum_finds_its_peer() {
    use std::net::SocketAddr;

    use axum::extract::ConnectInfo;

    let app = Router::new().route(
        "/",
        get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
    );
    assert!(serve(app).curl("/", &[]).contains("\r\n\r\n127.0.0.1:"));
}
