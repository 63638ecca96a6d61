//! A monotonic clock that is read often: the processor's counter gives the time between two
//! readings of the kernel's clock, which costs a third of asking the kernel each time.
//!
//! The invariants. *It is the kernel's clock*: whatever the counter does, a turn of the loop begins
//! with a reading of `CLOCK_MONOTONIC`, and the counter measures only what passes in that turn, and
//! only while its pace agrees, from window to window, with the kernel's clock. A counter that stops,
//! jumps, changes its pace or is not there is not used: the clock asks the kernel instead. *It never
//! goes back*: where the counter ran ahead of the kernel, the clock stands still until the kernel has
//! caught up.

use std::cell::Cell;

use crate::{monotonic::Monotonic, ring::ticks};

/// How long the counter is compared with the kernel's clock for its pace, in nanoseconds. A reading
/// that is interrupted for a tenth of a millisecond makes the pace wrong by a five-hundredth.
const WINDOW: u64 = 50_000_000;

/// How far two windows may differ, as a part of either, for the counter to be used.
const AGREES: u64 = 256;

/// Ticks after a reading of the kernel's clock beyond which it is asked again: a third of a second or
/// more. Times the greatest pace, they fit into 64 bits.
const MOST_TICKS: u64 = 1 << 30;

/// The greatest pace: two nanoseconds for each tick. Slower counters are not worth asking.
const SLOWEST: u64 = 1 << 33;

/// Both clocks, read one after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    nanoseconds: u64,
    ticks: u64,
}

/// A monotonic clock for one thread, in nanoseconds since it was made.
#[derive(Debug)]
pub(crate) struct TickClock {
    start: Monotonic,
    /// What a test counts in place of the processor.
    #[cfg(test)]
    counter: fn() -> u64,
    anchor: Cell<Reading>,
    /// Nanoseconds for a tick, times 2^32.
    pace: Cell<u64>,
    /// Ticks after a reading of the kernel's clock beyond which it is asked again; 0: the counter is not
    /// used.
    most_ticks: Cell<u64>,
    /// When the present window began, and the pace of the one before.
    window: Cell<Reading>,
    measured: Cell<u64>,
    /// The last time that was handed out, in nanoseconds.
    latest: Cell<u64>,
}

impl TickClock {
    /// Begins now. A counter that stands still is never used.
    pub(crate) fn new() -> Self {
        Self::begun(ticks)
    }

    /// Begins now, with another counter than the processor's.
    #[cfg(test)]
    pub(crate) fn of(counter: fn() -> u64) -> Self {
        Self::begun(counter)
    }

    fn begun(counter: fn() -> u64) -> Self {
        let begun = Reading { nanoseconds: 0, ticks: counter() };
        Self {
            start: Monotonic::now(),
            #[cfg(test)]
            counter,
            anchor: Cell::new(begun),
            pace: Cell::new(0),
            most_ticks: Cell::new(0),
            window: Cell::new(begun),
            measured: Cell::new(0),
            latest: Cell::new(0),
        }
    }

    /// What the processor counts.
    #[inline]
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "a test has a counter of its own"))]
    fn ticks(&self) -> u64 {
        #[cfg(test)]
        return (self.counter)();
        #[cfg(not(test))]
        ticks()
    }

    /// When it began.
    pub(crate) fn start(&self) -> Monotonic {
        self.start
    }

    /// Asks the kernel. The counter measures from here on.
    pub(crate) fn anchor(&self) -> u64 {
        let reading = Reading { nanoseconds: self.start.elapsed(), ticks: self.ticks() };
        self.anchored(reading)
    }

    fn anchored(&self, reading: Reading) -> u64 {
        self.anchor.set(reading);
        if reading.nanoseconds.saturating_sub(self.window.get().nanoseconds) >= WINDOW {
            self.calibrate(reading);
        }
        self.not_before(reading.nanoseconds)
    }

    /// This time, or the last one that was handed out if that is later.
    #[inline]
    fn not_before(&self, time: u64) -> u64 {
        let time = time.max(self.latest.get());
        self.latest.set(time);
        time
    }

    /// The last time that was handed out, without reading the counter.
    #[inline]
    pub(crate) fn latest(&self) -> u64 {
        self.latest.get()
    }

    /// The time now.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        let Reading { nanoseconds, ticks } = self.anchor.get();
        let passed = self.ticks().wrapping_sub(ticks);
        if passed >= self.most_ticks.get() {
            return self.asked();
        }
        self.not_before(nanoseconds + ((passed * self.pace.get()) >> 32))
    }

    /// The time now, as the kernel says it.
    #[cold]
    fn asked(&self) -> u64 {
        self.not_before(self.start.elapsed())
    }

    /// A window has ended.
    #[cold]
    fn calibrate(&self, reading: Reading) {
        let begun = self.window.replace(reading);
        let nanoseconds = u128::from(reading.nanoseconds.saturating_sub(begun.nanoseconds));
        let ticks = u128::from(reading.ticks.wrapping_sub(begun.ticks));
        // Zero is no pace: the clock is read until the next window.
        let pace = (nanoseconds << 32).checked_div(ticks).unwrap_or(0);
        let pace = u64::try_from(pace).ok().filter(|pace| *pace <= SLOWEST).unwrap_or(0);
        let differs = pace.abs_diff(self.measured.replace(pace));
        self.use_pace(if differs <= pace / AGREES { pace } else { 0 });
    }

    /// Uses the counter at this pace, or not at all if that is 0.
    fn use_pace(&self, pace: u64) {
        self.pace.set(pace);
        self.most_ticks.set(if pace == 0 { 0 } else { MOST_TICKS });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn still() -> u64 {
        7
    }

    /// A clock that has seen these nanoseconds and ticks, one after the other.
    fn seen(readings: &[(u64, u64)]) -> TickClock {
        let clock = TickClock::of(still);
        clock.window.set(Reading::default());
        for &(nanoseconds, ticks) in readings {
            clock.anchored(Reading { nanoseconds, ticks });
        }
        clock
    }

    /// Half a nanosecond for each tick.
    const HALF: u64 = 1 << 31;

    #[test]
    fn a_counter_is_used_when_two_windows_agree() {
        for (readings, pace) in [
            (&[(WINDOW, 2 * WINDOW)][..], 0),
            (&[(WINDOW, 2 * WINDOW), (2 * WINDOW, 4 * WINDOW)], HALF),
            // Within a window nothing is decided.
            (&[(WINDOW, 2 * WINDOW), (2 * WINDOW - 1, 3 * WINDOW)], 0),
            // It was halted, it went on at another pace, it went back, it stands, it is slow.
            (&[(WINDOW, 2 * WINDOW), (2 * WINDOW, 4 * WINDOW), (3 * WINDOW, 5 * WINDOW)], 0),
            (&[(WINDOW, 2 * WINDOW), (2 * WINDOW, 5 * WINDOW)], 0),
            (&[(WINDOW, 2 * WINDOW), (2 * WINDOW, WINDOW)], 0),
            (&[(WINDOW, 0), (2 * WINDOW, 0)], 0),
            (&[(WINDOW, WINDOW / 4), (2 * WINDOW, WINDOW / 2)], 0),
            // And used again once it has kept a pace for two.
            (&[(WINDOW, 9), (2 * WINDOW, 9 + WINDOW), (3 * WINDOW, 9 + 2 * WINDOW)], 1 << 32),
        ] {
            assert_eq!(seen(readings).pace.get(), pace, "{readings:?}");
        }
    }

    #[test]
    fn what_passed_since_the_kernel_was_asked_is_told_by_the_counter() {
        let clock = seen(&[(WINDOW, 2 * WINDOW), (2 * WINDOW, 4 * WINDOW)]);
        // The counter stands at 7.
        clock.anchored(Reading { nanoseconds: 2 * WINDOW, ticks: 1 });
        assert_eq!(clock.now(), 2 * WINDOW + 3);
        // It went back, or the turn is long: the kernel is asked.
        let clock = seen(&[(WINDOW, 2 * WINDOW), (2 * WINDOW, 4 * WINDOW)]);
        clock.latest.set(0);
        clock.anchor.set(Reading { nanoseconds: u64::MAX / 2, ticks: 8 });
        asks_the_kernel(&clock);
    }

    thread_local! {
        static COUNTER: Cell<u64> = const { Cell::new(0) };
    }

    /// A pace that is wrong by less than two windows may differ, and a second window that was read
    /// a sixth of a millisecond late.
    #[test]
    fn it_does_not_go_back_where_the_counter_ran_ahead_of_the_kernel() {
        let clock = TickClock::of(|| COUNTER.get());
        clock.window.set(Reading::default());
        let late = WINDOW + 166_000;
        clock.anchored(Reading { nanoseconds: WINDOW, ticks: WINDOW });
        clock.anchored(Reading { nanoseconds: WINDOW + late, ticks: 2 * WINDOW });
        assert!(clock.pace.get() > 1 << 32, "the counter is used, and its pace is too high");
        let mut last = WINDOW + late;
        for turn in 1..100 {
            // A millisecond passes in a turn, and for the kernel as well.
            COUNTER.set(2 * WINDOW + turn * 1_000_000);
            let told = clock.now();
            let anchored = clock.anchored(Reading {
                nanoseconds: WINDOW + late + turn * 1_000_000,
                ticks: 2 * WINDOW + turn * 1_000_000,
            });
            let next = clock.now();
            assert!(last <= told && told <= anchored && anchored <= next, "turn {turn}");
            last = next;
        }
    }

    proptest! {
        #[test]
        fn it_never_goes_back_whatever_both_clocks_show(
            steps in prop::collection::vec((0_u64..200_000_000, any::<u64>(), any::<bool>()), 1..60),
        ) {
            let clock = TickClock::of(|| COUNTER.get());
            let (mut nanoseconds, mut last) = (0, 0);
            for (passed, ticks, anchors) in steps {
                nanoseconds += passed;
                COUNTER.set(COUNTER.get().wrapping_add(ticks >> (passed % 64)));
                let read = if anchors {
                    clock.anchored(Reading { nanoseconds, ticks: COUNTER.get() })
                } else {
                    clock.now()
                };
                prop_assert!(read >= last);
                last = read;
            }
        }
    }

    fn asks_the_kernel(clock: &TickClock) {
        let (before, now) = (clock.start().elapsed(), clock.now());
        let after = clock.start().elapsed();
        assert!(before <= now && now <= after, "{before} {now} {after}");
    }

    #[test]
    fn without_a_counter_it_is_the_kernels_clock() {
        let clock = TickClock::of(still);
        clock.anchor();
        asks_the_kernel(&clock);
    }

    #[test]
    fn the_longest_turn_at_the_greatest_pace_fits() {
        assert!(MOST_TICKS.checked_mul(SLOWEST).is_some());
    }
}
