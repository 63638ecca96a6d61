//! Long content of requests, of which much is waited for at once while it comes fast: nobody may notice.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use ringway::config::Config;
use tokio_stream::StreamExt as _;

use super::{
    client::{Client, reset},
    leaving::{Guard, until},
    server::{Running, configured, kernel_tls_is_required},
};

/// A server with a listener without TLS. `/totals` answers each piece with the bytes that have come until
/// then, `/sum` the whole with its length and sum; `reading` counts the handlers of `/totals` that have not
/// ended.
fn serve(reading: &Arc<AtomicUsize>) -> Running {
    let reading = Arc::clone(reading);
    let totals = move |body: Body| async move {
        let (guard, mut total) = (Guard::new(&reading), 0);
        Body::from_stream(body.into_data_stream().map(move |piece| {
            let _ = &guard;
            total += piece.as_ref().map_or(0, Bytes::len);
            piece.map(|_| format!("={total};"))
        }))
    };
    let sum = |body: Body| async move {
        let (mut bytes, mut sum) = (0, 0_u64);
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.unwrap();
            bytes += piece.len();
            sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }
        format!("{bytes} {sum}.")
    };
    let app = Router::new()
        .route("/totals", post(totals))
        .route("/sum", post(sum))
        .route("/", get(|| async { "next" }))
        .layer(DefaultBodyLimit::disable());
    let mut config = Config::default();
    config.plain = vec!["127.0.0.1:0".parse().unwrap()];
    config.limits.body_bytes = 64 << 20;
    // A slow guest needs long for content, and one client waits while the other sends.
    config.timeouts.idle = Duration::from_secs(3_600);
    config.timeouts.body_progress = Duration::from_secs(3_600);
    configured(config, |builder| builder.service(app))
}

/// Ends the server, which has found no defect. In a guest that is there to test kernel TLS, the kernel has
/// opened at least so many bytes.
fn end(server: Running, least: u64) {
    if kernel_tls_is_required() {
        until(|| server.get().anatomy().ledger.receive_flows(true, true).0 >= least);
    }
    assert_eq!(server.end().defects, 0);
}

fn plain(server: &Running) -> TcpStream {
    let stream = TcpStream::connect(server.get().plain_addresses()[0]).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn head(path: &str, length: usize) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n").into()
}

/// Reads until what was read ends with this.
fn await_end(stream: &mut impl Read, end: &str) {
    let (mut all, mut byte) = (Vec::new(), [0]);
    while !all.ends_with(end.as_bytes()) {
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} instead of {end}"));
        all.extend_from_slice(&byte);
    }
}

/// Sends content in these steps and holds back the rest until what came is answered.
fn hold_back(stream: &mut (impl Read + Write), steps: &[usize]) {
    stream.write_all(&head("/totals", steps.iter().sum())).unwrap();
    let mut total = 0;
    for step in steps {
        stream.write_all(&content(*step)).unwrap();
        stream.flush().unwrap();
        total += step;
        await_end(stream, &format!("={total};\r\n"));
    }
    await_end(stream, "0\r\n\r\n");
}

#[test]
fn what_came_is_answered_while_the_client_holds_back_the_rest() {
    const STEPS: [usize; 8] = [300_000, 400_000, 1, 900_000, 70, 2_000_000, 131_072, 4_000_000];
    let server = serve(&Arc::default());
    let (mut secured, mut plain) = (Client::connect(&server), plain(&server));
    for _ in 0..2 {
        hold_back(&mut secured.0, &STEPS);
        hold_back(&mut plain, &STEPS);
    }
    drop((secured, plain));
    // What came with the handshake was opened before the kernel took over.
    end(server, 2 * STEPS.iter().sum::<usize>() as u64 - (64 << 10));
}

fn upload(stream: &mut (impl Read + Write), length: usize) {
    let content = content(length);
    let sum: u64 = content.iter().map(|byte| u64::from(*byte)).sum();
    let next = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(&[&head("/sum", length), &content[..], next].concat()).unwrap();
    stream.flush().unwrap();
    await_end(stream, &format!("\r\n\r\n{length} {sum}."));
    await_end(stream, "\r\n\r\nnext");
}

/// On connections whose clients have proved to be fast, and with a request behind each.
#[test]
fn uploads_of_any_length_are_whole() {
    let server = serve(&Arc::default());
    let (mut secured, mut plain) = (Client::connect(&server), plain(&server));
    for eighths in 1..=24 {
        for length in [eighths * 16_384 - 1, eighths * 16_384, eighths * 16_384 + 1] {
            upload(&mut secured.0, length);
            upload(&mut plain, length);
        }
    }
    upload(&mut secured.0, 8_000_000);
    upload(&mut plain, 8_000_000);
    drop((secured, plain));
    end(server, 8_000_000);
}

#[test]
fn an_end_amid_long_content_ends_its_handler() {
    let reading = Arc::default();
    let server = serve(&reading);
    for how in 0..4 {
        // Some are kept until their handlers have ended.
        let mut client = Client::connect(&server);
        client.send(&head("/totals", 4_000_000));
        client.send(&content(700_001));
        until(|| reading.load(SeqCst) == 1);
        match how {
            0 => reset(client),
            1 => drop(client),
            2 => client.0.sock.shutdown(Shutdown::Write).unwrap(),
            _ => {
                client.0.conn.send_close_notify();
                client.0.flush().unwrap();
            }
        }
        until(|| reading.load(SeqCst) == 0);
    }
    end(server, 1);
}
