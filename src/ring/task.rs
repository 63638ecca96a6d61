//! The names of tasks.

/// The name of a task: a place in the worker's executor, and how often it had been used before. And
/// the lane, if a part of the task is meant: see [`Ring::in_lane`](super::Ring::in_lane).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TaskId {
    pub(super) index: u32,
    /// It wraps: a task may be woken for nothing by what a task long gone has left behind, which every
    /// future here tolerates.
    pub(super) generation: u16,
    pub(super) lane: u16,
}

/// The lane of what belongs to no part of its task.
pub(super) const NO_LANE: u16 = 0;

/// In the place of a lane: every one.
pub(super) const ALL_LANES: u16 = u16::MAX;

impl TaskId {
    /// Nobody: what begins outside of any task.
    pub(super) const NOBODY: Self = Self { index: u32::MAX, generation: 0, lane: NO_LANE };

    /// The first task of a place.
    pub(crate) fn first(index: u32) -> Self {
        Self { index, generation: 0, lane: NO_LANE }
    }

    /// The next task of the same place.
    #[must_use]
    pub(crate) fn successor(self) -> Self {
        let generation = self.generation.wrapping_add(1);
        Self { index: self.index, generation, lane: NO_LANE }
    }

    /// A part of the task.
    pub(super) const fn in_lane(self, lane: u16) -> Self {
        Self { lane, ..self }
    }

    /// The task, whatever part of it was named.
    pub(super) const fn whole(self) -> Self {
        self.in_lane(NO_LANE)
    }

    /// The place.
    pub(crate) fn index(self) -> usize {
        self.index as usize
    }

    #[cfg(test)]
    pub(crate) fn for_test(index: u32) -> Self {
        Self::first(index)
    }
}
