//! From a field block to its fields, each lent for one call (RFC 7541 sections 3 and 6).

use super::{
    FieldName, HpackError, huffman, integer, static_table,
    table::{NewName, TABLE_BYTES, Table},
};

/// One field, as it lies in the block, in the table or in the scratch memory.
#[derive(Clone, Copy, Debug)]
pub struct Field<'f> {
    /// The name, if it is one that matters.
    pub token: FieldName,
    /// The name as text.
    pub name: &'f [u8],
    /// The value.
    pub value: &'f [u8],
    /// Name and value were found well-formed before, or stand in the static table.
    pub checked: bool,
    /// It must not be compressed by reference on any further hop (RFC 7541 section 7.1.3).
    pub never_indexed: bool,
}

/// Takes the fields of a block.
pub trait FieldVisitor {
    /// One field. Returns whether its name and value are well-formed, which the table then
    /// remembers.
    fn field(&mut self, field: Field<'_>) -> bool;

    /// A field that is longer than the scratch memory, with the bytes of its name and value.
    fn oversized(&mut self, bytes: usize);
}

/// Decodes the field blocks of one connection, in their order.
#[derive(Debug, Default)]
pub struct Decoder {
    table: Table,
}

/// Table size updates at the start of a block: the smallest and the last of those that a change of
/// settings brings (RFC 7541 section 4.2).
const MAX_UPDATES: usize = 2;

/// A string literal, decoded.
enum Text<'t> {
    Whole(&'t [u8]),
    /// Longer than the memory for it.
    Longer(usize),
}

impl Text<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Whole(text) => text.len(),
            Self::Longer(length) => *length,
        }
    }
}

impl Decoder {
    /// Bytes that `scratch` must have: an entry that fits the table is never oversized.
    pub const MIN_SCRATCH: usize = TABLE_BYTES;

    /// Gives memory back that the table's entries do not take; the next insertion takes it again.
    ///
    /// # Errors
    /// [`HpackError::Defect`]: the connection must end.
    pub(crate) fn shrink(&mut self) -> Result<(), HpackError> {
        self.table.shrink()
    }

    /// Decodes a complete block. Huffman text is decoded to `scratch`, of at least
    /// [`Self::MIN_SCRATCH`] bytes; what it holds afterwards means nothing.
    ///
    /// # Errors
    /// The connection must end: the table no longer is the peer's.
    pub fn decode(
        &mut self,
        block: &[u8],
        scratch: &mut [u8],
        visitor: &mut impl FieldVisitor,
    ) -> Result<(), HpackError> {
        debug_assert!(scratch.len() >= Self::MIN_SCRATCH);
        let mut rest = self.size_updates(block)?;
        while let Some(&first) = rest.first() {
            rest = match first {
                0x80.. => self.indexed(rest, visitor)?,
                0x40..=0x7f => self.literal(rest, 6, scratch, visitor)?,
                0x20..=0x3f => return Err(HpackError::SizeUpdate),
                _ => self.literal(rest, 4, scratch, visitor)?,
            };
        }
        Ok(())
    }

    fn size_updates<'b>(&mut self, block: &'b [u8]) -> Result<&'b [u8], HpackError> {
        let mut rest = block;
        for _ in 0..MAX_UPDATES {
            if !matches!(rest.first(), Some(0x20..=0x3f)) {
                break;
            }
            let (max, tail) = integer::decode(rest, 5)?;
            if !self.table.set_max(max) {
                return Err(HpackError::SizeUpdate);
            }
            rest = tail;
        }
        Ok(rest)
    }

    /// An indexed field (section 6.1).
    fn indexed<'b>(
        &self,
        block: &'b [u8],
        visitor: &mut impl FieldVisitor,
    ) -> Result<&'b [u8], HpackError> {
        let (index, rest) = integer::decode(block, 7)?;
        let field = if let Some(entry) = static_table::get(index) {
            Field {
                token: entry.token,
                name: entry.name.as_bytes(),
                value: entry.value.as_bytes(),
                checked: true,
                never_indexed: false,
            }
        } else {
            let entry = dynamic(index).and_then(|index| self.table.get(index));
            let entry = entry.ok_or(HpackError::Index)?;
            Field {
                token: entry.token,
                name: entry.name,
                value: entry.value,
                checked: entry.checked,
                never_indexed: false,
            }
        };
        visitor.field(field);
        Ok(rest)
    }

    /// A literal field (section 6.2), with a prefix of six bits for one that is inserted.
    fn literal<'b>(
        &mut self,
        block: &'b [u8],
        bits: u32,
        scratch: &mut [u8],
        visitor: &mut impl FieldVisitor,
    ) -> Result<&'b [u8], HpackError> {
        let inserts = bits == 6;
        let never_indexed = !inserts && block.first().is_some_and(|first| first & 0x10 != 0);
        let (index, rest) = integer::decode(block, bits)?;
        let Self { table } = self;
        if index > static_table::LENGTH {
            let index = dynamic(index).ok_or(HpackError::Index)?;
            let entry = table.get(index).ok_or(HpackError::Index)?;
            let (value, rest, _) = string(rest, scratch)?;
            let Text::Whole(value) = value else {
                visitor.oversized(entry.name.len() + value.len());
                if inserts {
                    table.clear();
                }
                return Ok(rest);
            };
            let (token, name) = (entry.token, entry.name);
            let field = Field { token, name, value, checked: false, never_indexed };
            let checked = visitor.field(field);
            if inserts {
                table.insert(NewName::Entry(index), value, token, checked)?;
            }
            return Ok(rest);
        }
        let (token, name, rest, room) = if let Some(entry) = static_table::get(index) {
            (Some(entry.token), Text::Whole(entry.name.as_bytes()), rest, scratch)
        } else {
            let (name, rest, room) = string(rest, scratch)?;
            (None, name, rest, room)
        };
        let (value, rest, _) = string(rest, room)?;
        let (Text::Whole(name), Text::Whole(value)) = (&name, &value) else {
            visitor.oversized(name.len() + value.len());
            if inserts {
                table.clear();
            }
            return Ok(rest);
        };
        let token = token.unwrap_or_else(|| FieldName::of(name));
        let field = Field { token, name, value, checked: false, never_indexed };
        let checked = visitor.field(field);
        if inserts {
            table.insert(NewName::Text(name), value, token, checked)?;
        }
        Ok(rest)
    }
}

/// The index in the dynamic table.
fn dynamic(index: usize) -> Option<usize> {
    index.checked_sub(static_table::LENGTH + 1)
}

/// Reads a string literal (section 5.2). Returns it, what follows it in the block, and the memory
/// that it left free.
fn string<'t, 'b: 't>(
    block: &'b [u8],
    room: &'t mut [u8],
) -> Result<(Text<'t>, &'b [u8], &'t mut [u8]), HpackError> {
    let huffman = block.first().is_some_and(|first| first & 0x80 != 0);
    let (length, rest) = integer::decode(block, 7)?;
    let (octets, rest) = rest.split_at_checked(length).ok_or(HpackError::StringLength)?;
    if !huffman {
        return Ok((Text::Whole(octets), rest, room));
    }
    let length = huffman::decode(octets, room)?;
    if length > room.len() {
        return Ok((Text::Longer(length), rest, room));
    }
    let (text, room) = room.split_at_mut(length);
    Ok((Text::Whole(text), rest, room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_that_rests_keeps_what_its_entries_take() {
        let mut decoder = Decoder::default();
        let name = NewName::Text(b"name");
        decoder.table.insert(name, b"value", FieldName::Other, true).unwrap();
        assert_eq!(decoder.table.memory_bytes(), TABLE_BYTES);
        decoder.shrink().unwrap();
        assert_eq!(decoder.table.memory_bytes(), 8 + 4 + 5);
    }
}
