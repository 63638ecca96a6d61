//! What a [`Writer`] tells of itself: how its queue left, and what was done with content.

use super::Writer;
use crate::observe::{Moved, Sending};

impl Writer {
    /// What was done with content since this was last asked.
    pub fn take_moved(&mut self) -> Moved {
        std::mem::take(&mut self.moved)
    }

    /// How what waited has left since this was last asked.
    pub fn take_departure(&mut self) -> Sending {
        std::mem::take(&mut self.departure)
    }

    /// What waits is about to be sent, `now` as [`Ring::clock`](crate::ring::Ring::clock) has it.
    pub fn leaves_at(&mut self, now: u64) {
        self.departure.submitted(now);
    }

    /// Something is submitted. Reads the clock if it is the first.
    pub(super) fn note_submission(&mut self) {
        if !self.departure.has_begun() {
            self.departure.submitted(self.ring.clock());
        }
    }
}
