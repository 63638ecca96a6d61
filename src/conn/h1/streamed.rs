//! A streamed exchange in HTTP/1.1: head and content of the answer as they are made.
//!
//! Content of a known length follows its head as it is; else it is chunked (RFC 9112 section 7.1), or
//! lasts until the connection closes for a client of HTTP/1.0. An answer that breaks off behind its
//! head ends its connection without a last chunk and without close_notify, so that nobody takes it
//! for the whole.

use std::{pin::pin, rc::Rc, task::Poll};

use super::{
    Stop,
    framing::{size_line, write_head},
    head::{Framing, Refusal},
    pump::Pump,
    relay::relay,
    reply::{self, OWN_LINES},
    slow::while_slow,
};
use crate::{
    close::Ending,
    conn::{
        Context, Session,
        exchange::{
            Answered, Failure, Fields, First, Reply, Responder, ResponseContent, StreamedHead,
        },
        session::{ended_by_write, while_held_up},
        sites::Served,
    },
    observe::{RequestClock, ServerTiming, Stage, Why},
    respond::{HeadWriter, Status, content_length_allowed},
    ring::{Chunk, Socket},
    write::Frame,
};

/// Bytes that are queued before other connections have their turn.
const BYTES_A_TURN: usize = 64 * 1024;

/// Chunks that are queued before other connections have their turn.
const CHUNKS_A_TURN: u32 = 16;

/// The longest head.
const MAX_HEAD: usize = 64 * 1024;

/// The longest head that goes into a record with what follows it.
const SHORT_HEAD: usize = 8 * 1024;

/// How the end of the content is made known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delimited {
    /// There is no content.
    Empty,
    /// By this many bytes that are still to come.
    Length(u64),
    Chunked,
    ByClose,
}

/// What comes next of the content.
enum Next {
    Chunk(Option<Result<Chunk, Failure>>),
    /// So many bytes are still to come, and can be received into the memory that they are sent from.
    Relay(u64),
}

/// One exchange on its way.
struct Exchange<'e> {
    context: &'e Rc<Context>,
    socket: &'e Socket,
    session: &'e mut Session,
    clock: &'e mut RequestClock,
    framing: Framing,
    served: Rc<Served>,
    pump: Pump,
}

/// A request whose head was consumed, and who answers it.
pub(super) struct Begun {
    pub(super) framing: Framing,
    pub(super) served: Rc<Served>,
    pub(super) responder: Box<dyn Responder>,
    /// What its first poll brought, if it was polled.
    pub(super) first: Option<First>,
    /// It is the last of its connection.
    pub(super) last: bool,
}

/// Has a responder answer the request whose head was just consumed. False if that was the last request
/// of the connection.
pub(super) async fn answer(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    clock: &mut RequestClock,
    begun: Begun,
) -> Result<bool, Stop> {
    let Begun { framing, served, mut responder, first, last } = begun;
    let report = responder.report();
    if first.is_none() {
        clock.of(report.endpoint);
        clock.enter(responder.stages().works.unwrap_or(Stage::Process));
    }
    let pump = Pump::new(&framing, &served.terms, report.answers_half_closed)?;
    let mut exchange = Exchange { context, socket, session, clock, framing, served, pump };
    let persists = exchange.answer(&mut *responder, first, last).await?;
    // What the responder holds is let go before the connection waits for anything else.
    drop(responder);
    let Exchange { session, mut pump, .. } = exchange;
    Ok(persists && pump.drop_rest(context, socket, session).await?)
}

impl Exchange<'_> {
    async fn answer(
        &mut self,
        responder: &mut dyn Responder,
        mut first: Option<First>,
        last: bool,
    ) -> Result<bool, Stop> {
        let Self { context, socket, session, pump, clock, .. } = self;
        let mut stage = responder.stages().works;
        let head = loop {
            let head = pump
                .drive(context, socket, session, |cx, intake| {
                    let polled = first.take().unwrap_or_else(|| {
                        enter(clock, &mut stage, responder.stages().works);
                        responder.poll_head(cx, intake)
                    });
                    if polled.is_pending() {
                        clock.passed(responder.report().passed);
                        enter(clock, &mut stage, responder.stages().waits);
                    }
                    polled
                })
                .await?;
            match head {
                Ok(Answered::Streamed(interim)) if interim.is_interim() => {
                    send_interim(session, socket, &interim).await?;
                }
                head => break head,
            }
        };
        let report = responder.record(clock);
        let persists = self.framing.persistent && !last && !self.context.is_draining();
        let persists = persists && !self.pump.is_half_closed() && !report.ends_connection;
        // Whether a client that was not sent 100 sends its content now nobody knows.
        let persists = persists && !self.pump.awaits_continue();
        self.pump.answered();
        self.context.count(|counts| counts.requests += 1);
        self.clock.enter(Stage::Respond);
        self.session.refresh_key(self.socket).await?;
        let head = match head {
            Ok(Answered::Streamed(head)) => head,
            Ok(Answered::Whole(reply)) => return self.send_whole(reply, persists).await,
            Err(failure) => return self.fail(failure, report.proxy_error, persists).await,
        };
        let (mut delimited, persists) = self.delimited(&head, persists);
        if head.status == 101 {
            self.pump.open_tunnel(report.limits_silence);
            self.session.reader.expects(0);
        }
        self.send_head(&head, delimited, persists).await?;
        let sent = self.send_content(responder, &mut delimited).await;
        let sent = match sent {
            Ok(()) => self.send_end(responder, delimited).await,
            Err(stop) => Err(stop),
        };
        let Self { session, clock, socket, .. } = self;
        responder.record(clock);
        let (kernel, moved) = (session.writer.is_kernel(), session.writer.take_moved());
        session.clock.answered(clock, head.status, kernel, moved);
        match sent {
            Ok(()) => {
                session.writer.carry(socket, clock, 0);
                Ok(persists && !self.pump.is_half_closed())
            }
            Err(stop) => {
                session.writer.breaks_off(clock);
                Err(stop)
            }
        }
    }

    /// How the content of this answer ends, and whether the connection goes on behind it.
    fn delimited(&self, head: &StreamedHead, persists: bool) -> (Delimited, bool) {
        let without = self.framing.to_head || !content_length_allowed(head.status);
        match head.length {
            _ if head.status == 101 => (Delimited::ByClose, false),
            _ if without || head.status == 304 => (Delimited::Empty, persists),
            Some(length) => (Delimited::Length(length), persists),
            None if self.framing.http10 => (Delimited::ByClose, false),
            None => (Delimited::Chunked, persists),
        }
    }

    /// Answers with what a handler has named, as with any file.
    async fn send_whole(&mut self, reply: Reply<'_>, persists: bool) -> Result<bool, Stop> {
        let to_head = self.framing.to_head;
        let mut reply = if to_head { reply.head_only() } else { reply };
        let connection = reply::Connection { persists, says_so: self.framing.says_keep_alive };
        let Self { context, socket, session, clock, .. } = self;
        let queued = reply::queue(context, socket, session, clock, &mut reply, connection).await;
        queued.map_err(|unsent| unsent.into_stop(context, session, to_head))?;
        Ok(persists)
    }

    /// Answers with an error; the connection goes on if it can.
    async fn fail(
        &mut self,
        failure: Failure,
        proxy_error: Option<&'static str>,
        persists: bool,
    ) -> Result<bool, Stop> {
        let Failure { status, why } = failure;
        let to_head = self.framing.to_head;
        let persists = persists && self.pump.is_finished();
        if proxy_error.is_none() && (!persists || status == Status::InternalServerError) {
            // It is counted where it is sent.
            self.context.count(|counts| counts.requests -= 1);
            return Err(Stop::Refuse(Refusal { status, why, to_head }));
        }
        self.context.count(|counts| counts.refused += 1);
        self.clock.refused(why);
        if !persists {
            self.session.clock.ends(why);
        }
        let mut reply =
            Reply::failure(self.context, &self.served, status).with_proxy_error(proxy_error);
        if to_head {
            reply = reply.head_only();
        }
        let connection = reply::Connection { persists, says_so: self.framing.says_keep_alive };
        let Self { context, socket, session, clock, .. } = self;
        let queued = reply::queue(context, socket, session, clock, &mut reply, connection).await;
        queued.map_err(|unsent| unsent.into_stop(context, session, to_head))?;
        Ok(persists)
    }

    async fn send_head(
        &mut self,
        head: &StreamedHead,
        delimited: Delimited,
        persists: bool,
    ) -> Result<(), Stop> {
        let mut room = OWN_LINES + head.fields.wire_bytes() + self.served.own_fields_len;
        if self.served.terms.server_timing {
            room += ServerTiming::LONGEST_LINE;
        }
        if room > MAX_HEAD {
            return Err(self.cannot_be_sent(&"the head of an answer is longer than 64 KiB"));
        }
        self.session.writer.goes_by(self.served.terms.sending);
        let long = room > SHORT_HEAD;
        let mut memory = vec![0; if long { room } else { 0 }];
        if !long {
            let Self { socket, session, .. } = self;
            let Session { reader, writer, clock, .. } = &mut **session;
            let reserved = writer.reserve(socket, room, expected(delimited), false);
            let reserved = while_held_up(reader, pin!(reserved)).await;
            reserved.map_err(|error| Stop::Close(ended_by_write(clock, &error)))?;
        }
        let plain = self.session.writer.is_plain();
        let place = if long { &mut memory[..] } else { self.session.writer.room() };
        let written = write_head(
            self.context,
            &self.served,
            place,
            head,
            (delimited, persists, plain),
            &self.framing,
            self.clock,
        );
        let length = match written {
            Ok(length) => length,
            Err(fault) => return Err(self.cannot_be_sent(&fault)),
        };
        let writer = &mut self.session.writer;
        writer.gathering().holds_head();
        let queued = if long {
            memory.truncate(length);
            let Self { socket, session, .. } = self;
            let Session { reader, writer, .. } = &mut **session;
            while_held_up(reader, pin!(writer.queue_bytes(socket, &memory))).await
        } else {
            writer.commit(length)
        };
        queued.map_err(|error| Stop::Close(ended_by_write(&self.session.clock, &error)))
    }

    /// The responder gave a head that is none: the client gets 500.
    fn cannot_be_sent(&self, why: &dyn std::fmt::Display) -> Stop {
        self.context.warn(why);
        self.context.count(|counts| counts.requests -= 1);
        Stop::Refuse(Refusal {
            status: Status::InternalServerError,
            why: Why::ServerError,
            to_head: self.framing.to_head,
        })
    }

    async fn send_content(
        &mut self,
        responder: &mut dyn Responder,
        delimited: &mut Delimited,
    ) -> Result<(), Stop> {
        if *delimited == Delimited::Empty {
            return Ok(());
        }
        let (mut bytes, mut chunks) = (0, 0);
        loop {
            let Self { context, socket, session, pump, clock, .. } = self;
            // What was queued leaves behind the first poll; only then the responder is waited for.
            let (mut stage, mut polls) = (None, u32::from(session.writer.is_at_rest()));
            let as_it_is = matches!(delimited, Delimited::Length(_));
            let next = pump
                .drive(context, socket, session, |cx, intake| {
                    if as_it_is && let Some(rest) = relays(responder) {
                        return Poll::Ready(Next::Relay(rest));
                    }
                    enter(clock, &mut stage, responder.stages().works);
                    let polled = responder.poll_chunk(cx, intake);
                    polls += 1;
                    let stages = responder.stages();
                    clock.compressed(stages.compressing);
                    if polled.is_pending() && polls > 1 {
                        enter(clock, &mut stage, stages.waits);
                    }
                    polled.map(Next::Chunk)
                })
                .await;
            if stage.is_some() {
                clock.enter(Stage::Respond);
            }
            let chunk = match next.map_err(|stop| self.cut_for(stop))? {
                Next::Relay(rest) => {
                    self.relay(responder, rest, delimited).await?;
                    continue;
                }
                Next::Chunk(None) => break,
                Next::Chunk(Some(Ok(chunk))) => chunk,
                Next::Chunk(Some(Err(failure))) => return Err(self.cut(failure.why)),
            };
            bytes += chunk.len();
            chunks += 1;
            self.send_chunk(responder, &chunk, delimited).await?;
            if bytes >= BYTES_A_TURN || chunks >= CHUNKS_A_TURN {
                (bytes, chunks) = (0, 0);
                self.context.ring.yield_now().await;
            }
        }
        match delimited {
            Delimited::Length(1..) => {
                self.context.warn(&"an application gave less content than it had promised");
                Err(self.cut(Why::ServerError))
            }
            _ => Ok(()),
        }
    }

    /// Passes content on that is received into the memory that it is sent from.
    async fn relay(
        &mut self,
        responder: &mut dyn Responder,
        rest: u64,
        delimited: &mut Delimited,
    ) -> Result<(), Stop> {
        let Self { context, socket, session, pump, .. } = self;
        // Boxed, as most exchanges never do this.
        let passed = Box::pin(relay(context, socket, session, pump, responder, rest)).await;
        let count = match passed.map_err(|stop| self.cut_for(stop))? {
            Ok(count) => count,
            Err(failure) => return Err(self.cut(failure.why)),
        };
        self.shorten(delimited, count)
    }

    /// So many bytes of content are on their way.
    fn shorten(&self, delimited: &mut Delimited, count: usize) -> Result<(), Stop> {
        let Delimited::Length(rest) = delimited else {
            self.context.defect(&"content without a stated length was counted");
            return Err(self.cut(Why::ServerError));
        };
        let Some(left) = rest.checked_sub(count as u64) else {
            self.context.warn(&"an application gave more content than it had promised");
            return Err(self.cut(Why::ServerError));
        };
        *rest = left;
        Ok(())
    }

    async fn send_chunk(
        &mut self,
        responder: &mut dyn Responder,
        chunk: &Chunk,
        delimited: &mut Delimited,
    ) -> Result<(), Stop> {
        let mut line = [0; 18];
        let frame = match delimited {
            Delimited::Empty => return Ok(()),
            Delimited::ByClose => Frame::default(),
            Delimited::Chunked => {
                Frame { before: size_line(chunk.len(), &mut line), behind: b"\r\n" }
            }
            Delimited::Length(_) => {
                self.shorten(delimited, chunk.len())?;
                Frame::default()
            }
        };
        let Self { context, socket, session, .. } = self;
        let Session { reader, writer, clock, .. } = &mut **session;
        let queued = writer.queue_chunk(socket, frame, chunk);
        let queued = while_slow(context, reader, responder, pin!(queued)).await;
        queued.map_err(|error| Stop::Close(ended_by_write(clock, &error)))
    }

    /// Ends chunked content: the last chunk, and the trailers.
    async fn send_end(
        &mut self,
        responder: &mut dyn Responder,
        delimited: Delimited,
    ) -> Result<(), Stop> {
        if delimited != Delimited::Chunked {
            return Ok(());
        }
        let mut end = b"0\r\n".to_vec();
        let content = responder.content();
        let trailers = content.map_or(Fields::None, ResponseContent::take_trailers);
        trailers.each(|name, value| {
            for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
                end.extend_from_slice(piece);
            }
        });
        end.extend_from_slice(b"\r\n");
        let Self { socket, session, .. } = self;
        let Session { reader, writer, clock, .. } = &mut **session;
        let queued = while_held_up(reader, pin!(writer.queue_bytes(socket, &end))).await;
        queued.map_err(|error| Stop::Close(ended_by_write(clock, &error)))
    }

    /// The answer breaks off: the client has to notice.
    fn cut(&self, why: Why) -> Stop {
        self.session.clock.ends(why);
        Stop::Close(Ending::Reset)
    }

    /// A refusal cannot follow a head that has left.
    fn cut_for(&self, stop: Stop) -> Stop {
        match stop {
            Stop::Refuse(refusal) => self.cut(refusal.why),
            stop @ Stop::Close(_) => stop,
        }
    }
}

/// Bytes that are still to come of content that is received into the memory that it is sent from.
fn relays(responder: &mut dyn Responder) -> Option<u64> {
    responder.content()?.relay()?.relays()
}

/// Enters the stage of a wait, unless the request is in it already.
fn enter(clock: &mut RequestClock, before: &mut Option<Stage>, stage: Option<Stage>) {
    if let Some(stage) = stage
        && *before != Some(stage)
    {
        clock.enter(stage);
        *before = Some(stage);
    }
}

/// Sends an interim head at once (RFC 9110 section 15.2): an answer follows it.
async fn send_interim(
    session: &mut Session,
    socket: &Socket,
    interim: &StreamedHead,
) -> Result<(), Stop> {
    session.refresh_key(socket).await?;
    let mut memory = vec![0; OWN_LINES + interim.fields.wire_bytes()];
    let mut head = HeadWriter::of_code(&mut memory, interim.status);
    interim.fields.each(|name, value| _ = head.field(name, value));
    // One that cannot be written is none that a client needs.
    let Ok(length) = head.finish() else { return Ok(()) };
    memory.truncate(length);
    let Session { reader, writer, clock, .. } = session;
    let sent = async {
        writer.queue_bytes(socket, &memory).await?;
        writer.flush(socket).await
    };
    let sent = while_held_up(reader, pin!(sent)).await;
    sent.map_err(|error| Stop::Close(ended_by_write(clock, &error)))?;
    // It was no answer: how it left says nothing of the answer.
    writer.gathering().reset();
    Ok(())
}

/// Bytes of content that are worth room behind the head.
fn expected(delimited: Delimited) -> u64 {
    match delimited {
        Delimited::Empty => 0,
        Delimited::Length(length) => length,
        Delimited::Chunked | Delimited::ByClose => 1024,
    }
}
