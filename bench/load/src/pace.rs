//! The open loop: requests are due at a fixed rate, whatever the server does.
//!
//! The invariant: the n-th request is due at `start + n / rate`. A request that nobody could send
//! yet keeps its time; none is dropped in silence.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Requests that may wait for a connection. Beyond it they are counted as missed: a minute at
/// 17,000 a second; the server is far behind then and the figure says so.
const MAX_WAITING: usize = 1 << 20;

/// A schedule of requests.
#[derive(Debug)]
pub(crate) struct Pace {
    start: Instant,
    /// Seconds between two requests.
    gap: f64,
    issued: u64,
    /// Those of them before the measured interval.
    before: u64,
    waiting: VecDeque<Instant>,
    missed: u64,
}

impl Pace {
    /// `rate` requests a second, above zero, from `start`.
    pub(crate) fn new(rate: f64, start: Instant) -> Self {
        Self { start, gap: 1.0 / rate, issued: 0, before: 0, waiting: VecDeque::new(), missed: 0 }
    }

    /// Lets time pass: what has come due by `now` waits to be sent.
    pub(crate) fn advance(&mut self, now: Instant) {
        loop {
            let due = self.next();
            if due > now {
                return;
            }
            self.issued += 1;
            if self.waiting.len() < MAX_WAITING {
                self.waiting.push_back(due);
            } else {
                self.missed += 1;
            }
        }
    }

    /// When the next request falls due.
    pub(crate) fn next(&self) -> Instant {
        self.start + Duration::from_secs_f64(self.issued as f64 * self.gap)
    }

    /// Begins to count what falls due from here.
    pub(crate) fn begin(&mut self) {
        self.before = self.issued;
        self.missed = 0;
    }

    /// Requests that fell due since [`begin`](Self::begin).
    pub(crate) fn due(&self) -> u64 {
        self.issued - self.before
    }

    /// The request that has waited longest.
    pub(crate) fn take(&mut self) -> Option<Instant> {
        self.waiting.pop_front()
    }

    /// When the requests that still wait were due.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = Instant> + '_ {
        self.waiting.iter().copied()
    }

    /// Requests dropped since [`begin`](Self::begin) because too many waited.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{MAX_WAITING, Pace};

    #[test]
    fn requests_fall_due_at_the_rate_and_keep_their_time() {
        let start = Instant::now();
        let mut pace = Pace::new(1000.0, start);
        pace.advance(start);
        assert_eq!(pace.take(), Some(start));
        assert_eq!(pace.take(), None);
        pace.advance(start + Duration::from_micros(2500));
        assert_eq!(pace.waiting().count(), 2);
        assert_eq!(pace.next(), start + Duration::from_millis(3));
        assert_eq!(pace.take(), Some(start + Duration::from_millis(1)));
        pace.advance(start + Duration::from_secs(1));
        assert_eq!(pace.take(), Some(start + Duration::from_millis(2)));
        assert_eq!(pace.waiting().count(), 998);
        assert_eq!(pace.missed(), 0);
        assert_eq!(pace.due(), 1001);
        pace.begin();
        pace.advance(start + Duration::from_secs(2));
        assert_eq!(pace.due(), 1000);
    }

    #[test]
    fn what_cannot_wait_is_counted() {
        let start = Instant::now();
        let mut pace = Pace::new(2_000_000.0, start);
        pace.advance(start + Duration::from_secs(1));
        assert_eq!(pace.waiting().count(), MAX_WAITING);
        assert_eq!(pace.missed() + MAX_WAITING as u64, 2_000_001);
    }
}
