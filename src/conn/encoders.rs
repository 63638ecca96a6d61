//! Answers that a worker compresses while it sends them: how many at a time, and whether it has time for
//! another.
//!
//! The plain content is always a right answer, so a worker without time sends that: compressing costs it
//! a hundred times what sealing does. Answers that are being compressed go on. A single long turn of the
//! loop is no sign of load: mostly another process had the processor meanwhile.

use std::{cell::Cell, fmt, rc::Rc};

use crate::{config::memory, observe::give_back};

/// Nanoseconds for which the load is measured.
const SECOND: u64 = 1_000_000_000;

/// The share of a second, in percent, that a worker may be busy and still compress.
const BUSY: u64 = 85;

/// Why an answer is not compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shed {
    /// So many are compressed already.
    Encoders,
    /// The worker was busy for most of the last second.
    Busy,
}

impl fmt::Display for Shed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer is not compressed: ")?;
        match self {
            Self::Encoders => write!(f, "the worker compresses {} others", memory::ENCODERS),
            Self::Busy => write!(f, "the worker was busy for {BUSY} % of the last second"),
        }
    }
}

/// How many answers a worker compresses, and how busy it is.
#[derive(Debug, Default)]
pub(crate) struct Encoders {
    open: Rc<Cell<usize>>,
    load: Load,
}

impl Encoders {
    /// A turn of the loop has ended, `now` on the worker's clock; since its start the worker has slept so
    /// long. Both in nanoseconds.
    pub(crate) fn turn(&self, now: u64, slept: u64) {
        self.load.turn(now, slept);
    }

    /// Takes a place among the answers that the worker compresses.
    pub(super) fn take(&self) -> Result<Place, Shed> {
        if self.open.get() >= memory::ENCODERS {
            return Err(Shed::Encoders);
        }
        if self.load.was_busy.get() {
            return Err(Shed::Busy);
        }
        self.open.set(self.open.get() + 1);
        Ok(Place(Rc::clone(&self.open)))
    }
}

/// A place among the answers that are compressed. Dropping it makes room for another.
#[derive(Debug)]
pub(super) struct Place(Rc<Cell<usize>>);

impl Drop for Place {
    fn drop(&mut self) {
        give_back(&self.0, 1);
    }
}

/// What the clock showed at some point, and how long the worker had slept until then.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    now: u64,
    slept: u64,
}

impl Reading {
    /// Nanoseconds from `earlier` until this, and those of them in which the worker was busy.
    fn since(self, earlier: Self) -> (u64, u64) {
        let passed = self.now.saturating_sub(earlier.now);
        (passed, passed.saturating_sub(self.slept.saturating_sub(earlier.slept)))
    }
}

/// How busy a worker is.
#[derive(Debug, Default)]
struct Load {
    /// When the present second began.
    began: Cell<Reading>,
    /// The worker was busy for most of the second before that.
    was_busy: Cell<bool>,
}

impl Load {
    fn turn(&self, now: u64, slept: u64) {
        let reading = Reading { now, slept };
        let (passed, busy) = reading.since(self.began.get());
        if passed >= SECOND {
            self.was_busy.set(busy > passed / 100 * BUSY);
            self.began.set(reading);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_place_is_taken_until_it_is_dropped() {
        let encoders = Encoders::default();
        let mut places: Vec<_> = (0..memory::ENCODERS).map(|_| encoders.take().unwrap()).collect();
        assert_eq!(encoders.take().unwrap_err(), Shed::Encoders);
        places.pop();
        let _place = encoders.take().unwrap();
        assert_eq!(encoders.take().unwrap_err(), Shed::Encoders);
    }

    #[test]
    fn a_busy_second_counts_until_another_has_passed() {
        let load = Load::default();
        let (mut now, mut slept) = (0, 0);
        let mut run = |turns, busy, sleep| {
            for _ in 0..turns {
                now += busy + sleep;
                slept += sleep;
                load.turn(now, slept);
            }
            load.was_busy.get()
        };
        assert!(!run(1_001, MS * 8 / 10, MS * 2 / 10), "80 %");
        assert!(run(1_001, MS * 9 / 10, MS / 10), "90 %");
        assert!(run(997, MS / 10, MS * 9 / 10), "the second is not over");
        assert!(!run(10, MS / 10, MS * 9 / 10));
    }
}
