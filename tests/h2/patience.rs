//! Honest shapes that look like floods and must never be cut.

use ringway_bench_h2::encode;
use ringway_bench_h2::frame::{code, flag, kind, put, put_reset, setting};

use crate::peer::get;
use crate::site::{HELLO, Site};
use crate::target::Target;

#[test]
fn a_burst_of_a_hundred_cancels_and_a_ping_with_each() {
    let site = Site::new();
    site.noise("some.bin", 200_000);
    let target = Target::start(site, &[]);
    let mut peer = target.connect();
    peer.open_window(0, 1 << 24);
    for with_pings in [false, true] {
        let mut out = Vec::new();
        let block = encode::block(get("/some.bin"));
        let streams: Vec<u32> = (0..100).map(|_| peer.number()).collect();
        for &stream in &streams {
            peer.expect(stream, "GET");
            put(&mut out, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &block);
        }
        assert!(peer.send(&out));
        out.clear();
        // Go's client sends a PING with each RST_STREAM.
        for &stream in &streams {
            put_reset(&mut out, stream, code::CANCEL);
            if with_pings {
                put(&mut out, kind::PING, 0, 0, &[stream as u8; 8]);
            }
        }
        assert!(peer.send(&out));
        // A page that is looked at: patience comes back with every answer.
        for _ in 0..300 {
            assert_eq!(peer.get("/hello.txt").body, HELLO);
        }
        assert!(peer.aways.is_empty(), "{:?}", peer.aways);
    }
}

#[test]
fn a_thousand_requests_with_a_window_update_and_a_ping_each() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    for number in 0..1000_u32 {
        // As the client does by itself for each DATA, and a PING.
        peer.ping(u64::from(number).to_be_bytes());
        assert_eq!(peer.get("/hello.txt").body, HELLO);
    }
    peer.until(|peer| peer.pongs.len() == 1000);
    assert!(peer.aways.is_empty(), "{:?}", peer.aways);
}

#[test]
fn a_download_that_is_paused() {
    let site = Site::new();
    site.noise("film.bin", 1 << 20);
    let target = Target::start(site, &[]);
    let mut peer = target.connect();
    peer.generous = false;
    let film = peer.ask("/film.bin");
    peer.until(|peer| peer.answers[&film].body.len() == 65_535);
    peer.open_window(0, 1 << 24);
    peer.generous = true;
    // Others go on meanwhile.
    for _ in 0..100 {
        assert_eq!(peer.get("/hello.txt").body, HELLO);
    }
    peer.open_window(film, 1 << 24);
    assert_eq!(peer.answer(film).body.len(), 1 << 20);
}

#[test]
fn settings_that_change_now_and_then() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    for round in 0..50 {
        peer.set(&[(setting::INITIAL_WINDOW_SIZE, 20 + round), (setting::HEADER_TABLE_SIZE, 4096)]);
        assert_eq!(peer.get("/hello.txt").body, HELLO);
    }
    peer.until(|peer| peer.acknowledged == 51);
    peer.expect_alive();
}
