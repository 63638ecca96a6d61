//! Who waits for which descriptor: for each number and direction a line of operations, first come,
//! first served.
//!
//! The invariant: an operation is in one line at most, found by its slot in constant time. Lines
//! are linked through the slots, so an idle connection costs an entry and no allocation of its own.

use std::os::fd::RawFd;

use rustix::event::epoll::EventFlags;

use crate::ring::op::{OpId, Submission};

/// What a descriptor is to be ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: OpId,
    submission: Submission,
    fd: RawFd,
    direction: Direction,
    /// The slot behind it in the line.
    next: u32,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    first: u32,
    last: u32,
}

impl Line {
    const EMPTY: Self = Self { first: NONE, last: NONE };
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    lines: [Line; 2],
    /// What epoll was last asked to report. Good only while somebody is in line.
    registered: EventFlags,
}

const UNWATCHED: Watch = Watch { lines: [Line::EMPTY; 2], registered: EventFlags::empty() };

/// The lines of one ring: bounded by its op table, and by the greatest number of a descriptor.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// By the slot of the operation.
    entries: Vec<Option<Entry>>,
    /// By the number of the descriptor.
    watches: Vec<Watch>,
}

impl Lines {
    fn watch(&self, fd: RawFd) -> &Watch {
        usize::try_from(fd).ok().and_then(|fd| self.watches.get(fd)).unwrap_or(&UNWATCHED)
    }

    fn watch_mut(&mut self, fd: RawFd) -> Option<&mut Watch> {
        let index = usize::try_from(fd).ok()?;
        if index >= self.watches.len() {
            self.watches.resize(index + 1, UNWATCHED);
        }
        self.watches.get_mut(index)
    }

    /// Whether nobody waits for this.
    pub(super) fn is_empty(&self, fd: RawFd, direction: Direction) -> bool {
        self.watch(fd).lines[direction as usize].first == NONE
    }

    /// Whether anybody waits for a descriptor, which is then open.
    pub(super) fn has_any(&self, fd: RawFd) -> bool {
        !(self.is_empty(fd, Direction::Read) && self.is_empty(fd, Direction::Write))
    }

    /// What epoll has to report, by its edges. FIN and urgent bytes come with bytes to read.
    pub(super) fn wanted(&self, fd: RawFd) -> EventFlags {
        let mut wanted = EventFlags::ET;
        let read = EventFlags::IN | EventFlags::RDHUP | EventFlags::PRI;
        wanted.set(read, !self.is_empty(fd, Direction::Read));
        wanted.set(EventFlags::OUT, !self.is_empty(fd, Direction::Write));
        wanted
    }

    /// What epoll was last asked to report.
    pub(super) fn registered(&self, fd: RawFd) -> EventFlags {
        self.watch(fd).registered
    }

    pub(super) fn set_registered(&mut self, fd: RawFd, flags: EventFlags) {
        if let Some(watch) = self.watch_mut(fd) {
            watch.registered = flags;
        }
    }

    /// The number stands for no file any more, or for another one.
    pub(super) fn forget(&mut self, fd: RawFd) {
        debug_assert!(!self.has_any(fd), "an operation keeps its descriptor open");
        self.set_registered(fd, EventFlags::empty());
    }

    /// Joins at the end of a line.
    pub(super) fn join(
        &mut self,
        id: OpId,
        submission: &Submission,
        fd: RawFd,
        direction: Direction,
    ) {
        let slot = id.slot() as usize;
        if slot >= self.entries.len() {
            self.entries.resize(slot + 1, None);
        }
        self.entries[slot] = Some(Entry { id, submission: *submission, fd, direction, next: NONE });
        let Some(watch) = self.watch_mut(fd) else { return };
        let line = &mut watch.lines[direction as usize];
        let last = std::mem::replace(&mut line.last, id.slot());
        if last == NONE {
            line.first = id.slot();
        } else if let Some(before) = &mut self.entries[last as usize] {
            before.next = id.slot();
        }
    }

    /// The head of a line.
    pub(super) fn first(&self, fd: RawFd, direction: Direction) -> Option<(OpId, Submission)> {
        let slot = self.watch(fd).lines[direction as usize].first;
        let entry = self.entries.get(slot as usize)?.as_ref()?;
        Some((entry.id, entry.submission))
    }

    /// Takes an operation out of its line. False if it is in none.
    pub(super) fn remove(&mut self, id: OpId) -> bool {
        let Some(place) = self.entries.get_mut(id.slot() as usize) else { return false };
        let Some(entry) = place.take_if(|entry| entry.id == id) else { return false };
        let Some(watch) = self.watches.get_mut(entry.fd as usize) else { return false };
        let line = &mut watch.lines[entry.direction as usize];
        if line.first == id.slot() {
            line.first = entry.next;
            if entry.next == NONE {
                line.last = NONE;
            }
            return true;
        }
        // Seldom: a cancel of one that stands behind others.
        let mut at = line.first;
        while let Some(Some(before)) = self.entries.get_mut(at as usize) {
            if before.next == id.slot() {
                before.next = entry.next;
                if line.last == id.slot() {
                    line.last = at;
                }
                break;
            }
            at = before.next;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::ring::op::Kind;

    fn id(slot: u32, generation: u32) -> OpId {
        OpId::new(Kind::Plain, slot, generation)
    }

    fn order(lines: &mut Lines, fd: RawFd, direction: Direction) -> Vec<u32> {
        let mut slots = Vec::new();
        while let Some((id, _)) = lines.first(fd, direction) {
            slots.push(id.slot());
            assert!(lines.remove(id));
        }
        slots
    }

    #[test]
    fn another_generation_of_the_slot_is_not_in_line() {
        let mut lines = Lines::default();
        let submission = Submission::PollWritable { socket: 3 };
        lines.join(id(0, 1), &submission, 3, Direction::Write);
        assert!(!lines.remove(id(0, 2)) && !lines.remove(id(7, 0)));
        assert!(lines.remove(id(0, 1)) && !lines.remove(id(0, 1)));
        assert!(!lines.has_any(3));
    }

    proptest! {
        #[test]
        fn lines_are_what_a_queue_for_each_would_be(
            acts in prop::collection::vec((0_u32..12, 0_i32..3, any::<bool>(), any::<bool>()), 0..200),
        ) {
            let mut lines = Lines::default();
            let mut model: Vec<(RawFd, Direction, VecDeque<u32>)> = (0..3)
                .flat_map(|fd| [Direction::Read, Direction::Write].map(|way| (fd, way, VecDeque::new())))
                .collect();
            for (slot, fd, reads, joins) in acts {
                let direction = if reads { Direction::Read } else { Direction::Write };
                let waits = model.iter().any(|(_, _, line)| line.contains(&slot));
                if joins && !waits {
                    lines.join(id(slot, 0), &Submission::Close { fd }, fd, direction);
                    let line = model.iter_mut().find(|(at, way, _)| (*at, *way) == (fd, direction));
                    line.unwrap().2.push_back(slot);
                } else if !joins {
                    prop_assert_eq!(lines.remove(id(slot, 0)), waits);
                    for (_, _, line) in &mut model {
                        line.retain(|waiting| *waiting != slot);
                    }
                }
                for (fd, direction, line) in &model {
                    let first = lines.first(*fd, *direction).map(|(id, _)| id.slot());
                    prop_assert_eq!(first, line.front().copied());
                    prop_assert_eq!(lines.is_empty(*fd, *direction), line.is_empty());
                }
            }
            for (fd, direction, line) in &model {
                let slots = order(&mut lines, *fd, *direction);
                prop_assert!(slots.iter().eq(line), "{slots:?} {line:?}");
            }
        }
    }
}
