//! Whether a worker has the processor that it wants.

use std::{cell::Cell, fs::File, os::unix::fs::FileExt};

/// How old a reading may be when a turn begins, in nanoseconds. One costs about a microsecond.
const FRESH: u64 = 20_000_000;

/// The calling thread's wait for a processor: the second figure of its `schedstat`
/// (Documentation/scheduler/sched-stats.rst).
#[derive(Debug)]
pub(super) struct Processor {
    file: Option<File>,
    waited: Cell<u64>,
    read: Cell<u64>,
}

impl Processor {
    /// Of the calling thread. A kernel without such statistics tells nothing.
    pub(super) fn of_this_thread() -> Self {
        let file = File::open("/proc/thread-self/schedstat").ok();
        Self { file, waited: Cell::new(0), read: Cell::new(0) }
    }

    /// A turn begins at `now`: takes a new reading if the last one is old.
    pub(super) fn turn(&self, now: u64) {
        if now.saturating_sub(self.read.get()) >= FRESH {
            self.waited();
            self.read.set(now);
        }
    }

    /// Nanoseconds waited since the last reading, which may be 20 ms older than the present turn.
    pub(super) fn waited(&self) -> u64 {
        let mut text = [0; 96];
        let Some(count) = self.file.as_ref().and_then(|file| file.read_at(&mut text, 0).ok())
        else {
            return 0;
        };
        let text = text.get(..count).unwrap_or_default();
        let [_, waited] = schedstat(text).unwrap_or_default();
        waited.saturating_sub(self.waited.replace(waited))
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
    fn waiting_counts_once() {
        let processor = Processor::of_this_thread();
        processor.waited();
        let waited = processor.waited.get();
        let more = processor.waited();
        assert_eq!(processor.waited.get(), waited + more);
    }

    #[test]
    fn without_statistics_nothing_is_told() {
        let processor = Processor { file: None, waited: Cell::new(0), read: Cell::new(0) };
        processor.turn(FRESH);
        assert_eq!(processor.waited(), 0);
    }
}
