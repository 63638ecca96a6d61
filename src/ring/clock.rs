//! The worker's clock: read once a turn for all that completes in it, and beside that only where
//! somebody asks.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use super::Ring;

/// The readings of a worker's clock.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) start: Instant,
    /// When the present turn began, in nanoseconds since `start`.
    turn_began: Cell<u64>,
    /// Nanoseconds from the last turn's beginning to its end.
    busy: Cell<u64>,
    /// Whether more than one reading a turn is wanted.
    timed: Cell<bool>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            turn_began: Cell::new(0),
            busy: Cell::new(0),
            timed: Cell::new(true),
        }
    }

    /// Whether [`Self::turn_ends`] is to be told.
    pub(super) fn is_timed(&self) -> bool {
        self.timed.get()
    }

    pub(super) fn turn_ends(&self, now: Duration) {
        let now = now.as_nanos() as u64;
        self.busy.set(now.saturating_sub(self.turn_began.get()));
    }

    pub(super) fn turn_begins(&self, now: Duration) {
        self.turn_began.set(now.as_nanos() as u64);
    }
}

impl Ring {
    /// Milliseconds on the worker's clock, as of this turn.
    pub fn now(&self) -> u64 {
        self.clock.turn_began.get() / 1_000_000
    }

    /// When the worker's clock began to run.
    pub fn start(&self) -> Instant {
        self.clock.start
    }

    /// Nanoseconds on the worker's clock when the present turn began: when what it deals with had
    /// completed.
    pub fn turn_began(&self) -> u64 {
        self.clock.turn_began.get()
    }

    /// Nanoseconds on the worker's clock, read now; 0 if that is switched off.
    pub fn clock(&self) -> u64 {
        #[cfg(any(test, feature = "fuzzing"))]
        if let Some(now) = self.scripted_clock().filter(|_| self.clock.timed.get()) {
            return now.as_nanos() as u64;
        }
        if self.clock.timed.get() { self.clock.start.elapsed().as_nanos() as u64 } else { 0 }
    }

    /// Nanoseconds that the last turn took, from its completions to its system call. The call
    /// itself is not in it: waiting and working cannot be told apart from outside.
    pub fn busy(&self) -> u64 {
        self.clock.busy.get()
    }

    /// Switches [`Self::clock`] and [`Self::busy`] off, or on again.
    pub fn set_timed(&self, timed: bool) {
        self.clock.timed.set(timed);
    }
}
