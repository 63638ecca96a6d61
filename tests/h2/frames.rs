//! Frames that the protocol forbids, and those that it wants ignored or answered.

use ringway_bench_h2::frame::{PREFACE, WINDOW, code, flag, kind, put, put_settings, setting};

use crate::peer::{Ended, Peer, get};
use crate::site::{HELLO, Site};
use crate::target::Target;

/// A frame: kind, flags, stream, payload.
type Sent<'a> = (u8, u8, u32, &'a [u8]);

#[test]
fn settings_are_those_of_a_server_that_bounds_its_streams() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    assert_eq!(peer.get("/hello.txt").body, HELLO);
    let of = |id| peer.settings.iter().find(|(other, _)| *other == id).map(|(_, value)| *value);
    assert_eq!(of(setting::MAX_CONCURRENT_STREAMS), Some(100));
    assert_eq!(of(setting::ENABLE_PUSH), None, "a server may only say that it does not push");
    assert!(of(setting::MAX_FRAME_SIZE).is_none_or(|size| size == 16_384));
    if target.server.is_some() {
        assert_eq!(of(setting::NO_RFC7540_PRIORITIES), Some(1));
        // 16 KiB of names and values, and 32 bytes for each of 100 fields and 256 cookies.
        assert_eq!(of(setting::MAX_HEADER_LIST_SIZE), Some((16 << 10) + 32 * 356));
    }
    assert_eq!(peer.acknowledged, 1);
}

#[test]
fn frames_that_end_the_connection() {
    let target = Target::plain(&[]);
    let settings = |id: u16, value: u32| {
        let mut out = Vec::new();
        put_settings(&mut out, &[(id, value)]);
        out.split_off(9)
    };
    let [push, small, large, window] = [
        settings(setting::ENABLE_PUSH, 2),
        settings(setting::MAX_FRAME_SIZE, 16_383),
        settings(setting::MAX_FRAME_SIZE, 1 << 24),
        settings(setting::INITIAL_WINDOW_SIZE, 1 << 31),
    ];
    let long = vec![0; 16_386];
    let cases: [(&str, Sent<'_>, u32); 32] = [
        ("a long PING", (kind::PING, 0, 0, &[0; 9]), code::FRAME_SIZE_ERROR),
        ("a short PING", (kind::PING, 0, 0, &[0; 7]), code::FRAME_SIZE_ERROR),
        ("PING of a stream", (kind::PING, 0, 1, &[0; 8]), code::PROTOCOL_ERROR),
        ("SETTINGS in part", (kind::SETTINGS, 0, 0, &[0; 5]), code::FRAME_SIZE_ERROR),
        ("SETTINGS of a stream", (kind::SETTINGS, 0, 1, &[]), code::PROTOCOL_ERROR),
        (
            "an ACK that says something",
            (kind::SETTINGS, flag::ACK, 0, &[0; 6]),
            code::FRAME_SIZE_ERROR,
        ),
        ("ENABLE_PUSH of 2", (kind::SETTINGS, 0, 0, &push), code::PROTOCOL_ERROR),
        ("a MAX_FRAME_SIZE below the least", (kind::SETTINGS, 0, 0, &small), code::PROTOCOL_ERROR),
        ("a MAX_FRAME_SIZE above the most", (kind::SETTINGS, 0, 0, &large), code::PROTOCOL_ERROR),
        ("a window above 2^31-1", (kind::SETTINGS, 0, 0, &window), code::FLOW_CONTROL_ERROR),
        ("a long DATA", (kind::DATA, 0, 1, &long), code::FRAME_SIZE_ERROR),
        ("a long SETTINGS", (kind::SETTINGS, 0, 0, &long), code::FRAME_SIZE_ERROR),
        ("a long unknown frame", (0xbb, 0, 0, &long), code::FRAME_SIZE_ERROR),
        ("WINDOW_UPDATE in part", (kind::WINDOW_UPDATE, 0, 0, &[0; 3]), code::FRAME_SIZE_ERROR),
        ("WINDOW_UPDATE of nothing", (kind::WINDOW_UPDATE, 0, 0, &[0; 4]), code::PROTOCOL_ERROR),
        (
            "a window that overflows",
            (kind::WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]),
            code::FLOW_CONTROL_ERROR,
        ),
        (
            "WINDOW_UPDATE of an idle stream",
            (kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            code::PROTOCOL_ERROR,
        ),
        ("RST_STREAM in part", (kind::RST_STREAM, 0, 1, &[0; 3]), code::FRAME_SIZE_ERROR),
        ("RST_STREAM of the connection", (kind::RST_STREAM, 0, 0, &[0; 4]), code::PROTOCOL_ERROR),
        ("RST_STREAM of an idle stream", (kind::RST_STREAM, 0, 1, &[0; 4]), code::PROTOCOL_ERROR),
        ("DATA of the connection", (kind::DATA, 0, 0, b"x"), code::PROTOCOL_ERROR),
        ("DATA of an idle stream", (kind::DATA, 0, 1, b"x"), code::PROTOCOL_ERROR),
        (
            "HEADERS of the connection",
            (kind::HEADERS, flag::END_HEADERS, 0, b"\x82"),
            code::PROTOCOL_ERROR,
        ),
        (
            "HEADERS of an even stream",
            (kind::HEADERS, flag::END_HEADERS, 2, b"\x82"),
            code::PROTOCOL_ERROR,
        ),
        (
            "padding beyond HEADERS",
            (kind::HEADERS, flag::END_HEADERS | flag::PADDED, 1, b"\x05\x82"),
            code::PROTOCOL_ERROR,
        ),
        ("PRIORITY of the connection", (kind::PRIORITY, 0, 0, &[0; 5]), code::PROTOCOL_ERROR),
        ("PRIORITY in part", (kind::PRIORITY, 0, 1, &[0; 4]), code::FRAME_SIZE_ERROR),
        ("PUSH_PROMISE", (kind::PUSH_PROMISE, flag::END_HEADERS, 1, &[0; 4]), code::PROTOCOL_ERROR),
        (
            "CONTINUATION of nothing",
            (kind::CONTINUATION, flag::END_HEADERS, 1, b"\x82"),
            code::PROTOCOL_ERROR,
        ),
        ("GOAWAY of a stream", (kind::GOAWAY, 0, 1, &[0; 8]), code::PROTOCOL_ERROR),
        ("GOAWAY in part", (kind::GOAWAY, 0, 0, &[0; 7]), code::FRAME_SIZE_ERROR),
        (
            "PRIORITY_UPDATE of stream 0",
            (kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\0u=1"),
            code::PROTOCOL_ERROR,
        ),
    ];
    for (what, (kind, flags, stream, payload), code) in cases {
        eprintln!("{what}");
        let mut peer = target.connect();
        peer.frame(kind, flags, stream, payload);
        let away = peer.expect_away(code);
        assert!(target.server.is_none() || !away.debug.is_empty(), "a GOAWAY says why: {what}");
    }
}

#[test]
fn frames_that_end_their_stream_alone() {
    let site = Site::new();
    site.noise("large.bin", 100_000);
    let target = Target::start(site, &[]);
    let most = [0x7f, 255, 255, 255];
    let cases: [(&str, Sent<'_>, u32); 2] = [
        ("WINDOW_UPDATE of nothing", (kind::WINDOW_UPDATE, 0, 1, &[0; 4]), code::PROTOCOL_ERROR),
        ("a window that overflows", (kind::WINDOW_UPDATE, 0, 1, &most), code::FLOW_CONTROL_ERROR),
    ];
    for (what, (kind, flags, stream, payload), code) in cases {
        eprintln!("{what}");
        // The connection's window holds the stream, whose own has one byte left.
        let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, WINDOW + 1)]);
        peer.generous = false;
        assert_eq!(peer.ask("/large.bin"), stream);
        peer.until(|peer| peer.answers[&1].body.len() == WINDOW as usize);
        peer.frame(kind, flags, stream, payload);
        assert_eq!(peer.ended(stream), Ended::Reset(code), "{what}");
        peer.open_window(0, WINDOW);
        peer.expect_alive();
    }
}

#[test]
fn what_is_unknown_is_ignored() {
    let target = Target::plain(&[]);
    let mut peer = target.connect_with(&[(0xff, 7), (0x1234, u32::MAX)]);
    peer.frame(0xee, 0xff, 0, b"whatever");
    peer.frame(0xee, 0, 0, &[0; 16_384]);
    peer.frame(kind::PING, 0xfe, 0, b"ping me!");
    peer.until(|peer| peer.pongs.contains(b"ping me!"));
    // An acknowledgement that nobody waits for.
    peer.frame(kind::PING, flag::ACK, 0, b"ping me?");
    // The reserved bit of a stream's number.
    let mut out = Vec::new();
    put(&mut out, kind::WINDOW_UPDATE, 0, 1 << 31, &[0, 0, 0, 1]);
    peer.send(&out);
    // An unknown flag, and the priority of RFC 7540, of which nothing is left but its length.
    let block = ringway_bench_h2::encode::block(get("/hello.txt"));
    let payload = [&[0x80, 0, 0, 11, 200][..], &block].concat();
    peer.expect(1, "GET");
    let flags = flag::END_STREAM | flag::END_HEADERS | flag::PRIORITY | 0x42;
    peer.frame(kind::HEADERS, flags, 1, &payload);
    assert_eq!(peer.answer(1).body, HELLO);
    peer.frame(kind::PRIORITY, 0, 9, &[0, 0, 0, 3, 1]);
    peer.expect_alive();
}

#[test]
fn padding_is_no_content() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let block = ringway_bench_h2::encode::block(get("/hello.txt"));
    for padding in [0, 1, 255] {
        let payload = [&[padding][..], &block, &vec![0; usize::from(padding)]].concat();
        let stream = peer.number();
        peer.expect(stream, "GET");
        let flags = flag::END_STREAM | flag::END_HEADERS | flag::PADDED;
        peer.frame(kind::HEADERS, flags, stream, &payload);
        assert_eq!(peer.answer(stream).body, HELLO);
    }
}

#[test]
fn a_preface_in_any_pieces() {
    let target = Target::plain(&[]);
    let mut all = PREFACE.to_vec();
    put_settings(&mut all, &[(setting::INITIAL_WINDOW_SIZE, 65_535)]);
    let block = ringway_bench_h2::encode::block(get("/hello.txt"));
    put(&mut all, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &block);
    for piece in [1, 2, 7, 23, 24, 25, 33, all.len()] {
        let mut peer = target.connect_silent();
        peer.expect(1, "GET");
        for bytes in all.chunks(piece) {
            assert!(peer.send(bytes));
        }
        assert_eq!(peer.answer(1).body, HELLO, "in pieces of {piece}");
    }
}

#[test]
fn after_the_choice_of_http2_anything_but_its_preface_is_an_error() {
    let target = Target::plain(&[]);
    let mut settings = Vec::new();
    put_settings(&mut settings, &[]);
    let mut ping = PREFACE.to_vec();
    put(&mut ping, kind::PING, 0, 0, &[0; 8]);
    let mut acknowledged = PREFACE.to_vec();
    put(&mut acknowledged, kind::SETTINGS, flag::ACK, 0, &[]);
    for (what, bytes) in [
        ("HTTP/1.1", &b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"[..]),
        ("another preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\n\n"),
        ("SETTINGS without a preface", &settings),
        ("PING before SETTINGS", &ping),
        ("an acknowledgement before SETTINGS", &acknowledged),
    ] {
        eprintln!("{what}");
        let mut peer = target.connect_silent();
        peer.send(bytes);
        peer.expect_away(code::PROTOCOL_ERROR);
    }
}

#[test]
fn a_client_that_never_acknowledges_settings_is_served() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    peer.polite = false;
    for _ in 0..20 {
        assert_eq!(peer.get("/hello.txt").body, HELLO);
    }
}

#[test]
fn heads_in_as_many_frames_as_are_allowed() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let block = ringway_bench_h2::encode::block(get("/hello.txt"));
    let continued = |peer: &mut Peer, pieces: &[&[u8]]| {
        let stream = peer.number();
        peer.expect(stream, "GET");
        let mut out = Vec::new();
        for (place, piece) in pieces.iter().enumerate() {
            let end = if place == pieces.len() - 1 { flag::END_HEADERS } else { 0 };
            let (kind, flags) = match place {
                0 => (kind::HEADERS, flag::END_STREAM | end),
                _ => (kind::CONTINUATION, end),
            };
            put(&mut out, kind, flags, stream, piece);
        }
        peer.send(&out);
        stream
    };
    // Every split into two, among them an empty HEADERS and an empty last CONTINUATION.
    for at in 0..=block.len() {
        let stream = continued(&mut peer, &[&block[..at], &block[at..]]);
        assert_eq!(peer.answer(stream).body, HELLO, "split at {at}");
    }
    // Eight CONTINUATIONs.
    let pieces: Vec<&[u8]> = block.chunks(block.len().div_ceil(9)).collect();
    assert!(pieces.len() <= 9);
    let stream = continued(&mut peer, &pieces);
    assert_eq!(peer.answer(stream).body, HELLO);
}
