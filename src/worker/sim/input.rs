//! The input as a program.

/// A cursor over the input.
pub(super) struct Input<'i> {
    bytes: &'i [u8],
}

impl<'i> Input<'i> {
    pub(super) fn new(bytes: &'i [u8]) -> Self {
        Self { bytes }
    }

    /// The next byte; None at the end.
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(byte)
    }

    /// The next byte, or 0.
    pub(super) fn byte_or_zero(&mut self) -> u8 {
        self.byte().unwrap_or(0)
    }

    /// The next bytes: as many as the next byte says, and as there are.
    pub(super) fn bytes(&mut self) -> &'i [u8] {
        let count = usize::from(self.byte_or_zero()).min(self.bytes.len());
        let (bytes, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        bytes
    }

    /// A number of bytes: exact while small, and up to a few records.
    pub(super) fn amount(&mut self) -> usize {
        match self.byte_or_zero() {
            0 => usize::MAX,
            byte @ 1..=191 => usize::from(byte),
            byte => usize::from(byte - 191) * 700,
        }
    }
}
