//! A line of tasks that wait for what a pool hands out: first come, first served.
//!
//! A task that gives up leaves the line at once, so a connection that ended takes no turn, and the
//! line is never longer than the futures that stand in it.

use std::collections::BTreeMap;

use super::TaskId;

/// A place in a line; none is ever given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

/// The tasks that wait, by their places.
#[derive(Debug, Default)]
pub(super) struct Line {
    tasks: BTreeMap<Place, TaskId>,
    /// The next place to give.
    next: u64,
}

impl Line {
    /// Joins at the end.
    pub(super) fn join(&mut self, task: TaskId) -> Place {
        let place = Place(self.next);
        self.next += 1;
        self.tasks.insert(place, task);
        place
    }

    /// Whether this place is still to be served; then `task` will be woken.
    pub(super) fn is_waiting(&mut self, place: Place, task: TaskId) -> bool {
        self.tasks.get_mut(&place).map(|waiting| *waiting = task).is_some()
    }

    /// Gives a place up. False if it was served before.
    pub(super) fn leave(&mut self, place: Place) -> bool {
        self.tasks.remove(&place).is_some()
    }

    /// Serves the head of the line.
    pub(super) fn serve(&mut self) -> Option<(Place, TaskId)> {
        self.tasks.pop_first()
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_served_in_order_without_those_who_left() {
        let mut line = Line::default();
        let places: Vec<Place> = (0..4).map(|index| line.join(TaskId::for_test(index))).collect();
        assert!(line.leave(places[1]));
        assert!(!line.leave(places[1]));
        assert!(line.is_waiting(places[3], TaskId::for_test(9)));
        let served: Vec<usize> =
            std::iter::from_fn(|| line.serve()).map(|(_, task)| task.index()).collect();
        assert_eq!(served, [0, 2, 9]);
        assert!(line.is_empty());
        assert!(!line.is_waiting(places[0], TaskId::for_test(0)), "it was served");
    }
}
