//! When the full handshake was that a session descends from.
//!
//! Each resumption gives the client a new ticket, so without a bound a session could go on for ever
//! from one check of the client's certificate and one key exchange with the server's. A ticket
//! therefore carries the time of its full handshake ([`super::tickets`]).
//!
//! rustls calls the ticketer without naming the connection, and its unbuffered connection has no
//! place for data of ours. So [`Lineage::during`] lends the time to the ticketer for as long as
//! rustls works on one connection, through a variable of this thread.

#![forbid(unsafe_code)]

use std::cell::Cell;

thread_local! {
    /// Seconds since 1970, for the connection that rustls works on.
    static PRESENT: Cell<Option<i64>> = const { Cell::new(None) };
}

/// The time of the full handshake that a connection descends from, in seconds since 1970; none
/// while its own is the first.
#[derive(Debug, Default)]
pub(crate) struct Lineage(Option<i64>);

impl Lineage {
    /// Has rustls work on the connection.
    pub(crate) fn during<T>(&mut self, work: impl FnOnce() -> T) -> T {
        PRESENT.set(self.0);
        let done = work();
        self.0 = PRESENT.take();
        done
    }

    /// The handshake is a full one, whatever tickets the client has shown.
    pub(crate) fn begin_anew(&mut self) {
        self.0 = None;
    }
}

/// A ticket was opened whose session descends from a full handshake at this time. Of several
/// tickets the oldest counts.
pub(super) fn descend_from(full_handshake: i64) {
    PRESENT.set(Some(PRESENT.get().map_or(full_handshake, |other| other.min(full_handshake))));
}

/// The time for a ticket to carry; none if the full handshake is the present one.
pub(super) fn full_handshake() -> Option<i64> {
    PRESENT.get()
}
