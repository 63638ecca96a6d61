//! Parts of a task that are polled on their own: what one of them waits for names it when it wakes the
//! task.

use std::task::Waker;

use super::{ALL_LANES, Ring, TaskId, ready::WokenLane, timer};

impl Ring {
    /// Polls a part of the task that is being polled: what its futures wait for wakes the task, and
    /// names this lane, at least 1 and at most [`Self::MOST_LANES`], to [`Self::take_lane`]. So a task
    /// with many parts need not poll all of them. Returns the deadline of the part too, in
    /// milliseconds, `u64::MAX` if it has none: it is the caller's to keep. `waker` is where the part
    /// keeps its waker ([`Self::waker`]), once it has one.
    pub(crate) fn in_lane<R>(
        &self,
        lane: u16,
        waker: &mut Option<Waker>,
        poll: impl FnOnce() -> R,
    ) -> (R, u64) {
        let task = self.current.replace(self.current.get().in_lane(lane));
        let deadline = self.deadline.replace(Some(timer::NEVER));
        self.lane_waker.replace(waker.take());
        let polled = poll();
        *waker = self.lane_waker.take();
        self.current.set(task);
        let until = self.deadline.replace(deadline);
        (polled, until.unwrap_or(timer::NEVER))
    }

    /// The highest lane.
    pub(crate) const MOST_LANES: u16 = 1023;

    /// Takes a lane of the task that is being polled that was woken since it was last taken.
    pub(crate) fn take_lane(&self) -> Option<WokenLane> {
        self.ready.borrow_mut().take_lane(self.current.get())
    }

    /// Queues a task to be polled ([`Self::wake`]), and names each lane of it: any may have what it waits
    /// for.
    pub(crate) fn wake_all_lanes(&self, task: TaskId) {
        self.wake(task.in_lane(ALL_LANES));
    }
}
