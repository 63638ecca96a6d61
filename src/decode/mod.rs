//! Decode: where the content of a request lies and ends (RFC 9112 sections 6 and 7). Pure.
//!
//! Invariant: of every byte of input it is certain whether it is content, framing, or no longer
//! ours; a byte sequence that leaves room for doubt is a [`BodyError`]. No byte is copied, and no
//! more content comes out than the bound given at the start.

#![forbid(unsafe_code)]

mod chunked;
pub(crate) mod h2;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use self::chunked::Chunked;
use crate::parse::BodyLength;
use crate::respond::Status;

/// Why a body was refused. The peer gets [`status`](Self::status) and the connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The content is longer than the bound.
    TooLarge,
    /// A chunk size is missing, no hexadecimal number, or longer than 16 digits.
    ChunkSize,
    /// A chunk extension holds a control character, or something else stands behind the size.
    ChunkExtension,
    /// The chunk extensions exceed [`MAX_EXTENSION_LINE`] or [`MAX_EXTENSION_TOTAL`] bytes.
    ChunkExtensionTooLong,
    /// A line of the framing, or a chunk, does not end with CRLF.
    LineEnd,
    /// A trailer line is no field line.
    Trailer,
    /// The trailers exceed [`MAX_TRAILER_BYTES`] or [`MAX_TRAILER_FIELDS`].
    TrailerTooLong,
}

impl BodyError {
    /// The status that the peer gets.
    pub const fn status(self) -> Status {
        match self {
            Self::TooLarge => Status::ContentTooLarge,
            Self::ChunkSize
            | Self::ChunkExtension
            | Self::ChunkExtensionTooLong
            | Self::LineEnd
            | Self::Trailer
            | Self::TrailerTooLong => Status::BadRequest,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the content is larger than the limit",
            Self::ChunkSize => "a chunk size is not a hexadecimal number of 1 to 16 digits",
            Self::ChunkExtension => "a chunk size is followed by something that is no extension",
            Self::ChunkExtensionTooLong => "the chunk extensions are too long",
            Self::LineEnd => "the chunked framing has a line or a chunk without CRLF",
            Self::Trailer => "a trailer line is no field line",
            Self::TrailerTooLong => "the trailers are too long or too many",
        })
    }
}

impl std::error::Error for BodyError {}

/// Bytes that the extensions of one chunk may have.
pub(crate) const MAX_EXTENSION_LINE: u32 = 256;
/// Bytes that all chunk extensions of a body may have together.
pub(crate) const MAX_EXTENSION_TOTAL: u32 = 16 * 1024;
/// Bytes that the trailer section may have, line ends included.
pub(crate) const MAX_TRAILER_BYTES: u32 = 8 * 1024;
/// Lines that the trailer section may have.
pub(crate) const MAX_TRAILER_FIELDS: u32 = 64;

/// What one call of [`BodyDecoder::decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that belong to this body and are done with, `data` included.
    pub consumed: usize,
    /// The bytes of the input that are content; possibly none, never beyond `consumed`.
    pub data: Range<usize>,
    /// Whether the body has ended: what follows `consumed` is the next request.
    pub finished: bool,
}

/// Follows a body through its bytes, wherever they are split. A few words of state, no buffer.
#[derive(Clone, Debug)]
pub struct BodyDecoder(Framing);

#[derive(Clone, Debug)]
enum Framing {
    /// Bytes still to come.
    Length(u64),
    Chunked(Chunked),
}

impl BodyDecoder {
    /// Begins a body framed as `length` says, of at most `max_body` bytes of content.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] at once if the stated length exceeds the bound.
    pub fn new(length: BodyLength, max_body: u64) -> Result<Self, BodyError> {
        match length {
            BodyLength::None => Ok(Self(Framing::Length(0))),
            BodyLength::Length(length) if length > max_body => Err(BodyError::TooLarge),
            BodyLength::Length(length) => Ok(Self(Framing::Length(length))),
            BodyLength::Chunked => Ok(Self(Framing::Chunked(Chunked::new(max_body)))),
        }
    }

    /// Keeps the trailer lines of chunked content, [`MAX_TRAILER_BYTES`] at most.
    pub(crate) fn keep_trailers(&mut self) {
        if let Framing::Chunked(chunked) = &mut self.0 {
            chunked.keep_trailers();
        }
    }

    /// The trailer lines that were kept, each with its CRLF; empty before the body has ended.
    pub(crate) fn take_trailers(&mut self) -> Vec<u8> {
        match &mut self.0 {
            Framing::Length(_) => Vec::new(),
            Framing::Chunked(chunked) => chunked.take_trailers(),
        }
    }

    /// Content that never ends and has no bound: what follows an upgrade.
    pub(crate) const fn endless() -> Self {
        Self(Framing::Length(u64::MAX))
    }

    /// Takes framing from the front of `input` up to and including the next run of content. Call
    /// again with what was not consumed until `finished`; an input that is used up without that
    /// needs more bytes.
    ///
    /// # Errors
    /// Whatever makes the framing doubtful or exceeds a bound. Every later call repeats it.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        match &mut self.0 {
            Framing::Length(remaining) => {
                let taken = take(remaining, input.len());
                Ok(Step { consumed: taken, data: 0..taken, finished: *remaining == 0 })
            }
            Framing::Chunked(chunked) => chunked.decode(input),
        }
    }

    /// Bytes that are still to come, if the length was stated.
    pub(crate) const fn rest(&self) -> Option<u64> {
        match &self.0 {
            Framing::Length(remaining) => Some(*remaining),
            Framing::Chunked(_) => None,
        }
    }

    /// So many bytes of content of a stated length went another way. False, and nothing is noted, if that
    /// is more than is still to come.
    #[must_use]
    pub(crate) const fn pass(&mut self, count: u64) -> bool {
        match &mut self.0 {
            Framing::Length(remaining) if *remaining >= count => {
                *remaining -= count;
                true
            }
            Framing::Length(_) | Framing::Chunked(_) => false,
        }
    }

    /// Whether the body has ended; a body without content has from the start.
    pub const fn is_finished(&self) -> bool {
        match &self.0 {
            Framing::Length(remaining) => *remaining == 0,
            Framing::Chunked(chunked) => chunked.is_finished(),
        }
    }
}

/// Takes up to `available` bytes off `remaining`.
fn take(remaining: &mut u64, available: usize) -> usize {
    let available = u64::try_from(available).unwrap_or(u64::MAX);
    let taken = available.min(*remaining);
    *remaining -= taken;
    // No more than `available`, which was a `usize`.
    taken as usize
}
