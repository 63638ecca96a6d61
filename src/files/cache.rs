//! The cache of entries: a map, and a clock hand that finds the least used.

use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
};

use foldhash::fast::RandomState;

use super::Entry;

/// Entries by path, within limits.
#[derive(Debug)]
pub(super) struct Cache {
    /// Hashed fast: a client cannot fill it with names of its own, since only what is in the folder
    /// comes here.
    entries: HashMap<Rc<[u8]>, Rc<Entry>, RandomState>,
    /// Every path of `entries` once, in the order in which the hand passes them.
    clock: VecDeque<Rc<[u8]>>,
    bytes: usize,
    descriptors: usize,
    max_entries: usize,
    max_bytes: usize,
}

impl Cache {
    pub(super) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self {
            entries: HashMap::default(),
            clock: VecDeque::new(),
            bytes: 0,
            descriptors: 0,
            max_entries,
            max_bytes,
        }
    }

    /// Forgets every entry.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.max_entries, self.max_bytes);
    }

    pub(super) fn get(&self, path: &[u8]) -> Option<&Rc<Entry>> {
        let entry = self.entries.get(path)?;
        entry.used.set(true);
        Some(entry)
    }

    pub(super) fn insert(&mut self, path: &[u8], entry: Rc<Entry>) {
        let (bytes, descriptors) = (entry.bytes(), entry.descriptors());
        if let Some(known) = self.entries.get_mut(path) {
            // What is known is checked anew many times a second: its place on the clock, which
            // would have to be searched for, stays.
            let others = (self.bytes - known.bytes(), self.descriptors - known.descriptors());
            if others.0 + bytes <= self.max_bytes && others.1 + descriptors <= self.max_entries {
                (self.bytes, self.descriptors) = (others.0 + bytes, others.1 + descriptors);
                *known = entry;
                return;
            }
        }
        self.remove(path);
        while self.bytes + bytes > self.max_bytes
            || self.entries.len() >= self.max_entries
            || self.descriptors + descriptors > self.max_entries
        {
            if !self.drop_least_used() {
                return;
            }
        }
        let path: Rc<[u8]> = path.into();
        self.bytes += bytes;
        self.descriptors += descriptors;
        self.clock.push_back(Rc::clone(&path));
        self.entries.insert(path, entry);
    }

    pub(super) fn remove(&mut self, path: &[u8]) {
        if let Some(entry) = self.entries.remove(path) {
            self.bytes -= entry.bytes();
            self.descriptors -= entry.descriptors();
            self.clock.retain(|kept| **kept != *path);
        }
    }

    /// Drops the first entry that was not asked for since the hand last passed it. False if
    /// there is none left.
    fn drop_least_used(&mut self) -> bool {
        while let Some(path) = self.clock.pop_front() {
            let Some(entry) = self.entries.get(&path) else { continue };
            if entry.used.replace(false) {
                self.clock.push_back(path);
                continue;
            }
            if let Some(entry) = self.entries.remove(&path) {
                self.bytes -= entry.bytes();
                self.descriptors -= entry.descriptors();
            }
            return true;
        }
        false
    }

    /// Entries, cached bytes, descriptors.
    pub(super) fn usage(&self) -> (usize, usize, usize) {
        (self.entries.len(), self.bytes, self.descriptors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        files::{FileEntry, FileObject, Standing},
        process::validator::FileStat,
        ring::Pages,
    };

    fn entry(bytes: usize) -> Rc<Entry> {
        let stat = FileStat {
            length: bytes as u64,
            device: 1,
            inode: 1,
            modified: 1,
            modified_nanos: 0,
            changed: 1,
            changed_nanos: 0,
        };
        let content = Some(Rc::new(Pages::zeroed(bytes)));
        let object = FileObject { stat, date_before: None, content, file: None };
        Rc::new(Entry::new(Standing::File(FileEntry::new(b"x", object, Vec::new())), 0))
    }

    #[test]
    fn the_least_used_makes_room() {
        let mut cache = Cache::new(3, 100);
        for name in [b"a", b"b", b"c"] {
            cache.insert(name, entry(30));
        }
        assert!(cache.get(b"a").is_some());
        cache.insert(b"d", entry(30));
        assert!(cache.get(b"a").is_some() && cache.get(b"b").is_none());
        assert_eq!(cache.usage(), (3, 90, 0));
    }

    #[test]
    fn what_can_never_fit_is_not_kept_and_the_count_stays_right() {
        let mut cache = Cache::new(3, 100);
        cache.insert(b"a", entry(60));
        cache.insert(b"b", entry(200));
        assert!(cache.get(b"b").is_none());
        assert_eq!(cache.usage(), (0, 0, 0));
        cache.insert(b"a", entry(60));
        cache.insert(b"a", entry(50));
        assert_eq!(cache.usage(), (1, 50, 0));
        cache.insert(b"a", entry(101));
        assert_eq!(cache.usage(), (0, 0, 0));
    }

    #[test]
    fn an_entry_that_was_checked_anew_can_still_be_dropped() {
        let mut cache = Cache::new(2, 100);
        for bytes in 1..50 {
            cache.insert(b"a", entry(bytes));
            cache.insert(b"b", entry(bytes));
        }
        assert_eq!((cache.usage(), cache.clock.len()), ((2, 98, 0), 2));
        cache.insert(b"c", entry(60));
        cache.insert(b"d", entry(40));
        assert!(cache.get(b"a").is_none() && cache.get(b"b").is_none());
        assert_eq!((cache.usage(), cache.clock.len()), ((2, 100, 0), 2));
    }
}
