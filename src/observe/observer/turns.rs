//! Turns of the loop: when they began, how late that was, and what they were spent in.

use std::cell::Cell;

use super::{Noted, Observer};
use crate::observe::{
    Turn, Work,
    processor::Scheduled,
    slow::{STALL, Stall},
};

impl Observer {
    /// When the bytes arrived that a task deals with in this turn. `received_ago` asks the kernel
    /// how long ago it received data on the connection last; it is called only if the turn began late.
    #[inline]
    pub(in crate::observe) fn arrival(&self, received_ago: impl FnOnce() -> Option<u64>) -> u64 {
        let began = self.turn_began();
        if self.late.is_suspect() {
            return began.saturating_sub(self.late.waited(received_ago));
        }
        began
    }

    /// Time since the start in which the worker did not run although it had something to do.
    #[inline]
    pub(in crate::observe) fn lost(&self) -> u64 {
        self.lost.get() + self.late.lost()
    }

    /// What of this the present turn began with.
    #[inline]
    pub(in crate::observe) fn lost_in_turn(&self) -> u64 {
        self.late.lost()
    }

    /// The worker wakes at this time at the latest, in milliseconds on its clock.
    pub(crate) fn expect(&self, due: u64) {
        self.due.set(due * 1_000_000);
    }

    /// A turn has ended, and the next one begins.
    pub(crate) fn turn(&self, turn: Turn) {
        if !self.enabled {
            return;
        }
        let began = self.turn_began.replace(turn.next);
        let gap = turn.next.saturating_sub(began);
        self.turns.set(self.turns.get() + 1);
        self.sendfile.set(self.sendfile.get() + turn.sendfile);
        self.noted.borrow_mut().recorder.record_turn(turn.busy);
        if turn.busy + turn.entered >= STALL || !self.late.follows_soon(gap) {
            self.look_at_turn(turn, began, gap);
        }
        self.spent.iter().for_each(|spent| spent.set(0));
        self.processor.turn(turn.next);
    }

    /// A turn has ended that was long, or one that was late or is followed by one that may be.
    #[cold]
    fn look_at_turn(&self, turn: Turn, began: u64, gap: u64) {
        let took = turn.busy + turn.entered;
        let noted = &mut *self.noted.borrow_mut();
        let goes_on = self.late.is_suspect() && self.wake_goes_on(noted, began, gap);
        let slept = if turn.entered == 0 { gap.saturating_sub(turn.busy) } else { 0 };
        let suspect = !goes_on && self.late.turn(gap, slept);
        if !suspect && took < STALL {
            return;
        }
        let scheduled = self.processor.since(turn.next);
        if took >= STALL {
            self.spent(Work::Sendfile, turn.sendfile);
            self.spent(Work::Enter, turn.entered);
            let work = self.most_of(took, scheduled);
            noted.slowest.stalled(Stall { ended: began + took, took, work });
        }
        if suspect {
            self.late.set_run_delay(scheduled.map_or(0, |scheduled| scheduled.waited));
            if self.due.get() > 0 {
                self.late.timer(turn.next.saturating_sub(self.due.get()));
            }
        }
    }

    /// The turn that began at `began` has ended, and may have begun late: by how much is known now,
    /// unless the next one, which begins `gap` nanoseconds after it, goes on with it.
    fn wake_goes_on(&self, noted: &mut Noted, began: u64, gap: u64) -> bool {
        let goes_on = self.late.goes_on(gap);
        if !goes_on {
            self.settle_wake(noted, began);
        }
        goes_on
    }

    fn settle_wake(&self, noted: &mut Noted, began: u64) {
        let Some(lost) = self.late.take_lost() else { return };
        noted.recorder.record_wake(lost);
        self.lost.set(self.lost.get() + lost);
        if lost >= STALL {
            let work = Some(self.late.cause(lost));
            noted.slowest.stalled(Stall { ended: began, took: lost, work });
        }
    }

    /// Nanoseconds of this turn that are booked to `work`.
    fn booked(&self, work: Work) -> u64 {
        work.place().map_or(0, |place| self.spent[place].get())
    }

    /// What at least half of a turn went to. What it did not run is lost, but for the time in which an
    /// application had the thread and may have blocked it by a call of its own. The reading before may be
    /// older than the turn, by 4 ms at most: what the thread ran then hides no wait of this turn.
    fn most_of(&self, took: u64, scheduled: Option<Scheduled>) -> Option<Work> {
        if let Some(Scheduled { ran, waited }) = scheduled {
            let blocked = self.booked(Work::Application);
            let idle = took.saturating_sub(ran).saturating_sub(blocked);
            self.lost.set(self.lost.get() + idle.max(waited.min(took)));
            if waited * 2 >= took {
                return Some(Work::Processor);
            }
            if idle * 2 >= took {
                return Some(Work::Stopped);
            }
        }
        let spent = Work::ALL.into_iter().zip(self.spent.iter().map(Cell::get));
        spent
            .max_by_key(|(_, time)| *time)
            .filter(|(_, time)| time * 2 >= took)
            .map(|(work, _)| work)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::{observe::Stage, tick_clock::TickClock};

    /// Longer than this machine can have kept the test waiting for its processor.
    const LONG: u64 = 1_000_000_000_000;

    fn clock() -> Rc<TickClock> {
        Rc::new(TickClock::of(|| 0))
    }

    /// A turn of this length, all of it on the processor.
    fn named(observer: &Observer, took: u64, scheduled: Option<[u64; 2]>) -> Option<Work> {
        let scheduled = scheduled.map(|[ran, waited]| Scheduled { ran, waited });
        observer.most_of(took, scheduled)
    }

    #[test]
    fn a_stall_is_named_after_what_took_half_of_it() {
        let half = LONG / 2;
        let all = Some([LONG, 0]);
        for (spent, scheduled, work, lost) in [
            (Some((Work::Snapshot, half)), all, Some(Work::Snapshot), 0),
            (Some((Work::Stage(Stage::HandshakeCpu), half - 1)), all, None, 0),
            (Some((Work::Sendfile, half)), None, Some(Work::Sendfile), 0),
            (Some((Work::Enter, LONG)), all, Some(Work::Enter), 0),
            (Some((Work::Enter, LONG)), Some([half, half]), Some(Work::Processor), half),
            (Some((Work::Enter, LONG)), Some([half, half - 1]), Some(Work::Stopped), half),
            (None, Some([half + 1, half - 1]), None, half - 1),
            // A handler that slept, and one that had no processor.
            (Some((Work::Application, LONG)), Some([0, 0]), Some(Work::Application), 0),
            (Some((Work::Application, LONG)), Some([0, half]), Some(Work::Processor), half),
            // What it ran before the turn counts as well, and hides no wait.
            (None, Some([LONG + 1, 0]), None, 0),
            (None, Some([2 * LONG, half]), Some(Work::Processor), half),
            (None, Some([LONG, half - 1]), None, half - 1),
        ] {
            let observer = Observer::new(true, clock(), 1, None);
            if let Some((work, time)) = spent {
                observer.spent(work, time);
            }
            assert_eq!(named(&observer, LONG, scheduled), work);
            assert_eq!(observer.lost(), lost);
        }
    }

    #[test]
    fn a_long_turn_is_remembered_and_the_next_one_begins_anew() {
        let observer = Observer::new(true, clock(), 1, None);
        observer.spent(Work::Snapshot, LONG);
        observer.turn(Turn { next: LONG, busy: LONG, ..Turn::default() });
        let stall = observer.noted.borrow().slowest.longest_stall().unwrap();
        assert_eq!((stall.ended, stall.took), (LONG, LONG));
        assert!(observer.spent.iter().all(|time| time.get() == 0));
    }

    #[test]
    fn a_worker_that_woke_late_has_lost_that_time() {
        const MS: u64 = 1_000_000;
        let observer = Observer::new(true, clock(), 1, None);
        observer.expect(50);
        observer.turn(Turn { next: 350 * MS, busy: MS / 2, ..Turn::default() });
        assert!(observer.lost() >= 300 * MS);
        assert_eq!(observer.arrival(|| Some(200 * MS)), 150 * MS);
        assert_eq!(observer.noted.borrow().recorder.histograms().wakes().len(), 0);
        let lost = observer.lost();
        // A turn that brings nothing, and one that brings bytes.
        for next in [351, 352, 353] {
            observer.turn(Turn { next: next * MS, busy: MS / 2, ..Turn::default() });
            assert_eq!(observer.lost(), lost);
        }
        let noted = observer.noted.borrow();
        assert_eq!(noted.recorder.histograms().wakes().len(), 1);
        let stall = noted.slowest.longest_stall().unwrap();
        assert_eq!(stall.work, Some(Work::Stopped));
        assert_eq!(observer.arrival(|| unreachable!("this turn is not late")), 353 * MS);
    }
}
