//! What is made of files: asking for it, and keeping it beside them.

use std::{os::fd::AsFd, rc::Rc};

use super::FileStore;
use crate::{
    files::{
        Entry, FileContent, FileEntry,
        entry::is_settled,
        press::{Original, Wish},
    },
    process::negotiate::{Coding, Siblings},
    ring::Pages,
};

impl FileStore {
    /// Has these codings made of files that clients ask for again.
    #[must_use]
    pub(crate) fn with_compression(mut self, codings: Siblings) -> Self {
        self.codings = codings;
        self
    }

    /// A client would rather have a file of this store in another coding, which can be made.
    pub(crate) fn want(&self, file: &FileEntry, coding: Coding) -> Wish {
        let Some(demand) = file.demand() else { return Wish::Noted };
        let object = file.object(Coding::Identity);
        // Its metadata may not distinguish this version from the next.
        if !is_settled(&object.stat) {
            return Wish::Noted;
        }
        let original = || match &object.content {
            FileContent::Cached(pages) => Ok(Some(Original::Bytes(pages.to_vec()))),
            // Reading it may wait for a server, and others would wait for the thread.
            FileContent::Open(file) if file.is_read_on_thread() => Ok(None),
            FileContent::Open(file) => {
                file.as_fd().try_clone_to_owned().map(|file| Some(Original::File(file)))
            }
        };
        demand.note(&self.shared.press, &object.stat, coding, self.shared.ring.now(), original)
    }

    /// Keeps what was made of a file beside it.
    pub(super) fn adopt(&self, path: &[u8], entry: Rc<Entry>) -> Rc<Entry> {
        let shared = &*self.shared;
        let Some((file, demand)) = entry.file().and_then(|file| Some((file, file.demand()?)))
        else {
            return entry;
        };
        let mut made = Vec::new();
        for (coding, pressed) in demand.take() {
            let length = pressed.bytes.len();
            let alive = shared.alive.get().saturating_add(length);
            if length > shared.max_file.get() || alive > shared.max_alive.get() {
                demand.postpone(shared.ring.now());
                continue;
            }
            let mut pages = Pages::counted(length, &shared.alive);
            pages.copy_from_slice(&pressed.bytes);
            made.push((coding, file.made(Rc::new(pages), pressed.tag)));
            let (contents, bytes) = shared.made.get();
            shared.made.set((contents + 1, bytes + length as u64));
        }
        if made.is_empty() {
            return entry;
        }
        let entry = Rc::new(entry.with_file(file.with_made(made)));
        shared.cache.borrow_mut().insert(self.number, path, Rc::clone(&entry));
        entry
    }
}
