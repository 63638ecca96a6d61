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
    answers::{content_bytes, sendable, write_head},
    lookups::Found,
    relays::{Received, Relaying},
    shared::Held,
    streams::Slot,
};
use crate::{
    conn::{
        exchange::{Answered, Failure, Fields, Intake, Reply, Responder},
        sites::Served,
    },
    observe::{Endpoint, RequestClock, Stage, Why},
    parse::{BodyLength, h2::ErrorCode},
    respond::h2 as respond,
    ring::{Chunk, Ring, WokenLane},
    write::{Pace, Source},
};

/// What an exchange takes of the worker's account besides what it holds: itself, and its responder.
pub(super) const EXCHANGE_BYTES: usize = 1024;

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
    pub(super) responder: Box<dyn Responder>,
    pub(super) intake: Intake,
    pub(super) served: Rc<Served>,
    pub(super) to_head: bool,
    /// The request is an extended CONNECT.
    pub(super) connects: bool,
    /// It was accepted: content of both sides is a tunnel (RFC 8441 section 5).
    pub(super) tunnel: bool,
    /// Both sides speak in turn, so that silence of the client is bounded by `stream_idle` instead.
    pub(super) is_two_way: bool,
    /// When content last moved either way, in milliseconds. Of a two-way exchange only.
    pub(super) moved_at: u64,
    /// The stage that the responder was last found waiting in.
    pub(super) waits: Option<Stage>,
    /// 100 has to be sent before content can come.
    pub(super) expects_continue: bool,
    pub(super) step: Step,
    /// The head that a poll brought before there was a stream. Boxed: few have it.
    pub(super) first: Option<Box<Result<Answered, Failure>>>,
    /// What leaves next, from this byte on.
    pub(super) chunk: Option<Chunk>,
    pub(super) from: usize,
    /// Bytes of it that are in the account: those that were received to be sent at once, and could not.
    pub(super) aside: usize,
    /// Bytes that the head has promised beyond the chunk.
    pub(super) left: Option<u64>,
    /// Content is received into the memory that it is sent from.
    pub(super) relaying: Option<Relaying>,
    /// Content of the request that came before it was wanted.
    pub(super) arrived: Vec<u8>,
    /// END_STREAM has come.
    pub(super) ends: bool,
    /// What has come with it.
    pub(super) trailers: Fields,
    /// Bytes that were handed over and not given back to the stream's window.
    pub(super) owed: u32,
    /// Since when the client is waited for, in milliseconds; 0 for not at all. And for how long it was.
    pub(super) wanted_since: u64,
    pub(super) waited: u64,
    pub(super) pace: Pace,
    pub(super) held: Held,
    /// The waker of its lane, once it was asked for.
    pub(super) waker: Option<Waker>,
}

/// The lane of the connection's task in which the responder of a stream is polled. There are no more
/// places than lanes ([`Streams::new`](super::streams::Streams::new)).
pub(super) fn lane_of(slot: Slot) -> u16 {
    slot + 1
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("step", &self.step).finish_non_exhaustive()
    }
}

/// What a poll has brought.
enum Made {
    Nothing,
    Head(Result<Answered, Failure>),
    Chunk(Option<Result<Chunk, Failure>>),
    /// Content can be received into the memory that it is sent from, and was.
    Relay,
    Relayed(Received),
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
            connects: false,
            tunnel: false,
            is_two_way: false,
            moved_at: 0,
            waits: None,
            expects_continue: false,
            step: Step::Head,
            first: None,
            chunk: None,
            from: 0,
            aside: 0,
            left: None,
            relaying: None,
            arrived: Vec::new(),
            ends: false,
            trailers: Fields::None,
            owed: 0,
            wanted_since: 0,
            waited: 0,
            pace,
            held,
            waker: None,
        })
    }

    /// The client's side of the tunnel opens: from here on its content is handed over.
    pub(super) fn open_tunnel(&mut self) {
        self.tunnel = true;
        self.intake = Intake::new(BodyLength::Length(u64::MAX));
        if self.ends && self.arrived.is_empty() {
            self.end_intake();
        }
    }

    /// All content of the request was handed over.
    pub(super) fn end_intake(&mut self) {
        self.intake.end_with(std::mem::take(&mut self.trailers));
    }

    /// Whether a chunk has not left, or the turn of one is waited for.
    pub(super) fn has_chunk(&self) -> bool {
        let relays = matches!(self.relaying, Some(Relaying::Asked | Relaying::Here(..)));
        relays || self.chunk.is_some()
    }

    /// What leaves next.
    pub(super) fn put_chunk(&mut self, chunk: Chunk) {
        (self.chunk, self.from) = (Some(chunk), 0);
    }

    /// The endpoint of an application that answers.
    pub(super) fn endpoint(&self) -> Endpoint {
        self.responder.report().endpoint
    }

    /// Polls the responder in a lane. Returns its deadline too, `u64::MAX` for none.
    fn poll(
        &mut self,
        ring: &Ring,
        lane: u16,
        clock: &mut RequestClock,
        may_relay: bool,
    ) -> (Made, u64) {
        if let Some(works) = self.responder.stages().works {
            clock.enter(works);
            self.waits = None;
        }
        let mut waker = self.waker.take();
        let polled = ring.in_lane(lane, &mut waker, || self.poll_step(may_relay));
        self.waker = waker;
        self.responder.record(clock);
        polled
    }

    fn poll_step(&mut self, may_relay: bool) -> Made {
        if self.relaying.is_some() {
            let received = self.poll_received();
            return if let Poll::Ready(received) = received {
                Made::Relayed(received)
            } else {
                Made::Nothing
            };
        }
        if may_relay && self.step == Step::Content && self.can_relay() {
            return Made::Relay;
        }
        if let Some(head) = self.first.take() {
            return Made::Head(*head);
        }
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
    /// Polls the responders that may have something to do: those that were woken, those whose streams
    /// have changed, and all of them once the first of their deadlines has come. True if something
    /// came of it.
    pub(super) fn poll_exchanges(&mut self) -> Result<bool, Stop> {
        if self.exchanges == 0 {
            return Ok(false);
        }
        let ring = &self.context.ring;
        let mut any = ring.now() >= self.exchange_deadline;
        while let Some(woken) = ring.take_lane() {
            match woken {
                WokenLane::One(lane) => self.streams.stir(lane.saturating_sub(1)),
                WokenLane::Any => any = true,
            }
        }
        if any {
            self.exchange_deadline = u64::MAX;
            self.streams.stir_all();
        }
        let mut moved = false;
        // Each poll may reset its stream.
        while self.replies.has_room() {
            let Some(slot) = self.streams.take_stirred() else { break };
            if self.streams.get(slot).is_some_and(|stream| stream.exchange.is_some()) {
                moved |= self.poll_exchange(slot)?;
                // What the poll itself has changed is no reason for another.
                self.streams.calm(slot);
            }
        }
        // The task is woken for the first deadline of all that were polled, now or before.
        let _ = self.context.ring.poll_until(self.exchange_deadline);
        Ok(moved)
    }

    /// Polls a stream's responder, if it has one and the client has taken what came before.
    pub(super) fn poll_exchange(&mut self, slot: Slot) -> Result<bool, Stop> {
        let mut moved = false;
        let ring = &self.context.ring;
        loop {
            let stream = self.streams.at(slot)?;
            if stream.kept_head.is_some() {
                return Ok(moved);
            }
            let Some(exchange) = &mut stream.exchange else { return Ok(moved) };
            if exchange.has_chunk() {
                return Ok(moved);
            }
            let may_relay = self.relaying.is_none();
            let (made, until) = exchange.poll(ring, lane_of(slot), &mut stream.clock, may_relay);
            self.exchange_deadline = self.exchange_deadline.min(until);
            match made {
                Made::Nothing if self.feed(slot)? => moved = true,
                Made::Nothing => {
                    self.note_wait(slot)?;
                    return Ok(moved);
                }
                Made::Head(Ok(Answered::Streamed(head))) if head.is_interim() => {
                    if !self.begin_interim(slot, &head)? {
                        continue;
                    }
                }
                Made::Head(Ok(Answered::Streamed(head))) => self.begin_streamed(slot, &head)?,
                Made::Head(Ok(Answered::Whole(reply))) => {
                    self.send_whole(slot, reply, Why::ServerError)?;
                }
                Made::Head(Err(failure)) => self.fail(slot, failure)?,
                Made::Chunk(Some(Ok(chunk))) => self.take_chunk(slot, chunk)?,
                Made::Chunk(Some(Err(failure))) => self.cut(slot, failure.why)?,
                Made::Chunk(None) => self.end_streamed(slot)?,
                Made::Relay => self.ask_to_relay(slot)?,
                Made::Relayed(received) => {
                    if !self.relayed(slot, received)? {
                        continue;
                    }
                }
            }
            if !moved
                || !matches!(self.streams.get(slot), Some(stream) if stream.exchange.is_some())
            {
                return Ok(true);
            }
        }
    }

    /// A responder waits: its request is in the stage that it names.
    pub(super) fn note_wait(&mut self, slot: Slot) -> Result<(), Stop> {
        let stream = self.streams.at(slot)?;
        if let Some(exchange) = &mut stream.exchange
            && let waits @ Some(stage) = exchange.responder.stages().waits
            && exchange.waits != waits
        {
            exchange.waits = waits;
            stream.clock.enter(stage);
        }
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
        let reply = Reply::failure(context, &exchange.served, status);
        context.count(|counts| counts.refused += 1);
        stream.clock.refused(why);
        let reply = reply.with_proxy_error(exchange.responder.report().proxy_error);
        self.send_whole(slot, reply, why)
    }

    /// Answers with what is there already; if there is no memory for its head, the stream is reset for
    /// `why`.
    fn send_whole(&mut self, slot: Slot, mut reply: Reply<'_>, why: Why) -> Result<(), Stop> {
        let context = self.context;
        let stream = self.streams.at(slot)?;
        if stream.kept_head.take().is_some() {
            // An interim head that has found no room: the answer takes its place.
            self.heads.retain(|waiting| *waiting != slot);
        }
        let exchange = stream.exchange.as_mut().ok_or(NO_EXCHANGE)?;
        if exchange.to_head {
            reply = reply.head_only();
        }
        stream.clock.enter(Stage::Respond);
        let id = stream.id;
        self.drop_exchange(slot)?;
        let room = sendable(context, &mut reply)?;
        let Some(held) = Held::take(context, room + content_bytes(reply.source())) else {
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
        let (status, why) = (reply.code(), reply.why());
        if let Some(why) = why {
            self.streams.at(slot)?.clock.refused(why);
        }
        let source = std::mem::take(reply.source_mut());
        self.keep_head(slot, Found { status, why, head, source, compressing: 0, held })
    }

    /// The answer breaks off: its stream is reset, so that nobody takes it for the whole.
    pub(super) fn cut(&mut self, slot: Slot, why: Why) -> Result<(), Stop> {
        let id = self.streams.at(slot)?.id;
        let code = match why {
            // Clients of gRPC read it as an exhausted resource, and the other one as our failure.
            Why::RequestBodyTooLarge => ErrorCode::EnhanceYourCalm,
            _ => ErrorCode::InternalError,
        };
        self.reset(id, code, why)
    }

    /// An exchange is over: what its request has sent and nobody took goes back to the window.
    pub(super) fn drop_exchange(&mut self, slot: Slot) -> Result<(), Stop> {
        let stream = self.streams.at(slot)?;
        let Some(exchange) = stream.exchange.take() else { return Ok(()) };
        self.exchanges -= 1;
        self.relaying = self.relaying.filter(|relaying| *relaying != slot);
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

pub(super) const NO_EXCHANGE: Stop = Stop::defect("a stream has lost its responder");
