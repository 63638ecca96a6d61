//! Records that cost work and carry nothing.
//!
//! The invariant: every record is sealed with the connection's keys, so that it is a client that
//! has shaken hands which misbehaves.

use std::io;

use ringway_bench_tls::record::Content;

use crate::pacer::{Pacer, Signals};
use crate::site::PAGE;
use crate::target::{Raw, Target, Tls};

/// Sends a batch of so many, so many times a second, on a connection for as long as it lives.
fn batches<C>(
    signals: &Signals,
    rate: f64,
    count: u64,
    open: impl Fn() -> io::Result<C>,
    send: impl Fn(&mut C) -> io::Result<()>,
) {
    let mut connection = None;
    signals.ready();
    let mut pacer = Pacer::new(rate);
    while pacer.wait(signals) {
        if connection.is_none() {
            connection = open().ok();
        }
        let sent = connection.as_mut().map(&send);
        signals.did(count);
        if !matches!(sent, Some(Ok(()))) {
            signals.turned_away();
            connection = None;
        }
    }
}

pub(super) fn key_updates(target: &Target, signals: &Signals) {
    // By rustls, which changes its own keys with each.
    let send = |tls: &mut Tls| {
        for _ in 0..100 {
            tls.session.refresh_traffic_keys().map_err(io::Error::other)?;
        }
        tls.send(b"")
    };
    batches(signals, 100.0, 100, || asked(target), send);
}

/// A connection that has asked for something, as one whose records follow a request.
fn asked(target: &Target) -> io::Result<Tls> {
    let mut tls = target.tls()?;
    tls.send(format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", PAGE.0).as_bytes())?;
    tls.response()?;
    Ok(tls)
}

fn sealed(raw: &mut Raw, count: usize, content: Content, bytes: &[u8]) -> io::Result<()> {
    for _ in 0..count {
        raw.seal(content, bytes)?;
    }
    raw.flush()
}

pub(super) fn empty(target: &Target, signals: &Signals) {
    batches(signals, 100.0, 200, || target.raw(), |raw| sealed(raw, 200, Content::Data, b""));
}

pub(super) fn alerts(target: &Target, signals: &Signals) {
    // A warning, user_canceled: the only one of TLS 1.3 that does not end the connection.
    batches(signals, 100.0, 100, || target.raw(), |raw| sealed(raw, 100, Content::Alert, &[1, 90]));
}

pub(super) fn hello_again(target: &Target, signals: &Signals) {
    let mut hello = Vec::new();
    let made = target.hello().is_ok_and(|mut session| session.write_tls(&mut hello).is_ok());
    // Without the record's header, which sealing makes anew.
    let message = hello.split_off(if made { 5 } else { 0 });
    signals.ready();
    let mut pacer = Pacer::new(200.0);
    while pacer.wait(signals) {
        let sent = target.raw().and_then(|mut raw| {
            sealed(&mut raw, 1, Content::Handshake, &message)?;
            // To the end that the server makes of it.
            io::copy(&mut raw.socket, &mut io::sink())
        });
        signals.did(1);
        if sent.is_err() {
            signals.turned_away();
        }
    }
}
