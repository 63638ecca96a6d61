//! Connections without end, each given up at some stage.
//!
//! The invariant: a connection is reset when it is given up, so that neither side keeps it.

use std::io::{self, Read, Write};

use crate::pacer::{Pacer, Signals};
use crate::site::LARGE;
use crate::target::Target;

/// Does something so many times a second until the run ends.
pub(super) fn again(signals: &Signals, rate: f64, mut act: impl FnMut() -> io::Result<()>) {
    signals.ready();
    let mut pacer = Pacer::new(rate);
    while pacer.wait(signals) {
        match act() {
            Ok(()) => signals.did(1),
            Err(_) => signals.turned_away(),
        }
    }
}

pub(super) fn connects(target: &Target, signals: &Signals) {
    again(signals, 2_000.0, || target.tcp().map(drop));
}

pub(super) fn handshakes(target: &Target, signals: &Signals) {
    again(signals, 500.0, || target.tls().map(drop));
}

/// The cheapest way to make a server sign: the attacker does no cryptography at all.
pub(super) fn hellos(target: &Target, signals: &Signals) {
    const AT_ONCE: usize = 50;
    let mut hello = Vec::new();
    let made = target.hello().is_ok_and(|mut session| session.write_tls(&mut hello).is_ok());
    again(signals, 500.0 / AT_ONCE as f64, || {
        if !made {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut sockets: Vec<_> = (0..AT_ONCE).map(|_| target.tcp()).collect::<io::Result<_>>()?;
        for socket in &mut sockets {
            socket.write_all(&hello)?;
        }
        // Until the server's flight is there: it has done its part then.
        for socket in &mut sockets {
            if socket.read(&mut [0; 4096])? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        // One is counted by who called.
        signals.did(AT_ONCE as u64 - 1);
        Ok(())
    });
}

pub(super) fn resets(target: &Target, signals: &Signals) {
    let head = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", LARGE.0);
    let mut piece = vec![0; 16 << 10];
    again(signals, 200.0, || {
        let mut tls = target.tls()?;
        tls.send(head.as_bytes())?;
        tls.socket.read(&mut piece).map(drop)
    });
}

pub(super) fn garbage(target: &Target, signals: &Signals) {
    // The bytes of xorshift64*, as good as random.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = [0; 512];
    again(signals, 1_000.0, || {
        for eight in bytes.chunks_exact_mut(8) {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            eight.copy_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
        }
        target.tcp()?.write_all(&bytes)
    });
}

pub(super) fn plain_http(target: &Target, signals: &Signals) {
    again(signals, 1_000.0, || {
        let mut socket = target.tcp()?;
        socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        // The answer, or a reset that overtook it.
        socket.read(&mut [0; 1024]).map(drop)
    });
}
