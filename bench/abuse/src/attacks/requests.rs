//! Requests that are legal, and too many or too much work.
//!
//! The invariant: answers are read whole, so that it is the server's work that is abused and not
//! its patience with readers.

use std::io;

use crate::pacer::{Pacer, Signals};
use crate::site::{MIDDLING, PAGE};
use crate::target::{Target, Tls};

/// Requests of a pipelining connection, and of each batch.
const PIPELINED: u64 = 100_000;
const BATCH: u64 = 1_000;

/// Keeps a connection and does something on it so many times a second. A new one is made where the
/// old one was ended, or is said to be used up by `Ok(false)`.
fn again(
    target: &Target,
    signals: &Signals,
    rate: f64,
    mut act: impl FnMut(&mut Tls) -> io::Result<bool>,
) {
    let mut connection = None;
    signals.ready();
    let mut pacer = Pacer::new(rate);
    while pacer.wait(signals) {
        if connection.is_none() {
            connection = target.tls().ok();
        }
        let Some(tls) = &mut connection else {
            signals.turned_away();
            continue;
        };
        match act(tls) {
            Ok(true) => {}
            Ok(false) => connection = None,
            Err(_) => {
                signals.turned_away();
                connection = None;
            }
        }
    }
}

pub(super) fn pipeline(target: &Target, signals: &Signals) {
    // A head and nothing behind it.
    let request = b"HEAD /missing HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let batch = request.repeat(BATCH as usize);
    let mut asked = 0;
    let mut piece = vec![0; 64 << 10];
    again(target, signals, 20_000.0 / BATCH as f64, |tls| {
        tls.send(&batch)?;
        let mut answered = 0;
        let mut carried = 0;
        while answered < BATCH {
            let read = tls.read(&mut piece)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // Ends of heads, which may be split between two reads.
            for &byte in &piece[..read] {
                carried = match (carried, byte) {
                    (0 | 2, b'\r') => carried + 1,
                    (1, b'\n') => 2,
                    (3, b'\n') => {
                        answered += 1;
                        0
                    }
                    (_, b'\r') => 1,
                    _ => 0,
                };
            }
        }
        signals.did(BATCH);
        asked += BATCH;
        Ok(!asked.is_multiple_of(PIPELINED))
    });
}

pub(super) fn ranges(target: &Target, signals: &Signals) {
    let ranges: Vec<String> = (0..1_000).map(|at| format!("{at}-{}", at + 1)).collect();
    let request = format!(
        "GET /{} HTTP/1.1\r\nHost: localhost\r\nRange: bytes={}\r\n\r\n",
        MIDDLING.0,
        ranges.join(",")
    );
    one_by_one(target, signals, 200.0, &[request]);
}

pub(super) fn long_paths(target: &Target, signals: &Signals) {
    let dots = "/%2e".repeat(2_000);
    let query = format!("/{}?{}", PAGE.0, "q=1&".repeat(1_990));
    let requests =
        [dots, query].map(|path| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    one_by_one(target, signals, 1_000.0, &requests);
}

/// Sends requests in turn and reads each answer.
fn one_by_one(target: &Target, signals: &Signals, rate: f64, requests: &[String]) {
    let mut turns = requests.iter().cycle();
    again(target, signals, rate, |tls| {
        let Some(request) = turns.next() else { return Ok(false) };
        tls.send(request.as_bytes())?;
        tls.response()?;
        signals.did(1);
        Ok(true)
    });
}

pub(super) fn chunks(target: &Target, signals: &Signals) {
    let head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let batch = b"1\r\nx\r\n".repeat(500);
    let mut begun = false;
    again(target, signals, 100.0, |tls| {
        if !begun {
            tls.send(head)?;
        }
        let sent = tls.send(&batch);
        begun = sent.is_ok();
        signals.did(500);
        sent.map(|()| true)
    });
}
