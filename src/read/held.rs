//! Bytes that arrived in one piece: where they lie, and how far they have been opened.

use std::ops::Range;

use super::ReadError;
use crate::ring::{Arrived, RecvBuf};

/// Bytes that arrived in one piece. The ranges live and end with them.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Arrived,
    /// What has not been opened: the rest, from here on.
    sealed: usize,
    /// What is plaintext and has not been consumed. It lies before what is sealed.
    plain: Range<usize>,
}

impl Held {
    /// Records, from the byte `from` on.
    pub(super) fn records(bytes: Arrived, from: usize) -> Self {
        Self { bytes, sealed: from, plain: 0..0 }
    }

    /// Plaintext that the kernel has opened.
    pub(super) fn opened(bytes: Arrived) -> Self {
        let plain = 0..bytes.len();
        Self { sealed: plain.end, plain, bytes }
    }

    /// The bytes, wherever they lie.
    pub(super) fn bytes_mut(&mut self) -> &mut Arrived {
        &mut self.bytes
    }

    /// What has not been opened.
    ///
    /// # Errors
    /// More was opened than there is.
    pub(super) fn sealed(&mut self) -> Result<&mut [u8], ReadError> {
        match self.bytes.get_mut(self.sealed..) {
            Some(sealed) => Ok(sealed),
            None => Err(ReadError::BEYOND),
        }
    }

    /// The next `count` bytes of what was sealed were opened or copied.
    pub(super) fn advance(&mut self, count: usize) {
        self.sealed += count;
    }

    /// Whether something has been opened and not consumed.
    pub(super) fn has_plaintext(&self) -> bool {
        !self.plain.is_empty()
    }

    /// What has been opened and not consumed.
    pub(super) fn plaintext(&self) -> &[u8] {
        // No fault: `note_opened` has refused a range that is not within.
        self.bytes.get(self.plain.clone()).unwrap_or(&[])
    }

    /// Plaintext at `range`, counted from the first byte that is sealed, with which a record of
    /// `record` bytes begins. It becomes the plaintext that is held; there must be none.
    ///
    /// # Errors
    /// It does not lie within the record, or the record not within the bytes.
    pub(super) fn note_opened(
        &mut self,
        record: usize,
        range: &Range<usize>,
    ) -> Result<(), ReadError> {
        let begin = self.sealed;
        self.sealed += record;
        let fits = range.start <= range.end && range.end <= record;
        if !fits || self.sealed > self.bytes.len() || !self.plain.is_empty() {
            return Err(ReadError::BEYOND);
        }
        self.plain = begin + range.start..begin + range.end;
        Ok(())
    }

    /// Takes the first `count` bytes of plaintext off; says whether there were as many.
    pub(super) fn consume(&mut self, count: usize) -> bool {
        let fits = count <= self.plain.len();
        self.plain.start = self.plain.end.min(self.plain.start.saturating_add(count));
        fits
    }

    /// Takes all plaintext off, and shows what it was.
    pub(super) fn take_plaintext(&mut self) -> &[u8] {
        let range = std::mem::replace(&mut self.plain, 0..0);
        // No fault: as in `plaintext`.
        self.bytes.get(range).unwrap_or(&[])
    }

    /// The buffer, and where its plaintext lies, if both can be given away.
    pub(super) fn into_lease(self) -> Result<(RecvBuf, Range<usize>), Self> {
        match self {
            Self { bytes: Arrived::Lease(lease), sealed, plain } if sealed == lease.len() => {
                Ok((lease, plain))
            }
            other => Err(other),
        }
    }

    /// Bytes that were not consumed, sealed ones among them.
    pub(super) fn remaining(&self) -> usize {
        self.plain.len() + self.bytes.len().saturating_sub(self.sealed)
    }

    /// Whether nothing here is of use any more.
    pub(super) fn is_spent(&self) -> bool {
        self.plain.is_empty() && self.sealed == self.bytes.len()
    }
}
