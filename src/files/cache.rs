//! The cache of entries: a map, and a clock hand that finds the least used.

use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
};

use foldhash::fast::RandomState;

use super::Entry;

/// Entries of all folders by path, within limits that they share.
#[derive(Debug)]
pub(super) struct Cache {
    /// One map for each folder, by its number. Hashed fast: a client cannot fill them with names of
    /// its own, since only what is in the folder comes here.
    folders: Vec<HashMap<Rc<[u8]>, Rc<Entry>, RandomState>>,
    /// Numbers of folders that are not in use.
    unused: Vec<usize>,
    /// Every path of every folder once, in the order in which the hand passes them.
    clock: VecDeque<(usize, Rc<[u8]>)>,
    entries: usize,
    bytes: usize,
    descriptors: usize,
    max_entries: usize,
    max_bytes: usize,
}

impl Cache {
    pub(super) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self {
            folders: Vec::new(),
            unused: Vec::new(),
            clock: VecDeque::new(),
            entries: 0,
            bytes: 0,
            descriptors: 0,
            max_entries,
            max_bytes,
        }
    }

    /// Goes by other limits from here on.
    pub(super) fn set_limits(&mut self, max_entries: usize, max_bytes: usize) {
        (self.max_entries, self.max_bytes) = (max_entries, max_bytes);
        while (self.bytes > max_bytes
            || self.entries > max_entries
            || self.descriptors > max_entries)
            && self.drop_least_used()
        {}
    }

    /// A number for a further folder.
    pub(super) fn open(&mut self) -> usize {
        self.unused.pop().unwrap_or_else(|| {
            self.folders.push(HashMap::default());
            self.folders.len() - 1
        })
    }

    /// A folder's number is not used any more.
    pub(super) fn close(&mut self, folder: usize) {
        self.clear(folder);
        self.unused.push(folder);
    }

    /// Forgets every entry of a folder.
    pub(super) fn clear(&mut self, folder: usize) {
        let Some(entries) = self.folders.get_mut(folder) else { return };
        for entry in std::mem::take(entries).into_values() {
            self.forget(&entry);
        }
        self.clock.retain(|(of, _)| *of != folder);
    }

    pub(super) fn get(&self, folder: usize, path: &[u8]) -> Option<&Rc<Entry>> {
        let entry = self.folders.get(folder)?.get(path)?;
        entry.used.set(true);
        Some(entry)
    }

    pub(super) fn insert(&mut self, folder: usize, path: &[u8], entry: Rc<Entry>) {
        let (bytes, descriptors) = (entry.bytes(), entry.descriptors());
        let Some(entries) = self.folders.get_mut(folder) else { return };
        if let Some(known) = entries.get_mut(path) {
            // What is known is checked anew many times a second: its place on the clock, which
            // would have to be searched for, stays.
            let others = (self.bytes - known.bytes(), self.descriptors - known.descriptors());
            if others.0 + bytes <= self.max_bytes && others.1 + descriptors <= self.max_entries {
                (self.bytes, self.descriptors) = (others.0 + bytes, others.1 + descriptors);
                *known = entry;
                return;
            }
        }
        self.remove(folder, path);
        while self.bytes + bytes > self.max_bytes
            || self.entries >= self.max_entries
            || self.descriptors + descriptors > self.max_entries
        {
            if !self.drop_least_used() {
                return;
            }
        }
        let path: Rc<[u8]> = path.into();
        self.entries += 1;
        self.bytes += bytes;
        self.descriptors += descriptors;
        self.clock.push_back((folder, Rc::clone(&path)));
        if let Some(entries) = self.folders.get_mut(folder) {
            entries.insert(path, entry);
        }
    }

    pub(super) fn remove(&mut self, folder: usize, path: &[u8]) {
        if let Some(entry) = self.take(folder, path) {
            self.forget(&entry);
            self.clock.retain(|(of, kept)| *of != folder || **kept != *path);
        }
    }

    /// Drops the first entry that was not asked for since the hand last passed it. False if
    /// there is none left.
    fn drop_least_used(&mut self) -> bool {
        while let Some((folder, path)) = self.clock.pop_front() {
            let entry = self.folders.get(folder).and_then(|entries| entries.get(&path));
            let Some(entry) = entry else { continue };
            if entry.used.replace(false) {
                self.clock.push_back((folder, path));
                continue;
            }
            if let Some(entry) = self.take(folder, &path) {
                self.forget(&entry);
            }
            return true;
        }
        false
    }

    fn take(&mut self, folder: usize, path: &[u8]) -> Option<Rc<Entry>> {
        self.folders.get_mut(folder)?.remove(path)
    }

    /// An entry is no longer counted.
    fn forget(&mut self, entry: &Entry) {
        self.entries -= 1;
        self.bytes -= entry.bytes();
        self.descriptors -= entry.descriptors();
    }

    /// Entries, cached bytes, descriptors.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn usage(&self) -> (usize, usize, usize) {
        (self.entries, self.bytes, self.descriptors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        files::{FileContent, FileEntry, FileObject, Standing},
        process::{negotiate::Siblings, validator::FileStat},
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
        let content = FileContent::Cached(Rc::new(Pages::zeroed(bytes)));
        let object = FileObject { stat, date_before: None, content, made: None };
        Rc::new(Entry::new(
            Standing::File(FileEntry::new(b"x", object, Vec::new(), false, Siblings::default())),
            0,
        ))
    }

    fn of_one_folder(entries: usize) -> Cache {
        let mut cache = Cache::new(entries, 100);
        assert_eq!(cache.open(), 0);
        cache
    }

    #[test]
    fn folders_share_the_limits_and_nothing_else() {
        let mut cache = of_one_folder(3);
        assert_eq!(cache.open(), 1);
        cache.insert(0, b"a", entry(10));
        cache.insert(1, b"a", entry(20));
        assert_eq!(cache.get(0, b"a").map(|entry| entry.bytes()), Some(10));
        assert_eq!(cache.get(1, b"a").map(|entry| entry.bytes()), Some(20));
        cache.insert(1, b"b", entry(30));
        cache.insert(1, b"c", entry(30));
        assert_eq!(cache.usage(), (3, 60, 0), "the least used of all of them is gone");
        assert!(cache.get(1, b"b").is_none());
        cache.clear(0);
        assert_eq!(cache.usage().0, cache.clock.len());
        cache.close(1);
        assert_eq!((cache.usage(), cache.clock.len(), cache.open()), ((0, 0, 0), 0, 1));
    }

    #[test]
    fn the_least_used_makes_room() {
        let mut cache = of_one_folder(3);
        for name in [b"a", b"b", b"c"] {
            cache.insert(0, name, entry(30));
        }
        assert!(cache.get(0, b"a").is_some());
        cache.insert(0, b"d", entry(30));
        assert!(cache.get(0, b"a").is_some() && cache.get(0, b"b").is_none());
        assert_eq!(cache.usage(), (3, 90, 0));
    }

    #[test]
    fn what_can_never_fit_is_not_kept_and_the_count_stays_right() {
        let mut cache = of_one_folder(3);
        cache.insert(0, b"a", entry(60));
        cache.insert(0, b"b", entry(200));
        assert!(cache.get(0, b"b").is_none());
        assert_eq!(cache.usage(), (0, 0, 0));
        cache.insert(0, b"a", entry(60));
        cache.insert(0, b"a", entry(50));
        assert_eq!(cache.usage(), (1, 50, 0));
        cache.insert(0, b"a", entry(101));
        assert_eq!(cache.usage(), (0, 0, 0));
    }

    #[test]
    fn an_entry_that_was_checked_anew_can_still_be_dropped() {
        let mut cache = of_one_folder(2);
        for bytes in 1..50 {
            cache.insert(0, b"a", entry(bytes));
            cache.insert(0, b"b", entry(bytes));
        }
        assert_eq!((cache.usage(), cache.clock.len()), ((2, 98, 0), 2));
        cache.insert(0, b"c", entry(60));
        cache.insert(0, b"d", entry(40));
        assert!(cache.get(0, b"a").is_none() && cache.get(0, b"b").is_none());
        assert_eq!((cache.usage(), cache.clock.len()), ((2, 100, 0), 2));
    }
}
