//! Deadlines. Each test sets the one that it is about to a second or less, and waits for what must
//! then happen; none asserts how long it took.

use std::time::{Duration, Instant};

use ringway_bench_h2::encode;
use ringway_bench_h2::frame::{PREFACE, code, flag, kind, put, setting};

use crate::client::End;
use crate::peer::{asking, get};
use crate::server::{PATIENCE, Server};
use crate::site::{HELLO, Site};
use crate::target::Target;

#[test]
fn prefaces_and_heads_that_do_not_come() {
    let target = Target::plain(&["--head-timeout", "1s"]);
    let block = encode::block(get("/hello.txt"));
    let mut begun = PREFACE.to_vec();
    put(&mut begun, kind::SETTINGS, 0, 0, &[]);
    let settings = begun.len();
    put(&mut begun, kind::HEADERS, flag::END_STREAM, 1, &block);
    for (what, bytes) in [
        ("nothing", &b""[..]),
        ("half a preface", &PREFACE[..12]),
        ("a preface without SETTINGS", PREFACE),
        ("half of SETTINGS", &begun[..settings - 4]),
        ("half a HEADERS frame", &begun[..begun.len() - 5]),
        ("HEADERS without END_HEADERS", &begun),
    ] {
        eprintln!("{what}");
        let mut peer = target.connect_silent();
        peer.send(bytes);
        let away = peer.expect_any_away();
        assert!(away.last == 0 && !away.debug.is_empty(), "{what}: {away:?}");
    }
}

#[test]
fn heads_that_come_byte_by_byte_for_ever() {
    let target = Target::plain(&["--head-timeout", "1s"]);
    let mut peer = target.connect();
    peer.expect(1, "GET");
    let mut out = Vec::new();
    put(&mut out, kind::HEADERS, flag::END_STREAM | flag::END_HEADERS, 1, &[0x82; 10_000]);
    for byte in out {
        if !peer.send(&[byte]) || peer.end.is_some() {
            break;
        }
        peer.glance();
        std::thread::sleep(Duration::from_millis(10));
    }
    peer.expect_any_away();
}

/// As many pieces as a head may have, each of a byte, and each later than the one before.
#[test]
fn heads_that_come_in_frames_of_a_byte() {
    let target = Target::plain(&["--head-timeout", "1s"]);
    let block = encode::block(get("/hello.txt"));
    let mut peer = target.connect();
    peer.expect(1, "GET");
    peer.frame(kind::HEADERS, flag::END_STREAM, 1, &block[..1]);
    for byte in &block[1..9] {
        if peer.end.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
        peer.frame(kind::CONTINUATION, 0, 1, &[*byte]);
        peer.glance();
    }
    let away = peer.expect_any_away();
    assert!(away.last == 0 && !away.debug.is_empty(), "{away:?}");
}

#[test]
fn idle_connections_end_and_pings_do_not_prolong_them() {
    let target = Target::plain(&["--idle-timeout", "1s"]);
    let mut quiet = target.connect();
    assert_eq!(quiet.get("/hello.txt").body, HELLO);
    let mut pinging = target.connect();
    assert_eq!(pinging.get("/hello.txt").body, HELLO);
    let deadline = Instant::now() + PATIENCE;
    while pinging.end.is_none() {
        assert!(Instant::now() < deadline, "PINGs keep a connection for ever");
        // It may have ended meanwhile.
        pinging.ping([1; 8]);
        pinging.glance();
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(pinging.aways.last().expect("GOAWAY").code, code::NO_ERROR);
    quiet.expect_away(code::NO_ERROR);
}

#[test]
fn a_stream_whose_window_stays_shut_is_cancelled_alone() {
    let site = Site::new();
    site.noise("film.bin", 1 << 20);
    let target = Target::start(site, &["--response-timeout", "1s"]);
    let mut peer = target.connect();
    peer.open_window(0, 1 << 24);
    peer.generous = false;
    let film = peer.ask("/film.bin");
    // Others are served all the time.
    while peer.answers[&film].reset.is_none() {
        assert_eq!(peer.get("/hello.txt").body, HELLO);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(peer.answers[&film].reset, Some(code::CANCEL));
    peer.expect_alive();
}

#[test]
fn a_window_that_is_opened_by_single_bytes_is_as_good_as_shut() {
    let site = Site::new();
    site.noise("film.bin", 1 << 20);
    let target = Target::start(site, &["--response-timeout", "1s"]);
    let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    peer.generous = false;
    let film = peer.ask("/film.bin");
    let deadline = Instant::now() + PATIENCE;
    while peer.answers[&film].reset.is_none() && peer.end.is_none() {
        assert!(Instant::now() < deadline, "a byte now and then keeps a stream for ever");
        peer.open_window(film, 1);
        peer.glance();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(peer.answers[&film].reset, Some(code::CANCEL), "{:?}", peer.aways);
}

#[test]
fn a_client_that_reads_nothing_behind_open_windows_is_cut_off() {
    let site = Site::new();
    site.noise("film.bin", 32 << 20);
    let target = Target::start(site, &["--response-timeout", "1s"]);
    let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, 1 << 30)]);
    peer.generous = false;
    peer.open_window(0, 1 << 30);
    peer.ask("/film.bin");
    let before = target.server.as_ref().map(Server::descriptors);
    let deadline = Instant::now() + PATIENCE;
    while peer.ping([2; 8]) {
        assert!(Instant::now() < deadline, "a client that reads nothing keeps its connection");
        std::thread::sleep(Duration::from_millis(100));
    }
    peer.until(|peer| peer.end.is_some());
    assert_ne!(peer.end, Some(End::Notified));
    assert!(!peer.answers[&1].whole);
    if let (Some(server), Some(before)) = (&target.server, before) {
        server.settle(before);
    }
    target.connect().expect_alive();
}

#[test]
fn a_body_that_does_not_come_costs_its_stream_only() {
    let target = Target::plain(&["--body-timeout", "1s"]);
    let mut peer = target.connect();
    let fields = [&asking("POST", "/")[..], &[("content-length", "1000")]].concat();
    let stream = peer.request(&fields, false);
    peer.frame(kind::DATA, 0, stream, &[0; 10]);
    peer.until(|peer| peer.answers[&stream].ended().is_some());
    // An answer, or none; and the stream is not open for ever.
    peer.until(|peer| peer.answers[&stream].reset.is_some());
    assert!(peer.answers[&stream].reset.is_some(), "{:?}", peer.aways);
    peer.expect_alive();
}

/// Behind its answer, a request may neither pause nor dribble: nobody reads its content, but its place is
/// held.
#[test]
fn a_body_that_nobody_reads_may_not_dribble() {
    let target = Target::plain(&["--body-timeout", "1s", "--body-min-rate", "1000"]);
    let mut peer = target.connect();
    let fields = [&asking("POST", "/")[..], &[("content-length", "100000")]].concat();
    let stream = peer.request(&fields, false);
    let deadline = Instant::now() + PATIENCE;
    while peer.answers[&stream].reset.is_none() && peer.end.is_none() {
        assert!(Instant::now() < deadline, "ten bytes now and then keep a stream for ever");
        peer.frame(kind::DATA, 0, stream, &[0; 10]);
        peer.glance();
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(peer.answers[&stream].reset, Some(code::NO_ERROR), "{:?}", peer.aways);
    peer.expect_alive();
}
