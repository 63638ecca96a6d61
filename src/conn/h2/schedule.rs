//! Which stream sends next (RFC 9218 section 10): the most urgent first; of the same urgency those
//! that are not incremental one after the other in the order of their requests, and incremental
//! ones a record each in turn. Where both kinds wait they alternate, so that neither starves.
//!
//! Every operation costs the same however many streams there are, except that a stream which is
//! not incremental looks for its place among its like.

use super::streams::{NO_SLOT, Slot, Streams};

const URGENCIES: usize = 8;

/// A list of streams, linked through the streams themselves.
#[derive(Clone, Copy, Debug)]
struct List {
    first: Slot,
    last: Slot,
}

const EMPTY: List = List { first: NO_SLOT, last: NO_SLOT };

/// The streams that have something to send and whose own window is open.
#[derive(Debug)]
pub(super) struct Schedule {
    /// For each urgency, those in sequence and the incremental ones.
    lists: [[List; 2]; URGENCIES],
    /// A bit for each urgency with streams.
    waiting: u8,
    /// A bit for each urgency whose incremental streams come next.
    alternate: u8,
    /// Streams that wait.
    len: usize,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { lists: [[EMPTY; 2]; URGENCIES], waiting: 0, alternate: 0, len: 0 }
    }
}

impl Schedule {
    /// Whether no stream waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Streams that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether another stream has its turn when this one, which is next, has sent a record.
    pub(super) fn alternates(&self, streams: &Streams, slot: Slot) -> bool {
        let Some(stream) = streams.get(slot) else { return false };
        let urgency = usize::from(stream.priority.urgency).min(URGENCIES - 1);
        let [sequence, incremental] = &self.lists[urgency];
        if stream.priority.incremental {
            sequence.first != NO_SLOT || incremental.first != incremental.last
        } else {
            incremental.first != NO_SLOT
        }
    }

    /// Adds a stream, unless it waits already.
    pub(super) fn insert(&mut self, streams: &mut Streams, slot: Slot) {
        let Some(stream) = streams.get_mut(slot) else { return };
        if std::mem::replace(&mut stream.queued, true) {
            return;
        }
        let (id, priority) = (stream.id, stream.priority);
        let urgency = usize::from(priority.urgency).min(URGENCIES - 1);
        let list = &mut self.lists[urgency][usize::from(priority.incremental)];
        self.waiting |= 1 << urgency;
        self.len += 1;
        let mut before = list.last;
        if !priority.incremental {
            // Requests come in the order of their ids, so the place is nearly always the last.
            while let Some(other) = streams.get(before).filter(|other| other.id > id) {
                before = other.previous;
            }
        }
        let behind = match streams.get_mut(before) {
            Some(other) => std::mem::replace(&mut other.next, slot),
            None => std::mem::replace(&mut list.first, slot),
        };
        match streams.get_mut(behind) {
            Some(other) => other.previous = slot,
            None => list.last = slot,
        }
        if let Some(stream) = streams.get_mut(slot) {
            (stream.previous, stream.next) = (before, behind);
        }
    }

    /// Takes a stream out, if it waits. Its priority must be what it was when it was added.
    pub(super) fn remove(&mut self, streams: &mut Streams, slot: Slot) {
        let Some(stream) = streams.get_mut(slot) else { return };
        if !std::mem::replace(&mut stream.queued, false) {
            return;
        }
        let (previous, next, priority) = (stream.previous, stream.next, stream.priority);
        self.len -= 1;
        let urgency = usize::from(priority.urgency).min(URGENCIES - 1);
        let [sequence, incremental] = &mut self.lists[urgency];
        let list = if priority.incremental { &mut *incremental } else { &mut *sequence };
        match streams.get_mut(previous) {
            Some(other) => other.next = next,
            None => list.first = next,
        }
        match streams.get_mut(next) {
            Some(other) => other.previous = previous,
            None => list.last = previous,
        }
        if sequence.first == NO_SLOT && incremental.first == NO_SLOT {
            self.waiting &= !(1 << urgency);
        }
    }

    /// The stream that sends next.
    pub(super) fn next(&self) -> Option<Slot> {
        let urgency = self.waiting.trailing_zeros() as usize;
        let [sequence, incremental] = self.lists.get(urgency)?;
        let alternate = self.alternate & (1 << urgency) != 0;
        let slot = match (sequence.first, incremental.first) {
            (NO_SLOT, slot) | (slot, NO_SLOT) => slot,
            (_, slot) if alternate => slot,
            (slot, _) => slot,
        };
        Some(slot)
    }

    /// A stream has sent a record: others of its urgency may be next.
    pub(super) fn sent(&mut self, streams: &mut Streams, slot: Slot) {
        let Some(priority) = streams.get(slot).map(|stream| stream.priority) else { return };
        let bit = 1 << priority.urgency.min(URGENCIES as u8 - 1);
        if priority.incremental {
            self.alternate &= !bit;
            self.remove(streams, slot);
            self.insert(streams, slot);
        } else {
            self.alternate |= bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse::h2::Priority;

    fn streams(priorities: &[(u8, bool)]) -> (Streams, Vec<Slot>) {
        let mut streams = Streams::default();
        let slots = priorities
            .iter()
            .enumerate()
            .map(|(number, &(urgency, incremental))| {
                let slot =
                    streams.open(2 * number as u32 + 1, 65_535, std::rc::Rc::default()).unwrap();
                streams.get_mut(slot).unwrap().priority = Priority { urgency, incremental };
                slot
            })
            .collect();
        (streams, slots)
    }

    /// Which streams send, if each has so many records.
    fn order(priorities: &[(u8, bool)], records: usize) -> Vec<u32> {
        let (mut streams, slots) = streams(priorities);
        let mut schedule = Schedule::default();
        // In reverse: the order of their requests must not depend on it.
        for slot in slots.iter().rev() {
            schedule.insert(&mut streams, *slot);
        }
        let mut left = vec![records; priorities.len()];
        let mut order = Vec::new();
        while let Some(slot) = schedule.next() {
            let id = streams.get(slot).unwrap().id;
            order.push(id);
            let left = &mut left[id as usize / 2];
            *left -= 1;
            schedule.sent(&mut streams, slot);
            if *left == 0 {
                schedule.remove(&mut streams, slot);
            }
        }
        assert!(schedule.is_empty());
        order
    }

    #[test]
    fn the_urgent_first_then_in_sequence_then_in_turn() {
        assert_eq!(order(&[(3, false), (0, false), (3, false)], 2), [3, 3, 1, 1, 5, 5]);
        assert_eq!(order(&[(3, true), (3, true), (7, false)], 2), [3, 1, 3, 1, 5, 5]);
        assert_eq!(
            order(&[(3, false), (3, true), (3, false), (3, true)], 2),
            [1, 7, 1, 3, 5, 7, 5, 3],
            "both kinds alternate"
        );
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_served_twice(
            priorities in prop::collection::vec((0..8_u8, any::<bool>()), 1..40),
            steps in prop::collection::vec((0..3_u8, any::<prop::sample::Index>()), 0..200),
        ) {
            let (mut streams, slots) = streams(&priorities);
            let mut schedule = Schedule::default();
            let mut waiting = std::collections::BTreeSet::new();
            for (step, index) in steps {
                let slot = *index.get(&slots);
                match step {
                    0 => {
                        schedule.insert(&mut streams, slot);
                        waiting.insert(slot);
                    }
                    1 => {
                        schedule.remove(&mut streams, slot);
                        waiting.remove(&slot);
                    }
                    _ => if let Some(next) = schedule.next() {
                        schedule.sent(&mut streams, next);
                    },
                }
                prop_assert_eq!(schedule.is_empty(), waiting.is_empty());
                prop_assert_eq!(schedule.len(), waiting.len());
                let urgency = |slot: &Slot| streams.get(*slot).unwrap().priority.urgency;
                let most = waiting.iter().map(urgency).min();
                prop_assert_eq!(schedule.next().map(|slot| urgency(&slot)), most);
            }
            while let Some(slot) = schedule.next() {
                prop_assert!(waiting.remove(&slot));
                schedule.remove(&mut streams, slot);
            }
            prop_assert!(waiting.is_empty());
        }
    }
}
