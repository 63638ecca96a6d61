//! Streamed exchanges over streams: a responder is polled by the connection's task, and what it gives
//! goes into frames under both windows and the schedule.
//!
//! A stream has one chunk at most that has not left, so a client that takes nothing holds its
//! responder back. An answer that breaks off behind its head resets its stream; whatever resets the
//! stream drops the responder.

use std::{
    rc::Rc,
    task::{self, Poll, Waker},
};

use super::{
    Connection, Stop,
    answers::{CONTENT_BYTES, MAX_HEAD_ROOM, OWN_FIELDS, Sink, sendable, write_head},
    gather::Sent,
    lookups::Found,
    shared::Held,
    streams::{Answering, How, Slot},
};
use crate::{
    conn::{
        exchange::{Failure, Intake, Reply, Responder, StreamedHead},
        sites::Served,
    },
    hpack::BlockWriter,
    observe::{ServerTiming, Stage, Why},
    parse::h2::{ErrorCode, FRAME_HEAD, Flags, FrameHead, Kind},
    respond::{
        HeadFault, Status,
        h2::{self as respond, HeadWriter},
    },
    ring::Chunk,
    write::{Pace, Source},
};

/// What an exchange takes of the worker's account besides what it holds: itself, and its responder.
pub(super) const EXCHANGE_BYTES: usize = 1024;

/// Bytes that a field takes in a block besides its text, at most.
const MOST_FOR_A_FIELD: usize = 10;

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The responder makes the head.
    Head,
    /// It makes content.
    Content,
    /// All of it is there; what ends the stream waits for room.
    Ended,
}

/// A request that a responder answers.
pub(super) struct Exchange {
    responder: Box<dyn Responder>,
    pub(super) intake: Intake,
    served: Rc<Served>,
    to_head: bool,
    /// 100 has to be sent before content can come.
    pub(super) expects_continue: bool,
    pub(super) step: Step,
    /// What leaves next, from this byte on.
    chunk: Option<Chunk>,
    from: usize,
    /// Bytes that the head has promised beyond the chunk.
    left: Option<u64>,
    /// Content of the request that came before it was wanted.
    pub(super) arrived: Vec<u8>,
    /// END_STREAM has come.
    pub(super) ends: bool,
    /// Bytes that were handed over and not given back to the stream's window.
    pub(super) owed: u32,
    /// Since when the client is waited for, in milliseconds; 0 for not at all. And for how long it was.
    pub(super) wanted_since: u64,
    pub(super) waited: u64,
    pub(super) pace: Pace,
    pub(super) held: Held,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("step", &self.step).finish_non_exhaustive()
    }
}

/// What a poll has brought.
enum Made {
    Nothing,
    Head(Result<StreamedHead, Failure>),
    Chunk(Option<Result<Chunk, Failure>>),
}

impl Exchange {
    pub(super) fn new(
        responder: Box<dyn Responder>,
        intake: Intake,
        served: Rc<Served>,
        to_head: bool,
        mut pace: Pace,
        held: Held,
    ) -> Box<Self> {
        pace.begin(0);
        Box::new(Self {
            responder,
            intake,
            served,
            to_head,
            expects_continue: false,
            step: Step::Head,
            chunk: None,
            from: 0,
            left: None,
            arrived: Vec::new(),
            ends: false,
            owed: 0,
            wanted_since: 0,
            waited: 0,
            pace,
            held,
        })
    }

    /// Whether a chunk has not left.
    pub(super) fn has_chunk(&self) -> bool {
        self.chunk.is_some()
    }

    fn poll(&mut self) -> Made {
        // As the executor's: a responder that needs a waker has the ring's.
        let cx = &mut task::Context::from_waker(Waker::noop());
        let Self { responder, intake, .. } = self;
        match self.step {
            Step::Head => match responder.poll_head(cx, intake) {
                Poll::Ready(head) => Made::Head(head),
                Poll::Pending => Made::Nothing,
            },
            Step::Content => match responder.poll_chunk(cx, intake) {
                Poll::Ready(chunk) => Made::Chunk(chunk),
                Poll::Pending => Made::Nothing,
            },
            Step::Ended => Made::Nothing,
        }
    }
}

impl Connection<'_> {
    /// Polls all responders that have nothing waiting to leave. True if something came of it.
    pub(super) fn poll_exchanges(&mut self) -> Result<bool, Stop> {
        let (mut moved, mut number) = (false, 0);
        while self.exchanges > 0 && number < self.streams.len() {
            if !self.replies.has_room() {
                // Each poll may reset its stream.
                break;
            }
            let open = self.streams.len();
            let slot = self.streams.nth(number)?;
            moved |= self.poll_exchange(slot)?;
            if self.streams.len() == open {
                number += 1;
            }
        }
        Ok(moved)
    }

    /// Polls a stream's responder, if it has one and the client has taken what came before.
    pub(super) fn poll_exchange(&mut self, slot: Slot) -> Result<bool, Stop> {
        let mut moved = false;
        loop {
            let stream = self.streams.at(slot)?;
            if stream.kept_head.is_some() {
                return Ok(moved);
            }
            let Some(exchange) = &mut stream.exchange else { return Ok(moved) };
            if exchange.chunk.is_some() {
                return Ok(moved);
            }
            match exchange.poll() {
                Made::Nothing if self.feed(slot)? => moved = true,
                Made::Nothing => return Ok(moved),
                Made::Head(Ok(head)) => self.begin_streamed(slot, &head)?,
                Made::Head(Err(failure)) => self.fail(slot, failure)?,
                Made::Chunk(Some(Ok(chunk))) => self.take_chunk(slot, chunk)?,
                Made::Chunk(Some(Err(failure))) => self.cut(slot, failure.why)?,
                Made::Chunk(None) => self.end_streamed(slot)?,
            }
            if !moved
                || !matches!(self.streams.get(slot), Some(stream) if stream.exchange.is_some())
            {
                return Ok(true);
            }
        }
    }

    /// The head of an answer is there.
    fn begin_streamed(&mut self, slot: Slot, head: &StreamedHead) -> Result<(), Stop> {
        let context = self.context;
        let stream = self.streams.at(slot)?;
        let Some(exchange) = &mut stream.exchange else { return Err(NO_EXCHANGE) };
        let bodiless = exchange.to_head || matches!(head.status, 204 | 304);
        let ends = bodiless || head.length == Some(0);
        let mut room = FRAME_HEAD + OWN_FIELDS + 2 * exchange.served.own_fields_len;
        head.fields.each(|name, value| room += name.len() + value.len() + MOST_FOR_A_FIELD);
        let timing =
            if context.config.observe.server_timing { ServerTiming::LONGEST_LINE } else { 0 };
        let mut bytes = vec![0; room.min(MAX_HEAD_ROOM - timing)];
        let written = write_streamed(context, &exchange.served, &mut bytes, head);
        let written = written.and_then(|writer| writer.finish(stream.id, ends));
        let length = match written {
            Ok(length) if exchange.held.grow(room) => length,
            written => {
                let why: &dyn std::fmt::Display = match &written {
                    Ok(_) => &"there is no memory for the head of an answer",
                    Err(fault) => fault,
                };
                context.warn(why);
                let (status, why) = (Status::InternalServerError, Why::ServerError);
                return self.fail(slot, Failure { status, why });
            }
        };
        bytes.truncate(length);
        exchange.step = if ends { Step::Ended } else { Step::Content };
        exchange.left = head.length;
        stream.clock.enter(Stage::Respond);
        (stream.status, stream.how) = (head.status, How::Copied);
        stream.answering = Answering::Sending;
        stream.kept_head = Some(bytes.into_boxed_slice());
        self.heads_waiting += 1;
        Ok(())
    }

    /// A chunk is there: it is next, as far as windows and the schedule allow.
    fn take_chunk(&mut self, slot: Slot, chunk: Chunk) -> Result<(), Stop> {
        let now = self.now();
        let stream = self.streams.at(slot)?;
        let exchange = stream.exchange.as_mut().ok_or(NO_EXCHANGE)?;
        if let Some(left) = &mut exchange.left {
            let Some(rest) = left.checked_sub(chunk.len() as u64) else {
                self.context.warn(&"more content was given than had been promised");
                return self.cut(slot, Why::ServerError);
            };
            *left = rest;
        }
        (exchange.chunk, exchange.from) = (Some(chunk), 0);
        if stream.window.available() == 0 {
            stream.shut_at(now);
            stream.clock.enter(Stage::Window);
        } else {
            stream.clock.enter(Stage::Turn);
            self.schedule.insert(&mut self.streams, slot);
        }
        Ok(())
    }

    /// Gathers a frame of a chunk.
    pub(super) fn send_chunk(&mut self, slot: Slot, allowed: u32) -> Result<Sent, Stop> {
        let frame = allowed.min(self.most_of_a_frame()) as usize;
        let exchange = self.streams.at(slot)?.exchange.as_ref().ok_or(NO_EXCHANGE)?;
        let rest = exchange.chunk.as_ref().map_or(0, |chunk| chunk.len() - exchange.from);
        if rest == 0 {
            return Err(Stop::defect("a chunk is scheduled and not there"));
        }
        let expected = exchange.left.unwrap_or(0).saturating_add(rest as u64);
        let Some(room) = self.room_for(rest.min(frame), expected)? else {
            return Ok(Sent::Blocked);
        };
        let count = rest.min(frame).min(room);
        let Self { streams, session, filled, .. } = self;
        let stream = streams.at(slot)?;
        let exchange = stream.exchange.as_mut().ok_or(NO_EXCHANGE)?;
        let ends = exchange.left == Some(0) && count == rest;
        let (room, bytes) = (
            session.writer.room().get_mut(*filled..*filled + FRAME_HEAD + count),
            exchange.chunk.as_deref().and_then(|chunk| chunk.get(exchange.from..)),
        );
        let room = room.ok_or(Stop::defect("a frame found no room"))?;
        let bytes = bytes.and_then(|bytes| bytes.get(..count));
        let bytes = bytes.ok_or(super::gather::NO_CONTENT)?;
        let (head, content) = room.split_at_mut(FRAME_HEAD);
        head.copy_from_slice(&respond::data(stream.id, count as u32, ends));
        content.copy_from_slice(bytes);
        *filled += FRAME_HEAD + count;
        exchange.from += count;
        self.sent_chunk(slot, count as u32, allowed, count == rest, ends)?;
        Ok(Sent::Content(count as u64))
    }

    fn sent_chunk(
        &mut self,
        slot: Slot,
        count: u32,
        allowed: u32,
        last: bool,
        ends: bool,
    ) -> Result<(), Stop> {
        self.note_sent(slot, count, allowed)?;
        self.schedule.sent(&mut self.streams, slot);
        if !last {
            self.streams.at(slot)?.clock.enter(Stage::Turn);
            return Ok(());
        }
        self.schedule.remove(&mut self.streams, slot);
        let stream = self.streams.at(slot)?;
        let exchange = stream.exchange.as_mut().ok_or(NO_EXCHANGE)?;
        exchange.chunk = None;
        if ends {
            exchange.step = Step::Ended;
            return self.finish_answer(slot);
        }
        stream.clock.enter(Stage::Process);
        if self.replies.has_room() {
            self.poll_exchange(slot)?;
        }
        Ok(())
    }

    /// The content has ended: an empty frame says so, or the trailers.
    fn end_streamed(&mut self, slot: Slot) -> Result<(), Stop> {
        let stream = self.streams.at(slot)?;
        let exchange = stream.exchange.as_mut().ok_or(NO_EXCHANGE)?;
        if exchange.left.is_some_and(|left| left > 0) {
            self.context.warn(&"less content was given than had been promised");
            return self.cut(slot, Why::ServerError);
        }
        let trailers = exchange.responder.take_trailers();
        let mut room = 0;
        trailers.each(|name, value| room += name.len() + value.len() + MOST_FOR_A_FIELD);
        let end = if room == 0 {
            Some(respond::data(stream.id, 0, true).to_vec())
        } else {
            let mut bytes = vec![0; (FRAME_HEAD + room).min(MAX_HEAD_ROOM)];
            let length = write_trailers(&mut bytes, stream.id, |field| trailers.each(field));
            length.map(|length| {
                bytes.truncate(length);
                bytes
            })
        };
        let Some(end) = end.filter(|end| exchange.held.grow(end.len())) else {
            self.context.warn(&"trailers are too long to be sent");
            return self.cut(slot, Why::ServerError);
        };
        exchange.step = Step::Ended;
        stream.kept_head = Some(end.into_boxed_slice());
        self.heads_waiting += 1;
        Ok(())
    }

    /// There is no answer: the client gets an error instead. Behind a head its stream is reset.
    pub(super) fn fail(&mut self, slot: Slot, failure: Failure) -> Result<(), Stop> {
        let Failure { status, why } = failure;
        let context = self.context;
        let stream = self.streams.at(slot)?;
        let exchange = stream.exchange.as_mut().ok_or(NO_EXCHANGE)?;
        if exchange.step != Step::Head {
            return self.cut(slot, why);
        }
        context.count(|counts| counts.refused += 1);
        stream.clock.refused(why);
        stream.clock.enter(Stage::Respond);
        let mut reply = Reply::refusal(context, status);
        if exchange.to_head {
            reply = reply.head_only();
        }
        let id = stream.id;
        self.drop_exchange(slot)?;
        let room = sendable(context, &mut reply)?;
        let Some(held) = Held::take(context, room + CONTENT_BYTES) else {
            return self.reset(id, ErrorCode::InternalError, why);
        };
        let mut head = vec![0; room];
        match write_head(context, &mut head, &reply, None, false, id) {
            Ok(length) => head.truncate(length),
            Err(fault) => {
                context.defect(&fault);
                return self.reset(id, ErrorCode::InternalError, Why::ServerDefect);
            }
        }
        let status = reply.status().code();
        let source = std::mem::take(reply.source_mut());
        self.keep_head(slot, Found { status, head, source, held })
    }

    /// The answer breaks off: its stream is reset, so that nobody takes it for the whole.
    fn cut(&mut self, slot: Slot, why: Why) -> Result<(), Stop> {
        let id = self.streams.at(slot)?.id;
        self.reset(id, ErrorCode::InternalError, why)
    }

    /// An exchange is over: what its request has sent and nobody took goes back to the window.
    pub(super) fn drop_exchange(&mut self, slot: Slot) -> Result<(), Stop> {
        let stream = self.streams.at(slot)?;
        let Some(exchange) = stream.exchange.take() else { return Ok(()) };
        self.exchanges -= 1;
        stream.source = Source::Nothing;
        let owed = exchange.owed + exchange.arrived.len() as u32;
        let (id, open) = (stream.id, stream.remote_open);
        let increment = stream.receive.consumed(owed);
        match increment {
            Some(increment) if open && self.replies.has_room() => {
                self.reply(&respond::window_update(id, increment))
            }
            _ => Ok(()),
        }
    }
}

const NO_EXCHANGE: Stop = Stop::defect("a stream has lost its responder");

fn write_streamed<'b>(
    context: &crate::conn::Context,
    served: &Served,
    room: &'b mut [u8],
    streamed: &StreamedHead,
) -> Result<HeadWriter<'b>, HeadFault> {
    let mut head = HeadWriter::new(room, streamed.status, false).ok_or(HeadFault::Overflow)?;
    let (mut dated, mut named) = (false, false);
    streamed.fields.each(|name, value| {
        if served.site.leaves_out(name) {
            return;
        }
        dated |= name.eq_ignore_ascii_case("date");
        named |= name.eq_ignore_ascii_case("server");
        head.field(name, value);
    });
    served.site.write_own_fields(streamed.status < 400, &mut Sink(&mut head));
    if !named {
        head.server();
    }
    if !dated {
        head.date(&context.time.date());
    }
    if let Some(length) = streamed.length.filter(|_| !matches!(streamed.status, 204 | 304)) {
        head.field_u64("content-length", length);
    }
    Ok(head)
}

/// Writes trailers as one frame that ends the stream. None if they do not fit.
fn write_trailers(
    room: &mut [u8],
    stream: u32,
    each: impl FnOnce(&mut dyn FnMut(&str, &[u8])),
) -> Option<usize> {
    let (frame, rest) = room.split_first_chunk_mut::<FRAME_HEAD>()?;
    let mut block = BlockWriter::new(rest);
    each(&mut |name, value| block.field(name, value));
    let length = block.finish()?;
    let flags = Flags(Flags::END_HEADERS.0 | Flags::END_STREAM.0);
    let head = FrameHead { length: length as u32, kind: Kind::Headers, flags, stream };
    *frame = head.bytes();
    Some(FRAME_HEAD + length)
}
