//! Deadlines: one per task, on a hashed wheel.
//!
//! Setting a deadline is a store. The wheel holds at least one entry for each armed task, at or
//! before its deadline; an entry that expires early is rescheduled. So a deadline that is pushed
//! back with every request costs nothing, and 100,000 armed ones cost what their memory costs.

use super::TaskId;

/// Milliseconds per bucket: the resolution of every deadline.
pub(crate) const TICK_MS: u64 = 16;

/// Buckets: a turn of the wheel takes 65 s; deadlines beyond it go round again.
const BUCKETS: usize = 4096;

const WORDS: usize = BUCKETS / 64;

/// No deadline.
pub(super) const NEVER: u64 = u64::MAX;

#[derive(Clone, Copy, Debug)]
struct Armed {
    task: TaskId,
    deadline: u64,
    /// The tick of the earliest entry on the wheel; [`NEVER`] if none.
    entry: u64,
}

/// The wheel of one worker. Times are milliseconds on the worker's clock.
#[derive(Debug)]
pub(super) struct Wheel {
    buckets: Vec<Vec<TaskId>>,
    /// A bit for each bucket that is not empty.
    occupied: [u64; WORDS],
    /// The next tick to look at.
    next: u64,
    /// The first tick from there on whose bucket is not empty; [`NEVER`] if all are. Kept, so that a
    /// turn in which nothing expires costs a comparison.
    soonest: u64,
    /// By the task's index.
    armed: Vec<Armed>,
}

impl Wheel {
    pub(super) fn new(now: u64) -> Self {
        let buckets = (0..BUCKETS).map(|_| Vec::new()).collect();
        Self {
            buckets,
            occupied: [0; WORDS],
            next: now / TICK_MS,
            soonest: NEVER,
            armed: Vec::new(),
        }
    }

    /// The deadline of a task; [`NEVER`] if it has none.
    #[cfg(test)]
    fn deadline(&self, task: TaskId) -> u64 {
        match self.armed.get(task.index()) {
            Some(armed) if armed.task == task => armed.deadline,
            _ => NEVER,
        }
    }

    /// Sets or clears ([`NEVER`]) the deadline of a task.
    pub(super) fn set(&mut self, task: TaskId, deadline: u64) {
        let index = task.index();
        if index >= self.armed.len() {
            if deadline == NEVER {
                return;
            }
            let rest = Armed { task, deadline: NEVER, entry: NEVER };
            self.armed.resize(index + 1, rest);
        }
        let armed = &mut self.armed[index];
        if armed.task != task {
            *armed = Armed { task, deadline: NEVER, entry: NEVER };
        }
        armed.deadline = deadline;
        if deadline == NEVER {
            return;
        }
        // Rounded up, so that the entry never expires before the deadline.
        let tick = deadline.div_ceil(TICK_MS).max(self.next);
        if tick < armed.entry {
            let tick = tick.min(self.next + BUCKETS as u64 - 1);
            armed.entry = tick;
            self.insert(tick, task);
        }
    }

    fn insert(&mut self, tick: u64, task: TaskId) {
        let bucket = (tick % BUCKETS as u64) as usize;
        self.buckets[bucket].push(task);
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
        self.soonest = self.soonest.min(tick);
    }

    /// When the wheel wants to be looked at again.
    pub(super) fn next_wake(&self) -> Option<u64> {
        (self.soonest != NEVER).then(|| self.soonest * TICK_MS)
    }

    /// The first tick from `next` on whose bucket is not empty; [`NEVER`] if all are.
    fn next_occupied(&self) -> u64 {
        let begin = (self.next % BUCKETS as u64) as usize;
        let before = !(u64::MAX << (begin % 64));
        // The first word is looked at twice: its end first, its beginning after a whole turn.
        let found = (0..=WORDS).find_map(|step| {
            let word = (begin / 64 + step) % WORDS;
            let bits = match step {
                0 => self.occupied[word] & !before,
                WORDS => self.occupied[word] & before,
                _ => self.occupied[word],
            };
            let bucket = (bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize)?;
            Some(self.next + ((bucket + BUCKETS - begin) % BUCKETS) as u64)
        });
        found.unwrap_or(NEVER)
    }

    /// Calls `expired` for each task whose deadline has come; it has none afterwards.
    pub(super) fn advance(&mut self, now: u64, mut expired: impl FnMut(TaskId)) {
        let current = now / TICK_MS;
        while self.soonest <= current {
            let tick = self.soonest;
            self.next = tick + 1;
            let bucket = (tick % BUCKETS as u64) as usize;
            self.occupied[bucket / 64] &= !(1 << (bucket % 64));
            self.soonest = self.next_occupied();
            let mut entries = std::mem::take(&mut self.buckets[bucket]);
            for task in entries.drain(..) {
                self.expire(tick, now, task, &mut expired);
            }
            // The bucket keeps its capacity, unless an entry was just moved on into it.
            if self.buckets[bucket].is_empty() {
                self.buckets[bucket] = entries;
            }
        }
        self.next = self.next.max(current + 1);
    }

    fn expire(&mut self, tick: u64, now: u64, task: TaskId, expired: &mut impl FnMut(TaskId)) {
        let armed = &mut self.armed[task.index()];
        if armed.task != task || armed.entry != tick {
            // The slot belongs to another task, or an earlier entry has taken over.
            return;
        }
        armed.entry = NEVER;
        if armed.deadline <= now {
            armed.deadline = NEVER;
            expired(task);
        } else if armed.deadline != NEVER {
            let deadline = armed.deadline;
            self.set(task, deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fired(wheel: &mut Wheel, now: u64) -> Vec<usize> {
        let mut tasks = Vec::new();
        wheel.advance(now, |task| tasks.push(task.index()));
        tasks
    }

    #[test]
    fn a_deadline_fires_once_and_not_early() {
        let mut wheel = Wheel::new(1000);
        wheel.set(TaskId::for_test(3), 2000);
        assert!(fired(&mut wheel, 1999).is_empty());
        assert_eq!(fired(&mut wheel, 2000 + TICK_MS), [3]);
        assert!(fired(&mut wheel, 200_000).is_empty());
        assert_eq!(wheel.next_wake(), None);
    }

    #[test]
    fn a_deadline_pushed_back_does_not_fire_at_its_old_time() {
        let mut wheel = Wheel::new(0);
        let task = TaskId::for_test(0);
        wheel.set(task, 1000);
        wheel.set(task, 100_000);
        assert!(fired(&mut wheel, 99_000).is_empty());
        assert_eq!(fired(&mut wheel, 100_100), [0]);
    }

    #[test]
    fn a_deadline_drawn_forward_fires_at_its_new_time() {
        let mut wheel = Wheel::new(0);
        let task = TaskId::for_test(0);
        wheel.set(task, 60_000);
        wheel.set(task, 1000);
        assert!(wheel.next_wake().unwrap() <= 1000 + TICK_MS);
        assert_eq!(fired(&mut wheel, 1100), [0]);
        assert!(fired(&mut wheel, 70_000).is_empty());
    }

    #[test]
    fn a_cleared_deadline_never_fires_even_if_its_slot_is_used_again() {
        let mut wheel = Wheel::new(0);
        let (old, new) = (TaskId::for_test(0), TaskId::for_test(0).successor());
        wheel.set(old, 1000);
        wheel.set(new, 5000);
        assert_eq!(wheel.deadline(old), NEVER);
        let mut tasks = Vec::new();
        wheel.advance(2000, |task| tasks.push(task));
        assert!(tasks.is_empty());
        wheel.advance(6000, |task| tasks.push(task));
        assert_eq!(tasks, [new]);
    }

    /// A hundred thousand connections that push their deadlines back with each request: no entry is
    /// made for that and none is visited before it expires.
    #[test]
    fn a_hundred_thousand_deadlines_are_left_alone() {
        const TASKS: u32 = 100_000;
        let entries = |wheel: &Wheel| wheel.buckets.iter().map(Vec::len).sum::<usize>();
        let mut wheel = Wheel::new(0);
        for now in 0..50 {
            for task in 0..TASKS {
                wheel.set(TaskId::for_test(task), now * 1_000 + 60_000);
            }
            assert!(fired(&mut wheel, now * 1_000).is_empty());
            assert_eq!(entries(&wheel), TASKS as usize);
            assert_eq!(wheel.next_wake(), Some(60_000));
        }
        // Each has one entry, which expires once before its time and is rescheduled.
        assert!(fired(&mut wheel, 61_000).is_empty());
        assert_eq!(entries(&wheel), TASKS as usize);
        assert_eq!(fired(&mut wheel, 110_000).len(), TASKS as usize);
        assert_eq!(wheel.next_wake(), None);
    }

    proptest! {
        #[test]
        fn every_deadline_fires_within_a_tick_of_its_time(
            times in prop::collection::vec(0_u64..300_000, 1..40),
            steps in prop::collection::vec(1_u64..20_000, 1..200),
        ) {
            let mut wheel = Wheel::new(0);
            for (index, at) in times.iter().enumerate() {
                wheel.set(TaskId::for_test(index as u32), *at);
            }
            let mut now = 0;
            let mut seen = vec![false; times.len()];
            for step in steps.iter().chain([&400_000, &400_000, &400_000, &400_000, &400_000]) {
                let before = now;
                now += step;
                for index in fired(&mut wheel, now) {
                    prop_assert!(times[index] <= now && !seen[index]);
                    prop_assert!(times[index] + 2 * TICK_MS > before);
                    seen[index] = true;
                }
            }
            prop_assert!(seen.into_iter().all(|fired| fired));
        }
    }
}
