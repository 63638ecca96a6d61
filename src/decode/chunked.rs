//! The chunked coding (RFC 9112 section 7.1), one byte of framing at a time.
//!
//! Extensions and trailers are checked and bounded. Extensions are dropped, trailers are dropped unless
//! they are asked for (RFC 9112 section 7.1.1, RFC 9110 section 6.5.1): a trailer that is dropped can
//! change neither framing nor routing, whatever its name.

use super::{
    BodyError, MAX_EXTENSION_LINE, MAX_EXTENSION_TOTAL, MAX_TRAILER_BYTES, MAX_TRAILER_FIELDS,
    Step, take,
};
use crate::parse::is_token_byte;

/// Digits that hold every 64-bit size. More are refused even if they are zeros.
const MAX_SIZE_DIGITS: u32 = 16;

#[derive(Clone, Debug)]
pub(super) struct Chunked {
    state: State,
    /// The size read so far, then the bytes of the chunk still to come.
    remaining: u64,
    /// Content that may still come without exceeding the bound of the body.
    room: u64,
    /// Digits of the size, then bytes of the line's extensions; or bytes of trailers.
    line: u32,
    /// Bytes of extensions in all lines; or trailer lines.
    total: u32,
    /// The trailer lines as they came, where they are wanted.
    trailers: Option<Vec<u8>>,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A digit of the size, or what follows the size.
    Size,
    /// White space between the size and its first extension.
    BeforeExtension,
    /// Within the extensions.
    Extension,
    /// The LF of the size's line.
    SizeLineFeed,
    /// Content.
    Data,
    /// The CR behind a chunk's content.
    DataReturn,
    /// The LF behind a chunk's content.
    DataLineFeed,
    /// The first byte of a trailer line, or the CR that ends the body.
    TrailerStart,
    /// Within the name of a trailer.
    TrailerName,
    /// Within the value of a trailer.
    TrailerValue,
    /// The LF of a trailer line.
    TrailerLineFeed,
    /// The LF that ends the body.
    LastLineFeed,
    /// Not ours any more.
    Finished,
    /// The framing was refused.
    Failed(BodyError),
}

impl Chunked {
    pub(super) const fn new(max_body: u64) -> Self {
        Self { state: State::Size, remaining: 0, room: max_body, line: 0, total: 0, trailers: None }
    }

    pub(super) fn keep_trailers(&mut self) {
        self.trailers = Some(Vec::new());
    }

    /// The trailer lines, each with its CRLF, once the body has ended.
    pub(super) fn take_trailers(&mut self) -> Vec<u8> {
        match self.trailers.take() {
            Some(lines) if self.is_finished() => lines,
            _ => Vec::new(),
        }
    }

    pub(super) const fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    pub(super) fn decode(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        let mut bytes = input.iter();
        loop {
            let at = input.len() - bytes.len();
            match self.state {
                State::Finished => return Ok(Step { consumed: at, data: at..at, finished: true }),
                State::Failed(error) => return Err(error),
                State::Data => {
                    let end = at + take(&mut self.remaining, bytes.len());
                    if self.remaining == 0 {
                        self.state = State::DataReturn;
                    }
                    return Ok(Step { consumed: end, data: at..end, finished: false });
                }
                // All other states take one byte at a time, below.
                _ => {}
            }
            let Some(&byte) = bytes.next() else {
                return Ok(Step { consumed: at, data: at..at, finished: false });
            };
            match self.framing(byte) {
                Ok(state) => self.state = state,
                Err(error) => self.state = State::Failed(error),
            }
        }
    }

    /// Takes one byte that is not content.
    fn framing(&mut self, byte: u8) -> Result<State, BodyError> {
        match (self.state, byte) {
            (State::Size, _) => self.size(byte),
            (State::BeforeExtension, b' ' | b'\t') => self.extension(State::BeforeExtension),
            (State::BeforeExtension, b';') => self.extension(State::Extension),
            (State::BeforeExtension, _) => Err(BodyError::ChunkExtension),
            (State::Extension, b'\r') => Ok(State::SizeLineFeed),
            // A bare LF above all: recipients that end the line there disagree with the rest.
            (State::Extension, _) if !is_text(byte) => Err(BodyError::ChunkExtension),
            (State::Extension, _) => self.extension(State::Extension),
            (State::SizeLineFeed, b'\n') => Ok(self.chunk()),
            (State::DataReturn, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => {
                self.line = 0;
                Ok(State::Size)
            }
            (
                State::TrailerStart
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerLineFeed
                | State::LastLineFeed,
                _,
            ) => self.trailer(byte),
            // The remaining states stand for one certain byte each, and it was another.
            _ => Err(BodyError::LineEnd),
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, BodyError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ if self.line == 0 => return Err(BodyError::ChunkSize),
            b'\r' => return Ok(State::SizeLineFeed),
            b'\n' => return Err(BodyError::LineEnd),
            b' ' | b'\t' | b';' => {
                self.line = 0;
                let next = if byte == b';' { State::Extension } else { State::BeforeExtension };
                return self.extension(next);
            }
            _ => return Err(BodyError::ChunkSize),
        };
        self.line += 1;
        if self.line > MAX_SIZE_DIGITS {
            return Err(BodyError::ChunkSize);
        }
        // Sixteen digits at most: nothing is shifted out.
        self.remaining = (self.remaining << 4) | u64::from(digit);
        if self.remaining > self.room {
            return Err(BodyError::TooLarge);
        }
        Ok(State::Size)
    }

    /// Counts one byte of extensions.
    fn extension(&mut self, next: State) -> Result<State, BodyError> {
        self.line += 1;
        self.total += 1;
        if self.line > MAX_EXTENSION_LINE || self.total > MAX_EXTENSION_TOTAL {
            return Err(BodyError::ChunkExtensionTooLong);
        }
        Ok(next)
    }

    /// The size's line is complete.
    fn chunk(&mut self) -> State {
        if self.remaining == 0 {
            self.line = 0;
            self.total = 0;
            return State::TrailerStart;
        }
        self.room -= self.remaining;
        State::Data
    }

    fn trailer(&mut self, byte: u8) -> Result<State, BodyError> {
        self.line += 1;
        if self.line > MAX_TRAILER_BYTES {
            return Err(BodyError::TrailerTooLong);
        }
        if let Some(lines) = &mut self.trailers
            && !matches!(
                (self.state, byte),
                (State::TrailerStart, b'\r') | (State::LastLineFeed, _)
            )
        {
            lines.push(byte);
        }
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => Ok(State::LastLineFeed),
            (State::LastLineFeed, b'\n') => Ok(State::Finished),
            // No token byte: among others the white space of a folded line.
            (State::TrailerStart, _) if !is_token_byte(byte) => Err(BodyError::Trailer),
            (State::TrailerStart, _) => {
                self.total += 1;
                if self.total > MAX_TRAILER_FIELDS {
                    return Err(BodyError::TrailerTooLong);
                }
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerName, _) if is_token_byte(byte) => Ok(State::TrailerName),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLineFeed),
            (State::TrailerValue, _) if is_text(byte) => Ok(State::TrailerValue),
            (State::TrailerLineFeed, b'\n') => Ok(State::TrailerStart),
            (State::TrailerName | State::TrailerValue, _) => Err(BodyError::Trailer),
            _ => Err(BodyError::LineEnd),
        }
    }
}

/// Whether a byte may stand in a field value or a quoted string: no control character but HTAB.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
