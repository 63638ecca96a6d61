//! Field blocks: in one frame, or joined from several (RFC 9113 sections 6.2 and 6.10), of a
//! request, of trailers, or of something that is only decoded so that the table stays right.

use std::ops::Range;

use super::{
    Connection, Cost, Stop,
    inbound::{Joined, connection_fault, payload},
    requests::Received,
    shared::Held,
    streams::{Answering, Slot},
};
use crate::{
    decode::h2::Trailers,
    hpack::{Field, FieldVisitor, HpackError},
    observe::Why,
    parse::h2::{ErrorCode, FRAME_HEAD, Fault, Flags, FrameHead, header_block},
};

/// CONTINUATIONs of one block.
const MAX_CONTINUATIONS: u32 = 8;

/// Where a block lies.
pub(super) enum Block {
    /// In the plaintext, as a part of a frame of so many bytes.
    Frame { block: Range<usize>, length: usize },
    /// In memory of its own.
    Joined(Box<Joined>),
}

/// What a block is to its stream.
enum Role {
    /// A new request.
    Request,
    /// A request that finds no room.
    Refused,
    /// Trailers.
    Trailers(Slot),
    /// Nobody wants it any more.
    Ignored,
    /// It comes behind the end of its stream.
    Late,
}

/// Takes fields that are only decoded.
struct Nobody;

impl FieldVisitor for Nobody {
    fn field(&mut self, _: Field<'_>) -> bool {
        false
    }

    fn oversized(&mut self, _: usize) {}
}

/// A block is not where its frame has it.
pub(super) const NO_BLOCK: Stop = Stop::defect("a field block is not where its frame has it");
const TOO_LONG: Stop = Stop::GoAway(ErrorCode::EnhanceYourCalm, "a field block is too long");
const NO_MEMORY: Stop =
    Stop::GoAway(ErrorCode::EnhanceYourCalm, "there is no memory for field blocks in pieces");
const TOO_MANY: Stop =
    Stop::GoAway(ErrorCode::EnhanceYourCalm, "a field block comes in too many frames");

impl Connection<'_> {
    /// HEADERS.
    pub(super) fn headers(&mut self, head: &FrameHead) -> Result<(), Stop> {
        let length = FRAME_HEAD + head.length as usize;
        let payload = payload(self.session, length)?;
        let block = header_block(head, payload).map_err(connection_fault)?;
        let end_stream = head.flags.has(Flags::END_STREAM);
        if head.flags.has(Flags::END_HEADERS) {
            let block = FRAME_HEAD + block.start..FRAME_HEAD + block.end;
            return self.block(head.stream, end_stream, Block::Frame { block, length });
        }
        let most = self.most_of_a_block();
        let piece = payload.get(block).ok_or(NO_BLOCK)?;
        if piece.len() > most {
            return Err(TOO_LONG);
        }
        let held = Held::take_for_client(self.context, piece.len()).ok_or(NO_MEMORY)?;
        let block = piece.to_vec();
        let stream = head.stream;
        self.inbound.joined =
            Some(Box::new(Joined { stream, end_stream, block, held, continuations: 0 }));
        self.session.reader.consume(length);
        self.inbound.incomplete_since = self.now().max(1);
        Ok(())
    }

    /// CONTINUATION, which `inbound` has checked to follow its block.
    pub(super) fn continuation(&mut self, head: &FrameHead) -> Result<(), Stop> {
        let Some(mut joined) = self.inbound.joined.take() else {
            let why = "CONTINUATION does not follow HEADERS";
            return Err(Stop::GoAway(ErrorCode::ProtocolError, why));
        };
        let length = FRAME_HEAD + head.length as usize;
        let piece = payload(self.session, length)?;
        let ends = head.flags.has(Flags::END_HEADERS);
        joined.continuations += 1;
        if joined.continuations > MAX_CONTINUATIONS || (piece.is_empty() && !ends) {
            return Err(TOO_MANY);
        }
        if joined.block.len() + piece.len() > self.most_of_a_block() {
            return Err(TOO_LONG);
        }
        if !joined.held.grow_for_client(piece.len()) {
            return Err(NO_MEMORY);
        }
        // Not twice as much, which is not in the account.
        joined.block.reserve_exact(piece.len());
        joined.block.extend_from_slice(piece);
        self.session.reader.consume(length);
        if !ends {
            self.inbound.joined = Some(joined);
            return Ok(());
        }
        self.inbound.incomplete_since = 0;
        self.block(joined.stream, joined.end_stream, Block::Joined(joined))
    }

    /// Bytes of an encoded block: twice what it may hold, since it may be encoded badly.
    fn most_of_a_block(&self) -> usize {
        2 * self.context.terms().head_limits.max_head_bytes
    }

    fn block(&mut self, stream: u32, end_stream: bool, block: Block) -> Result<(), Stop> {
        self.rests = false;
        match self.role(stream)? {
            Role::Request => {
                self.take_number(stream);
                return self.request(Received { stream, end_stream, block });
            }
            Role::Refused => {
                self.take_number(stream);
                self.decode_and_consume(block, &mut Nobody)?;
                self.refuse(stream)?;
                if self.acknowledged {
                    self.spend(Cost::Refused)?;
                }
            }
            Role::Ignored => {
                self.last_stream = self.last_stream.max(stream);
                self.decode_and_consume(block, &mut Nobody)?;
                self.spend(Cost::Closed)?;
            }
            Role::Late => {
                self.decode_and_consume(block, &mut Nobody)?;
                let why = "HEADERS come behind END_STREAM";
                self.fault(stream, Fault::Stream(ErrorCode::StreamClosed, why))?;
            }
            Role::Trailers(slot) => {
                let read = self.streams.at(slot)?.exchange.is_some();
                let mut trailers = if read { Trailers::keeping() } else { Trailers::default() };
                self.decode_and_consume(block, &mut trailers)?;
                let unended = Fault::Stream(ErrorCode::ProtocolError, "trailers do not end");
                if let Some(fault) = trailers.fault().or((!end_stream).then_some(unended)) {
                    return self.fault(stream, fault);
                }
                self.streams.at(slot)?.since = 0;
                return self.content_ended(stream, trailers.into_lines());
            }
        }
        Ok(())
    }

    /// A stream begins; those before it that were never used have ended (RFC 9113 section 5.1.1).
    fn take_number(&mut self, stream: u32) {
        if stream > self.last_stream + 2 {
            self.skipped = self.last_stream + 1..stream;
        }
        self.last_stream = stream;
    }

    /// The stream was not served and may be tried again.
    pub(super) fn refuse(&mut self, stream: u32) -> Result<(), Stop> {
        self.context.count(|counts| counts.http2_refused += 1);
        self.reply(&crate::respond::h2::rst_stream(stream, ErrorCode::RefusedStream))?;
        self.recent.reset(stream);
        self.drop_stream(stream, Why::Http2Refused)
    }

    fn role(&self, stream: u32) -> Result<Role, Stop> {
        if stream.is_multiple_of(2) {
            let why = "a client opens streams with odd numbers only";
            return Err(Stop::GoAway(ErrorCode::ProtocolError, why));
        }
        if stream > self.last_stream {
            return Ok(match () {
                () if self.is_beyond(stream) => Role::Ignored,
                () if self.streams.is_full() => Role::Refused,
                () => Role::Request,
            });
        }
        let found = self.streams.find(stream);
        Ok(match found.and_then(|slot| Some((slot, self.streams.get(slot)?))) {
            Some((slot, open)) if open.remote_open => Role::Trailers(slot),
            Some((_, open)) if open.answering != Answering::Orphaned => Role::Late,
            _ if self.recent.was_reset(stream) || self.is_beyond(stream) => Role::Ignored,
            _ if self.skipped.contains(&stream) => {
                let why = "the number of a stream is lower than that of the one before";
                return Err(Stop::GoAway(ErrorCode::ProtocolError, why));
            }
            _ => {
                let why = "HEADERS are for a stream that has ended";
                return Err(Stop::GoAway(ErrorCode::StreamClosed, why));
            }
        })
    }

    /// Decodes a block and gives back the memory that it lies in.
    fn decode_and_consume(
        &mut self,
        block: Block,
        visitor: &mut impl FieldVisitor,
    ) -> Result<(), Stop> {
        let Self { context, decoder, session, .. } = self;
        let huffman = &mut context.h2.scratch.borrow_mut().huffman;
        let bytes = block.bytes(session.reader.plaintext()).ok_or(NO_BLOCK)?;
        decoder.decode(bytes, huffman, visitor).map_err(undecodable)?;
        self.consume(block);
        Ok(())
    }

    /// A block is done with.
    pub(super) fn consume(&mut self, block: Block) {
        match block {
            Block::Frame { length, .. } => self.session.reader.consume(length),
            Block::Joined(joined) => drop(joined.held),
        }
    }
}

impl Block {
    /// The block, which may lie in the plaintext. None if it is not there: a defect.
    pub(super) fn bytes<'b>(&'b self, plaintext: &'b [u8]) -> Option<&'b [u8]> {
        match self {
            Self::Frame { block, .. } => plaintext.get(block.clone()),
            Self::Joined(joined) => Some(&joined.block),
        }
    }
}

/// A block that cannot be decoded ends the connection: both tables would differ from then on.
pub(super) fn undecodable(error: HpackError) -> Stop {
    log::debug!("http2: {error}");
    match error {
        HpackError::Defect => Stop::defect("the HPACK decoder contradicts itself"),
        HpackError::Integer
        | HpackError::StringLength
        | HpackError::Huffman
        | HpackError::Index
        | HpackError::SizeUpdate => {
            Stop::GoAway(ErrorCode::CompressionError, "a field block cannot be decoded")
        }
    }
}
