//! HPACK: field compression for HTTP/2 (RFC 7541). Pure, both directions, and it knows no other
//! module.
//!
//! Invariants: nothing that a peer sends makes the decoder allocate beyond its table of 4 KiB, or
//! work more than its block is long; whatever RFC 7541 calls an error ends the connection, since
//! both tables would differ from then on. A field that exceeds the bounds of a request is still
//! decoded to its end, so the table stays right.

#![forbid(unsafe_code)]

mod block;
mod decoder;
mod field_name;
mod huffman;
mod integer;
mod static_table;
mod table;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use block::BlockWriter;
pub(crate) use block::EMPTY_TABLE;
pub use decoder::{Decoder, Field, FieldVisitor};
pub(crate) use field_name::FieldName;

use std::fmt;

/// Why a field block could not be decoded. The peer gets GOAWAY(COMPRESSION_ERROR)
/// (RFC 9113 section 4.3), or GOAWAY(INTERNAL_ERROR) for [`HpackError::Defect`]. The text is for the
/// log and the debug data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HpackError {
    /// An integer has more than five octets, or the block ends within it.
    Integer,
    /// A string literal is longer than the rest of the block.
    StringLength,
    /// Huffman text holds EOS, or padding that is not up to seven ones.
    Huffman,
    /// An index of zero, or beyond the table.
    Index,
    /// A table size update behind a field, a third one, or one beyond 4,096.
    SizeUpdate,
    /// The decoder contradicts itself: a defect of this server, and no fault of the peer.
    Defect,
}

impl fmt::Display for HpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer => "an HPACK integer is incomplete or longer than five octets",
            Self::StringLength => "an HPACK string is longer than its block",
            Self::Huffman => "an HPACK string has invalid Huffman text or padding",
            Self::Index => "an HPACK index is beyond the table",
            Self::SizeUpdate => "an HPACK table size update is misplaced or too large",
            Self::Defect => "the HPACK decoder contradicts itself",
        })
    }
}

impl std::error::Error for HpackError {}
