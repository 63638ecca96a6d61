//! How many second tries a pool may have, so that a failing server does not get twice the load. Pure.

/// Tenths of a try that a bucket holds.
const MOST: u64 = 1_000;

/// Tenths that each first try brings.
const EACH: u64 = 1;

/// Tenths that each second brings: three tries.
const A_SECOND: u64 = 30;

/// Tenths that a second try takes.
const COST: u64 = 10;

/// A bucket of second tries: a tenth for each first try and three a second, at most a hundred. It is
/// looked at only when a second try is due, and filled then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    tenths: u64,
    /// First tries that were counted when it was filled.
    tries: u64,
    /// When that was, in milliseconds.
    at: u64,
}

impl Budget {
    /// A bucket that holds what one second brings.
    pub(crate) const fn new(now: u64) -> Self {
        Self { tenths: A_SECOND, tries: 0, at: now }
    }

    /// Whether a second try may go, now that the pool has had `tries` first ones.
    pub(crate) fn take(&mut self, now: u64, tries: u64) -> bool {
        let passed = now.saturating_sub(self.at);
        let brought = passed.saturating_mul(A_SECOND) / 1_000;
        if brought > 0 {
            // What is less than a tenth counts the next time.
            self.at = now;
        }
        let counted = tries.saturating_sub(self.tries).saturating_mul(EACH);
        self.tries = self.tries.max(tries);
        self.tenths = self.tenths.saturating_add(brought).saturating_add(counted).min(MOST);
        let enough = self.tenths >= COST;
        if enough {
            self.tenths -= COST;
        }
        enough
    }

    /// Second tries that are left.
    pub(crate) const fn left(&self) -> u64 {
        self.tenths / COST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(budget: &mut Budget, now: u64, tries: u64, asked: u32) -> usize {
        (0..asked).filter(|_| budget.take(now, tries)).count()
    }

    #[test]
    fn second_tries_are_a_tenth_of_first_ones_and_three_a_second() {
        let mut budget = Budget::new(0);
        assert_eq!(granted(&mut budget, 0, 0, 10), 3);
        assert_eq!(granted(&mut budget, 1_000, 0, 10), 3);
        assert_eq!(granted(&mut budget, 1_000, 50, 10), 5);
        assert_eq!(granted(&mut budget, 2_000, 150, 100), 13);
        assert_eq!(granted(&mut budget, 900_000, 1_000_000, 1_000), 100, "it does not overflow");
        assert_eq!(budget.left(), 0);
    }

    #[test]
    fn being_asked_often_loses_nothing() {
        let mut budget = Budget::new(0);
        assert_eq!(granted(&mut budget, 0, 0, 10), 3);
        let later: usize = (1..=1_000).map(|now| granted(&mut budget, now, 0, 1)).sum();
        assert!((2..=3).contains(&later), "{later}");
        assert!(!budget.take(0, 0), "a clock that goes back brings nothing");
    }
}
