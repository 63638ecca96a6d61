//! Servers that replace each other, and reload, under the load of somebody else's client: the crate
//! `h2`. No request fails. One that GOAWAY or REFUSED_STREAM names as not processed is asked again, as
//! RFC 9113 section 8.7 has it, and counted.
//!
//! `RINGWAY_ROLLING_REQUESTS=100000` asks that often; `scripts/nightly` does.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::ResponseFuture;
use rustix::process::Signal;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::port;
use crate::server::{PATIENCE, Server};
use crate::site::{HELLO, Site};
use crate::trusting::Trusting;

/// Requests without another word, and connections.
const REQUESTS: i64 = 5_000;
const CONNECTIONS: usize = 8;
/// Requests at once on a connection.
const AT_ONCE: usize = 10;
/// Servers that end.
const ENDS: i64 = 4;

#[derive(Default)]
struct Load {
    /// Requests that are still to be asked: endless until the last server has ended.
    left: AtomicI64,
    done: AtomicI64,
    /// Requests that the server says it did not process.
    again: AtomicU64,
    failures: std::sync::Mutex<Vec<String>>,
}

/// Content that takes several frames and a while.
const FILM: usize = 200_000;
const WINDOW: u32 = FILM as u32;

fn serve(port: u16) -> Server {
    let site = Site::new();
    site.noise("film.bin", FILM);
    let listen = format!("--listen=127.0.0.1:{port}");
    // On a crowded machine opening a file may take longer than the default of ten seconds.
    let patient = ["--process-timeout=5m", "--response-timeout=5m", "--handshake-timeout=5m"];
    Server::start(site, &[&[listen.as_str(), "--drain-timeout=1h"], &patient[..]].concat())
}

/// Whether the server has said that it did not process a request.
fn was_not_processed(error: &h2::Error) -> bool {
    let reason = error.reason();
    (error.is_go_away() && error.is_remote() && reason == Some(h2::Reason::NO_ERROR))
        || (error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
}

/// Takes an answer. Returns what is wrong with it, if it is whole and not what was asked for.
async fn whole(answer: ResponseFuture) -> Result<Option<String>, h2::Error> {
    let answer = answer.await?;
    let (head, mut body) = answer.into_parts();
    let mut length = 0;
    let mut first = Bytes::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        if length == 0 {
            first = piece.clone();
        }
        length += piece.len();
    }
    let is_right =
        head.status == 200 && (length == FILM || (length == HELLO.len() && first == HELLO));
    Ok((!is_right).then(|| format!("{}, {length} bytes, of which first {first:?}", head.status)))
}

/// One connection after the other, until nothing is left to ask.
async fn client(port: u16, config: Arc<ClientConfig>, load: Arc<Load>) {
    let connector = TlsConnector::from(config);
    while load.left.load(SeqCst) > 0 {
        // Between two servers nobody listens, and one that drains takes no newcomers.
        let Ok(tcp) = TcpStream::connect(("127.0.0.1", port)).await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let name = "localhost".try_into().unwrap();
        let Ok(tls) = connector.connect(name, tcp).await else { continue };
        // Answers are taken in the order of their requests, so the windows have room for all of them.
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(AT_ONCE as u32 * WINDOW);
        let Ok((mut sender, connection)) = builder.handshake::<_, Bytes>(tls).await else {
            continue;
        };
        let connection = tokio::spawn(connection);
        let mut ends = false;
        while !ends {
            let mut asked = Vec::new();
            while asked.len() < AT_ONCE {
                if load.left.fetch_sub(1, SeqCst) <= 0 {
                    load.left.fetch_add(1, SeqCst);
                    ends = true;
                    break;
                }
                let path = if asked.len() % 5 == 4 { "film.bin" } else { "hello.txt" };
                let request = http::Request::get(format!("https://localhost/{path}"));
                let sent = match sender.clone().ready().await {
                    Ok(ready) => {
                        sender = ready;
                        sender.send_request(request.body(()).unwrap(), true)
                    }
                    Err(error) => Err(error),
                };
                match sent {
                    Ok((answer, _)) => asked.push(answer),
                    Err(error) => {
                        load.left.fetch_add(1, SeqCst);
                        log_unless_in_order(&load, &error);
                        ends = true;
                        break;
                    }
                }
            }
            ends |= finish(asked, &load).await;
        }
        drop(sender);
        let _ = connection.await;
    }
}

/// A request that was never sent may fail only because the connection ends in order.
fn log_unless_in_order(load: &Load, error: &h2::Error) {
    if !was_not_processed(error) {
        load.failures.lock().unwrap().push(format!("not sent: {error}"));
    }
}

/// Takes the answers. True if the server has said that it takes no more.
async fn finish(asked: Vec<ResponseFuture>, load: &Load) -> bool {
    let mut ends = false;
    for answer in asked {
        match whole(answer).await {
            Ok(None) => _ = load.done.fetch_add(1, SeqCst),
            Ok(Some(wrong)) => load.failures.lock().unwrap().push(wrong),
            Err(error) if was_not_processed(&error) => {
                load.left.fetch_add(1, SeqCst);
                load.again.fetch_add(1, SeqCst);
                ends = true;
            }
            Err(error) => load.failures.lock().unwrap().push(error.to_string()),
        }
    }
    ends
}

#[test]
fn no_request_fails_while_servers_replace_each_other_and_reload() {
    let requests =
        std::env::var("RINGWAY_ROLLING_REQUESTS").ok().and_then(|text| text.parse().ok());
    let requests: i64 = requests.unwrap_or(REQUESTS);
    let port = port::to_listen_at();
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting::default()))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    let load = Arc::new(Load::default());
    // However slowly servers follow each other here, clients have requests for all of them.
    load.left.store(i64::MAX / 2, SeqCst);
    let mut server = serve(port);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| runtime.spawn(client(port, Arc::clone(&config), Arc::clone(&load))))
        .collect();
    let (mut ended, mut reloads) = (0, 0);
    let (mut seen, mut deadline) = (0, Instant::now() + PATIENCE);
    loop {
        let done = load.done.load(SeqCst);
        let is_over = done >= requests && ended == ENDS;
        if is_over || !load.failures.lock().unwrap().is_empty() {
            break;
        }
        if done > seen {
            (seen, deadline) = (done, Instant::now() + PATIENCE);
        }
        assert!(Instant::now() < deadline, "{done} of {requests} requests, and no more come");
        if ended < ENDS && done > (ended + 1) * requests / (ENDS + 1) {
            server.signal(Signal::TERM);
            assert_eq!(server.wait().code(), Some(0), "{}", server.log());
            server = serve(port);
            ended += 1;
        } else {
            server.signal(Signal::HUP);
            reloads += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    load.left.store(0, SeqCst);
    let failures = load.failures.lock().unwrap().clone();
    assert!(
        failures.is_empty(),
        "{} failed: {:?}",
        failures.len(),
        &failures[..failures.len().min(5)]
    );
    runtime.block_on(async {
        for client in clients {
            tokio::time::timeout(PATIENCE, client).await.expect("a client ends").unwrap();
        }
    });
    let done = load.done.load(SeqCst);
    assert!(done >= requests, "{done} of {requests} requests");
    assert!(reloads > 0);
    eprintln!("{done} requests, {} asked again, {reloads} reloads", load.again.load(SeqCst));
}
