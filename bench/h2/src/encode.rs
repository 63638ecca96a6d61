//! HPACK representations into a buffer (RFC 7541 sections 5 and 6). No table is kept: the caller
//! knows what the peer's table holds.

use crate::huffman;

/// How a literal field is represented (RFC 7541 section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literal {
    /// Inserted into the dynamic table.
    Indexed,
    /// Not inserted.
    Plain,
    /// Not inserted, here or by any intermediary.
    Never,
}

impl Literal {
    /// The pattern of the first octet and the bits left for the index.
    fn pattern(self) -> (u8, u8) {
        match self {
            Self::Indexed => (0x40, 6),
            Self::Plain => (0, 4),
            Self::Never => (0x10, 4),
        }
    }
}

/// Appends an integer whose prefix has `bits` bits beside `pattern` (RFC 7541 section 5.1).
pub fn integer(out: &mut Vec<u8>, pattern: u8, bits: u8, value: usize) {
    let most = (1usize << bits) - 1;
    if value < most {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a string, by Huffman code if that is shorter (RFC 7541 section 5.2).
pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    let coded = huffman::encoded_len(text);
    if coded < text.len() {
        integer(out, 0x80, 7, coded);
        huffman::encode(text, out);
    } else {
        raw_string(out, text);
    }
}

/// Appends a string as it is.
pub fn raw_string(out: &mut Vec<u8>, text: &[u8]) {
    integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

/// Appends an indexed field (RFC 7541 section 6.1).
pub fn indexed(out: &mut Vec<u8>, index: usize) {
    integer(out, 0x80, 7, index);
}

/// Appends a literal field whose name stands at `index` of the tables.
pub fn literal_at(out: &mut Vec<u8>, how: Literal, index: usize, value: &[u8]) {
    let (pattern, bits) = how.pattern();
    integer(out, pattern, bits, index);
    string(out, value);
}

/// Appends a literal field with its name.
pub fn literal(out: &mut Vec<u8>, how: Literal, name: &[u8], value: &[u8]) {
    out.push(how.pattern().0);
    string(out, name);
    string(out, value);
}

/// Appends a change of the dynamic table's size (RFC 7541 section 6.3).
pub fn table_size(out: &mut Vec<u8>, size: usize) {
    integer(out, 0x20, 5, size);
}

/// A block of literal fields that leaves the table as it is.
pub fn block<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        literal(&mut out, Literal::Plain, name.as_bytes(), value.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::integer;

    #[test]
    fn integers_are_those_of_the_rfc() {
        // RFC 7541 appendix C.1.
        for (bits, value, bytes) in [
            (5, 10, &[0x0a][..]),
            (5, 1337, &[0x1f, 0x9a, 0x0a]),
            (8, 42, &[0x2a]),
            (5, 31, &[0x1f, 0]),
            (5, 30, &[0x1e]),
        ] {
            let mut out = Vec::new();
            integer(&mut out, 0, bits, value);
            assert_eq!(out, bytes);
        }
    }
}
