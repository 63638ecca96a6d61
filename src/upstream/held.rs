//! What a worker holds of requests and of responses, for all its pools: counted, and bounded.

use std::cell::Cell;

use super::pool::{Held, HeldOf, Worker};
use crate::{
    config::{HELD_REQUESTS, HELD_RESPONSES},
    observe::give_back,
};

impl HeldOf {
    fn account(self, worker: &Worker) -> (&Cell<usize>, usize) {
        match self {
            Self::Requests => (&worker.held, HELD_REQUESTS),
            Self::Responses => (&worker.held_responses, HELD_RESPONSES),
        }
    }
}

impl Held {
    /// How many.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts more bytes, if the worker may hold so many.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let (account, most) = self.of.account(&self.worker);
        let total = account.get() + bytes;
        let may = total <= most;
        if may {
            account.set(total);
            self.bytes += bytes;
        }
        may
    }

    /// Holds so many bytes less.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        let (account, _) = self.of.account(&self.worker);
        give_back(account, bytes);
        self.bytes -= bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (account, _) = self.of.account(&self.worker);
        give_back(account, self.bytes);
    }
}
