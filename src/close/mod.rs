//! Close: close_notify, the peer's last words, the descriptor.
//!
//! The invariants. *A join*: the descriptor is closed when nothing is in flight for it any more; an
//! operation that the kernel does not let go of in time keeps it open by itself.
//! *Nothing accepted is lost*: kernel TLS keeps the tail of a record until the socket takes it
//! and frees it at close, so close_notify is sent and its completion awaited first. *No reset over
//! an answer*: closing a socket that holds unread bytes makes the kernel send RST, which can
//! overtake the response at the peer; where bytes may still come they are read and dropped for a
//! while (RFC 9112 section 9.6). All of it within one deadline.

#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use std::{pin::pin, rc::Rc, time::Duration};

use rustix::net::Shutdown;

use crate::{
    read::{Filled, Reader},
    record::AlertDescription,
    ring::{Ring, Socket},
    write::{HELD_UP, Writer},
};

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// We have no more to say: close_notify, then close.
    CloseNotify,
    /// We have answered and will not read on, but the peer may still be sending: close_notify,
    /// then its bytes are dropped until it closes.
    Linger,
    /// The peer sent close_notify: ours, then close.
    Closed,
    /// The peer's FIN came without close_notify: ours, so that what was sent before it has left,
    /// then close.
    Truncated,
    /// A record was refused: this alert, then as for [`Ending::Linger`].
    Alert(AlertDescription),
    /// An invariant of this server does not hold; this says which. As for [`Ending::Reset`].
    Defect(&'static str),
    /// The response cannot be completed, or the connection has failed: close at once, so that the
    /// peer cannot mistake what it has for the whole.
    Reset,
}

/// Bytes of a peer that are read and dropped while lingering, at most. What bounds a usual peer is
/// the time that a close may take (`--close-timeout`); this bounds the work that a fast one makes.
const LINGER_BYTES: usize = 64 << 20;

/// Bytes that are dropped before other connections have their turn.
const LINGER_TURN: usize = 256 << 10;

/// Ends a connection, in at most `limit`.
pub(crate) async fn close(
    ring: &Rc<Ring>,
    socket: Socket,
    mut reader: Reader,
    mut writer: Writer,
    ending: Ending,
    limit: Duration,
) {
    let farewell = match ending {
        Ending::CloseNotify | Ending::Linger | Ending::Closed | Ending::Truncated => {
            Some(AlertDescription::CloseNotify)
        }
        Ending::Alert(alert) => Some(alert),
        Ending::Reset | Ending::Defect(_) => None,
    };
    let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let until = ring.now().saturating_add(limit);
    let Some(farewell) = farewell else {
        // What is queued or in flight ends with the writer.
        let _ = rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
        let _ = ring.until(until, reader.stop()).await;
        return;
    };
    // A farewell that found no room in time is left with the writer, which cancels it.
    let _ = ring
        .until(until, async {
            let told = pin!(writer.alert(&socket, farewell));
            reader.aside_while(HELD_UP, told).await?.ok()?;
            if matches!(ending, Ending::Linger | Ending::Alert(_)) {
                rustix::net::shutdown(&socket, Shutdown::Write).ok()?;
                linger(ring, &mut reader, &socket).await;
            }
            Some(())
        })
        .await;
    // A cancel that misses leaves its slot to the op table, which keeps the descriptor open.
    let _ = ring.until(until, reader.stop()).await;
}

/// Drops what still comes, until the peer closes or has sent too much.
async fn linger(ring: &Ring, reader: &mut Reader, socket: &Socket) {
    let (mut dropped, mut turn) = (0, 0);
    while dropped < LINGER_BYTES {
        if dropped - turn >= LINGER_TURN {
            turn = dropped;
            ring.yield_now().await;
        }
        if !matches!(reader.fill(socket).await, Ok(Filled::More)) {
            return;
        }
        let len = reader.plaintext().len();
        dropped += len;
        reader.consume(len);
    }
}
