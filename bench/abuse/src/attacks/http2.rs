//! HTTP/2: frames that are legal or nearly so, and too many or too much work.
//!
//! The invariant: what the server sends is read unless the attack is not to read, so that it is the
//! server's work that is abused and not its patience with readers.

mod faults;
mod floods;
mod held;

use std::io::{self, ErrorKind};
use std::time::Duration;

use ringway_bench_h2::encode;
use ringway_bench_h2::frame::{self, PREFACE, flag, kind, put};

use super::{Attack, attack};
use crate::pacer::{Pacer, Signals};
use crate::target::{Target, Tls};

/// All of them: one at least for each row of SECURITY.md's table that a client of files can attack.
pub(super) const ALL: [Attack; 22] = [
    attack(
        "rapid-reset",
        "20,000 requests a second, each cancelled at once",
        "requests",
        floods::rapid_reset,
    ),
    attack(
        "made-you-reset",
        "5,000 streams a second that the server is made to reset, by WINDOW_UPDATE of nothing",
        "streams",
        floods::made_you_reset,
    ),
    attack(
        "refused",
        "20,000 streams a second beyond the hundred that are open, by a client that acknowledges nothing",
        "streams",
        floods::refused,
    ),
    attack("malformed", "5,000 malformed heads and trailers a second", "heads", floods::malformed),
    attack(
        "continuations",
        "100 connections a second, each with a head in sixty CONTINUATIONs and no end",
        "connections",
        floods::continuations,
    ),
    attack(
        "hpack-bomb",
        "100 heads a second that refer 16,000 times to a field of 3,900 bytes",
        "heads",
        floods::hpack_bomb,
    ),
    attack(
        "cookies",
        "200 heads a second with 2,000 crumbs of a cookie each",
        "heads",
        floods::cookies,
    ),
    attack("pings", "20,000 PINGs a second", "frames", floods::pings),
    attack("settings", "10,000 SETTINGS a second", "frames", floods::settings),
    attack("priorities", "20,000 PRIORITY_UPDATEs a second", "frames", floods::priorities),
    attack(
        "empty-data",
        "20,000 DATA frames without content a second",
        "frames",
        floods::empty_data,
    ),
    attack(
        "tiny-data",
        "50,000 DATA frames of a byte a second that nobody reads",
        "frames",
        floods::tiny_data,
    ),
    attack("padding", "20,000 DATA frames of padding alone a second", "frames", floods::padding),
    attack(
        "window-updates",
        "20,000 WINDOW_UPDATEs of a byte a second",
        "frames",
        floods::window_updates,
    ),
    attack(
        "dribble",
        "100 streams of a 64 MiB file whose windows open by a byte, 10,000 a second together",
        "bytes",
        held::dribble,
    ),
    attack(
        "zero-windows",
        "100 connections of 100 streams each that ask for 64 MiB and open no window",
        "looks",
        held::zero_windows,
    ),
    attack(
        "held-answers",
        "100 connections of 100 streams each that ask for parts of a file and open no window",
        "looks",
        held::held_answers,
    ),
    attack(
        "slow-prefaces",
        "500 connections that send their preface a byte a second each",
        "bytes",
        held::slow_prefaces,
    ),
    attack(
        "slow-heads",
        "500 connections that send a head in CONTINUATIONs of a byte, one a second each",
        "frames",
        held::slow_heads,
    ),
    attack(
        "slow-bodies",
        "100 connections of 100 streams each that upload, a byte a second on one of them",
        "bytes",
        held::slow_bodies,
    ),
    attack(
        "faults",
        "200 connections a second, each ended by a frame that none may send",
        "connections",
        faults::faults,
    ),
    attack(
        "slow-readers",
        "200 connections of 10 streams each with wide windows that read 10 KB/s",
        "reads",
        held::slow_readers,
    ),
];

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
