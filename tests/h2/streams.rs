//! Streams: their numbers, how many at once, and what becomes of frames on those that have ended.

use ringway_bench_h2::encode::{self, Literal};
use ringway_bench_h2::frame::{code, flag, kind, put, put_reset, setting};

use crate::peer::{Ended, asking, get};
use crate::site::{HELLO, Site};
use crate::target::Target;

/// A window that lets nothing through, so that streams stay open.
const SHUT: [(u16, u32); 1] = [(setting::INITIAL_WINDOW_SIZE, 0)];

#[test]
fn numbers_rise() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    peer.expect(5, "GET");
    let block = encode::block(get("/hello.txt"));
    let flags = flag::END_HEADERS | flag::END_STREAM;
    peer.frame(kind::HEADERS, flags, 5, &block);
    assert_eq!(peer.answer(5).body, HELLO);
    // Stream 3 is closed by the use of 5 (RFC 9113 section 5.1.1).
    peer.frame(kind::HEADERS, flags, 3, &block);
    let away = peer.expect_any_away();
    assert!([code::PROTOCOL_ERROR, code::STREAM_CLOSED].contains(&away.code), "{away:?}");
    assert_eq!(away.last, 5);
}

#[test]
fn one_stream_too_many_is_refused_and_its_block_still_decoded() {
    let target = Target::plain(&["--h2-streams", "3"]);
    let mut peer = target.connect_with(&SHUT);
    peer.expect_streams(3);
    let open: Vec<u32> = (0..3).map(|_| peer.ask("/hello.txt")).collect();
    let mut block = vec![0x82, 0x87];
    encode::literal_at(&mut block, Literal::Indexed, 4, b"/hello.txt");
    encode::literal_at(&mut block, Literal::Indexed, 1, b"localhost");
    let refused = peer.block(&block, true);
    peer.expect_reset(refused, code::REFUSED_STREAM);
    peer.set(&[(setting::INITIAL_WINDOW_SIZE, 65_535)]);
    for stream in open {
        assert_eq!(peer.answer(stream).body, HELLO);
    }
    // The refused block's entries are in the table.
    let stream = peer.block(&[0x82, 0x87, 0xbe, 0xbf], true);
    assert_eq!(peer.answer(stream).body, HELLO);
}

#[test]
fn a_hundred_streams_at_once() {
    let site = Site::new();
    site.noise("some.bin", 40_000);
    let target = Target::start(site, &[]);
    let mut peer = target.connect_with(&SHUT);
    let streams: Vec<u32> = (0..100).map(|_| peer.ask("/some.bin")).collect();
    peer.until(|peer| peer.answers.values().all(|answer| answer.status == 200));
    peer.set(&[(setting::INITIAL_WINDOW_SIZE, 65_535)]);
    for stream in streams {
        assert_eq!(peer.answer(stream).body.len(), 40_000);
    }
    peer.expect_alive();
}

#[test]
fn a_cancelled_stream_makes_room_for_another() {
    let target = Target::plain(&["--h2-streams", "2"]);
    let mut peer = target.connect_with(&SHUT);
    peer.expect_streams(2);
    for _ in 0..20 {
        let (first, second) = (peer.ask("/hello.txt"), peer.ask("/hello.txt"));
        peer.until(|peer| peer.answers[&first].status > 0 && peer.answers[&second].status > 0);
        let mut out = Vec::new();
        put_reset(&mut out, first, code::CANCEL);
        put_reset(&mut out, second, code::CANCEL);
        peer.send(&out);
    }
    peer.set(&[(setting::INITIAL_WINDOW_SIZE, 65_535)]);
    peer.expect_alive();
}

#[test]
fn what_is_ignored_on_streams_that_have_ended() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let stream = peer.ask("/hello.txt");
    assert_eq!(peer.answer(stream).body, HELLO);
    // Chromium resets streams that ended long ago.
    for _ in 0..3 {
        peer.frame(kind::WINDOW_UPDATE, 0, stream, &[0, 0, 1, 0]);
        peer.frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8]);
        peer.frame(kind::PRIORITY, 0, stream, &[0, 0, 0, 0, 1]);
        peer.frame(kind::PRIORITY_UPDATE, 0, 0, &[0, 0, 0, stream as u8, b'u', b'=', b'1']);
    }
    peer.expect_alive();
}

#[test]
fn data_on_a_stream_that_has_ended_is_an_error() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let stream = peer.ask("/hello.txt");
    assert_eq!(peer.answer(stream).body, HELLO);
    peer.frame(kind::DATA, 0, stream, b"too late");
    // RST_STREAM(STREAM_CLOSED), or the same for the connection (RFC 9113 section 5.1).
    peer.until(|peer| peer.answers[&stream].reset.is_some());
    match peer.answers[&stream].reset {
        Some(code) => {
            assert_eq!(code, code::STREAM_CLOSED);
            peer.expect_alive();
        }
        None => assert_eq!(peer.aways.last().expect("GOAWAY").code, code::STREAM_CLOSED),
    }
}

#[test]
fn a_head_on_a_stream_that_has_ended_ends_the_connection() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let stream = peer.ask("/hello.txt");
    assert_eq!(peer.answer(stream).body, HELLO);
    let block = encode::block(get("/hello.txt"));
    peer.frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &block);
    let away = peer.expect_any_away();
    assert!([code::STREAM_CLOSED, code::PROTOCOL_ERROR].contains(&away.code), "{away:?}");
}

#[test]
fn what_is_on_its_way_to_a_stream_that_the_server_reset_is_dropped() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let stream = peer.number();
    peer.expect(stream, "POST");
    // Malformed, with all that an honest client may have sent before it hears of it. Its trailers
    // must be decoded: the table of the next block depends on it.
    let mut out = Vec::new();
    let fields = [&asking("POST", "/"), &[("connection", "close")][..]].concat();
    put(&mut out, kind::HEADERS, flag::END_HEADERS, stream, &encode::block(fields));
    for _ in 0..3 {
        put(&mut out, kind::DATA, 0, stream, &[0; 1000]);
    }
    put(&mut out, kind::WINDOW_UPDATE, 0, stream, &[0, 0, 0, 9]);
    let mut trailers = Vec::new();
    encode::literal(&mut trailers, Literal::Indexed, b"x-trailer", b"kept");
    put(&mut out, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &trailers);
    let next = peer.number();
    peer.expect(next, "GET");
    let block = [encode::block(get("/hello.txt")), vec![0xbe]].concat();
    put(&mut out, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, next, &block);
    peer.send(&out);
    assert_eq!(peer.ended(stream), Ended::Reset(code::PROTOCOL_ERROR));
    assert_eq!(peer.answer(next).body, HELLO);
    peer.expect_alive();
}

#[test]
fn data_beyond_the_end_of_a_stream_is_an_error() {
    let target = Target::plain(&[]);
    let mut peer = target.connect_with(&SHUT);
    let stream = peer.ask("/hello.txt");
    peer.until(|peer| peer.answers[&stream].status > 0);
    // Half-closed by the client, still open for the server.
    peer.frame(kind::DATA, flag::END_STREAM, stream, b"more");
    peer.until(|peer| peer.answers[&stream].reset.is_some());
    match peer.answers[&stream].reset {
        Some(code) => assert_eq!(code, code::STREAM_CLOSED),
        None => assert_eq!(peer.aways.last().expect("GOAWAY").code, code::STREAM_CLOSED),
    }
}
