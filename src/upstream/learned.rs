//! How long a server keeps an unused connection, learned from when it closes them. Pure.

/// Observations that are kept.
const KEPT: usize = 8;

/// Observations that agree before one is believed: a server that restarts closes all at once.
const AGREE: usize = 3;

/// Milliseconds after which an observation is forgotten.
const FORGOTTEN: u64 = 3_600_000;

/// Closings within this many milliseconds count once.
const TOGETHER: u64 = 20;

/// What was seen of one server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Learned {
    /// When, and how long the connection had been unused, in milliseconds.
    seen: [Option<(u64, u64)>; KEPT],
    next: usize,
}

impl Learned {
    /// The server closed a connection that had been unused for `age`. The shortest age that is
    /// believed now.
    pub(super) fn closed(&mut self, now: u64, age: u64) -> Option<u64> {
        let before = (self.next + KEPT - 1) % KEPT;
        let together = self.seen[before].is_some_and(|(at, _)| now.saturating_sub(at) < TOGETHER);
        if !together {
            self.seen[self.next] = Some((now, age));
            self.next = (self.next + 1) % KEPT;
        }
        self.idle(now)
    }

    /// The shortest age that several recent observations agree on. Where none agree although there are as many
    /// as are kept (a host that is busy closes, and notices, at all times), several were as short as this: a
    /// connection that is closed too early costs less than a request that fails.
    pub(super) fn idle(&self, now: u64) -> Option<u64> {
        let recent = || {
            let seen = self.seen.iter().flatten();
            seen.filter(|(at, _)| now.saturating_sub(*at) < FORGOTTEN).map(|(_, age)| *age)
        };
        let agrees = |age: u64| {
            let near = recent().filter(|other| other.abs_diff(age) <= age / 4 + 20);
            near.count() >= AGREE
        };
        recent().filter(|age| agrees(*age)).min().or_else(|| {
            let mut ages: Vec<u64> = recent().collect();
            ages.sort_unstable();
            (ages.len() == KEPT).then(|| ages[AGREE - 1])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_that_agree_are_believed_for_an_hour() {
        let mut learned = Learned::default();
        assert_eq!(learned.closed(10_000, 5_010), None);
        assert_eq!(learned.closed(20_000, 5_000), None);
        assert_eq!(learned.closed(30_000, 5_002), Some(5_000));
        assert_eq!(learned.idle(30_000 + FORGOTTEN), None);
    }

    #[test]
    fn a_restart_teaches_nothing() {
        let mut learned = Learned::default();
        for age in [3, 700, 40, 1_200, 9] {
            assert_eq!(learned.closed(10_000, age), None, "{age}");
        }
    }

    #[test]
    fn closings_that_never_agree_are_learned_from_once_there_are_many() {
        let mut learned = Learned::default();
        let ages = [900, 60, 2_000, 450, 250, 5_000, 130, 9_000];
        let last =
            ages.iter().enumerate().map(|(round, age)| learned.closed(round as u64 * 60, *age));
        let known: Vec<_> = last.collect();
        assert_eq!(known[..7], [None; 7]);
        assert_eq!(known[7], Some(250), "three were as short as that");
    }

    #[test]
    fn many_that_close_in_a_row_are_learned_from() {
        let mut learned = Learned::default();
        let last = (0..20).map(|round| learned.closed(round * 60, 50 + round % 3)).last();
        assert_eq!(last, Some(Some(50)));
    }
}
