//! Header blocks into fields (RFC 7541 section 3), strictly.
//!
//! The invariant: the table holds what the peer's encoder holds, or the connection is lost; after
//! an error the decoder must not be used again.

use std::collections::VecDeque;

use crate::huffman;
use crate::static_table::STATIC;

/// The size of the dynamic table before any SETTINGS.
pub const TABLE_SIZE: usize = 4096;
/// What each entry costs beyond its text (RFC 7541 section 4.1).
const ENTRY: usize = 32;

/// Why a block cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The block ends within a field.
    Short,
    /// An integer of more than five octets.
    Integer,
    /// An index outside of both tables.
    Index,
    /// No Huffman code.
    Huffman,
    /// A change of the table's size above what was allowed, or behind a field.
    Size,
}

/// An entry's place in the text.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: usize,
    name: usize,
    value: usize,
}

impl Entry {
    fn size(self) -> usize {
        self.name + self.value + ENTRY
    }
}

/// Decodes the blocks of one direction of one connection, in their order.
#[derive(Debug)]
pub struct Decoder {
    /// The newest first.
    entries: VecDeque<Entry>,
    /// Names and values, oldest first, behind what is evicted already.
    text: Vec<u8>,
    size: usize,
    limit: usize,
    /// What our SETTINGS allow.
    allowed: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(TABLE_SIZE)
    }
}

impl Decoder {
    /// A decoder whose SETTINGS_HEADER_TABLE_SIZE is `allowed`.
    pub fn new(allowed: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            text: Vec::new(),
            size: 0,
            limit: TABLE_SIZE.min(allowed),
            allowed,
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// The dynamic table's size as RFC 7541 section 4.1 counts it.
    pub fn table_size(&self) -> usize {
        self.size
    }

    /// Calls `field` with each name and value.
    ///
    /// # Errors
    ///
    /// Every [`Fault`]; fields before it have been seen by then.
    pub fn decode(
        &mut self,
        mut block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Fault> {
        let mut begun = false;
        while let Some(&first) = block.first() {
            if first & 0xe0 == 0x20 {
                let size = integer(&mut block, 5)?;
                if begun || size > self.allowed {
                    return Err(Fault::Size);
                }
                self.limit = size;
                self.evict(0);
                continue;
            }
            begun = true;
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                let (name, value) = self.at(index)?;
                field(name, value);
                continue;
            }
            let keep = first & 0x40 != 0;
            let index = integer(&mut block, if keep { 6 } else { 4 })?;
            let mut name = std::mem::take(&mut self.name);
            let mut value = std::mem::take(&mut self.value);
            name.clear();
            value.clear();
            if index == 0 {
                string(&mut block, &mut name)?;
            } else {
                name.extend_from_slice(self.at(index)?.0);
            }
            string(&mut block, &mut value)?;
            field(&name, &value);
            if keep {
                self.insert(&name, &value);
            }
            (self.name, self.value) = (name, value);
        }
        Ok(())
    }

    fn at(&self, index: usize) -> Result<(&[u8], &[u8]), Fault> {
        let index = index.checked_sub(1).ok_or(Fault::Index)?;
        if let Some(&entry) = STATIC.get(index) {
            return Ok(entry);
        }
        let entry = self.entries.get(index - STATIC.len()).ok_or(Fault::Index)?;
        let (name, value) = self.text[entry.at..][..entry.name + entry.value].split_at(entry.name);
        Ok((name, value))
    }

    fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + ENTRY;
        self.evict(size);
        if size > self.limit {
            return;
        }
        // What is evicted is cut off once it is most of the text.
        let oldest = self.entries.back().map_or(self.text.len(), |entry| entry.at);
        if oldest > 4 * TABLE_SIZE {
            self.text.drain(..oldest);
            self.entries.iter_mut().for_each(|entry| entry.at -= oldest);
        }
        self.entries.push_front(Entry {
            at: self.text.len(),
            name: name.len(),
            value: value.len(),
        });
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(value);
        self.size += size;
    }

    /// Makes room for an entry of `size`.
    fn evict(&mut self, size: usize) {
        while self.size + size > self.limit
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.size();
        }
    }
}

/// Takes an integer with a prefix of `bits` bits.
fn integer(block: &mut &[u8], bits: u8) -> Result<usize, Fault> {
    let (&first, mut rest) = block.split_first().ok_or(Fault::Short)?;
    let most = (1usize << bits) - 1;
    let mut value = usize::from(first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (&byte, after) = rest.split_first().ok_or(Fault::Short)?;
            rest = after;
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 28 {
                return Err(Fault::Integer);
            }
        }
    }
    *block = rest;
    Ok(value)
}

/// Takes a string and appends what it stands for.
fn string(block: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let coded = block.first().ok_or(Fault::Short)? & 0x80 != 0;
    let len = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(len).ok_or(Fault::Short)?;
    *block = rest;
    if coded {
        huffman::decode(text, out).ok_or(Fault::Huffman)
    } else {
        out.extend_from_slice(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Decoder, Fault};
    use crate::encode::{self, Literal};

    fn fields(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, Fault> {
        let mut seen = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        decoder.decode(block, |name, value| seen.push((text(name), text(value))))?;
        Ok(seen)
    }

    fn hex(digits: &str) -> Vec<u8> {
        let digits: Vec<char> = digits.chars().filter(|c| !c.is_whitespace()).collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
        digits.chunks(2).map(|pair| byte(pair).unwrap()).collect()
    }

    #[test]
    fn responses_are_those_of_the_rfc() {
        // RFC 7541 appendix C.6: Huffman codes, a table of 256 bytes, evictions.
        let mut decoder = Decoder::new(256);
        let blocks = [
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b \
             ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad \
             94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 \
             65c0 03ed 4ee5 b106 3d50 07",
        ];
        let all: Vec<_> =
            blocks.iter().map(|block| fields(&mut decoder, &hex(block)).unwrap()).collect();
        assert_eq!(all[0][0], (":status".into(), "302".into()));
        assert_eq!(all[0][3], ("location".into(), "https://www.example.com".into()));
        assert_eq!(all[1][0], (":status".into(), "307".into()));
        assert_eq!(all[1][1], ("cache-control".into(), "private".into()));
        assert_eq!(all[2][0], (":status".into(), "200".into()));
        assert_eq!(all[2][4], ("content-encoding".into(), "gzip".into()));
        let cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
        assert_eq!(all[2][5], ("set-cookie".into(), cookie.into()));
        assert_eq!(decoder.table_size(), 215);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (block, fault) in [
            (&[0x80][..], Fault::Index),
            (&[0xbe], Fault::Index),
            (&[0x40], Fault::Short),
            (&[0x00, 0x01], Fault::Short),
            (&[0xff], Fault::Short),
            (&[0xff, 0x80, 0x80, 0x80, 0x80, 0x80], Fault::Integer),
            (&[0x00, 0x81, 0x1e, 0x00], Fault::Huffman),
            (&[0x82, 0x20], Fault::Size),
            (&[0x3f, 0xe2, 0x1f], Fault::Size),
        ] {
            assert_eq!(fields(&mut Decoder::default(), block), Err(fault), "{block:x?}");
        }
    }

    #[test]
    fn the_table_is_bounded_for_ever() {
        let mut decoder = Decoder::default();
        let mut block = Vec::new();
        encode::literal(&mut block, Literal::Indexed, b"name", &[b'v'; 1000]);
        for _ in 0..1000 {
            fields(&mut decoder, &block).unwrap();
            assert!(decoder.table_size() <= 4096 && decoder.text.len() < 32 << 10);
        }
        encode::indexed(&mut block, 64);
        assert!(fields(&mut decoder, &block).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(blocks: Vec<Vec<u8>>) {
            let mut decoder = Decoder::default();
            for block in blocks {
                if decoder.decode(&block, |_, _| {}).is_err() {
                    break;
                }
            }
        }

        #[test]
        fn fields_come_back(list in proptest::collection::vec(("[a-z]{0,20}", "\\PC{0,200}", 0..3_usize), 0..40)) {
            let mut decoder = Decoder::default();
            let mut block = Vec::new();
            for (name, value, how) in &list {
                let how = [Literal::Indexed, Literal::Plain, Literal::Never][*how];
                encode::literal(&mut block, how, name.as_bytes(), value.as_bytes());
            }
            let seen = fields(&mut decoder, &block).unwrap();
            let sent: Vec<_> = list.into_iter().map(|(name, value, _)| (name, value)).collect();
            prop_assert_eq!(seen, sent);
        }
    }
}
