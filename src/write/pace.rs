//! The minimum rate at which a peer takes a response. A slow reader is served; one below the rate is
//! reset, since it holds memory.

use std::time::Duration;

use crate::config::Timeouts;

/// What a peer that takes a response has to keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendBounds {
    /// Bytes per second; 0 for none.
    min_rate: u64,
    /// Milliseconds between two advances, and before the rate is looked at.
    pub(super) stall: u64,
}

impl SendBounds {
    /// Those of a configuration.
    pub(crate) fn of(timeouts: &Timeouts) -> Self {
        let stall = u64::try_from(timeouts.response_stall.as_millis()).unwrap_or(u64::MAX);
        Self { min_rate: timeouts.response_min_rate, stall }
    }
}

/// The progress of one response against the minimum rate.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// Bytes per second; 0 switches the check off.
    min_rate: u64,
    /// Milliseconds before the rate is looked at.
    grace: u64,
    begun: u64,
    bytes: u64,
}

impl Pace {
    /// At least `min_rate` bytes per second on average, after `grace`.
    pub(crate) fn new(min_rate: u64, grace: Duration) -> Self {
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        Self { min_rate, grace, begun: 0, bytes: 0 }
    }

    /// Goes by these bounds from here on, counting from where it began.
    pub(super) fn set(&mut self, bounds: SendBounds) {
        (self.min_rate, self.grace) = (bounds.min_rate, bounds.stall);
    }

    /// A response begins at `now` (milliseconds).
    pub(crate) fn begin(&mut self, now: u64) {
        self.begun = now;
        self.bytes = 0;
    }

    /// Takes note that `count` bytes were taken by `now`. False if that is too little by now.
    #[must_use]
    pub(crate) fn keeps_up(&mut self, now: u64, count: usize) -> bool {
        self.bytes = self.bytes.saturating_add(count as u64);
        let elapsed = now.saturating_sub(self.begun);
        elapsed <= self.grace
            || self.bytes.saturating_mul(1000) >= self.min_rate.saturating_mul(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_is_borne_within_the_grace_and_not_behind_it() {
        let mut pace = Pace::new(1000, Duration::from_secs(10));
        pace.begin(5000);
        assert!(pace.keeps_up(15_000, 1));
        assert!(!pace.keeps_up(15_001, 1));
        assert!(pace.keeps_up(15_002, 20_000));
        pace.begin(100_000);
        assert!(pace.keeps_up(105_000, 0), "each response has its own grace");
    }

    #[test]
    fn no_minimum_no_complaint() {
        let mut pace = Pace::new(0, Duration::ZERO);
        assert!(pace.keeps_up(u64::MAX, 0));
    }
}
