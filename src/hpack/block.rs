//! Writing field blocks into memory that the caller owns.
//!
//! Only the static table is referred to. So a block does not depend on what was sent before: it can
//! be made once for a file and copied into each head, and a peer's table stays empty.

use super::{huffman, integer, static_table};

/// Writes one field block. What does not fit makes [`finish`](Self::finish) fail; until then every
/// call is safe and cheap, and what the buffer holds means nothing.
#[derive(Debug)]
pub struct BlockWriter<'b> {
    buffer: &'b mut [u8],
    used: usize,
    overflow: bool,
}

/// The update of the dynamic table's size to 0 (RFC 7541 section 6.3), a block of its own.
pub(crate) const EMPTY_TABLE: u8 = 0x20;

/// A literal field that is not indexed (RFC 7541 section 6.2.2), and one that never is (6.2.3).
const NOT_INDEXED: u8 = 0;
const NEVER_INDEXED: u8 = 0x10;

/// Text from this length on is worth the Huffman code, which saves a quarter of it.
const HUFFMAN_FROM: usize = 6;

impl<'b> BlockWriter<'b> {
    /// Begins a block at the start of `buffer`.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, used: 0, overflow: false }
    }

    /// The update to a table of no entries. It opens the first block after the peer has lowered
    /// SETTINGS_HEADER_TABLE_SIZE (RFC 7541 section 4.2), although no table is used.
    pub fn empty_table(&mut self) {
        self.put(&[EMPTY_TABLE]);
    }

    /// `:status`.
    #[inline]
    pub fn status(&mut self, code: u16) {
        if let Some(index) = static_table::index_of_status(code) {
            self.put(&[0x80 | index]);
            return;
        }
        let digit = |divisor: u16| b'0' + (code / divisor % 10) as u8;
        self.put(&[NOT_INDEXED | static_table::STATUS, 3, digit(100), digit(10), digit(1)]);
    }

    /// A field. Its name may be in any case and is written in lower case (RFC 9113 section 8.2.1).
    /// `Set-Cookie` is marked as never to be indexed.
    pub fn field(&mut self, name: &str, value: &[u8]) {
        let kind =
            if name.eq_ignore_ascii_case("set-cookie") { NEVER_INDEXED } else { NOT_INDEXED };
        self.literal(kind, name, value);
    }

    /// A field that no further hop may index, as it came with that mark.
    pub fn never_indexed(&mut self, name: &str, value: &[u8]) {
        self.literal(NEVER_INDEXED, name, value);
    }

    /// Whole fields from another block.
    #[inline]
    pub fn fields(&mut self, block: &[u8]) {
        self.put(block);
    }

    /// The length of the block in bytes. None if it does not fit its buffer.
    pub fn finish(self) -> Option<usize> {
        (!self.overflow).then_some(self.used)
    }

    fn literal(&mut self, kind: u8, name: &str, value: &[u8]) {
        if let Some(index) = static_table::index_of(name.as_bytes()) {
            self.integer(index.into(), 4, kind);
        } else {
            self.put(&[kind]);
            self.integer(name.len() as u32, 7, 0);
            let begin = self.used;
            self.put(name.as_bytes());
            match self.buffer.get_mut(begin..self.used) {
                Some(written) => written.make_ascii_lowercase(),
                None => self.overflow = true,
            }
        }
        self.text(value);
    }

    fn text(&mut self, text: &[u8]) {
        let length =
            if text.len() < HUFFMAN_FROM { text.len() } else { huffman::encoded_length(text) };
        if length >= text.len() {
            self.integer(text.len() as u32, 7, 0);
            self.put(text);
            return;
        }
        self.integer(length as u32, 7, 0x80);
        let room = self.buffer.get_mut(self.used..);
        match room.and_then(|room| huffman::encode(text, room)) {
            Some(written) => self.used += written,
            None => self.overflow = true,
        }
    }

    fn integer(&mut self, value: u32, bits: u32, first: u8) {
        let (octets, used) = integer::encode(value, bits, first);
        match octets.get(..used) {
            Some(octets) => self.put(octets),
            None => self.overflow = true,
        }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.used..self.used + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.used += bytes.len();
            }
            None => self.overflow = true,
        }
    }
}
