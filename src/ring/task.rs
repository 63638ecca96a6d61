//! The names of tasks.

/// The name of a task: a place in the worker's executor, and how often it had been used before. And
/// the lane, if a part of the task is meant: see [`Ring::in_lane`](super::Ring::in_lane). One word, since
/// names are compared at every step of a request: the place in 32 bits, the generation in 16, the lane in 16.
/// The generation wraps: a task may be woken for nothing by what a task long gone has left behind, which
/// every future here tolerates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TaskId(u64);

/// The lane of what belongs to no part of its task.
pub(super) const NO_LANE: u16 = 0;

/// In the place of a lane: every one.
pub(super) const ALL_LANES: u16 = u16::MAX;

impl TaskId {
    /// Nobody: what begins outside of any task.
    pub(super) const NOBODY: Self = Self::new(u32::MAX, 0);

    const fn new(index: u32, generation: u16) -> Self {
        Self((index as u64) << 32 | (generation as u64) << 16 | NO_LANE as u64)
    }

    /// The first task of a place.
    pub(crate) fn first(index: u32) -> Self {
        Self::new(index, 0)
    }

    /// The next task of the same place.
    #[must_use]
    pub(crate) fn successor(self) -> Self {
        Self::new((self.0 >> 32) as u32, self.generation().wrapping_add(1))
    }

    /// A part of the task.
    pub(super) const fn in_lane(self, lane: u16) -> Self {
        Self(self.0 & !(u16::MAX as u64) | lane as u64)
    }

    /// The task, whatever part of it was named.
    pub(super) const fn whole(self) -> Self {
        self.in_lane(NO_LANE)
    }

    /// The place.
    pub(crate) fn index(self) -> usize {
        (self.0 >> 32) as usize
    }

    /// How often the place had been used before.
    pub(super) fn generation(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The lane.
    pub(super) fn lane(self) -> u16 {
        self.0 as u16
    }

    #[cfg(test)]
    pub(crate) fn for_test(index: u32) -> Self {
        Self::first(index)
    }
}
