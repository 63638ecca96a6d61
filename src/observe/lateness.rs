//! How late a turn of the loop began: how long what it deals with has waited in the kernel.
//!
//! A worker sees the bytes of a client when it turns. What kept it from turning, a long turn before
//! or a processor that it did not get, is not the client's time. The kernel knows when it received
//! the bytes, in ticks of its clock ([`Lateness::tick`], 1 to 10 ms), and the scheduler knows to the
//! nanosecond how long the thread waited for a processor. Both are asked only where a turn began a
//! tick or more after the one before: shorter waits cannot be resolved.
//!
//! The invariant: an estimate is less than a tick away from the time that the bytes waited, and is
//! never longer than the time since the turn before, when they would have been seen.

use std::cell::Cell;

use rustix::time::{ClockId, clock_getres};

use super::Work;

/// How late the present turn began.
#[derive(Debug)]
pub(super) struct Lateness {
    /// The kernel's tick, in nanoseconds. Waits are resolved to that, in both directions.
    tick: u64,
    /// From the beginning of the turn before to that of this one, in nanoseconds.
    gap: Cell<u64>,
    /// Of this, in a system call that was to wait.
    slept: Cell<u64>,
    /// Waiting for a processor, likewise.
    run_delay: Cell<u64>,
    /// What the kernel said of the first bytes of this turn, in ticks as nanoseconds.
    first: Cell<Option<u64>>,
    /// It went on with the turn before.
    carried: Cell<bool>,
    /// The longest that anything of this turn has waited while the worker did not run.
    lost: Cell<u64>,
}

impl Lateness {
    pub(super) fn new() -> Self {
        // What the coarse clock shows is the time of the last tick (clock_getres(2)).
        let resolution = clock_getres(ClockId::MonotonicCoarse);
        let tick =
            u64::try_from(resolution.tv_nsec).map_or(MOST_TICK, |tick| tick.clamp(1, MOST_TICK));
        Self::of_tick(tick)
    }

    fn of_tick(tick: u64) -> Self {
        Self {
            tick,
            gap: Cell::new(0),
            slept: Cell::new(0),
            run_delay: Cell::new(0),
            first: Cell::new(None),
            carried: Cell::new(false),
            lost: Cell::new(0),
        }
    }

    /// Whether the turn that begins `gap` nanoseconds after the present one goes on with it: a
    /// signal ends a wait before what has come meanwhile is completed (`io_cqring_wait` in
    /// `io_uring/io_uring.c`), so a turn that began late and brought no bytes may be the first half
    /// of two.
    pub(super) fn goes_on(&self, gap: u64) -> bool {
        let goes_on = gap < self.tick && self.first.get().is_none() && !self.carried.get();
        if goes_on {
            self.carried.set(true);
            self.gap.set(self.gap.get() + gap);
        }
        goes_on
    }

    /// A turn begins, `gap` nanoseconds after the one before, of which it slept so many. Returns
    /// whether it may be late.
    pub(super) fn turn(&self, gap: u64, slept: u64) -> bool {
        self.gap.set(gap);
        if gap < self.tick {
            return false;
        }
        self.slept.set(slept);
        self.first.set(None);
        self.lost.set(0);
        self.carried.set(false);
        true
    }

    /// A turn begins, `gap` nanoseconds after the one before: so soon that it is not late, and the one before
    /// was not. Else nothing is noted, and [`Self::turn`] has to be called.
    #[inline]
    pub(super) fn follows_soon(&self, gap: u64) -> bool {
        let soon = gap < self.tick && !self.is_suspect();
        if soon {
            self.gap.set(gap);
        }
        soon
    }

    /// Of a turn that may be late: the thread waited so long for its processor since the turn
    /// before.
    pub(super) fn set_run_delay(&self, nanoseconds: u64) {
        self.run_delay.set(nanoseconds);
        if self.has_slept() {
            self.lose(nanoseconds.min(self.slept.get()));
        }
    }

    /// Whether the present turn may be late.
    #[inline]
    pub(super) fn is_suspect(&self) -> bool {
        self.gap.get() >= self.tick
    }

    /// Whether the worker slept for a tick or more before this turn, so that what came woke it.
    fn has_slept(&self) -> bool {
        self.slept.get() >= self.tick
    }

    /// How long the bytes have waited that a task deals with in this turn. `received_ago` asks the
    /// kernel how long ago it received data last, in ticks as nanoseconds.
    pub(super) fn waited(&self, received_ago: impl FnOnce() -> Option<u64>) -> u64 {
        // Completions are in the order of arrival: what follows the first has not waited longer.
        let ago = match self.first.get() {
            Some(0) => 0,
            Some(first) => received_ago().unwrap_or(0).min(first),
            None => {
                let ago = received_ago().unwrap_or(0);
                self.first.set(Some(ago));
                ago
            }
        };
        let waited = self.estimate(ago);
        if self.has_slept() {
            self.lose(waited);
        }
        waited
    }

    fn estimate(&self, ago: u64) -> u64 {
        let (delay, least) = (self.run_delay.get(), ago.saturating_sub(self.tick));
        let waited = if !self.has_slept() {
            // It may have come at any time of the turn before.
            ago
        } else if delay >= least {
            // What the scheduler counted fits what the kernel says, and is exact.
            delay.min(ago + self.tick)
        } else {
            // The thread was stopped, throttled, or its machine was: nobody counted that.
            ago
        };
        waited.min(self.gap.get())
    }

    /// The worker slept although a timer was due, which came so late; less than [`COARSE`] is how
    /// timers are.
    pub(super) fn timer(&self, late: u64) {
        if self.has_slept() && late >= COARSE {
            self.lose(late.min(self.slept.get()));
        }
    }

    /// What is known so far of [`Self::take_lost`].
    #[inline]
    pub(super) fn lost(&self) -> u64 {
        if self.is_suspect() && self.has_slept() { self.lost.get() } else { 0 }
    }

    /// What a loss of this turn went to.
    pub(super) fn cause(&self, lost: u64) -> Work {
        if self.run_delay.get() * 2 >= lost { Work::Processor } else { Work::Stopped }
    }

    fn lose(&self, nanoseconds: u64) {
        self.lost.set(self.lost.get().max(nanoseconds));
    }

    /// How long the worker did not run although something was there to be dealt with in this turn,
    /// as far as is known; if it slept before.
    pub(super) fn take_lost(&self) -> Option<u64> {
        (self.is_suspect() && self.has_slept()).then(|| self.lost.take())
    }
}

/// The longest tick that a kernel can be built with (`CONFIG_HZ_100`), in nanoseconds.
const MOST_TICK: u64 = 10_000_000;

/// The wheel of timers has steps of a millisecond, and the kernel some slack.
const COARSE: u64 = 3_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;
    const TICK: u64 = 4 * MS;

    fn late(gap: u64, slept: u64, run_delay: u64) -> Lateness {
        let late = Lateness::of_tick(TICK);
        assert!(late.turn(gap, slept));
        late.set_run_delay(run_delay);
        late
    }

    #[test]
    fn the_host_has_a_tick() {
        assert!((1..=MOST_TICK).contains(&Lateness::new().tick));
    }

    #[test]
    fn a_turn_that_follows_soon_is_not_late() {
        let late = Lateness::of_tick(TICK);
        assert!(!late.turn(TICK - 1, TICK - 1) && !late.is_suspect());
        assert!(late.follows_soon(TICK - 1) && !late.is_suspect());
        assert_eq!(late.take_lost(), None);
        assert!(!late.follows_soon(TICK) && late.turn(TICK, 0) && late.is_suspect());
        assert!(!late.follows_soon(1), "what the late one lost is not settled");
    }

    #[test]
    fn what_came_while_the_worker_did_not_run_has_waited() {
        for (gap, slept, run_delay, ago, waited, lost) in [
            // It slept, and woke at once; the kernel's tick fell between.
            (900, 890, 0, 0, 0, 0),
            (900, 890, 0, 4, 0, 0),
            // Another thread had its processor.
            (900, 890, 7, 8, 7, 7),
            (900, 890, 7, 4, 7, 7),
            (900, 890, 3, 0, 3, 3),
            // It was stopped: no count but the kernel's.
            (900, 890, 0, 300, 300, 300),
            (900, 890, 2, 300, 300, 300),
            // The count of the scheduler has more in it than this wait.
            (900, 890, 50, 8, 12, 50),
            // It worked all the time: that is no loss.
            (12, 0, 0, 8, 8, 0),
            (12, 1, 0, 4, 4, 0),
            // Earlier than the turn before nothing can have come.
            (12, 0, 0, 300, 12, 0),
        ] {
            let late = late(gap * MS, slept * MS, run_delay * MS);
            let case = (gap, slept, run_delay, ago);
            assert_eq!(late.waited(|| Some(ago * MS)), waited * MS, "{case:?}");
            assert_eq!(late.take_lost().unwrap_or(0), lost * MS, "{case:?}");
        }
    }

    #[test]
    fn a_turn_goes_on_with_a_late_one_that_brought_nothing() {
        let late = late(900 * MS, 890 * MS, 0);
        late.timer(250 * MS);
        assert!(!late.goes_on(TICK), "it comes too late for that");
        assert!(late.goes_on(MS));
        assert_eq!(late.waited(|| Some(300 * MS)), 300 * MS);
        assert_eq!(late.take_lost(), Some(300 * MS));
        assert!(!late.goes_on(MS), "once only");
        let asked = self::late(900 * MS, 890 * MS, 0);
        asked.waited(|| Some(0));
        assert!(!asked.goes_on(MS));
    }

    #[test]
    fn a_loss_is_named_after_what_was_counted() {
        assert_eq!(late(900 * MS, 890 * MS, 7 * MS).cause(8 * MS), Work::Processor);
        assert_eq!(late(900 * MS, 890 * MS, 7 * MS).cause(300 * MS), Work::Stopped);
    }

    #[test]
    fn what_follows_the_first_has_not_waited_longer() {
        let late = late(900 * MS, 890 * MS, 0);
        assert_eq!(late.waited(|| Some(20 * MS)), 20 * MS);
        assert_eq!(late.waited(|| Some(40 * MS)), 20 * MS);
        assert_eq!(late.waited(|| Some(12 * MS)), 12 * MS);
        let none = self::late(900 * MS, 890 * MS, 0);
        assert_eq!(none.waited(|| Some(0)), 0);
        assert_eq!(none.waited(|| unreachable!("the first has not waited")), 0);
    }

    #[test]
    fn a_timer_that_comes_late_is_a_loss_even_if_nobody_asks() {
        for (late_by, lost) in [(COARSE - 1, 0), (200 * MS, 200 * MS), (2_000 * MS, 490 * MS)] {
            let late = late(500 * MS, 490 * MS, 0);
            late.timer(late_by);
            assert_eq!(late.take_lost(), Some(lost));
        }
    }

    proptest! {
        /// Bytes that came while the worker slept and did not run: whatever the phase of the
        /// kernel's tick, and whether the scheduler counted the wait or not.
        #[test]
        fn an_estimate_is_less_than_a_tick_off(
            waited in 0_u64..400 * MS, phase in 0..TICK, counted in any::<bool>(),
        ) {
            let ago = (phase + waited) / TICK * TICK;
            let run_delay = if counted { waited } else { 0 };
            let late = late(900 * MS, 890 * MS, run_delay);
            let told = late.waited(|| Some(ago));
            let off = told.abs_diff(waited);
            // One tick alone may be the clock's edge: then nothing is said.
            let bound = if ago == TICK { 2 * TICK } else { TICK };
            prop_assert!(off < bound, "{told} for {waited}");
            prop_assert!(!counted || off == 0);
        }
    }
}
