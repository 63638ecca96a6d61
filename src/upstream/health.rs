//! Whether a server gets requests, by what was seen of its exchanges. Pure.
//!
//! A server goes out after failures in a row, for a time that doubles; then one request tries it. How
//! many servers of a pool may be out is the caller's to say ([`Health::failed`]).

/// Failures in a row that take a server out.
const FAILURES: u32 = 3;

/// Milliseconds that it is out the first time, and at most.
const OUT_FIRST: u64 = 1_000;
const OUT_LONGEST: u64 = 30_000;

/// A request that tries a server again is given up as a sign after this, in milliseconds.
const TRIAL: u64 = 30_000;

/// What is known of a server's health.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    passive: Passive,
    /// How often it was taken out since it last served.
    outs: u32,
    /// Health checks in a row that said the opposite of `down`.
    against: u32,
    /// It is out by its health checks.
    down: bool,
}

#[derive(Clone, Copy, Debug)]
enum Passive {
    /// It gets requests; so many failed in a row.
    In { failures: u32 },
    /// It gets none until then.
    Out { until: u64 },
    /// One request tries it.
    Trial { since: u64 },
}

impl Default for Passive {
    fn default() -> Self {
        Self::In { failures: 0 }
    }
}

/// What a server may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fitness {
    /// Requests.
    In,
    /// One request, that says whether it serves again: [`Health::begin_trial`].
    Due,
    Out,
}

impl Health {
    /// What it may get at this time, in milliseconds.
    pub(crate) fn fitness(&self, now: u64) -> Fitness {
        match self.passive {
            _ if self.down => Fitness::Out,
            Passive::In { .. } => Fitness::In,
            Passive::Out { until } if now >= until => Fitness::Due,
            Passive::Trial { since } if now >= since.saturating_add(TRIAL) => Fitness::Due,
            Passive::Out { .. } | Passive::Trial { .. } => Fitness::Out,
        }
    }

    /// When it is due, for choosing among servers that are all out.
    pub(crate) fn due(&self) -> u64 {
        match self.passive {
            // Behind those whose time is known.
            _ if self.down => u64::MAX,
            Passive::In { .. } => 0,
            Passive::Out { until } => until,
            Passive::Trial { since } => since.saturating_add(TRIAL),
        }
    }

    /// Whether it is not as a server that never failed.
    pub(crate) fn is_blemished(&self) -> bool {
        self.down
            || self.against > 0
            || self.outs > 0
            || !matches!(self.passive, Passive::In { failures: 0 })
    }

    /// A request is sent to a server that is due.
    pub(crate) fn begin_trial(&mut self, now: u64) {
        self.passive = Passive::Trial { since: now };
    }

    /// It was not connected, or ended before a head, or sent no byte in time. Whether that takes it
    /// out now; `may_leave`: the pool can do without it. `random` spreads its return by a fifth.
    pub(crate) fn failed(&mut self, now: u64, random: u64, may_leave: bool) -> bool {
        match &mut self.passive {
            Passive::In { failures } => {
                *failures = failures.saturating_add(1);
                if *failures < FAILURES || !may_leave {
                    return false;
                }
            }
            Passive::Out { .. } => return false,
            Passive::Trial { .. } => {}
        }
        let time = (OUT_FIRST << self.outs.min(5)).min(OUT_LONGEST);
        let spread = time * 4 / 5 + random % (time * 2 / 5);
        self.outs = self.outs.saturating_add(1);
        self.passive = Passive::Out { until: now.saturating_add(spread) };
        true
    }

    /// A health check was passed or not: `fall` in a row that are not take it out, `rise` that are take
    /// it in. Whether that changes something.
    pub(crate) fn checked(&mut self, good: bool, fall: u32, rise: u32) -> bool {
        if good != self.down {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let enough = if self.down { rise } else { fall };
        if self.against < enough {
            return false;
        }
        *self = Self { down: !self.down, ..Self::default() };
        true
    }

    /// It answered. Whether it was out.
    pub(crate) fn served(&mut self) -> bool {
        let was_out = !matches!(self.passive, Passive::In { .. });
        self.passive = Passive::In { failures: 0 };
        self.outs = 0;
        was_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(health: &mut Health, now: u64) -> bool {
        health.failed(now, 400, true)
    }

    #[test]
    fn three_failures_in_a_row_take_a_server_out_for_a_time_that_doubles() {
        let mut health = Health::default();
        assert!(!failed(&mut health, 0) && !failed(&mut health, 0));
        health.served();
        assert!(!failed(&mut health, 0) && !failed(&mut health, 0));
        assert!(failed(&mut health, 0), "the third in a row");
        let mut now = 0;
        for out in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            let until = now + out * 4 / 5 + 400 % (out * 2 / 5);
            assert_eq!(health.fitness(until - 1), Fitness::Out);
            assert_eq!(health.fitness(until), Fitness::Due);
            now = until;
            health.begin_trial(now);
            assert_eq!(health.fitness(now), Fitness::Out, "one request tries it");
            assert!(failed(&mut health, now));
        }
        health.begin_trial(now);
        assert!(health.served());
        assert_eq!(health.fitness(now), Fitness::In);
        assert!(!health.is_blemished());
        for _ in 0..2 {
            assert!(!failed(&mut health, now));
        }
        assert!(failed(&mut health, now));
        assert_eq!(health.fitness(now + 1_200), Fitness::Due, "it begins with a second again");
    }

    #[test]
    fn checks_in_a_row_take_a_server_out_and_in() {
        let mut health = Health::default();
        let mut checks = |good: bool| health.checked(good, 3, 2);
        assert!(![false, false, true, false, false].map(&mut checks).contains(&true));
        assert!(checks(false), "the third in a row");
        assert_eq!(health.fitness(0), Fitness::Out);
        let mut checks = |good: bool| health.checked(good, 3, 2);
        assert!(![true, false, true].map(&mut checks).contains(&true));
        assert!(checks(true));
        assert_eq!(health.fitness(0), Fitness::In);
        assert!(!health.is_blemished());
        // What exchanges show counts beside it.
        (0..3).for_each(|_| _ = failed(&mut health, 0));
        assert!(!health.checked(true, 3, 2));
        assert_eq!(health.fitness(0), Fitness::Out);
    }

    #[test]
    fn a_server_that_the_pool_needs_stays() {
        let mut health = Health::default();
        for _ in 0..10 {
            assert!(!health.failed(0, 0, false));
        }
        assert_eq!(health.fitness(0), Fitness::In);
        assert!(health.failed(0, 0, true), "it leaves as soon as it can be spared");
    }

    #[test]
    fn a_trial_that_is_never_heard_of_is_not_the_last() {
        let mut health = Health::default();
        (0..3).for_each(|_| _ = failed(&mut health, 0));
        health.begin_trial(5_000);
        assert_eq!(health.fitness(5_000 + TRIAL - 1), Fitness::Out);
        assert_eq!(health.fitness(5_000 + TRIAL), Fitness::Due);
    }
}
