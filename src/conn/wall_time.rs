//! The wall clock as of a turn of the loop.

use std::cell::{Cell, Ref, RefCell};

use crate::{respond::DateCache, wall_clock::since_1970};

/// The wall clock as of a turn of the loop: requests of one turn have the same date.
#[derive(Debug)]
pub(crate) struct WallTime {
    seconds: Cell<u64>,
    date: RefCell<DateCache>,
}

impl WallTime {
    pub(super) fn new() -> Self {
        let time = Self { seconds: Cell::new(0), date: RefCell::new(DateCache::new()) };
        time.tick();
        time
    }

    /// Reads the wall clock; called once in each turn of the loop.
    pub(crate) fn tick(&self) {
        let now = since_1970().as_secs();
        if self.seconds.replace(now) != now {
            self.date.borrow_mut().update(now);
        }
    }

    /// Seconds since the epoch, as of this turn.
    pub(crate) fn unix_seconds(&self) -> u64 {
        self.seconds.get()
    }

    /// The `Date` of this second.
    pub(crate) fn date(&self) -> Ref<'_, DateCache> {
        self.date.borrow()
    }
}
