//! Counts of a worker's connections and handshakes, and the connections that are evicted where there is
//! no room for another.
//!
//! The invariant: each place is a value that gives the place back when it is dropped, so a task that ends in
//! any way frees its place.

use std::{cell::Cell, rc::Rc};

use super::{
    idle::{Idle, Waiting},
    places::Places,
    steps::Steps,
};
use crate::{observe::give_back, ring::Ring};

/// How long an idle connection is spared when there is no room for another, in milliseconds.
const SPARED: u64 = 1000;

/// How long a connection without a whole ClientHello is spared then, in milliseconds. A client sends
/// its ClientHello right behind the last segment of TCP's handshake, however long the way is.
const SPARED_SILENT: u64 = 500;

/// Counts of a worker's connections and handshakes, and the connections that may be evicted.
#[derive(Debug)]
pub(crate) struct Occupancy {
    ring: Rc<Ring>,
    idle: Idle,
    /// Connections without a whole ClientHello.
    silent: Idle,
    live: Cell<usize>,
    handshakes: Places,
    steps: Steps,
}

impl Occupancy {
    /// No connection, and places for so many handshakes.
    pub(super) fn new(ring: &Rc<Ring>, handshakes: usize) -> Self {
        Self {
            ring: Rc::clone(ring),
            idle: Idle::default(),
            silent: Idle::default(),
            live: Cell::new(0),
            handshakes: Places::new(handshakes),
            steps: Steps::default(),
        }
    }

    /// The current task's connection waits for a request that may come or not, for as long as the
    /// result lives; it may be evicted for another.
    pub(super) fn idles(&self) -> Waiting<'_> {
        self.idle.join(self.ring.current(), self.ring.now())
    }

    /// The current task's connection has sent no whole ClientHello, for as long as the result
    /// lives; it may be evicted for another.
    pub(super) fn awaits_hello(&self) -> Waiting<'_> {
        self.silent.join(self.ring.current(), self.ring.now())
    }

    /// Whether the current task's connection, which is idle, is to close.
    pub(super) fn is_evicted(&self) -> bool {
        self.idle.is_evicted(self.ring.current())
    }

    /// Closes the connection that has gone longest without a whole ClientHello, if that is longer
    /// than a client needs to send one after it has connected. False if there is none.
    pub(super) fn evict_silent(&self) -> bool {
        self.evict(&self.silent, SPARED_SILENT)
    }

    /// Closes the connection that has waited longest for a request, if that is longer than a client
    /// takes between two clicks in a page that is loading. False if there is none.
    pub(super) fn evict_idle(&self) -> bool {
        self.evict(&self.idle, SPARED)
    }

    fn evict(&self, waiting: &Idle, spared: u64) -> bool {
        let before = self.ring.now().checked_sub(spared);
        let Some(task) = before.and_then(|before| waiting.evict(before)) else { return false };
        self.ring.wake(task);
        true
    }

    /// Connections that are open.
    pub(crate) fn live(&self) -> usize {
        self.live.get()
    }

    /// Counts a connection for as long as the result lives.
    pub(crate) fn admit(&self) -> Admitted<'_> {
        Admitted::count(&self.live)
    }

    /// Handshakes in flight.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.taken()
    }

    /// Has places for so many handshakes from here on; those in flight go on.
    pub(super) fn set_handshakes(&self, limit: usize) {
        self.handshakes.set_limit(limit);
    }

    /// The places of handshakes.
    pub(super) fn handshake_places(&self) -> &Places {
        &self.handshakes
    }

    /// A connection asks for more than its first request: handshakes leave it more room.
    pub(super) fn asked_again(&self) {
        self.steps.spare();
    }

    /// Waits until the handshake that is being polled may take a step.
    pub(super) async fn handshake_turn(&self) {
        self.steps.turn(&self.ring).await;
    }

    /// Lets the next handshake take a step; called before each turn of the loop.
    pub(crate) fn next_handshake(&self) {
        self.steps.next(&self.ring);
    }
}

/// One among a limited number.
#[derive(Debug)]
pub(crate) struct Admitted<'c>(&'c Cell<usize>);

impl<'c> Admitted<'c> {
    fn count(cell: &'c Cell<usize>) -> Self {
        cell.set(cell.get() + 1);
        Self(cell)
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        give_back(self.0, 1);
    }
}
