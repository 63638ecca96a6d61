//! What is known of one path.

use std::{cell::Cell, io, os::fd::OwnedFd, rc::Rc};

use rustix::fs::{AtFlags, FileType, StatxFlags, makedev, statx};

use super::press::{Demand, Press};
use crate::{
    process::{
        facts::{File, FileFacts, Found},
        media_type::is_compressible,
        negotiate::{Coding, Siblings},
        validator::{EntityTag, FileStat},
    },
    ring::{OpenFile, Pages},
    wall_clock::since_1970,
};

/// Time for which a file must have been left alone before its content is kept, in milliseconds:
/// longer than one tick of the clock that stamps files (10 ms at the slowest), within which two
/// writes cannot be distinguished.
const SETTLED_MS: i128 = 50;

/// How long what is known of a path is used before it is checked again, in milliseconds.
pub(crate) const FRESH_FOR: u64 = 100;

/// One file of the file system.
#[derive(Clone, Debug)]
pub(crate) struct FileObject {
    /// What it was when it was opened.
    pub stat: FileStat,
    /// The latest date of other content that was known at the path before, in seconds since the
    /// epoch.
    pub(super) date_before: Option<i64>,
    /// Where its content is.
    pub content: FileContent,
    /// No file is this: it was made of one.
    pub(super) made: Option<Made>,
}

/// What a content was made of.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// The version of the file.
    pub(super) of: FileStat,
    pub(super) tag: EntityTag,
}

/// Where the content of a file is.
#[derive(Clone, Debug)]
pub(crate) enum FileContent {
    /// In memory.
    Cached(Rc<Pages>),
    /// In the open file, which is read when it is sent.
    Open(Rc<OpenFile>),
}

impl FileContent {
    /// The content, if it is cached.
    pub(crate) fn cached(&self) -> Option<&Rc<Pages>> {
        match self {
            Self::Cached(pages) => Some(pages),
            Self::Open(_) => None,
        }
    }

    /// The open file, if the content is not cached.
    pub(crate) fn open(&self) -> Option<&Rc<OpenFile>> {
        match self {
            Self::Cached(_) => None,
            Self::Open(file) => Some(file),
        }
    }
}

impl FileObject {
    /// Whether its date distinguishes its content from earlier content.
    fn is_dated(&self) -> bool {
        self.date_before.is_none_or(|before| before < self.stat.modified)
    }

    /// The latest date of other content at a path where this was known before and `stat` is now.
    ///
    /// A file that only got other permissions, names or the like has the same content: it is the
    /// same inode, and its time of modification is the same to the nanosecond.
    pub(super) fn date_before(&self, stat: &FileStat) -> Option<i64> {
        let rest =
            FileStat { changed: stat.changed, changed_nanos: stat.changed_nanos, ..self.stat };
        if rest == *stat {
            self.date_before
        } else {
            self.date_before.max(Some(self.stat.modified))
        }
    }
}

/// A regular file, and the siblings that carry it in a content coding.
#[derive(Debug)]
pub(crate) struct FileEntry {
    /// What the answer depends on.
    pub facts: FileFacts,
    identity: FileObject,
    coded: Vec<(Coding, FileObject)>,
    /// What clients want made of it; None where nothing can be.
    demand: Option<Rc<Demand>>,
}

impl FileEntry {
    pub(super) fn new(
        name: &[u8],
        identity: FileObject,
        coded: Vec<(Coding, FileObject)>,
        shared_etags: bool,
        codings: Siblings,
    ) -> Self {
        let mut facts = FileFacts::new(name, &identity.stat);
        let compressible = is_compressible(facts.media_type().as_bytes());
        facts = facts.offering(Press::offer(codings, &identity.stat, compressible));
        for (coding, object) in &coded {
            facts = facts.with_sibling(*coding, &object.stat);
        }
        let plain = [(Coding::Identity, &identity)];
        let all = coded.iter().map(|(coding, object)| (*coding, object)).chain(plain);
        if shared_etags {
            for (coding, object) in all.clone() {
                facts = facts.with_tag(coding, EntityTag::shared(&object.stat, coding));
            }
        }
        for (coding, object) in &coded {
            if let Some(made) = &object.made {
                facts = facts.with_made(*coding, &object.stat, made.tag);
            }
        }
        for (coding, _) in all.filter(|(_, object)| !object.is_dated()) {
            facts = facts.without_date(coding);
        }
        let demand = (!facts.offered().is_empty()).then(Rc::default);
        Self { facts, identity, coded, demand }
    }

    /// The same for a file that was known before: of the same version, it is still wanted.
    pub(super) fn after(mut self, before: Option<&Self>) -> Self {
        let same = before.filter(|before| before.identity.stat == self.identity.stat);
        if let (Some(demand), Some(before)) = (&mut self.demand, same)
            && let Some(known) = &before.demand
        {
            *demand = Rc::clone(known);
        }
        self
    }

    /// What was made of this version of the file, but for these codings.
    pub(super) fn made_of(&self, stat: &FileStat, but: Siblings) -> Vec<(Coding, FileObject)> {
        let fits = |(coding, object): &&(Coding, FileObject)| {
            !but.has(*coding) && object.made.as_ref().is_some_and(|made| made.of == *stat)
        };
        self.coded.iter().filter(fits).cloned().collect()
    }

    /// What clients want made of it.
    pub(super) fn demand(&self) -> Option<&Rc<Demand>> {
        self.demand.as_ref()
    }

    /// The same with what was made of it.
    pub(super) fn with_made(&self, made: Vec<(Coding, FileObject)>) -> Self {
        let mut facts = self.facts.clone();
        let mut coded = self.coded.clone();
        for (coding, object) in made {
            if let Some(Made { tag, .. }) = object.made {
                facts = facts.with_made(coding, &object.stat, tag);
                if !object.is_dated() {
                    facts = facts.without_date(coding);
                }
                coded.push((coding, object));
            }
        }
        let (identity, demand) = (self.identity.clone(), self.demand.clone());
        Self { facts, identity, coded, demand }
    }

    /// What was made of the file, as a part of it: this content in this coding.
    pub(super) fn made(&self, content: Rc<Pages>, tag: EntityTag) -> FileObject {
        let of = self.identity.stat;
        let stat = FileStat { length: content.len() as u64, ..of };
        let (content, made) = (FileContent::Cached(content), Some(Made { of, tag }));
        FileObject { stat, date_before: self.identity.date_before, content, made }
    }

    /// The file that carries this coding; the plain one if none does.
    pub(crate) fn object(&self, coding: Coding) -> &FileObject {
        let coded = self.coded.iter().find(|(carried, _)| *carried == coding);
        coded.map_or(&self.identity, |(_, object)| object)
    }

    /// Whether the content in this coding was made of the file.
    pub(crate) fn is_made(&self, coding: Coding) -> bool {
        self.facts.made().has(coding)
    }

    /// The file that carries this coding, if one does.
    pub(super) fn exact(&self, coding: Coding) -> Option<&FileObject> {
        let files = self.coded.iter().filter(|(_, object)| object.made.is_none());
        let mut all = files.map(|(carried, object)| (*carried, object));
        if coding == Coding::Identity {
            return Some(&self.identity);
        }
        all.find(|(carried, _)| *carried == coding).map(|(_, object)| object)
    }

    /// Whether each file that would be sent from its descriptor is still the version that the
    /// answer would describe. Cached content is one version whatever became of its file.
    pub(super) fn is_current(&self) -> bool {
        self.objects().all(|object| {
            let open = object.content.open();
            open.is_none_or(|file| stat(file).is_ok_and(|(_, stat)| stat == object.stat))
        })
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = &FileObject> {
        std::iter::once(&self.identity).chain(self.coded.iter().map(|(_, object)| object))
    }
}

impl File for FileEntry {
    fn facts(&self) -> &FileFacts {
        &self.facts
    }
}

/// What stands at a path.
#[derive(Debug)]
pub(crate) enum Standing {
    /// A regular file.
    File(FileEntry),
    /// A folder, with its index file if it has one.
    Folder(Option<FileEntry>),
    /// Nothing that is served.
    Missing,
    /// Something that may not be read.
    Forbidden,
}

/// What is known of one path, and since when.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What stands there.
    pub standing: Standing,
    /// When that was last checked, in milliseconds on the worker's clock.
    pub(super) checked: Cell<u64>,
    /// Asked for since the cache last looked for something to drop.
    pub(super) used: Cell<bool>,
}

impl Entry {
    pub(super) fn new(standing: Standing, now: u64) -> Self {
        Self { standing, checked: Cell::new(now), used: Cell::new(false) }
    }

    /// The file that this entry answers with: itself, or its folder's index.
    pub(crate) fn file(&self) -> Option<&FileEntry> {
        match &self.standing {
            Standing::File(file) | Standing::Folder(Some(file)) => Some(file),
            Standing::Folder(None) | Standing::Missing | Standing::Forbidden => None,
        }
    }

    /// Whether this may be used without looking again: it was checked not long ago, and is true.
    pub(super) fn is_fresh(&self, now: u64) -> bool {
        now < self.checked.get() + FRESH_FOR && self.file().is_none_or(FileEntry::is_current)
    }

    /// Whether something was made of its file that is not part of it yet.
    pub(super) fn has_news(&self) -> bool {
        self.file().and_then(FileEntry::demand).is_some_and(|demand| demand.is_ready())
    }

    /// The same entry with this file in the place of its own.
    pub(super) fn with_file(&self, file: FileEntry) -> Self {
        let standing = match &self.standing {
            Standing::Folder(_) => Standing::Folder(Some(file)),
            Standing::File(_) | Standing::Missing | Standing::Forbidden => Standing::File(file),
        };
        Self::new(standing, self.checked.get())
    }

    /// The same as the decision sees it.
    pub(crate) fn found(&self) -> Found<'_, FileEntry> {
        match &self.standing {
            Standing::File(file) => Found::File(file),
            Standing::Folder(index) => Found::Folder { index: index.as_ref() },
            Standing::Missing => Found::Missing,
            Standing::Forbidden => Found::Forbidden,
        }
    }

    /// Bytes of cached content.
    pub(super) fn bytes(&self) -> usize {
        self.file().map_or(0, |file| {
            let cached = file.objects().filter_map(|object| object.content.cached());
            cached.map(|pages| pages.len()).sum()
        })
    }

    /// Descriptors held open.
    pub(super) fn descriptors(&self) -> usize {
        self.file().map_or(0, |file| {
            file.objects().filter(|object| object.content.open().is_some()).count()
        })
    }
}

/// What the system knows of an open file: its type, and what the validators are made of.
///
/// It is not asked of a file server (`AT_STATX_DONT_SYNC`), which may take its time or never answer:
/// opening the file has asked it just before. So on file systems that cache attributes, changes are
/// seen as soon as the file system's client sees them.
pub(super) fn stat(file: &OwnedFd) -> io::Result<(FileType, FileStat)> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = statx(file, c"", flags, StatxFlags::BASIC_STATS)?;
    let known = FileStat {
        length: stat.stx_size,
        device: makedev(stat.stx_dev_major, stat.stx_dev_minor),
        inode: stat.stx_ino,
        modified: stat.stx_mtime.tv_sec,
        modified_nanos: stat.stx_mtime.tv_nsec,
        changed: stat.stx_ctime.tv_sec,
        changed_nanos: stat.stx_ctime.tv_nsec,
    };
    Ok((FileType::from_raw_mode(stat.stx_mode.into()), known))
}

/// Whether the file has been left alone for long enough that its metadata distinguishes its
/// versions: a write from now on gets another time than the last one has. That is so for a time in
/// the past, and for one in the future, as a clock that was set back leaves behind.
pub(super) fn is_settled(stat: &FileStat) -> bool {
    let now = since_1970().as_millis();
    is_settled_at(stat, now as i128)
}

fn is_settled_at(stat: &FileStat, now: i128) -> bool {
    let changed = i128::from(stat.changed) * 1000 + i128::from(stat.changed_nanos / 1_000_000);
    (now - changed).abs() > SETTLED_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_was_changed_just_now_is_unsettled() {
        let stat = |milliseconds: i64| FileStat {
            length: 1,
            device: 1,
            inode: 1,
            modified: 0,
            modified_nanos: 0,
            changed: milliseconds.div_euclid(1000),
            changed_nanos: milliseconds.rem_euclid(1000) as u32 * 1_000_000,
        };
        let now = 1_000_000;
        for (changed, settled) in
            [(0, true), (999_949, true), (999_950, false), (now, false), (1_000_051, true)]
        {
            assert_eq!(is_settled_at(&stat(changed), i128::from(now)), settled, "{changed}");
        }
    }
}
