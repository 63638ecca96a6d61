//! Flow control, both ways. The client checks with every DATA frame that no window is exceeded.

use ringway_bench_h2::encode;
use ringway_bench_h2::frame::{WINDOW, code, flag, kind, put, setting};

use crate::peer::{Ended, asking};
use crate::site::{HELLO, Site, sha256};
use crate::target::Target;

const MEBIBYTE: usize = 1 << 20;

fn with_large() -> (Target, Vec<u8>) {
    let site = Site::new();
    let sum = site.noise("large.bin", 3 * MEBIBYTE + 17);
    (Target::start(site, &[]), sum)
}

#[test]
fn large_bodies_arrive_whole_through_default_windows() {
    let (target, sum) = with_large();
    let mut peer = target.connect();
    let streams: Vec<u32> = (0..4).map(|_| peer.ask("/large.bin")).collect();
    for stream in streams {
        assert_eq!(sha256(&peer.answer(stream).body), sum);
    }
    let largest = peer.data.iter().map(|(_, len)| *len).max();
    assert!(largest <= Some(16_384));
}

#[test]
fn large_bodies_arrive_whole_through_wide_windows_and_frames() {
    let (target, sum) = with_large();
    let settings =
        [(setting::INITIAL_WINDOW_SIZE, (1 << 31) - 1), (setting::MAX_FRAME_SIZE, (1 << 24) - 1)];
    let mut peer = target.connect_with(&settings);
    peer.generous = false;
    peer.open_window(0, (1 << 31) - 1 - WINDOW);
    let streams: Vec<u32> = (0..4).map(|_| peer.ask("/large.bin")).collect();
    for stream in streams {
        assert_eq!(sha256(&peer.answer(stream).body), sum);
    }
}

#[test]
fn windows_of_single_bytes() {
    let target = Target::plain(&[]);
    let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    peer.generous = false;
    let stream = peer.ask("/hello.txt");
    peer.until(|peer| peer.answers[&stream].status == 200);
    assert!(peer.answers[&stream].body.is_empty());
    for byte in 1..=HELLO.len() {
        peer.open_window(stream, 1);
        peer.until(|peer| peer.answers[&stream].body.len() == byte);
    }
    assert_eq!(peer.answer(stream).body, HELLO);
    peer.generous = true;
    peer.set(&[(setting::INITIAL_WINDOW_SIZE, 1)]);
    for _ in 0..5 {
        assert_eq!(peer.get("/hello.txt").body, HELLO);
    }
}

#[test]
fn an_empty_body_needs_no_window() {
    let site = Site::new();
    site.file("empty", b"");
    let target = Target::start(site, &[]);
    let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    assert_eq!(peer.get("/empty").status, 200);
    let stream = peer.request(&asking("HEAD", "/hello.txt"), true);
    assert_eq!(peer.answer(stream).field("content-length"), Some("17"));
}

#[test]
fn a_window_that_becomes_negative_is_waited_for() {
    let (target, sum) = with_large();
    let mut peer = target.connect();
    peer.generous = false;
    let stream = peer.ask("/large.bin");
    peer.until(|peer| peer.answers[&stream].body.len() == WINDOW as usize);
    // The stream's window is 0; now it is -65,535, and the connection's is opened.
    peer.set(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    peer.until(|peer| peer.acknowledged == 2);
    peer.open_window(0, 1 << 24);
    // Up to 0: nothing may come.
    peer.open_window(stream, WINDOW);
    peer.ping(*b"nothing!");
    peer.until(|peer| peer.pongs.contains(b"nothing!"));
    assert_eq!(peer.answers[&stream].body.len(), WINDOW as usize);
    peer.open_window(stream, 5);
    peer.until(|peer| peer.answers[&stream].body.len() == WINDOW as usize + 5);
    peer.open_window(stream, 1 << 24);
    assert_eq!(sha256(&peer.answer(stream).body), sum);
}

#[test]
fn a_larger_initial_window_opens_streams_that_wait() {
    let (target, sum) = with_large();
    let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    peer.generous = false;
    peer.open_window(0, 1 << 24);
    let streams: Vec<u32> = (0..3).map(|_| peer.ask("/large.bin")).collect();
    peer.until(|peer| peer.answers.values().all(|answer| answer.status == 200));
    peer.set(&[(setting::INITIAL_WINDOW_SIZE, 1 << 24)]);
    for stream in streams {
        assert_eq!(sha256(&peer.answer(stream).body), sum);
    }
}

#[test]
fn a_shut_connection_does_not_keep_heads_back() {
    let (target, _) = with_large();
    let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, 1 << 24)]);
    peer.generous = false;
    let large = peer.ask("/large.bin");
    peer.until(|peer| peer.answers[&large].body.len() == WINDOW as usize);
    // Neither a head nor an answer without a body needs the connection's window.
    let head = peer.request(&asking("HEAD", "/hello.txt"), true);
    assert_eq!(peer.answer(head).status, 200);
    let small = peer.ask("/hello.txt");
    peer.until(|peer| peer.answers[&small].status == 200);
    peer.open_window(0, 1 << 24);
    assert_eq!(peer.answer(small).body, HELLO);
    assert_eq!(peer.answer(large).body.len(), 3 * MEBIBYTE + 17);
}

#[test]
fn a_stream_that_waits_does_not_keep_others_back() {
    let (target, _) = with_large();
    let mut peer = target.connect();
    peer.open_window(0, 1 << 24);
    peer.generous = false;
    let large = peer.ask("/large.bin");
    peer.until(|peer| peer.answers[&large].body.len() == WINDOW as usize);
    for _ in 0..50 {
        assert_eq!(peer.get("/hello.txt").body, HELLO);
    }
    peer.open_window(large, 1 << 24);
    assert_eq!(peer.answer(large).body.len(), 3 * MEBIBYTE + 17);
}

#[test]
fn an_initial_window_that_overflows_a_stream_ends_the_connection() {
    let (target, _) = with_large();
    let mut peer = target.connect();
    peer.generous = false;
    let stream = peer.ask("/large.bin");
    peer.open_window(stream, (1 << 31) - 1 - WINDOW);
    // The connection's window holds it.
    peer.until(|peer| peer.answers[&stream].body.len() == WINDOW as usize);
    peer.set(&[(setting::INITIAL_WINDOW_SIZE, WINDOW + 100_000)]);
    peer.expect_away(code::FLOW_CONTROL_ERROR);
}

#[test]
fn what_a_client_sends_to_nobody_does_not_shut_the_connections_window() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let mut window = i64::from(WINDOW);
    let mut given = 0;
    // Three times the window, in uploads that are answered early, padding included.
    for round in 0..12 {
        let stream = peer.number();
        peer.expect(stream, "POST");
        let mut out = Vec::new();
        put(
            &mut out,
            kind::HEADERS,
            flag::END_HEADERS,
            stream,
            &encode::block(asking("POST", "/")),
        );
        peer.send(&out);
        for piece in 0..4 {
            let payload = [&[200][..], &[1; 3895], &[0; 200]].concat();
            // A client that keeps to the window must not be kept waiting for ever.
            peer.until(|peer| {
                let more: i64 = peer
                    .updates
                    .iter()
                    .filter(|(id, _)| *id == 0)
                    .map(|(_, by)| i64::from(*by))
                    .sum();
                window + more >= payload.len() as i64
            });
            assert!(peer.end.is_none(), "{:?}", peer.aways);
            window -= payload.len() as i64;
            given += payload.len();
            let end = if piece == 3 { flag::END_STREAM } else { 0 };
            peer.frame(kind::DATA, flag::PADDED | end, stream, &payload);
        }
        if round % 2 == 0 {
            assert_eq!(peer.ended(stream), Ended::Whole);
        }
    }
    assert!(given > 3 * WINDOW as usize - 16_384);
    peer.expect_alive();
}

#[test]
fn ten_thousand_small_frames_that_are_consumed() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let stream = peer.request(&asking("POST", "/"), false);
    // The server answers and may stop to listen to it; it must not take it amiss.
    for _ in 0..100 {
        let mut out = Vec::new();
        (0..100).for_each(|_| put(&mut out, kind::DATA, 0, stream, b"x"));
        assert!(peer.send(&out), "{:?}", peer.aways);
    }
    peer.frame(kind::DATA, flag::END_STREAM, stream, b"");
    assert_eq!(peer.ended(stream), Ended::Whole);
    assert!([None, Some(code::NO_ERROR)].contains(&peer.answers[&stream].reset));
    peer.expect_alive();
}
