//! From a field block to an answer, in one go if what is asked for is known.

use std::{rc::Rc, task::Poll};

use super::{
    Connection, Stop,
    exchange::{EXCHANGE_BYTES, Exchange, lane_of},
    fields::{Keeping, KeptFields, join_cookies},
    heads::{Block, NO_BLOCK, undecodable},
    lookups::{Found, Lookup},
    shared::{Held, Scratch},
    streams::Answering,
};
use crate::{
    conn::{
        Session,
        client::Sender,
        exchange::{
            Begun, Coming, Decided, Incoming, Intake, KeptAsked, Lookups, Passage, Reply, Want,
            ask_handler, begin, begin_at_once, behind, decide, guard, is_polled_at_once,
        },
        received_ago,
    },
    decode::h2::ContentSum,
    hpack::FieldName,
    observe::{RequestClock, Stage},
    parse::{
        BodyLength,
        h2::{Draft, ErrorCode, Fault, Head, HeadOutcome, Priority},
    },
    process::{
        interest::Interest,
        site::{Asked, Via},
    },
    respond::{HeadFault, Status},
    write::Pace,
};

/// A field block that opens a stream.
pub(super) struct Received {
    pub(super) stream: u32,
    pub(super) end_stream: bool,
    pub(super) block: Block,
}

/// What is known of a request apart from what it asks for.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    pub(super) stream: u32,
    pub(super) end_stream: bool,
    priority: Priority,
    content_length: Option<u64>,
}

/// What a block amounts to. Made and taken apart within one poll.
#[allow(clippy::large_enum_variant)]
enum Examined<'l> {
    Decided(Facts, Reply<'l>),
    Wants(Facts, KeptAsked, Want),
    /// A responder answers; whether it was polled.
    Streamed(Facts, Box<Exchange>, bool),
    Malformed(&'static str),
}

impl Connection<'_> {
    /// Answers a request, or begins to look up what its answer depends on.
    pub(super) fn request(&mut self, received: Received) -> Result<(), Stop> {
        let (context, socket) = (self.context, self.socket);
        context.count(|counts| {
            counts.requests += 1;
            counts.http2_streams += 1;
        });
        if self.requests > 0 {
            context.occupancy.asked_again();
        }
        self.inbound.requests += 1;
        self.drain_if_used_up()?;
        let fresh = std::mem::take(&mut self.inbound.fresh);
        let clock = &self.session.clock;
        let mut clock = clock.begin_stream(received.stream, fresh, || received_ago(socket));
        let lookups = Lookups::default();
        let stream = received.stream;
        let examined = self.examine(&received, &lookups, &mut clock)?;
        self.consume(received.block);
        clock.compressed(lookups.compressing());
        match examined {
            Examined::Decided(facts, reply) => self.answer(facts, reply, clock),
            Examined::Wants(facts, kept, want) => self.look_up(facts, kept, want, clock),
            Examined::Streamed(facts, exchange, polled) => {
                self.exchange(facts, exchange, polled, clock)
            }
            Examined::Malformed(why) => {
                context.count(|counts| counts.refused += 1);
                clock.abandon(crate::observe::Why::Http2Protocol);
                self.fault(stream, Fault::Stream(ErrorCode::ProtocolError, why))
            }
        }
    }

    /// Decodes a block and decides what its request gets. Nothing of the head is left afterwards
    /// but what is kept for a look-up.
    fn examine<'l>(
        &mut self,
        received: &Received,
        lookups: &'l Lookups,
        clock: &mut RequestClock,
    ) -> Result<Examined<'l>, Stop> {
        let Self { context, socket, session, decoder, recent, connects, streams, .. } = self;
        let exchange_deadline = &mut self.exchange_deadline;
        let lane = lane_of(streams.next_place());
        let Received { stream, end_stream, block } = received;
        let Scratch { huffman, text, fields } = &mut *context.h2.scratch.borrow_mut();
        fields.clear();
        let terms = context.terms();
        let all = context.wants_all_fields().then_some(&mut *fields);
        let mut draft = Draft::new(text, terms.head_limits);
        draft.allow_protocol(*connects);
        let mut keeping = Keeping { draft: &mut draft, all };
        let bytes = block.bytes(session.reader.plaintext()).ok_or(NO_BLOCK)?;
        decoder.decode(bytes, huffman, &mut keeping).map_err(undecodable)?;
        join_cookies(fields);
        clock.enter(Stage::Decode);
        let mut facts = Facts {
            stream: *stream,
            end_stream: *end_stream,
            priority: Priority::default(),
            content_length: None,
        };
        let refused = |status, head: bool| {
            context.count(|counts| counts.refused += 1);
            let reply = Reply::refusal(context, status);
            if head { reply.head_only() } else { reply }
        };
        let outcome = draft.finish(*end_stream);
        let head = match &outcome {
            HeadOutcome::Head(head) => head,
            HeadOutcome::Malformed(why) => return Ok(Examined::Malformed(why)),
            HeadOutcome::Refused { status, head } => {
                return Ok(Examined::Decided(facts, refused(*status, *head)));
            }
        };
        note(clock, head);
        facts.priority = recent.take_priority(*stream).unwrap_or(head.priority);
        facts.content_length = head.content_length.filter(|_| head.protocol.is_none());
        if facts.content_length.is_some_and(|length| length > terms.limits.body_bytes) {
            let to_head = head.method == crate::parse::Method::Head;
            return Ok(Examined::Decided(facts, refused(Status::ContentTooLarge, to_head)));
        }
        let (path, query) = head.target.path_and_query();
        let interest = Interest::collect(head.fields().map(|(name, value)| (name.text(), value)));
        let now = context.time.unix_seconds() as i64;
        let host = Some(head.authority);
        let (via, demand) = (Via::Tls, session.demand);
        let interest = &interest;
        let asked = Asked { via, demand, method: head.method, host, path, query, interest, now };
        let body = match head.content_length {
            // What follows an extended CONNECT is no content.
            _ if *end_stream || head.protocol.is_some() => BodyLength::None,
            Some(length) => BodyLength::Length(length),
            None => BodyLength::Chunked,
        };
        let incoming = Incoming {
            method: head.method.as_bytes(),
            path,
            query,
            authority: Some(head.authority),
            version: None,
            fields: &KeptFields(fields),
            values: fields,
            body,
            here: None,
            secure: true,
            protocol: head.protocol,
        };
        let to_head = head.method == crate::parse::Method::Head;
        let Session { clock: own, about, .. } = &mut **session;
        let (asked, incoming) = (&asked, &incoming);
        let coming = Coming { context, socket, clock: own, asked, incoming };
        let handled = ask_handler(coming, about, lookups)?;
        let (decided, verification) = if let Some(decided) = handled {
            (decided, None)
        } else {
            let sender = || Sender::new(context, socket, own, about, incoming.fields, clock);
            match guard(context, asked, lookups, sender)? {
                Passage::Through(verification) => (decide(context, asked, lookups)?, verification),
                Passage::Wants(want) => {
                    return Ok(Examined::Wants(facts, KeptAsked::new(asked), want));
                }
                Passage::Refused(reply) => {
                    if let Some(why) = reply.why() {
                        clock.refused(why);
                    }
                    return Ok(Examined::Decided(facts, *reply));
                }
            }
        };
        // What the responder waits for wakes it alone.
        let (mut waker, mut first, mut was_polled) = (None, None, false);
        let (served, begun) = match decided {
            Decided::Ready(reply) => return Ok(Examined::Decided(facts, reply)),
            Decided::Wants(want) => {
                return Ok(Examined::Wants(facts, KeptAsked::new(asked), want));
            }
            Decided::Begun(served, responder) => (served, Ok(responder)),
            Decided::Streamed(served) => {
                let at_once = *end_stream
                    && head.protocol.is_none()
                    && is_polled_at_once(&served, verification.as_ref());
                let ring = &context.ring;
                let begun = if at_once {
                    let begin = || begin_at_once(coming, about, &served, clock);
                    let (begun, until) = ring.in_lane(lane, &mut waker, begin);
                    *exchange_deadline = until.min(*exchange_deadline);
                    match begun {
                        Ok(Begun::Answered(reply)) => {
                            return Ok(Examined::Decided(facts, reply));
                        }
                        Ok(Begun::Polled(responder, polled)) => {
                            was_polled = true;
                            if let Poll::Ready(head) = polled {
                                first = Some(Box::new(head));
                            }
                            Ok(responder)
                        }
                        Err(status) => Err(status),
                    }
                } else {
                    ring.in_lane(lane, &mut waker, || begin(coming, about, &served)).0
                };
                (served, begun)
            }
        };
        let responder = match behind(coming, &served, verification, begun) {
            Ok(responder) => responder,
            Err(reply) => return Ok(Examined::Decided(facts, *reply)),
        };
        let Some(held) = Held::take(context, EXCHANGE_BYTES) else {
            let refusal = refused(Status::ServiceUnavailable, to_head);
            return Ok(Examined::Decided(facts, refusal));
        };
        let timeouts = &served.terms.timeouts;
        let pace = Pace::new(timeouts.body_min_rate, timeouts.body_progress);
        let intake = Intake::new(body);
        let mut exchange = Exchange::new(responder, intake, served, to_head, pace, held);
        exchange.expects_continue = head.expect_continue;
        (exchange.waker, exchange.first) = (waker, first);
        exchange.connects = head.protocol.is_some();
        exchange.ends = *end_stream;
        exchange.is_two_way = is_grpc(KeptFields(fields));
        exchange.moved_at = context.ring.now();
        Ok(Examined::Streamed(facts, exchange, was_polled))
    }

    /// A responder answers.
    fn exchange(
        &mut self,
        facts: Facts,
        exchange: Box<Exchange>,
        was_polled: bool,
        mut clock: RequestClock,
    ) -> Result<(), Stop> {
        if !was_polled {
            clock.enter(Stage::Process);
        }
        clock.of(exchange.endpoint());
        let waits = was_polled && exchange.first.is_none();
        let Some(slot) = self.open(facts, clock) else {
            return Err(Stop::defect("a stream that was admitted found no place"));
        };
        let stream = self.streams.at(slot)?;
        stream.answering = Answering::Making;
        stream.exchange = Some(exchange);
        self.exchanges += 1;
        if waits {
            self.note_wait(slot)?;
            // Polled a moment ago: what it waits for wakes it.
            self.streams.calm(slot);
        }
        Ok(())
    }

    /// Opens a place for a request that has just come.
    pub(super) fn open(
        &mut self,
        facts: Facts,
        clock: RequestClock,
    ) -> Option<super::streams::Slot> {
        let terms = self.context.terms();
        self.session.writer.goes_by(terms.sending);
        let slot = self.streams.open(facts.stream, self.peer.initial_window, terms)?;
        self.context.count(|counts| counts.http2_opened += 1);
        let stream = self.streams.get_mut(slot)?;
        stream.priority = facts.priority;
        stream.remote_open = !facts.end_stream;
        stream.sum = ContentSum::new(facts.content_length);
        stream.clock = clock;
        stream.clock.stays(slot);
        stream.clock.flows(0, stream.window.available(), self.window.available());
        Some(slot)
    }

    /// The head of an answer could not be written: a defect that costs its stream.
    pub(super) fn unwritable(&mut self, facts: Facts, fault: HeadFault) -> Result<(), Stop> {
        self.context.defect(&fault);
        self.reset(facts.stream, ErrorCode::InternalError, crate::observe::Why::ServerDefect)
    }

    fn look_up(
        &mut self,
        facts: Facts,
        kept: KeptAsked,
        want: Want,
        mut clock: RequestClock,
    ) -> Result<(), Stop> {
        clock.enter(Stage::Process);
        let Some(held) = Held::take(self.context, self.context.terms().head_limits.max_head_bytes)
        else {
            clock.abandon(crate::observe::Why::Http2Refused);
            return self.refuse(facts.stream);
        };
        if self.open(facts, clock).is_none() {
            return Err(Stop::defect("a stream that was admitted found no place"));
        }
        let context = Rc::clone(self.context);
        self.lookups.push(Lookup::new(context, facts.stream, kept, want, held));
        Ok(())
    }

    /// A look-up has ended: its answer is next, if anybody still wants it.
    pub(super) fn found(&mut self, stream: u32, found: Found) -> Result<(), Stop> {
        let Some(slot) = self.streams.find(stream) else {
            return Err(Stop::defect("a look-up has no stream"));
        };
        let open = self.streams.at(slot)?;
        if open.answering == Answering::Orphaned {
            drop(self.close_stream(slot)?);
            return Ok(());
        }
        if let Some(why) = found.why {
            open.clock.refused(why);
        }
        open.clock.compressed(found.compressing);
        open.clock.enter(Stage::Respond);
        self.keep_head(slot, found)
    }
}

/// Whether a request is one of gRPC, whose sides may be silent for as long as they like.
fn is_grpc(mut fields: KeptFields<'_>) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    let value = fields.find(|(name, _)| *name == b"content-type").map(|(_, value)| value);
    value
        .and_then(|value| value.get(..TYPE.len()))
        .is_some_and(|value| value.eq_ignore_ascii_case(TYPE))
}

/// Gives the clock what the log says of a request.
fn note(clock: &mut RequestClock, head: &Head<'_>) {
    // A field that is absent is logged as an empty one.
    let fields = |name| head.field(name).unwrap_or(b"");
    clock.asked(head.method.as_bytes(), head.path_text, || {
        [
            (&b"Referer: "[..], fields(FieldName::Referer)),
            (b"User-Agent: ", fields(FieldName::UserAgent)),
            // Which of two counts cannot be known (Trace Context, section 3.2.1).
            (b"Traceparent: ", head.only_field(FieldName::Traceparent).unwrap_or(b"")),
            (b"X-Request-Id: ", fields(FieldName::XRequestId)),
        ]
    });
}
