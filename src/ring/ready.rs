//! The tasks that are ready, in the order in which they were named.

use std::collections::VecDeque;

use super::{ALL_LANES, NO_LANE, NumberSet, TaskId};

/// Which lane of a task was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WokenLane {
    /// This one.
    One(u16),
    /// Any: it is not known which.
    Any,
}

/// The lanes of a task that were woken.
#[derive(Debug, Default)]
struct Lanes {
    some: NumberSet,
    any: bool,
}

/// Tasks to poll, each at most once however often it was named: bounded by the number of tasks.
///
/// A request names its task twice, when its bytes arrive and when its response has left. If both
/// stood here, tasks would be named faster than a turn of bounded length polls them, and those
/// behind would wait for ever longer.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    queue: VecDeque<TaskId>,
    /// For each place of the executor, one more than the generation that stands in the queue.
    /// Zero: none does.
    queued: Vec<u32>,
    /// For each place whose task has lanes, those that were woken and not taken. Those of a task that
    /// is gone are left to its successor, which looks for nothing once.
    lanes: Vec<Lanes>,
}

impl ReadyQueue {
    /// Puts a task at the end, unless it is in the queue.
    pub(super) fn push(&mut self, task: TaskId) {
        let (lane, task) = (task.lane(), task.whole());
        if task == TaskId::NOBODY {
            return;
        }
        let index = task.index();
        if lane != NO_LANE {
            self.name_lane(index, lane);
        }
        if index >= self.queued.len() {
            self.grow(index);
        }
        let mark = mark(task);
        if self.queued[index] != mark {
            self.queued[index] = mark;
            self.queue.push_back(task);
        }
    }

    #[inline(never)]
    fn name_lane(&mut self, index: usize, lane: u16) {
        if index >= self.lanes.len() {
            self.lanes.resize_with(index + 1, Lanes::default);
        }
        match lane {
            ALL_LANES => self.lanes[index].any = true,
            lane => self.lanes[index].some.insert(lane),
        }
    }

    /// Makes a place for the task at `index`.
    #[cold]
    fn grow(&mut self, index: usize) {
        self.queued.resize(index + 1, 0);
    }

    /// Takes a lane of a task that was woken since it was last taken.
    pub(super) fn take_lane(&mut self, task: TaskId) -> Option<WokenLane> {
        let lanes = self.lanes.get_mut(task.index())?;
        if std::mem::take(&mut lanes.any) {
            return Some(WokenLane::Any);
        }
        lanes.some.take().map(WokenLane::One)
    }

    /// Moves the first tasks, at most `most`, to the end of `taken`. They may be named again.
    pub(super) fn take(&mut self, taken: &mut Vec<TaskId>, most: usize) {
        for _ in 0..most {
            let Some(task) = self.queue.pop_front() else { return };
            let queued = &mut self.queued[task.index()];
            if *queued == mark(task) {
                *queued = 0;
            }
            taken.push(task);
        }
    }

    /// Whether there is nobody to poll.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// Never zero.
fn mark(task: TaskId) -> u32 {
    u32::from(task.generation()) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(queue: &mut ReadyQueue, most: usize) -> Vec<TaskId> {
        let mut taken = Vec::new();
        queue.take(&mut taken, most);
        taken
    }

    #[test]
    fn a_task_stands_in_the_queue_once() {
        let (first, second) = (TaskId::first(0), TaskId::first(7));
        let mut queue = ReadyQueue::default();
        for task in [first, second, first, first, second] {
            queue.push(task);
        }
        assert_eq!(taken(&mut queue, 10), [first, second]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_task_is_named_once_and_each_of_its_lanes() {
        let (task, other) = (TaskId::first(3), TaskId::first(4));
        let mut queue = ReadyQueue::default();
        for named in [task.in_lane(7), task, task.in_lane(900), other, task.in_lane(7)] {
            queue.push(named);
        }
        assert_eq!(taken(&mut queue, 10), [task, other], "tasks are polled as a whole");
        assert_eq!(queue.take_lane(task), Some(WokenLane::One(7)));
        queue.push(task.in_lane(ALL_LANES));
        assert_eq!(queue.take_lane(task), Some(WokenLane::Any));
        assert_eq!(queue.take_lane(task), Some(WokenLane::One(900)));
        assert_eq!((queue.take_lane(task), queue.take_lane(other)), (None, None));
        assert_eq!(taken(&mut queue, 10), [task]);
    }

    #[test]
    fn a_task_that_was_taken_may_be_named_again_and_goes_behind_the_others() {
        let tasks = [0, 1, 2].map(TaskId::first);
        let mut queue = ReadyQueue::default();
        for &task in &tasks {
            queue.push(task);
        }
        assert_eq!(taken(&mut queue, 1), [tasks[0]]);
        queue.push(tasks[0]);
        assert_eq!(taken(&mut queue, 10), [tasks[1], tasks[2], tasks[0]]);
    }

    #[test]
    fn nobody_starves_however_busy_the_others_are() {
        let tasks: Vec<_> = (0..64).map(TaskId::first).collect();
        let mut queue = ReadyQueue::default();
        let mut polls = [0_u32; 64];
        for &task in &tasks {
            queue.push(task);
        }
        for _ in 0..1000 {
            for task in taken(&mut queue, 16) {
                polls[task.index()] += 1;
                // Everybody who was polled is named for two reasons at once.
                queue.push(task);
                queue.push(task);
            }
        }
        let (least, most) = (polls.iter().min().unwrap(), polls.iter().max().unwrap());
        assert!(most - least <= 1, "between {least} and {most} polls");
    }

    #[test]
    fn the_next_task_of_a_place_is_another() {
        let old = TaskId::first(3);
        let mut queue = ReadyQueue::default();
        queue.push(old);
        queue.push(old.successor());
        queue.push(old.successor());
        assert_eq!(taken(&mut queue, 1), [old]);
        queue.push(old.successor());
        assert_eq!(taken(&mut queue, 10), [old.successor()], "still queued, still once");
    }
}
