//! Answers with their heads: gathered at once where there is room, else kept until there is.

use super::{
    Connection, Stop,
    exchange::Step,
    gather::NO_CONTENT,
    lookups::Found,
    requests::Facts,
    shared::Held,
    streams::{Answering, How, Slot},
};
use crate::{
    conn::{Context, exchange::Reply},
    hpack::BlockWriter,
    observe::{Moved, RequestClock, ServerTiming, Stage, Why},
    parse::h2::{ErrorCode, FRAME_HEAD, FrameHead, Kind},
    process::{answer::FieldSink, facts::Made},
    respond::{
        HeadFault, Status,
        h2::{self as respond, HeadWriter, made_block},
    },
    write::{Piece, Source, WriteError},
};

/// Room for the fields that every head has and for what frames it.
pub(super) const OWN_FIELDS: usize = 160;

/// The longest head that is sent: it fits one frame.
pub(super) const MAX_HEAD_ROOM: usize = 15 * 1024;

/// Content up to this length leaves with its head, if nothing stands in its way.
pub(super) const SHORT: u64 = 4096;

/// Bytes that are added to a head that was kept, at most: a size update, and `Server-Timing`.
pub(super) const MOST_ADDED: usize = 1 + ServerTiming::LONGEST_LINE + 8;

/// What a page or multipart ranges take while they wait to be sent, at most.
pub(super) const CONTENT_BYTES: usize = 2048;

/// What content takes while it waits to be sent, apart from what stores and files hold.
pub(super) fn content_bytes(source: &Source) -> usize {
    match source.held_bytes() {
        0 => 0,
        bytes => bytes.max(CONTENT_BYTES),
    }
}

/// Whether all content lies in memory as one piece. That of several ranges does not.
fn is_one_piece(source: &Source) -> bool {
    source
        .piece()
        .is_some_and(|piece| !matches!(piece, Piece::Read(..)) && piece.len() == source.remaining())
}

/// A stream that waits with a head has none, or the head is no frame.
pub(super) const NO_HEAD: Stop = Stop::defect("the head of an answer is not there, or no frame");

/// Writes the fields of an answer as HPACK.
pub(super) struct Sink<'a, 'b>(pub(super) &'a mut HeadWriter<'b>);

impl FieldSink for Sink<'_, '_> {
    fn field(&mut self, name: &str, value: &[u8]) {
        self.0.field(name, value);
    }

    fn field_u64(&mut self, name: &str, number: u64) {
        self.0.field_u64(name, number);
    }

    fn made(&mut self, made: &Made) {
        self.0.made(made.block(|made| made_block(made.fields())));
    }
}

/// Writes the head of an answer into `room`, as one frame. Returns its length.
pub(super) fn write_head(
    context: &Context,
    room: &mut [u8],
    reply: &Reply<'_>,
    clock: Option<&RequestClock>,
    empties_table: bool,
    stream: u32,
) -> Result<usize, HeadFault> {
    let status = reply.code();
    let mut head = HeadWriter::new(room, status, empties_table).ok_or(HeadFault::Overflow)?;
    if !reply.names_server() {
        head.server();
    }
    if !reply.is_dated() {
        head.date(&context.time.date());
    }
    reply.write_fields(&mut Sink(&mut head));
    if let Some(clock) = clock.filter(|_| reply.terms().server_timing) {
        head.field("server-timing", ServerTiming::of(clock).as_bytes());
    }
    head.finish(stream, reply.source().remaining() == 0)
}

/// Room that the head of an answer takes, at most. An answer whose head is too long to be sent
/// becomes 414: only a redirect repeats what the client sent.
pub(super) fn sendable(context: &Context, reply: &mut Reply<'_>) -> Result<usize, WriteError> {
    let timing = if reply.terms().server_timing { ServerTiming::LONGEST_LINE } else { 0 };
    let own = FRAME_HEAD + OWN_FIELDS + timing;
    if own + reply.fields_bound() > MAX_HEAD_ROOM {
        let to_head = reply.source().remaining() == 0;
        let refusal = Reply::refusal(context, Status::UriTooLong);
        *reply = if to_head { refusal.head_only() } else { refusal };
    }
    let room = own + reply.fields_bound();
    if room > MAX_HEAD_ROOM {
        return Err(WriteError::Defect("a refusal has too long a head"));
    }
    Ok(room)
}

impl Connection<'_> {
    /// Gathers an answer: all of it if it is short, else its head.
    pub(super) fn answer(
        &mut self,
        facts: Facts,
        mut reply: Reply<'_>,
        mut clock: RequestClock,
    ) -> Result<(), Stop> {
        let context = self.context;
        clock.enter(Stage::Respond);
        // That of an application that was polled as it began is known already.
        if reply.endpoint().is_named() {
            clock.of(reply.endpoint());
        }
        let room = sendable(context, &mut reply)?;
        let length = reply.source().remaining();
        let short = length > 0
            && length <= SHORT
            && facts.end_stream
            && self.schedule.is_empty()
            && length <= self.window.available().min(self.peer.initial_window).into()
            && is_one_piece(reply.source());
        let content = if short { FRAME_HEAD + length as usize } else { 0 };
        let at_once = (short || length == 0) && facts.end_stream;
        let mut held = None;
        if !at_once && reply.source().held_bytes() > 0 {
            let bytes = content_bytes(reply.source());
            held = if length <= self.window.available().min(self.peer.initial_window).into() {
                Held::take(context, bytes)
            } else {
                Held::take_for_client(context, bytes)
            };
            if held.is_none() {
                clock.abandon(crate::observe::Why::Http2Refused);
                return self.refuse(facts.stream);
            }
        }
        if !self.reserve(room + content, length)? {
            drop(held);
            return self.keep_answer(facts, reply, clock, room);
        }
        let empties_table = std::mem::take(&mut self.table_lowered);
        let free = self.session.writer.room().get_mut(self.filled..);
        let free = free.ok_or(Stop::defect("a head found no room"))?;
        let written = write_head(context, free, &reply, Some(&clock), empties_table, facts.stream);
        let head = match written {
            Ok(head) => head,
            Err(fault) => return self.unwritable(facts, fault),
        };
        self.filled += head;
        self.session.writer.gathering().holds_head();
        let status = reply.code();
        let how = self.how(reply.source());
        if at_once {
            if short {
                self.put(&respond::data(facts.stream, length as u32, true))?;
                self.copy_all(&reply)?;
                self.patience.sent_frame();
                self.window.take(length as u32);
            }
            self.answered_at_once(&mut clock, status, head, length, how);
            return Ok(());
        }
        let Some(slot) = self.open(facts, clock) else {
            return Err(Stop::defect("a stream that was admitted found no place"));
        };
        let stream = self.streams.at(slot)?;
        (stream.status, stream.head, stream.how) = (status, head as u16, how);
        (stream.held, stream.source) = (held, std::mem::take(reply.source_mut()));
        self.begin_content(slot)
    }

    /// There is no room for an answer now: its head is written elsewhere and waits for it.
    #[cold]
    fn keep_answer(
        &mut self,
        facts: Facts,
        mut reply: Reply<'_>,
        clock: RequestClock,
        room: usize,
    ) -> Result<(), Stop> {
        let mut head = vec![0; room];
        let written = write_head(self.context, &mut head, &reply, None, false, facts.stream);
        match written {
            Ok(length) => head.truncate(length),
            Err(fault) => return self.unwritable(facts, fault),
        }
        let bytes = room + content_bytes(reply.source());
        let Some(held) = Held::take(self.context, bytes) else {
            clock.abandon(crate::observe::Why::Http2Refused);
            return self.refuse(facts.stream);
        };
        let Some(slot) = self.open(facts, clock) else {
            return Err(Stop::defect("a stream that was admitted found no place"));
        };
        let (status, why) = (reply.code(), reply.why());
        let source = std::mem::take(reply.source_mut());
        self.keep_head(slot, Found { status, why, head, source, compressing: 0, held })
    }

    /// A stream is answered, as soon as there is room for its head.
    pub(super) fn keep_head(&mut self, slot: Slot, found: Found) -> Result<(), Stop> {
        let Found { status, mut head, source, mut held, .. } = found;
        head.shrink_to_fit();
        held.shrink(head.len() + content_bytes(&source));
        let how = self.how(&source);
        let stream = self.streams.at(slot)?;
        stream.answering = Answering::Sending;
        let allowed = self.window.available().min(stream.window.available());
        let lasts = content_bytes(&source) > 0 && source.remaining() > allowed.into();
        if lasts && !held.may_last() && self.replies.has_room() {
            let id = stream.id;
            return self.reset(id, ErrorCode::EnhanceYourCalm, Why::Http2Refused);
        }
        (stream.status, stream.how, stream.source) = (status, how, source);
        stream.held = Some(held);
        stream.kept_head = Some(head.into_boxed_slice());
        self.heads.push_back(slot);
        Ok(())
    }

    /// Gathers the head that was kept and is the next of all, for which there is room.
    pub(super) fn put_head(&mut self, slot: Slot) -> Result<(), Stop> {
        if self.heads.pop_front() != Some(slot) {
            return Err(NO_HEAD);
        }
        let stream = self.streams.at(slot)?;
        let shows_timing = stream.terms.server_timing;
        let head = stream.kept_head.take().ok_or(NO_HEAD)?;
        if let Some(held) = &mut stream.held {
            held.shrink(content_bytes(&stream.source));
        }
        let mut added = [0; MOST_ADDED];
        let mut fields = BlockWriter::new(&mut added);
        let step = stream.exchange.as_ref().map(|exchange| exchange.step);
        let (is_end, is_interim) = (step == Some(Step::Ended), step == Some(Step::Head));
        let is_head = stream.head == 0 && !is_interim;
        if shows_timing && is_head {
            fields.field("server-timing", ServerTiming::of(&stream.clock).as_bytes());
        }
        let added = fields.finish().and_then(|length| added.get(..length)).ok_or(NO_HEAD)?;
        let (frame, block) = head.split_at_checked(FRAME_HEAD).ok_or(NO_HEAD)?;
        let mut frame = FrameHead::parse(frame).ok_or(NO_HEAD)?;
        let has_block = frame.kind == Kind::Headers;
        let lowered = has_block && std::mem::take(&mut self.table_lowered);
        frame.length += u32::from(lowered) + added.len() as u32;
        if is_head {
            stream.head = (FRAME_HEAD as u32 + frame.length) as u16;
        }
        self.put(&frame.bytes())?;
        if lowered {
            self.put(&[crate::hpack::EMPTY_TABLE])?;
        }
        self.put(block)?;
        self.put(added)?;
        if is_head {
            self.session.writer.gathering().holds_head();
        }
        if is_interim {
            return self.interim_sent(slot, head.len());
        }
        if is_end { self.finish_answer(slot) } else { self.begin_content(slot) }
    }

    /// The head has been gathered; the content follows.
    fn begin_content(&mut self, slot: Slot) -> Result<(), Stop> {
        let now = self.now();
        let stream = self.streams.at(slot)?;
        stream.answering = Answering::Sending;
        if stream.exchange.is_some() {
            // Its content is yet to be made.
            stream.clock.enter(Stage::Process);
            return self.poll_exchange(slot).map(|_| ());
        }
        if stream.source.remaining() == 0 {
            return self.finish_answer(slot);
        }
        stream.clock.enter(Stage::Turn);
        if stream.window.available() == 0 {
            stream.shut_at(now);
            stream.clock.enter(Stage::Window);
        } else {
            self.schedule.insert(&mut self.streams, slot);
        }
        Ok(())
    }

    /// What will be done with content.
    pub(super) fn how(&self, source: &Source) -> How {
        let kernel = self.session.writer.is_kernel();
        match source.piece() {
            Some(Piece::Copied(_)) | None => How::Page,
            Some(Piece::Lent(..)) if kernel => How::Lent,
            Some(Piece::Lent(..)) => How::Copied,
            Some(Piece::Read(..)) => How::Read,
        }
    }

    /// Copies the content of a short answer behind its head.
    fn copy_all(&mut self, reply: &Reply<'_>) -> Result<(), Stop> {
        if !is_one_piece(reply.source()) {
            return Err(NO_CONTENT);
        }
        match reply.source().piece() {
            Some(Piece::Copied(bytes)) => self.put(bytes),
            Some(Piece::Lent(pages, range)) => self.put(pages.get(range).ok_or(NO_CONTENT)?),
            Some(Piece::Read(..)) | None => Err(Stop::defect("a short answer has no content")),
        }
    }

    fn answered_at_once(
        &mut self,
        clock: &mut RequestClock,
        status: u16,
        head: usize,
        content: u64,
        how: How,
    ) {
        let kernel = self.session.writer.is_kernel();
        let mut moved = Moved { head: head as u64, ..Moved::default() };
        *match how {
            How::Page => &mut moved.inline,
            How::Copied | How::Lent | How::Read => &mut moved.copied,
        } = content;
        self.session.clock.answered(clock, status, kernel, moved);
        self.session.writer.carry(self.socket, clock, self.filled);
        self.patience.answered();
        self.patience.moved(content);
        if self.streams.is_empty() {
            self.idle_since = self.now();
        }
    }
}
