//! What is known of the files that a request may be answered with.
//!
//! The invariant: everything that depends on the file alone is worked out when the facts are made,
//! once for as long as a cache keeps them; answering reads them and makes nothing.

use std::cell::OnceCell;
use std::fmt;

use super::media_type;
use super::negotiate::{Coding, Siblings};
use super::validator::{EntityTag, FileStat, Validators};

/// One representation: the bytes of one file.
#[derive(Clone, Debug)]
pub struct Representation {
    /// Its length in bytes.
    pub length: u64,
    /// Which version it is.
    pub validators: Validators,
    /// The field lines of a 200 with all of it, made at the first request for it.
    made: OnceCell<Made>,
}

impl Representation {
    fn new(stat: &FileStat, coding: Coding) -> Self {
        let validators = Validators::new(stat, coding);
        Self { length: stat.length, validators, made: OnceCell::new() }
    }

    /// The fields of a 200 with all of it, some 250 bytes that each head copies. `make` runs at the
    /// first call only.
    pub(super) fn made(&self, make: impl FnOnce() -> Box<[u8]>) -> &Made {
        self.made.get_or_init(|| Made { lines: make(), block: OnceCell::new() })
    }
}

/// Fields that were rendered once and are copied into each head that has them.
#[derive(Clone)]
pub struct Made {
    lines: Box<[u8]>,
    block: OnceCell<Option<Box<[u8]>>>,
}

impl Made {
    /// The fields as HTTP/1.1 writes them, each line with its CRLF.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// The same fields, each a name and a value.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines.split(|byte| *byte == b'\n').filter_map(|line| {
            let line = line.strip_suffix(b"\r")?;
            let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
            Some((str::from_utf8(name).ok()?, value.strip_prefix(b": ")?))
        })
    }

    /// The same fields in another coding that `make` renders at the first call: the header block
    /// of HTTP/2. It is kept as long as the lines, so it must not depend on a connection.
    pub fn block(&self, make: impl FnOnce(&Self) -> Option<Box<[u8]>>) -> Option<&[u8]> {
        self.block.get_or_init(|| make(self)).as_deref()
    }
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Made({} bytes)", self.lines.len())
    }
}

/// A regular file and the siblings that carry it in a content coding.
#[derive(Clone, Debug)]
pub struct FileFacts {
    media_type: &'static str,
    identity: Representation,
    coded: [Option<Representation>; Coding::SIBLINGS.len()],
    siblings: Siblings,
    /// Siblings that no file is: they were made of the plain one.
    made: Siblings,
    /// Siblings that can be made of it.
    offered: Siblings,
}

impl FileFacts {
    /// The facts of a file of this name, without siblings.
    pub fn new(file_name: &[u8], stat: &FileStat) -> Self {
        Self {
            media_type: media_type::of(file_name),
            identity: Representation::new(stat, Coding::Identity),
            coded: Default::default(),
            siblings: Siblings::default(),
            made: Siblings::default(),
            offered: Siblings::default(),
        }
    }

    /// The same with a sibling: the file whose name ends in [`Coding::suffix`] in addition.
    #[must_use]
    pub fn with_sibling(mut self, coding: Coding, stat: &FileStat) -> Self {
        if let Some(slot) = sibling_index(coding).and_then(|index| self.coded.get_mut(index)) {
            *slot = Some(Representation::new(stat, coding));
            self.siblings = self.siblings.with(coding);
            // They say whether there are siblings.
            for representation in self.coded.iter_mut().flatten().chain([&mut self.identity]) {
                representation.made = OnceCell::new();
            }
        }
        self
    }

    /// The same for a file whose date is no validator, see [`Validators::without_date`].
    #[must_use]
    pub fn without_date(mut self, coding: Coding) -> Self {
        let known = match sibling_index(coding) {
            Some(index) => self.coded.get_mut(index).and_then(Option::as_mut),
            None => Some(&mut self.identity),
        };
        if let Some(representation) = known {
            representation.validators = representation.validators.without_date();
            representation.made = OnceCell::new();
        }
        self
    }

    /// The same with another entity tag for a coding.
    #[must_use]
    pub fn with_tag(mut self, coding: Coding, tag: EntityTag) -> Self {
        let known = match sibling_index(coding) {
            Some(index) => self.coded.get_mut(index).and_then(Option::as_mut),
            None => Some(&mut self.identity),
        };
        if let Some(representation) = known {
            representation.validators.entity_tag = tag;
            representation.made = OnceCell::new();
        }
        self
    }

    /// The same with siblings that can be made of the file, before any answer.
    #[must_use]
    pub(crate) fn offering(mut self, offered: Siblings) -> Self {
        self.offered = offered;
        self
    }

    /// The same with a sibling that was made of the file: a content of so many bytes with this tag.
    #[must_use]
    pub(crate) fn with_made(self, coding: Coding, stat: &FileStat, tag: EntityTag) -> Self {
        let mut facts = self.with_sibling(coding, stat).with_tag(coding, tag);
        facts.made = facts.made.with(coding);
        facts
    }

    /// The media type of the file, whatever the coding that carries it.
    pub fn media_type(&self) -> &'static str {
        self.media_type
    }

    /// Which siblings there are.
    pub fn siblings(&self) -> Siblings {
        self.siblings
    }

    /// Which siblings were made of the file.
    pub(crate) fn made(&self) -> Siblings {
        self.made
    }

    /// Which siblings can be made of it.
    pub(crate) fn offered(&self) -> Siblings {
        self.offered
    }

    /// Whether the answer depends on `Accept-Encoding`, now or as soon as a sibling is made.
    pub(crate) fn varies(&self) -> bool {
        !self.siblings.is_empty() || !self.offered.is_empty()
    }

    /// The representation in a coding that is there; the plain file for one that is not.
    pub fn representation(&self, coding: Coding) -> &Representation {
        sibling_index(coding)
            .and_then(|index| self.coded.get(index)?.as_ref())
            .unwrap_or(&self.identity)
    }
}

/// The place of a coding among [`Coding::SIBLINGS`].
fn sibling_index(coding: Coding) -> Option<usize> {
    if coding == Coding::Identity {
        return None;
    }
    Coding::SIBLINGS.iter().position(|&sibling| sibling == coding)
}

/// A file that can be served: its facts, and in the type that implements this also the way to its
/// content, which the decision hands back with the answer and never looks at.
pub trait File: 'static {
    /// What is known of it.
    fn facts(&self) -> &FileFacts;
}

impl File for FileFacts {
    fn facts(&self) -> &FileFacts {
        self
    }
}

/// What stands at a path.
#[derive(Debug)]
pub enum Found<'f, F = FileFacts> {
    /// A regular file.
    File(&'f F),
    /// A folder, and its index file if it has one.
    Folder {
        /// The index file.
        index: Option<&'f F>,
    },
    /// Nothing, or something that is neither file nor folder, or something outside the served
    /// folder.
    Missing,
    /// A file or folder that the server may not read.
    Forbidden,
}

impl<F> Clone for Found<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Found<'_, F> {}

#[cfg(test)]
mod tests {
    use super::{Coding, FileFacts, FileStat};

    fn stat(length: u64) -> FileStat {
        FileStat {
            length,
            device: 1,
            inode: length,
            modified: 1,
            modified_nanos: 2,
            changed: 3,
            changed_nanos: 4,
        }
    }

    #[test]
    fn each_coding_has_its_own_representation() {
        let facts = FileFacts::new(b"a.css", &stat(100))
            .with_sibling(Coding::Gzip, &stat(30))
            .with_sibling(Coding::Brotli, &stat(20));
        assert_eq!(facts.media_type(), "text/css; charset=utf-8");
        let length = |coding| facts.representation(coding).length;
        assert_eq!(
            [Coding::Identity, Coding::Brotli, Coding::Zstandard, Coding::Gzip].map(length),
            [100, 20, 100, 30]
        );
        assert!(facts.siblings().has(Coding::Gzip) && !facts.siblings().has(Coding::Zstandard));
        let tag = |coding| facts.representation(coding).validators.entity_tag;
        assert_ne!(tag(Coding::Identity), tag(Coding::Gzip));
    }
}
