//! The monotonic clock as it is read on the hot path: one call into the vDSO, two subtractions and
//! a multiplication. `std::time::Instant` measures the same and takes twice as many instructions.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A reading of `CLOCK_MONOTONIC` (clock_gettime(2)).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Monotonic(Timespec);

impl Monotonic {
    /// Now.
    pub(crate) fn now() -> Self {
        Self(clock_gettime(ClockId::Monotonic))
    }

    /// Nanoseconds from this reading until now.
    pub(crate) fn elapsed(self) -> u64 {
        let now = clock_gettime(ClockId::Monotonic);
        let nanoseconds =
            (now.tv_sec - self.0.tv_sec) * 1_000_000_000 + (now.tv_nsec - self.0.tv_nsec);
        // The kernel promises that it does not go back; were it to, nothing has passed.
        nanoseconds.max(0) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn it_agrees_with_the_standard_library() {
        let outer = Instant::now();
        let start = Monotonic::now();
        let inner = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
        let least = inner.elapsed();
        let elapsed = Duration::from_nanos(start.elapsed());
        assert!(least <= elapsed && elapsed <= outer.elapsed(), "{elapsed:?}");
    }

    #[test]
    fn seconds_carry_over() {
        let second =
            Monotonic(Timespec { tv_sec: Monotonic::now().0.tv_sec - 5, tv_nsec: 999_999_999 });
        assert!((4_000_000_000..).contains(&second.elapsed()));
    }
}
