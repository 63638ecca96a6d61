//! Attacks on a program with handlers, by clients of these.
//!
//! The invariant: the honest client asks for a file, of which no handler knows.

use std::io;

use super::hold::{begun, hold, look, read_some, still_there, upload};
use super::{Attack, attack, floods};
use crate::target::{Target, Tls};

pub(super) const ALL: [Attack; 7] = [
    attack(
        "slow-uploads",
        "500 connections that upload to a handler, a byte a second each",
        "bytes",
        |target, signals| upload(target, signals, "/upload", 0),
    ),
    attack(
        "left-uploads",
        "200 connections a second, each reset behind 70 KB of an upload to a handler",
        "connections",
        |target, signals| {
            let head = post(&vec![b'x'; 70_000]);
            floods::again(signals, 200.0, || {
                let mut tls = target.tls()?;
                tls.send(&head)
            });
        },
    ),
    attack(
        "endless-handlers",
        "500 connections that wait for a handler that never ends",
        "looks",
        |target, signals| hold(signals, 500, 1.0, || asked(target, "/never"), look),
    ),
    attack(
        "left-handlers",
        "500 connections a second that ask a handler that never ends, each reset at once",
        "connections",
        |target, signals| floods::again(signals, 500.0, || asked(target, "/never").map(drop)),
    ),
    attack(
        "unread-events",
        "500 connections that ask for events without end and read none",
        "looks",
        |target, signals| {
            let open = || asked(target, "/stream").inspect(Tls::shrink);
            // A reset is all that can be noticed without reading.
            hold(signals, 500, 0.2, open, |tls| tls.socket.take_error()?.map_or(Ok(()), Err));
        },
    ),
    attack(
        "slow-events",
        "500 connections that ask for events without end and read 10 KB/s each",
        "reads",
        |target, signals| {
            hold(signals, 500, 10.0, || asked(target, "/stream").inspect(Tls::shrink), read_some);
        },
    ),
    attack(
        "idle-events",
        "2,000 connections that ask for events that never come",
        "looks",
        |target, signals| {
            hold(signals, 2_000, 0.1, || Ok(asked(target, "/events")?.socket), still_there);
        },
    ),
];

fn asked(target: &Target, path: &str) -> io::Result<Tls> {
    begun(target, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

/// The beginning of a longer upload.
fn post(content: &[u8]) -> Vec<u8> {
    let mut head =
        b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n".to_vec();
    head.extend_from_slice(content);
    head
}
