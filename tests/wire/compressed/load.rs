//! Compressing under load: what is shed, and how much memory encoders take.

use std::{
    io::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
};

use super::{
    streamed::{HTML, answer, in_front_of, send},
    *,
};
use crate::proxy::upstream::{Request, Then, Upstream};

/// So many streams take all encoders of both workers; what comes then goes as it is, and the server says so.
#[test]
fn a_worker_without_a_place_for_an_encoder_sends_the_plain_content_and_says_so() {
    let content = page("the answer", 200);
    let answered = content.clone();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::start(move |request: &Request, stream| {
        if request.path() == "/plain" {
            return answer(stream, HTML, &answered);
        }
        send(stream, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
        // Until the test is over.
        let _ = wait.lock().map(|wait| wait.recv());
        Then::Close
    });
    let admin = crate::port::to_listen_at();
    let server = in_front_of(&upstream, &format!("[observe]\nadmin = '127.0.0.1:{admin}'\n"));
    let metric = |name: &str| crate::guard::metric(admin, name);
    let mut streams = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while streams.len() < 2 * 32 {
        let mut client = server.connect();
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n");
        if client.try_head().unwrap().field("Content-Encoding").is_some() {
            streams.push(client);
        }
        assert!(Instant::now() < deadline, "the worker never has time: {}", streams.len());
    }
    let before = metric("ringway_compression_shed_total");
    let mut client = server.connect();
    let plain = get(&mut client, "/plain", "gzip");
    assert_eq!((plain.field("Content-Encoding"), &plain.body), (None, &content));
    assert!(plain.lists("Vary", "Accept-Encoding"));
    crate::guard::expect_metric(admin, "ringway_compression_shed_total", before + 1);
    let report = crate::guard::exchange(
        admin,
        b"GET /anatomy.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert!(report.contains("\"compression_shed\""), "the page says so");
    // A worker logs a few lines a second: those above may have been so many.
    let deadline = Instant::now() + PATIENCE;
    while !server.log().contains("the worker compresses 32 others") {
        assert!(Instant::now() < deadline, "{}", server.log());
        sleep(Duration::from_millis(500));
        assert_eq!(get(&mut client, "/plain", "gzip").field("Content-Encoding"), None);
    }
    // A place that is free again is taken again.
    drop(streams);
    drop(go);
    let coded = until_coded(&mut client, "/plain", "gzip");
    assert_eq!(decoded(&coded), content);
    let all = "ringway_compressed_answers_total{coding=\"gzip\"}";
    crate::guard::expect_metric(admin, all, 2 * 32 + 1);
}

/// Encoders of all codings at work in every place of both workers, with clients that take nothing: the
/// upstreams are held back, and the memory stays within its ceiling.
#[test]
fn clients_that_take_nothing_hold_their_upstreams_back() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let upstream = Upstream::start(move |request: &Request, stream| {
        send(stream, format!("HTTP/1.1 200 OK\r\n{HTML}\r\n").as_bytes());
        // Half of it is noise, so that coded content fills what lies between.
        let mut state = request.head.len() as u64 + 1;
        loop {
            let mut piece = Vec::with_capacity(1 << 16);
            while piece.len() < 1 << 16 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                piece.extend_from_slice(format!("{:x} ", state >> 20).as_bytes());
            }
            if stream.write_all(&piece).is_err() {
                break;
            }
            counted.fetch_add(piece.len(), SeqCst);
        }
        let _ = wait.lock().map(|wait| wait.try_recv());
        Then::Close
    });
    let server = in_front_of(&upstream, "");
    let before = resident(server.pid());
    let mut streams = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while streams.len() < 2 * 32 {
        let mut client = server.connect();
        let coding = ["zstd", "br", "gzip"][streams.len() % 3];
        let request =
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: {coding}\r\n\r\n");
        client.send(request.as_bytes());
        if client.try_head().unwrap().field("Content-Encoding") == Some(coding) {
            streams.push(client);
        }
        assert!(Instant::now() < deadline, "the workers never have time: {}", streams.len());
    }
    // All are held back once nothing moves for a while.
    let mut last = usize::MAX;
    let mut same = 0;
    while same < 10 {
        let now = sent.load(SeqCst);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        assert!(Instant::now() < deadline, "the upstreams are never held back");
        sleep(Duration::from_millis(100));
    }
    let grown = resident(server.pid()).saturating_sub(before);
    println!("{grown} bytes for 64 encoders, {last} bytes were sent");
    assert!(grown < 64 * (4 << 20), "{grown}");
    drop(streams);
    drop(go);
}

/// Bytes that a process has in memory.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}
