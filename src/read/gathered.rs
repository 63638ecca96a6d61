//! Plaintext that did not come in one piece, in memory of the connection's own.

use std::ops::Range;

/// Plaintext that did not come in one piece. Its reader's caller bounds it: it asks for more only
/// while what is here may still become a request.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    bytes: Vec<u8>,
    /// Where the plaintext begins that was not consumed.
    from: usize,
}

impl Gathered {
    /// A record's own memory, in which its plaintext lies at `plaintext`.
    pub(super) fn of_record(mut record: Vec<u8>, plaintext: Range<usize>) -> Self {
        record.truncate(plaintext.end);
        Self { bytes: record, from: plaintext.start }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was not consumed.
    pub(super) fn plaintext(&self) -> &[u8] {
        // No fault: `consume` goes no further than the end.
        self.bytes.get(self.from..).unwrap_or(&[])
    }

    /// Appends to the plaintext. What was consumed of it goes first: requests that never end
    /// where a record ends would else gather for as long as the connection lives.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.from));
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the first `count` bytes off, and the memory back with the last of them; says whether
    /// there were as many.
    pub(super) fn consume(&mut self, count: usize) -> bool {
        let left = self.bytes.len() - self.from;
        if count >= left {
            *self = Self::default();
        } else {
            self.from += count;
        }
        count <= left
    }

    /// The memory, and where the plaintext begins.
    pub(super) fn take(&mut self) -> (Vec<u8>, usize) {
        let Self { bytes, from } = std::mem::take(self);
        (bytes, from)
    }

    /// Bytes of memory that this takes.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}
