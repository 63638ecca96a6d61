//! Receive buffers that come back from other threads, or for a pool that is gone. Nothing here but
//! memory that threads share, so that `tests/loom` can try every order of its steps.
//!
//! The invariant: a buffer that was given back is collected exactly once, and never before.

use super::sync::{
    AtomicBool, Mutex,
    Ordering::{AcqRel, Relaxed, Release},
    locked,
};

/// The buffers on their way back.
#[derive(Debug)]
pub(super) struct Returns {
    buffers: Mutex<Vec<u16>>,
    /// There may be some.
    any: AtomicBool,
}

impl Returns {
    /// Room for `most` buffers. As many are lent at most, so that giving one back allocates nothing.
    pub(super) fn new(most: usize) -> Self {
        Self { buffers: Mutex::new(Vec::with_capacity(most)), any: AtomicBool::new(false) }
    }

    /// Gives a buffer back, on any thread.
    pub(super) fn give_back(&self, buffer: u16) {
        locked(&self.buffers).push(buffer);
        self.any.store(true, Release);
    }

    /// Collects what was given back: the pool's side. Without a lock if there is nothing.
    pub(super) fn collect(&self, mut each: impl FnMut(u16)) {
        if self.any.load(Relaxed) && self.any.swap(false, AcqRel) {
            locked(&self.buffers).drain(..).for_each(&mut each);
        }
    }
}
