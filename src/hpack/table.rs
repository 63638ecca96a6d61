//! The decoder's dynamic table (RFC 7541 sections 2.3.2 and 4), in one piece of memory.
//!
//! The text of the entries lies at the front, the oldest first, and a descriptor for each at the
//! end, growing towards it. RFC 7541 charges 32 bytes for each entry and a descriptor takes eight,
//! so whatever the table may hold fits; what is free is in one piece after the live entries were
//! moved to the edges, which each insertion pays for with a part of the 24 bytes that it spares.
//! [`Table::shrink`] leaves the memory that the entries take; the next insertion takes all of it again.

use std::ops::Range;

use super::{FieldName, HpackError};

/// Bytes of the table: the default of SETTINGS_HEADER_TABLE_SIZE, which Ringway leaves as it is.
pub(crate) const TABLE_BYTES: usize = 4096;

/// What RFC 7541 section 4.1 charges for an entry besides its text.
const CHARGE: usize = 32;

const DESCRIPTOR: usize = 8;

/// The table. Without an entry it has no memory.
#[derive(Debug)]
pub(super) struct Table {
    memory: Box<[u8]>,
    /// Where the text of the oldest entry begins.
    start: usize,
    /// Where the text of the newest entry ends.
    end: usize,
    /// The place of the oldest entry's descriptor, counted from the end of the memory.
    first: usize,
    count: usize,
    /// The size as RFC 7541 counts it.
    size: usize,
    max: usize,
}

/// An entry of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'t> {
    pub(super) token: FieldName,
    pub(super) name: &'t [u8],
    pub(super) value: &'t [u8],
    /// The visitor found it well-formed when it was inserted.
    pub(super) checked: bool,
}

/// The name of an entry to insert.
#[derive(Clone, Copy, Debug)]
pub(super) enum NewName<'n> {
    /// This text.
    Text(&'n [u8]),
    /// That of another entry, which the insertion may evict.
    Entry(usize),
}

#[derive(Clone, Copy)]
struct Descriptor {
    at: u16,
    name: u16,
    value: u16,
    token: u8,
    checked: bool,
}

impl Descriptor {
    fn read(bytes: [u8; DESCRIPTOR]) -> Self {
        let bits = u64::from_le_bytes(bytes);
        Self {
            at: bits as u16,
            name: (bits >> 16) as u16,
            value: (bits >> 32) as u16,
            token: (bits >> 48) as u8,
            checked: bits >> 56 != 0,
        }
    }

    fn bytes(self) -> [u8; DESCRIPTOR] {
        let lengths = u64::from(self.at) | u64::from(self.name) << 16 | u64::from(self.value) << 32;
        let rest = u64::from(self.token) << 48 | u64::from(self.checked) << 56;
        (lengths | rest).to_le_bytes()
    }

    fn name(self) -> Range<usize> {
        let at = usize::from(self.at);
        at..at + usize::from(self.name)
    }

    fn value(self) -> Range<usize> {
        let at = self.name().end;
        at..at + usize::from(self.value)
    }

    fn text(self) -> usize {
        usize::from(self.name) + usize::from(self.value)
    }
}

/// Where the descriptor at a place lies, in so many bytes of memory.
fn descriptor(memory: usize, place: usize) -> Range<usize> {
    let end = memory - DESCRIPTOR * place;
    end - DESCRIPTOR..end
}

impl Default for Table {
    fn default() -> Self {
        let memory = Box::default();
        Self { memory, start: 0, end: 0, first: 0, count: 0, size: 0, max: TABLE_BYTES }
    }
}

impl Table {
    /// The entry at an index, 0 for the newest.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Entry<'_>> {
        let (memory, found) = (&self.memory, self.descriptor(index)?);
        Some(Entry {
            token: FieldName::from_number(found.token),
            name: memory.get(found.name())?,
            value: memory.get(found.value())?,
            checked: found.checked,
        })
    }

    fn descriptor(&self, index: usize) -> Option<Descriptor> {
        let place = self.first + self.count.checked_sub(index + 1)?;
        let bytes = self.memory.get(descriptor(self.memory.len(), place))?;
        Some(Descriptor::read(*bytes.first_chunk()?))
    }

    /// Takes a size update. False if it is larger than what was agreed on.
    #[must_use]
    pub(super) fn set_max(&mut self, max: usize) -> bool {
        if max > TABLE_BYTES {
            return false;
        }
        self.max = max;
        self.make_room(0);
        true
    }

    /// Empties the table, as the insertion of an entry does that is larger than it.
    pub(super) fn clear(&mut self) {
        (self.start, self.end, self.first, self.count, self.size) = (0, 0, 0, 0, 0);
    }

    /// Inserts an entry. It evicts as many of the oldest as it takes; all of them if it does not
    /// fit even so, which is no error (RFC 7541 section 4.4).
    ///
    /// # Errors
    /// [`HpackError::Defect`] if an entry does not lie where its descriptor says.
    pub(super) fn insert(
        &mut self,
        name: NewName<'_>,
        value: &[u8],
        token: FieldName,
        checked: bool,
    ) -> Result<(), HpackError> {
        if self.count > 0 && self.memory.len() < TABLE_BYTES {
            self.move_to(TABLE_BYTES)?;
        }
        let source = match name {
            NewName::Text(text) => 0..text.len(),
            NewName::Entry(index) => self.descriptor(index).ok_or(HpackError::Defect)?.name(),
        };
        let text = source.len() + value.len();
        if !self.make_room(text + CHARGE) {
            return Ok(());
        }
        if self.count == 0 {
            (self.start, self.end, self.first) = (0, 0, 0);
        }
        let free_until = TABLE_BYTES - DESCRIPTOR * (self.first + self.count);
        let fits = self.end + text + DESCRIPTOR <= free_until;
        match name {
            NewName::Text(name) if fits => self.append(name, value, token, checked),
            NewName::Entry(_) if fits => {
                let to = self.end;
                self.memory().copy_within(source.clone(), to);
                self.append_behind_name(source.len(), value, token, checked)
            }
            NewName::Text(name) => {
                self.compact()?;
                self.append(name, value, token, checked)
            }
            NewName::Entry(_) => self.insert_moved(source, value, token, checked),
        }
    }

    /// Inserts an entry with the name of another, of which moving the entries may leave nothing.
    #[cold]
    fn insert_moved(
        &mut self,
        source: Range<usize>,
        value: &[u8],
        token: FieldName,
        checked: bool,
    ) -> Result<(), HpackError> {
        let mut copy = [0; TABLE_BYTES];
        let name = copy.get_mut(..source.len()).ok_or(HpackError::Defect)?;
        name.copy_from_slice(self.memory().get(source).ok_or(HpackError::Defect)?);
        self.compact()?;
        self.append(name, value, token, checked)
    }

    /// All of the memory. Where there are entries, it is there.
    fn memory(&mut self) -> &mut [u8] {
        if self.memory.len() < TABLE_BYTES {
            self.memory = vec![0; TABLE_BYTES].into();
        }
        &mut self.memory
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory.len()
    }

    /// Gives memory back that the entries do not take.
    ///
    /// # Errors
    /// [`HpackError::Defect`] if an entry does not lie where its descriptor says.
    pub(super) fn shrink(&mut self) -> Result<(), HpackError> {
        let bytes = self.end - self.start + DESCRIPTOR * self.count;
        if bytes < self.memory.len() { self.move_to(bytes) } else { Ok(()) }
    }

    /// Moves all entries to memory of so many bytes, which they must fit.
    fn move_to(&mut self, bytes: usize) -> Result<(), HpackError> {
        self.compact()?;
        let mut memory: Box<[u8]> = vec![0; bytes].into();
        let descriptors = DESCRIPTOR * self.count;
        let text = self.memory.get(..self.end);
        let room = memory.get_mut(..self.end);
        room.ok_or(HpackError::Defect)?.copy_from_slice(text.ok_or(HpackError::Defect)?);
        let (from, to) =
            (self.memory.len().checked_sub(descriptors), bytes.checked_sub(descriptors));
        let (from, to) = (from.ok_or(HpackError::Defect)?, to.ok_or(HpackError::Defect)?);
        memory[to..].copy_from_slice(&self.memory[from..]);
        self.memory = memory;
        Ok(())
    }

    fn append(
        &mut self,
        name: &[u8],
        value: &[u8],
        token: FieldName,
        checked: bool,
    ) -> Result<(), HpackError> {
        let at = self.end;
        let room = self.memory().get_mut(at..at + name.len());
        room.ok_or(HpackError::Defect)?.copy_from_slice(name);
        self.append_behind_name(name.len(), value, token, checked)
    }

    /// Appends an entry whose name stands behind the newest one's text already.
    fn append_behind_name(
        &mut self,
        name: usize,
        value: &[u8],
        token: FieldName,
        checked: bool,
    ) -> Result<(), HpackError> {
        let (at, place) = (self.end, self.first + self.count);
        let written = Descriptor {
            at: at as u16,
            name: name as u16,
            value: value.len() as u16,
            token: token.number(),
            checked,
        };
        let memory = self.memory();
        let room = memory.get_mut(at + name..at + name + value.len());
        room.ok_or(HpackError::Defect)?.copy_from_slice(value);
        let room = memory.get_mut(descriptor(TABLE_BYTES, place));
        room.ok_or(HpackError::Defect)?.copy_from_slice(&written.bytes());
        self.end += name + value.len();
        self.count += 1;
        self.size += name + value.len() + CHARGE;
        Ok(())
    }

    /// Evicts the oldest entries until `bytes` more are within the maximum. False if they never
    /// are; then the table is empty. The text of what is evicted stays where it is.
    fn make_room(&mut self, bytes: usize) -> bool {
        while self.size + bytes > self.max {
            let Some(oldest) = self.count.checked_sub(1).and_then(|last| self.descriptor(last))
            else {
                self.clear();
                return bytes <= self.max;
            };
            self.start += oldest.text();
            self.first += 1;
            self.count -= 1;
            self.size -= oldest.text() + CHARGE;
        }
        true
    }

    /// Moves all entries to the edges of the memory.
    fn compact(&mut self) -> Result<(), HpackError> {
        let (start, end, first, count) = (self.start, self.end, self.first, self.count);
        let memory = &mut self.memory;
        let length = memory.len();
        let descriptor = |place| descriptor(length, place);
        memory.copy_within(start..end, 0);
        if count > 0 {
            let from = descriptor(first + count - 1).start..descriptor(first).end;
            memory.copy_within(from, descriptor(count - 1).start);
        }
        for place in 0..count {
            let bytes = memory.get_mut(descriptor(place)).and_then(<[u8]>::first_chunk_mut);
            let chunk = bytes.ok_or(HpackError::Defect)?;
            let moved = Descriptor::read(*chunk);
            *chunk = Descriptor { at: moved.at - start as u16, ..moved }.bytes();
        }
        (self.start, self.end, self.first) = (0, end - start, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_table_has_no_memory() {
        let mut table = Table::default();
        assert!(table.get(0).is_none() && table.memory.is_empty());
        table.insert(NewName::Text(&[b'x'; 4000]), &[b'y'; 65], FieldName::Other, true).unwrap();
        assert!(table.get(0).is_none() && table.memory.is_empty(), "4,097 bytes do not fit");
        table.insert(NewName::Text(&[b'x'; 4000]), &[b'y'; 64], FieldName::Other, true).unwrap();
        assert_eq!(table.get(0).unwrap().value, [b'y'; 64]);
        assert_eq!(table.memory.len(), 4096);
        assert!(!table.set_max(4097) && table.set_max(4095));
        assert!(table.get(0).is_none());
        table.shrink().unwrap();
        assert!(table.memory.is_empty());
    }

    #[test]
    fn a_table_that_rests_takes_what_its_entries_take() {
        let mut table = Table::default();
        for value in [&b"one"[..], b"two", b"three"] {
            table.insert(NewName::Text(b"name"), value, FieldName::Other, true).unwrap();
        }
        table.shrink().unwrap();
        assert_eq!(table.memory.len(), 3 * (4 + 8) + 11);
        assert_eq!(table.get(2).unwrap().value, b"one");
        // With the name of an entry that moves.
        table.insert(NewName::Entry(2), b"four", FieldName::Other, true).unwrap();
        let entry = table.get(0).unwrap();
        assert_eq!(
            (entry.name, entry.value, table.memory.len()),
            (&b"name"[..], &b"four"[..], 4096)
        );
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(usize, usize),
        /// With the name of an entry.
        Again(usize, usize),
        Max(usize),
        Shrink,
    }

    fn length() -> impl Strategy<Value = usize> {
        prop_oneof![6 => 0..40_usize, 3 => 0..400_usize, 1 => 0..4200_usize]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            10 => (length(), length()).prop_map(|(name, value)| Step::Insert(name, value)),
            10 => (0..130_usize, length()).prop_map(|(index, value)| Step::Again(index, value)),
            1 => (0..=TABLE_BYTES).prop_map(Step::Max),
            1 => Just(Step::Max(TABLE_BYTES)),
            1 => Just(Step::Shrink),
        ]
    }

    type Fields = VecDeque<(Vec<u8>, Vec<u8>, bool)>;

    fn shrink(model: &mut Fields, max: usize) {
        let charged = |(name, value, _): &(Vec<u8>, Vec<u8>, bool)| name.len() + value.len() + 32;
        while model.iter().map(charged).sum::<usize>() > max {
            model.pop_back();
        }
    }

    proptest! {
        #[test]
        fn it_does_what_a_list_of_vectors_does(steps in prop::collection::vec(step(), 1..400)) {
            let mut table = Table::default();
            let mut model = Fields::new();
            let mut max = TABLE_BYTES;
            for (number, step) in steps.into_iter().enumerate() {
                let checked = number % 3 == 0;
                let text = |length: usize, from: usize| {
                    (0..length).map(|at| (at + from + number) as u8).collect::<Vec<_>>()
                };
                match step {
                    Step::Insert(name, value) => {
                        let (name, value) = (text(name, 0), text(value, 7));
                        let inserted =
                            table.insert(NewName::Text(&name), &value, FieldName::Host, checked);
                        prop_assert_eq!(inserted, Ok(()));
                        model.push_front((name, value, checked));
                    }
                    Step::Again(index, value) => {
                        let value = text(value, 9);
                        let name = NewName::Entry(index);
                        let inserted = table.insert(name, &value, FieldName::Host, checked);
                        let known = model.get(index).cloned();
                        prop_assert_eq!(inserted, known.as_ref().map(|_| ()).ok_or(HpackError::Defect));
                        if let Some((name, ..)) = known {
                            model.push_front((name, value, checked));
                        }
                    }
                    Step::Max(new) => {
                        max = new;
                        prop_assert!(table.set_max(max));
                    }
                    Step::Shrink => prop_assert_eq!(table.shrink(), Ok(())),
                }
                shrink(&mut model, max);
                prop_assert_eq!(table.count, model.len());
                for (index, (name, value, checked)) in model.iter().enumerate() {
                    let entry = table.get(index).unwrap();
                    prop_assert_eq!(entry.name, &name[..]);
                    prop_assert_eq!(entry.value, &value[..]);
                    prop_assert_eq!(entry.checked, *checked);
                    prop_assert_eq!(entry.token, FieldName::Host);
                }
                prop_assert!(table.get(model.len()).is_none());
            }
        }
    }
}
