//! A limit on the log lines that clients can provoke.

use std::cell::Cell;

/// A second, and how many lines clients have brought about in it.
#[derive(Debug, Default)]
pub(super) struct LogLimit(Cell<(u64, u32)>);

impl LogLimit {
    /// Most lines in a second, for each worker.
    const MOST: u32 = 10;

    /// Whether one more line may be written in this second; it counts as written.
    pub(super) fn allows(&self, second: u64) -> bool {
        let (then, lines) = self.0.get();
        let lines = if then == second { lines } else { 0 };
        self.0.set((second, lines.saturating_add(1)));
        lines < Self::MOST
    }
}

#[cfg(test)]
mod tests {
    use super::LogLimit;

    #[test]
    fn clients_cannot_fill_the_log() {
        let limit = LogLimit::default();
        let lines = |second| (0..100).filter(|_| limit.allows(second)).count();
        assert_eq!([lines(1), lines(1), lines(2)], [10, 0, 10]);
    }
}
