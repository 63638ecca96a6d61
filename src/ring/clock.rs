//! The worker's clock: read once a turn for all that completes in it, and beside that only where
//! somebody asks.

use std::{cell::Cell, rc::Rc};

use super::Ring;
use crate::tick_clock::TickClock;

/// The readings of a worker's clock.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) time: Rc<TickClock>,
    /// When the present turn began, in nanoseconds on `time`.
    turn_began: Cell<u64>,
    /// The same in milliseconds: a turn divides once, and many ask.
    turn_began_ms: Cell<u64>,
    /// Nanoseconds from the last turn's beginning to its end.
    busy: Cell<u64>,
    /// Nanoseconds of the last system call, if it was not to wait.
    entered: Cell<u64>,
    /// Nanoseconds of all system calls that were to wait.
    slept: Cell<u64>,
    /// Nanoseconds in sendfile(2) since this was last asked.
    sendfile: Cell<u64>,
    /// Whether more than one reading a turn is wanted.
    timed: Cell<bool>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            time: Rc::new(TickClock::new()),
            turn_began: Cell::new(0),
            turn_began_ms: Cell::new(0),
            busy: Cell::new(0),
            entered: Cell::new(0),
            slept: Cell::new(0),
            sendfile: Cell::new(0),
            timed: Cell::new(true),
        }
    }

    /// Whether [`Self::turn_ends`] is called.
    pub(super) fn is_timed(&self) -> bool {
        self.timed.get()
    }

    pub(super) fn turn_ends(&self, now: u64) {
        self.busy.set(now.saturating_sub(self.turn_began.get()));
    }

    /// The next turn begins; `waited` says whether the system call before it was to wait.
    pub(super) fn turn_begins(&self, now: u64, waited: bool) {
        let ended = self.turn_began.get() + self.busy.get();
        let entered = now.saturating_sub(ended);
        self.entered.set(if waited { 0 } else { entered });
        self.slept.set(self.slept.get() + if waited { entered } else { 0 });
        self.turn_began.set(now);
        self.turn_began_ms.set(now / 1_000_000);
    }
}

impl Ring {
    /// Milliseconds on the worker's clock, as of this turn.
    pub(crate) fn now(&self) -> u64 {
        self.clock.turn_began_ms.get()
    }

    /// The worker's clock. The ring asks the kernel for the time in each turn; others only read it.
    pub(crate) fn time(&self) -> &Rc<TickClock> {
        &self.clock.time
    }

    /// Nanoseconds on the worker's clock when the present turn began: when what it deals with had
    /// completed.
    pub(crate) fn turn_began(&self) -> u64 {
        self.clock.turn_began.get()
    }

    /// Nanoseconds on the worker's clock, read now; 0 if that is switched off.
    #[inline]
    pub(crate) fn clock(&self) -> u64 {
        #[cfg(any(test, feature = "fuzzing"))]
        if let Some(now) = self.scripted_clock().filter(|_| self.clock.timed.get()) {
            return now.as_nanos() as u64;
        }
        if self.clock.timed.get() { self.clock.time.now() } else { 0 }
    }

    /// Nanoseconds that the last turn took, from its completions to its system call. The call
    /// itself is not in it: waiting and working look the same from outside.
    pub(crate) fn busy(&self) -> u64 {
        self.clock.busy.get()
    }

    /// Nanoseconds of the system call between the last turn and this one, if it was not to wait for
    /// anything; else 0.
    pub(crate) fn entered(&self) -> u64 {
        self.clock.entered.get()
    }

    /// Nanoseconds since the start in system calls that were to wait.
    pub(crate) fn slept(&self) -> u64 {
        self.clock.slept.get()
    }

    /// Takes note of a sendfile(2) that began at `began`, and says when it ended.
    pub(crate) fn note_sendfile(&self, began: u64) -> u64 {
        let now = self.clock();
        self.clock.sendfile.set(self.clock.sendfile.get() + now.saturating_sub(began));
        now
    }

    /// Nanoseconds in sendfile(2) since this was last asked.
    pub(crate) fn take_sendfile(&self) -> u64 {
        self.clock.sendfile.take()
    }

    /// Switches [`Self::clock`] and [`Self::busy`] off, or on again.
    pub(crate) fn set_timed(&self, timed: bool) {
        self.clock.timed.set(timed);
    }
}
