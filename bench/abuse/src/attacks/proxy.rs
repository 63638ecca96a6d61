//! Attacks on a server that passes requests on: by its clients, and by the server behind it.
//!
//! The invariant: the honest client asks for a file, of which neither the server behind nor a pool knows.

use std::io::{self, ErrorKind};

use super::hold::{begun, hold, look, read_some, upload};
use super::{Attack, attack, floods};
use crate::pacer::Signals;
use crate::target::{Target, Tls};
use crate::upstream::{DRIPPING, LATER, POURING, SILENT, STALLED, TUNNEL};

pub(super) const ALL: [Attack; 8] = [
    attack(
        "slow-answers",
        "500 connections whose answers come by a byte each tenth of a second and never end",
        "reads",
        |target, signals| hold(signals, 500, 10.0, || asked(target, "app", DRIPPING), read_some),
    ),
    attack(
        "stalled-answers",
        "500 connections whose answers stall behind their first byte",
        "looks",
        |target, signals| hold(signals, 500, 1.0, || asked(target, "app", STALLED), look),
    ),
    attack(
        "silent-server",
        "500 connections whose requests the server behind never answers",
        "looks",
        |target, signals| hold(signals, 500, 1.0, || asked(target, "app", SILENT), look),
    ),
    attack(
        "slow-readers",
        "500 connections that ask for an answer without end and read 10 KB/s each",
        "reads",
        |target, signals| {
            let open = || asked(target, "app", POURING).inspect(Tls::shrink);
            hold(signals, 500, 10.0, open, read_some);
        },
    ),
    attack(
        "slow-bodies",
        "500 connections that upload 70 KB at once, more than is held, and then a byte a second each",
        "bytes",
        |target, signals| upload(target, signals, "/app/later", 70_000),
    ),
    attack(
        "full-line",
        "500 connections that ask again and again for a pool of two places, whose server never answers",
        "requests",
        full_line,
    ),
    attack(
        "line-flood",
        "300 connections a second that ask for a pool of two places, each reset while it waits in line",
        "connections",
        |target, signals| floods::again(signals, 300.0, || asked(target, "line", LATER).map(drop)),
    ),
    attack("tunnels", "2,000 tunnels on which nobody speaks", "looks", tunnels),
];

fn asked(target: &Target, pool: &str, path: &str) -> io::Result<Tls> {
    begun(target, &format!("GET /{pool}/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

/// Each asks again behind an answer, which says that the line is full, or that the time in it is over.
fn full_line(target: &Target, signals: &Signals) {
    let request = format!("GET /line/{SILENT} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    hold(
        signals,
        500,
        2.0,
        || begun(target, &request),
        |tls| {
            // Of an answer nothing counts but that it is there: it is shorter than what is read at once.
            match tls.read(&mut [0; 16 << 10])? {
                0 => Err(ErrorKind::UnexpectedEof.into()),
                _ => tls.send(request.as_bytes()),
            }
        },
    );
}

fn tunnels(target: &Target, signals: &Signals) {
    let request = format!(
        "GET /app/{TUNNEL} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    let open = || {
        let tls = begun(target, &request)?;
        // Nothing more is said, so that the session itself need not be kept.
        Ok(tls.socket)
    };
    hold(signals, 2_000, 0.1, open, super::hold::still_there);
}
