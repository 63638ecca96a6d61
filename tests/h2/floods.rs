//! Floods: what costs the server more than the client ends with GOAWAY, its memory stays where it was,
//! and an honest client beside it notices nothing.

use std::time::Instant;

use ringway_bench_h2::encode;
use ringway_bench_h2::frame::{
    self, MAX_WINDOW, WINDOW, code, flag, kind, put, put_reset, setting,
};

use crate::client::End;
use crate::peer::{Answer, Away, Peer, asking, get};
use crate::server::{PATIENCE, Server};
use crate::site::Site;
use crate::target::Target;

/// Sends what `next` makes until the server ends the connection, and returns its last GOAWAY.
fn flood(peer: &mut Peer, mut next: impl FnMut(&mut Peer, &mut Vec<u8>)) -> Away {
    let deadline = Instant::now() + PATIENCE;
    peer.polite = true;
    while peer.end.is_none() && peer.aways.iter().all(|away| away.code == code::NO_ERROR) {
        assert!(Instant::now() < deadline, "a flood without an end");
        let mut out = Vec::new();
        for _ in 0..50 {
            next(peer, &mut out);
        }
        let sent = peer.send(&out);
        peer.glance();
        if !sent {
            break;
        }
    }
    peer.until(|peer| peer.end.is_some());
    // The flood may still be on its way when the server has done with it, and TCP answers what comes
    // for a socket that is gone with a reset; the GOAWAY was there before.
    assert!(matches!(peer.end, Some(End::Notified | End::Reset)), "{:?}", peer.end);
    peer.aways.last().expect("a GOAWAY").clone()
}

/// Floods a fresh connection beside an honest one.
fn calmed(what: &str, settings: &[(u16, u32)], next: impl FnMut(&mut Peer, &mut Vec<u8>)) {
    let site = Site::new();
    site.noise("large.bin", 100_000);
    let target = Target::start(site, &[]);
    let mut honest = target.connect();
    honest.expect_alive();
    // What is served is in memory before anything is counted, and so is memory to send it from.
    for _ in 0..20 {
        assert_eq!(honest.get("/large.bin").body.len(), 100_000);
    }
    let before = target.server.as_ref().map(Server::anonymous_kib);
    let mut peer = target.connect_with(settings);
    let away = flood(&mut peer, next);
    // Ended for it, or sent elsewhere before it came to that: then nothing was open any more.
    let calm = [code::ENHANCE_YOUR_CALM, code::NO_ERROR];
    assert!(calm.contains(&away.code), "{what}: {away:?}");
    let says = !away.debug.is_empty();
    assert!(says, "{what}: it says which bound was met");
    honest.expect_alive();
    if let (Some(server), Some(before)) = (&target.server, before) {
        let grown = server.anonymous_kib().saturating_sub(before);
        // Receive buffers that are used for the first time count; they are the worker's.
        assert!(grown < 8192, "{what}: {grown} KiB");
    }
}

#[test]
fn rapid_reset() {
    calmed("requests that are cancelled at once", &[], |peer, out| {
        let stream = peer.number();
        peer.expect(stream, "GET");
        let block = encode::block(get("/hello.txt"));
        put(out, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &block);
        put_reset(out, stream, code::CANCEL);
    });
}

#[test]
fn resets_that_the_server_is_made_to_send() {
    let block = encode::block(get("/hello.txt"));
    let shut = [(setting::INITIAL_WINDOW_SIZE, 0)];
    let open = |peer: &mut Peer, out: &mut Vec<u8>| {
        let stream = peer.number();
        peer.expect(stream, "GET");
        put(out, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &block);
        stream
    };
    calmed("WINDOW_UPDATE of nothing", &shut, |peer, out| {
        let stream = open(peer, out);
        frame::put_window_update(out, stream, 0);
    });
    let mut large = 0;
    calmed("windows that overflow", &[], |peer, out| {
        if large == 0 {
            // The connection's window holds all streams from here on.
            peer.generous = false;
            large = peer.ask("/large.bin");
            peer.until(|peer| peer.answers[&large].body.len() == WINDOW as usize);
        }
        let stream = open(peer, out);
        frame::put_window_update(out, stream, MAX_WINDOW);
    });
    calmed("DATA beyond END_STREAM", &shut, |peer, out| {
        let stream = open(peer, out);
        put(out, kind::DATA, 0, stream, b"x");
    });
    let malformed = encode::block([&get("/hello.txt")[..], &[("connection", "close")]].concat());
    calmed("malformed heads", &[], |peer, out| {
        let stream = peer.number();
        peer.expect(stream, "GET");
        put(out, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &malformed);
    });
    let short = encode::block([&asking("POST", "/")[..], &[("content-length", "1")]].concat());
    calmed("DATA beyond Content-Length", &[], |peer, out| {
        let stream = peer.number();
        peer.expect(stream, "POST");
        put(out, kind::HEADERS, flag::END_HEADERS, stream, &short);
        put(out, kind::DATA, flag::END_STREAM, stream, b"xy");
    });
}

/// A hundred streams are held, and others are asked for all the same.
#[test]
fn streams_that_are_refused_again_and_again() {
    let block = encode::block(get("/large.bin"));
    calmed("streams beyond the limit", &[(setting::INITIAL_WINDOW_SIZE, 0)], |peer, out| {
        let stream = peer.number();
        peer.expect(stream, "GET");
        put(out, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &block);
    });
}

/// Content in frames of one byte that nobody reads: as much is dropped as of any other content.
#[test]
fn content_in_frames_of_a_byte_that_nobody_reads() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let stream = peer.request(&asking("POST", "/"), false);
    let mut pieces = Vec::new();
    (0..1000).for_each(|_| put(&mut pieces, kind::DATA, 0, stream, b"x"));
    let allowed = |peer: &Peer, of: u32| {
        let updates = peer.updates.iter().filter(|(stream, _)| *stream == of);
        WINDOW + updates.map(|(_, by)| *by).sum::<u32>()
    };
    let (mut sent, deadline) = (0, Instant::now() + PATIENCE);
    while peer.answers[&stream].reset.is_none() && peer.end.is_none() {
        assert!(Instant::now() < deadline, "content that nobody reads is read for ever");
        if sent + 1000 <= allowed(&peer, stream).min(allowed(&peer, 0)) {
            peer.send(&pieces);
            sent += 1000;
        }
        peer.glance();
    }
    assert_eq!(peer.answers[&stream].reset, Some(code::NO_ERROR), "{:?}", peer.aways);
    peer.expect_alive();
}

#[test]
fn pings_settings_and_priorities() {
    calmed("PING", &[], |_, out| put(out, kind::PING, 0, 0, b"ping me!"));
    calmed("SETTINGS", &[], |_, out| put(out, kind::SETTINGS, 0, 0, &[]));
    calmed("PRIORITY", &[], |_, out| put(out, kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 9]));
    calmed("PRIORITY_UPDATE", &[], |_, out| {
        put(out, kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1");
    });
    calmed("unknown frames", &[], |_, out| put(out, 0xfa, 0, 0, b"x"));
    calmed("window updates of a byte", &[], |_, out| frame::put_window_update(out, 0, 1));
}

#[test]
fn empty_and_tiny_frames() {
    for (what, flags, payload) in [
        ("DATA without content", 0, &b""[..]),
        ("DATA of padding alone", flag::PADDED, b"\x02\0\0"),
    ] {
        let mut stream = 0;
        calmed(what, &[], |peer, out| {
            if stream == 0 {
                stream = peer.number();
                peer.expect(stream, "POST");
                let block = encode::block(asking("POST", "/"));
                put(out, kind::HEADERS, flag::END_HEADERS, stream, &block);
            }
            put(out, kind::DATA, flags, stream, payload);
        });
    }
}

#[test]
fn heads_in_too_many_pieces() {
    let target = Target::plain(&[]);
    let block = encode::block(get("/hello.txt"));
    for (what, pieces) in [
        ("an empty one", vec![&block[..], b"", b""]),
        ("nine of them", block.chunks(block.len().div_ceil(10)).collect::<Vec<_>>()),
    ] {
        let mut peer = target.connect();
        let mut out = Vec::new();
        put(&mut out, kind::HEADERS, flag::END_STREAM, 1, pieces[0]);
        for piece in &pieces[1..] {
            put(&mut out, kind::CONTINUATION, 0, 1, piece);
        }
        peer.expect(1, "GET");
        peer.send(&out);
        let away = peer.expect_away(code::ENHANCE_YOUR_CALM);
        assert!(!away.debug.is_empty(), "{what}");
    }
    // A block without an end, each piece as long as a frame may be.
    let mut peer = target.connect();
    peer.expect(1, "GET");
    let mut out = Vec::new();
    put(&mut out, kind::HEADERS, flag::END_STREAM, 1, &[0x82; 16_384]);
    for _ in 0..4 {
        put(&mut out, kind::CONTINUATION, 0, 1, &[0x82; 16_384]);
    }
    peer.send(&out);
    peer.expect_away(code::ENHANCE_YOUR_CALM);
}

#[test]
fn a_frame_within_a_head() {
    let target = Target::plain(&[]);
    let block = encode::block(get("/hello.txt"));
    for (what, kind, stream) in [
        ("PING", kind::PING, 0),
        ("CONTINUATION of another stream", kind::CONTINUATION, 3),
        ("DATA", kind::DATA, 1),
        ("an unknown frame", 0xfa, 1),
    ] {
        eprintln!("{what}");
        let mut peer = target.connect();
        let mut out = Vec::new();
        put(&mut out, kind::HEADERS, flag::END_STREAM, 1, &block);
        put(&mut out, kind, 0, stream, &[0; 8]);
        peer.expect(1, "GET");
        peer.send(&out);
        peer.expect_away(code::PROTOCOL_ERROR);
    }
}

/// Answers behind shut windows, until no memory is left for them on either worker.
#[test]
fn clients_that_hold_all_they_can_keep_no_other_from_being_answered() {
    let site = Site::new();
    for number in 0..20 {
        site.noise(&format!("{number}.bin"), 1000);
    }
    // The honest ones say nothing until the others have filled it.
    let target = Target::start(site, &["--idle-timeout", "1h"]);
    let mut honest = [target.connect(), target.connect(), target.connect()];
    let (mut held, mut refused) = (Vec::new(), 0);
    while refused < 16 {
        assert!(held.len() < 400, "the memory for answers has no end");
        let mut peer = target.connect_with(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
        // One after the other, so that the last look-up takes the last memory.
        for number in 0..100 {
            let stream = peer.ask(&format!("/none-{number}"));
            let said = |answer: &Answer| answer.status == 404 || answer.reset.is_some();
            peer.until(|peer| said(&peer.answers[&stream]));
            if peer.answers[&stream].reset.is_some() {
                refused += 1;
                break;
            }
        }
        held.push(peer);
    }
    for peer in &mut honest {
        // Each is looked up for the first time by one of the workers.
        for number in 0..20 {
            assert_eq!(peer.get(&format!("/{number}.bin")).body.len(), 1000);
        }
        assert_eq!(peer.get("/none").status, 404);
    }
}
