//! Connections that wait for a request, in the order in which they began to wait: the one that has
//! waited longest is evicted when there is no room for another. Joining, leaving and choosing take
//! constant time.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use crate::ring::TaskId;

/// No place.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Away,
    Waiting,
    /// Chosen for eviction.
    Evicted,
}

/// The place of one task: a link in the list of those that wait.
#[derive(Clone, Copy, Debug)]
struct Place {
    task: TaskId,
    since: u64,
    before: u32,
    behind: u32,
    state: State,
}

#[derive(Debug)]
struct List {
    places: Vec<Place>,
    first: u32,
    last: u32,
}

/// The idle connections of a worker, by the places of their tasks in the executor.
#[derive(Debug)]
pub(super) struct Idle(RefCell<List>);

impl Default for Idle {
    fn default() -> Self {
        Self(RefCell::new(List { places: Vec::new(), first: NONE, last: NONE }))
    }
}

impl Idle {
    /// A connection begins to wait at `now`, for as long as the result lives.
    pub(super) fn join(&self, task: TaskId, now: u64) -> Waiting<'_> {
        let list = &mut *self.0.borrow_mut();
        let place = Place { task, since: now, before: list.last, behind: NONE, state: State::Away };
        if list.places.len() <= task.index() {
            list.places.resize(task.index() + 1, place);
        }
        let index = task.index() as u32;
        list.places[task.index()] = Place { state: State::Waiting, ..place };
        match list.places.get_mut(list.last as usize) {
            Some(last) => last.behind = index,
            None => list.first = index,
        }
        list.last = index;
        Waiting { idle: self, index }
    }

    /// Chooses the connection that has waited longest, if it has waited since `before` or longer.
    pub(super) fn evict(&self, before: u64) -> Option<TaskId> {
        let list = &mut *self.0.borrow_mut();
        let place = *list.places.get(list.first as usize)?;
        if place.since > before {
            return None;
        }
        list.unlink(list.first, State::Evicted);
        Some(place.task)
    }

    /// Whether a task waits and was chosen for eviction.
    pub(super) fn is_evicted(&self, task: TaskId) -> bool {
        let list = self.0.borrow();
        list.places.get(task.index()).is_some_and(|place| place.state == State::Evicted)
    }
}

impl List {
    fn unlink(&mut self, index: u32, state: State) {
        let Some(place) = self.places.get_mut(index as usize) else { return };
        let was = std::mem::replace(&mut place.state, state);
        let (before, behind) = (place.before, place.behind);
        if was != State::Waiting {
            return;
        }
        match self.places.get_mut(before as usize) {
            Some(neighbour) => neighbour.behind = behind,
            None => self.first = behind,
        }
        match self.places.get_mut(behind as usize) {
            Some(neighbour) => neighbour.before = before,
            None => self.last = before,
        }
    }
}

/// A place among the idle connections.
#[derive(Debug)]
pub(super) struct Waiting<'i> {
    idle: &'i Idle,
    index: u32,
}

impl Waiting<'_> {
    /// Awaits a future, or None once the connection was chosen for eviction.
    pub(super) async fn unless_evicted<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.is_evicted() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    fn is_evicted(&self) -> bool {
        let list = self.idle.0.borrow();
        list.places.get(self.index as usize).is_some_and(|place| place.state == State::Evicted)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.idle.0.borrow_mut().unlink(self.index, State::Away);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evicted(idle: &Idle, before: u64) -> Option<usize> {
        idle.evict(before).map(TaskId::index)
    }

    #[test]
    fn who_has_waited_longest_gives_way_first() {
        let idle = Idle::default();
        let tasks: Vec<TaskId> = (0..6).map(TaskId::for_test).collect();
        let mut waiting: Vec<_> =
            [3, 1, 5, 0].iter().map(|index| idle.join(tasks[*index], *index as u64)).collect();
        drop(waiting.remove(1));
        waiting.push(idle.join(tasks[1], 9));
        assert_eq!(evicted(&idle, 2), None, "the first has waited since 3");
        assert_eq!(evicted(&idle, 9), Some(3));
        assert!(idle.is_evicted(tasks[3]) && !idle.is_evicted(tasks[5]));
        assert_eq!(evicted(&idle, 9), Some(5));
        drop(waiting.remove(2));
        assert_eq!(evicted(&idle, 9), Some(1));
        assert_eq!(evicted(&idle, 9), None);
        drop(waiting);
        assert!(!tasks.iter().any(|task| idle.is_evicted(*task)));
        assert_eq!(evicted(&idle, 9), None);
        let _again = idle.join(tasks[3], 1);
        assert_eq!(evicted(&idle, 9), Some(3));
    }

    #[test]
    fn leaving_in_any_order_keeps_the_others() {
        let idle = Idle::default();
        for gone in 0..5 {
            let mut waiting: Vec<_> =
                (0..5).map(|index| idle.join(TaskId::for_test(index), 0)).collect();
            drop(waiting.remove(gone));
            let left: Vec<_> = std::iter::from_fn(|| evicted(&idle, 0)).collect();
            assert_eq!(left, (0..5).filter(|index| *index != gone).collect::<Vec<_>>());
        }
    }
}
