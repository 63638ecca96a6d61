//! Whether a worker has the processor that it wants.

use std::{cell::Cell, fs::File, os::unix::fs::FileExt};

/// How old a reading may be when a turn begins, in nanoseconds. One costs about a microsecond.
const FRESH: u64 = 4_000_000;

/// The calling thread's time on a processor and its wait for one: the first two figures of its
/// `schedstat` (Documentation/scheduler/sched-stats.rst).
#[derive(Debug)]
pub(super) struct Processor {
    file: Option<File>,
    last: Cell<Scheduled>,
    read: Cell<u64>,
}

/// What a thread did, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scheduled {
    /// It was on a processor.
    pub(super) ran: u64,
    /// It was ready and waited for one.
    pub(super) waited: u64,
}

impl Processor {
    /// Of the calling thread.
    pub(super) fn of_this_thread() -> Self {
        let file = File::open("/proc/thread-self/schedstat").ok();
        Self { file, last: Cell::default(), read: Cell::new(0) }
    }

    /// A turn begins at `now`: takes a new reading if the last one is old.
    pub(super) fn turn(&self, now: u64) {
        if now.saturating_sub(self.read.get()) >= FRESH {
            self.since(now);
        }
    }

    /// What the thread did since the last reading, which may be [`FRESH`] older than the present turn.
    /// None if the kernel has no such statistics.
    pub(super) fn since(&self, now: u64) -> Option<Scheduled> {
        let mut text = [0; 96];
        let count = self.file.as_ref()?.read_at(&mut text, 0).ok()?;
        let [ran, waited] = schedstat(text.get(..count)?)?;
        let last = self.last.replace(Scheduled { ran, waited });
        self.read.set(now);
        Some(Scheduled {
            ran: ran.saturating_sub(last.ran),
            waited: waited.saturating_sub(last.waited),
        })
    }
}

/// Nanoseconds on a processor, and waiting for one.
pub(super) fn schedstat(text: &[u8]) -> Option<[u64; 2]> {
    let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let mut next = || words.next()?.parse().ok();
    Some([next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_figures_count() {
        assert_eq!(schedstat(b"407050730 1373894218 2311\n"), Some([407_050_730, 1_373_894_218]));
        assert_eq!(schedstat(b"407050730\n"), None);
        assert_eq!(schedstat(b"a b c\n"), None);
    }

    #[test]
    fn each_reading_begins_where_the_last_one_ended() {
        let processor = Processor::of_this_thread();
        processor.since(1);
        let before = processor.last.get();
        let more = processor.since(2).unwrap();
        let after = processor.last.get();
        assert_eq!(after.ran, before.ran + more.ran);
        assert_eq!(after.waited, before.waited + more.waited);
        assert_eq!(processor.read.get(), 2);
    }

    #[test]
    fn without_statistics_nothing_is_reported() {
        let processor = Processor { file: None, last: Cell::default(), read: Cell::new(0) };
        processor.turn(FRESH);
        assert_eq!(processor.since(FRESH), None);
    }
}
