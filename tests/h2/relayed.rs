//! Long content of a server behind, which goes through the memory that it is sent from. In a guest that is there
//! to test kernel TLS, the kernel has to seal all of it.

use std::io::Write as _;
use std::net::TcpStream;

use ringway_bench_h2::frame::{code, kind, setting};

use crate::peer::Ended;
use crate::server::Server;
use crate::target::Target;
use crate::upstream::{Request, Then, Upstream};

const LONG: usize = 1_000_000;

/// Content that differs from offset to offset, and from path to path.
fn content(path: &str, bytes: usize) -> Vec<u8> {
    let salt = path.bytes().map(u64::from).sum::<u64>();
    let noise = |at: u64| ((at + 7 * salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8;
    (0..bytes as u64).map(noise).collect()
}

/// Answers a path that ends with `/N` with the first N bytes of long content.
fn script(request: &Request, stream: &mut TcpStream) -> Then {
    let path = request.path();
    let bytes = path.rsplit('/').next().unwrap().parse().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n");
    // Ringway may leave at any time.
    let _ = stream.write_all(&[head.as_bytes(), &content(path, bytes)].concat());
    if bytes < LONG { Then::Close } else { Then::Continue }
}

fn start() -> (Upstream, Target) {
    let upstream = Upstream::start(script);
    let target = Target::of(Server::seen_proxy(&[&upstream.address], &[]));
    (upstream, target)
}

#[test]
fn long_content_keeps_to_windows_small_and_large() {
    let (_upstream, target) = start();
    let mut sealed = 0;
    for window in [1_000, 16_384, 65_535, 200_000, 1 << 30] {
        let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, window)]);
        peer.open_window(0, 1 << 30);
        for round in 0..2 {
            let path = format!("/{window}/{round}/{LONG}");
            assert!(peer.get(&path).body == content(&path, LONG), "{path}");
            sealed += LONG as u64;
        }
    }
    target.server().expect_kernel_tls(sealed, 1);
}

/// In odd steps, and where SETTINGS take back what was granted while it is received.
#[test]
fn long_content_keeps_to_windows_that_move() {
    let (_upstream, target) = start();
    for steps in [[70_000, 9_000, 131_072], [300_000, 1, 40_000]] {
        let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, 200_000)]);
        peer.generous = false;
        let paths = [format!("/a/{LONG}"), format!("/b/{LONG}")];
        let streams = paths.each_ref().map(|path| peer.ask(path));
        let mut rounds = 0..2000;
        while streams.iter().any(|stream| !peer.answers[stream].whole) {
            let round = rounds.next().expect("content stops though its windows open");
            peer.set(&[(setting::INITIAL_WINDOW_SIZE, [20_000, 200_000][round % 2])]);
            for stream in [0].into_iter().chain(streams) {
                if stream == 0 || !peer.answers[&stream].whole {
                    peer.open_window(stream, steps[round % 3]);
                }
            }
            peer.glance();
        }
        for (stream, path) in streams.into_iter().zip(&paths) {
            assert!(peer.answer(stream).body == content(path, LONG));
        }
    }
    target.server().expect_kernel_tls(4 * LONG as u64, 1);
}

#[test]
fn long_content_that_is_cut_costs_its_stream() {
    let (_upstream, target) = start();
    let mut peer = target.connect();
    for cut in [0, 60_000, 131_072, 300_001, 999_999] {
        let stream = peer.ask(&format!("/{cut}"));
        assert_eq!(peer.ended(stream), Ended::Reset(code::INTERNAL_ERROR), "{cut}");
    }
    assert_eq!(peer.get(&format!("/{LONG}")).body.len(), LONG);
    target.server().expect_kernel_tls(LONG as u64, 1);
}

/// What its client aborts costs the streams beside it nothing, wherever it was: waiting for memory, received,
/// or about to leave.
#[test]
fn a_download_that_is_aborted_leaves_the_others_whole() {
    let (_upstream, target) = start();
    let path = format!("/{LONG}");
    let mut sealed = 0;
    for window in [20_000, 150_000, 1 << 30] {
        let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, window)]);
        peer.open_window(0, 1 << 30);
        for until in [0, 1, 100_000, 500_000, 900_000] {
            let [beside, aborted] = [peer.ask(&path), peer.ask(&path)];
            peer.until(|peer| peer.answers[&aborted].body.len() >= until);
            peer.frame(kind::RST_STREAM, 0, aborted, &code::CANCEL.to_be_bytes());
            assert!(peer.answer(beside).body == content(&path, LONG), "{window}, {until}");
            sealed += LONG as u64;
        }
        // Behind what may still have come for a stream that is no more.
        peer.ping(*b"the end.");
        peer.until(|peer| peer.pongs.contains(b"the end."));
        assert!(peer.aways.is_empty() && peer.end.is_none(), "{:?}", peer.aways);
        // With the connection, amid one.
        let left = peer.ask(&path);
        peer.until(|peer| peer.answers[&left].body.len() >= 100_000);
    }
    target.server().expect_kernel_tls(sealed, 1);
}
