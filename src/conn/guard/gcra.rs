//! The generic cell rate algorithm (ITU-T I.371): a rate as one time for each key. Pure.

/// A rate. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gcra {
    /// What each request uses up.
    pub(super) interval: u64,
    /// How far the time of a key may lie in the future before a request is refused.
    pub(super) tolerance: u64,
}

impl Gcra {
    /// So many requests at once, and one in each `interval`.
    pub(super) fn new(interval: u64, burst: u32) -> Self {
        Self { interval, tolerance: interval.saturating_mul(u64::from(burst.saturating_sub(1))) }
    }

    /// A request at `now` of a key whose theoretical arrival time is `arrival`, 0 for one that is not
    /// known. The key's next time.
    ///
    /// # Errors
    /// The request comes too early: by so much.
    pub(super) fn admit(self, arrival: u64, now: u64) -> Result<u64, u64> {
        let arrival = arrival.max(now);
        let ahead = arrival - now;
        if ahead > self.tolerance {
            return Err(ahead - self.tolerance);
        }
        Ok(arrival.saturating_add(self.interval))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A bucket that leaks: what the algorithm must be the same as.
    #[derive(Default)]
    struct Bucket {
        level: u64,
        at: u64,
    }

    impl Bucket {
        fn admits(&mut self, now: u64, interval: u64, burst: u64) -> bool {
            self.level = self.level.saturating_sub(now - self.at);
            self.at = now;
            let fits = self.level + interval <= burst * interval;
            if fits {
                self.level += interval;
            }
            fits
        }
    }

    proptest! {
        #[test]
        fn it_admits_what_a_leaking_bucket_admits(
            interval in 1_u64..100_000, burst in 1_u32..50,
            pauses in prop::collection::vec(0_u64..150_000, 1..300),
        ) {
            let rate = Gcra::new(interval, burst);
            let (mut bucket, mut arrival, mut now) = (Bucket::default(), 0, 1_000_000);
            for pause in pauses {
                now += pause;
                let expected = bucket.admits(now, interval, burst.into());
                match rate.admit(arrival, now) {
                    Ok(next) => {
                        prop_assert!(expected);
                        arrival = next;
                    }
                    Err(early) => {
                        prop_assert!(!expected);
                        // The wait that is named is the least that helps.
                        prop_assert!(rate.admit(arrival, now + early).is_ok());
                        prop_assert!(rate.admit(arrival, now + early - 1).is_err());
                    }
                }
            }
        }
    }
}
