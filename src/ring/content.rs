//! Bytes that never change, wherever they lie, and what keeps them there.
//!
//! The invariant: the address of the bytes stays the same for as long as any clone lives, however
//! often a [`Content`] is moved, so that a message may name them to the kernel.

use std::{
    fmt,
    ops::{Deref, Range},
    rc::Rc,
};

use super::receive_pool::RecvBuf;

/// Bytes that never change. A clone shares them.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Bytes of the program.
    Fixed(&'static [u8]),
    /// A receive buffer, in which they arrived.
    Lease(Rc<RecvBuf>),
    /// Memory of their own.
    Gathered(Rc<Vec<u8>>),
    /// Memory of an application.
    #[cfg(feature = "service")]
    Bytes(bytes::Bytes),
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Fixed(bytes) => bytes,
            Self::Lease(lease) => lease,
            Self::Gathered(bytes) => bytes,
            #[cfg(feature = "service")]
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// A stretch of content.
#[derive(Clone)]
pub(crate) struct Chunk {
    content: Content,
    range: Range<usize>,
}

impl Chunk {
    /// The bytes of `content` from `range.start` to `range.end`, as far as there are so many.
    pub(crate) fn new(content: Content, range: Range<usize>) -> Self {
        let end = range.end.min(content.len());
        Self { range: range.start.min(end)..end, content }
    }

    /// A stretch of this one, as far as it reaches.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        let (start, end) = (self.range.start, self.range.end);
        Self::new(self.content.clone(), start + range.start..end.min(start + range.end))
    }

    /// Lets go of the first `count` bytes.
    pub(crate) fn advance(&mut self, count: usize) {
        self.range.start = self.range.end.min(self.range.start + count);
    }

    /// What the bytes are a stretch of, and which.
    pub(crate) fn parts(&self) -> (&Content, Range<usize>) {
        (&self.content, self.range.clone())
    }

    /// The same, owned.
    pub(crate) fn into_parts(self) -> (Content, Range<usize>) {
        (self.content, self.range)
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // No fault: `new` keeps the range within the content, and content does not change.
        self.content.get(self.range.clone()).unwrap_or(&[])
    }
}

impl From<Content> for Chunk {
    fn from(content: Content) -> Self {
        Self { range: 0..content.len(), content }
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Self {
        Content::Gathered(Rc::new(bytes)).into()
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("range", &self.range).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_never_reaches_beyond_its_content() {
        let content = Content::Gathered(Rc::new(b"abcdef".to_vec()));
        for (range, expected) in [(0..6, &b"abcdef"[..]), (2..4, b"cd"), (4..9, b"ef"), (8..9, b"")]
        {
            assert_eq!(&*Chunk::new(content.clone(), range), expected);
        }
        assert_eq!(&*Chunk::from(b"abc".to_vec()), b"abc");
    }

    #[test]
    fn bytes_stay_where_they_are() {
        let content = Content::Gathered(Rc::new(vec![1; 100]));
        let address = content.as_ptr();
        let moved = Box::new(content.clone());
        drop(content);
        assert_eq!(moved.as_ptr(), address);
    }
}
