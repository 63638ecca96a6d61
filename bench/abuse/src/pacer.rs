//! How an attacker keeps to its rate and learns that the run has ended.
//!
//! The invariant: an attacker that fell behind does not catch up in a burst of more than a
//! twentieth of a second, so the stated rate is also the highest.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

const BURST: Duration = Duration::from_millis(50);

/// What an attacker and the measuring thread share.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    stop: AtomicBool,
    ready: AtomicBool,
    done: AtomicU64,
    turned_away: AtomicU64,
}

impl Signals {
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// All that the attack holds is in place.
    pub(crate) fn ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Counts what the attack is made of.
    pub(crate) fn did(&self, count: u64) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Counts a connection that the server ended or did not let in.
    pub(crate) fn turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }
}

/// A rate.
#[derive(Debug)]
pub(crate) struct Pacer {
    next: Instant,
    gap: Duration,
}

impl Pacer {
    /// So many times a second, above zero, from now.
    pub(crate) fn new(rate: f64) -> Self {
        Self { next: Instant::now(), gap: Duration::from_secs_f64(1.0 / rate) }
    }

    /// Waits until it is time. Whether to go on.
    pub(crate) fn wait(&mut self, signals: &Signals) -> bool {
        let now = Instant::now();
        sleep(self.due(now));
        !signals.stopped()
    }

    fn due(&mut self, now: Instant) -> Duration {
        let at = self.next.max(now.checked_sub(BURST).unwrap_or(now));
        self.next = at + self.gap;
        at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{BURST, Pacer};

    #[test]
    fn a_late_attacker_makes_up_for_a_twentieth_of_a_second_only() {
        let mut pacer = Pacer::new(1_000.0);
        let start = Instant::now();
        pacer.next = start;
        assert_eq!(pacer.due(start), Duration::ZERO);
        assert_eq!(pacer.due(start), Duration::from_millis(1));
        let late = start + Duration::from_secs(10);
        let at_once = (0..1_000).take_while(|_| pacer.due(late).is_zero()).count();
        assert_eq!(at_once as u128, BURST.as_millis() + 1);
    }
}
