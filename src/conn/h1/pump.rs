//! Both directions of a streamed exchange while its responder works: request content in, as long as it
//! is wanted, and the client's end noticed.
//!
//! Nobody asks, nobody reads: content that the responder does not want stays with the client. While
//! the responder works, one receive stays armed, so that a client that leaves ends its exchange at
//! once; what it sends meanwhile (the next request, content that nobody wants yet) fills one receive
//! buffer and then stops it. From there on the kernel is asked every [`LOOKS_EVERY`] milliseconds
//! whether the client has ended its connection.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::{self, Poll},
};

use super::{
    Stop,
    body::send_continue,
    head::{Framing, Refusal},
};
use crate::{
    close::Ending,
    conn::{
        Context, Session,
        exchange::{Fields, Intake},
        sites::Terms,
        why,
    },
    decode::{BodyDecoder, BodyError},
    observe::Why,
    parse::BodyLength,
    respond::{
        Status,
        forward::{TrailersOf, trailer_fields},
    },
    ring::{Peer, Socket},
    write::{HELD_UP, Pace},
};

/// Content of the request that is read and dropped behind the answer, so that the connection can go
/// on, at most. Clients that have more to send lose their connection.
const DROPPED: usize = 64 * 1024;

/// Milliseconds between two looks for the end of a client from which nothing is received.
const LOOKS_EVERY: u64 = 100;

/// The state of one exchange's request content.
pub(super) struct Pump {
    pub(super) intake: Intake,
    decoder: BodyDecoder,
    to_head: bool,
    /// 100 has to be sent before content can come.
    expects_continue: bool,
    pace: Pace,
    /// Milliseconds for which the client was waited for.
    waited: u64,
    /// There is no HTTP any more.
    tunnel: bool,
    /// Milliseconds for which both sides may be silent; `u64::MAX`: no limit of the connection's.
    silence: u64,
    /// The bounds of the request.
    terms: Rc<Terms>,
    /// The responder answers a client that has ended its side.
    answers_half_closed: bool,
    /// The client has ended its side: nothing more is received.
    half_closed: bool,
}

/// What ended a wait.
enum Event<T> {
    /// The responder is done with this step.
    Ready(T),
    /// There are bytes, or content has become wanted.
    Moved,
    /// The client sends nothing although it is waited for.
    Late,
    /// Neither side of a tunnel has sent anything for too long.
    Silent,
    /// The receive buffers are wanted back.
    Held,
    /// The client has ended its connection, and what it sent before was not wanted.
    Left,
}

impl Pump {
    /// A responder that `answers_half_closed` answers a client that has ended its side.
    ///
    /// # Errors
    /// 413 if the content is stated to be too long.
    pub(super) fn new(
        framing: &Framing,
        terms: &Rc<Terms>,
        answers_half_closed: bool,
    ) -> Result<Self, Stop> {
        let timeouts = &terms.timeouts;
        let limit = terms.limits.body_bytes;
        let refused = |error| Stop::Refuse(refusal(error, framing.to_head));
        let mut decoder = BodyDecoder::new(framing.body, limit).map_err(refused)?;
        decoder.keep_trailers();
        let mut pace = Pace::new(timeouts.body_min_rate, timeouts.body_progress);
        pace.begin(0);
        Ok(Self {
            intake: Intake::new(framing.body),
            decoder,
            to_head: framing.to_head,
            expects_continue: framing.expects_continue,
            pace,
            waited: 0,
            tunnel: false,
            silence: u64::MAX,
            terms: Rc::clone(terms),
            answers_half_closed,
            half_closed: false,
        })
    }

    /// HTTP ends here: from now on bytes of the client are handed over as they are, whenever they come. The
    /// silence of both sides is limited, unless the responder does that.
    pub(super) fn open_tunnel(&mut self, responder_limits_silence: bool) {
        if !responder_limits_silence {
            self.silence = self.terms.timeouts.tunnel_idle.as_millis() as u64;
        }
        let endless = BodyLength::Length(u64::MAX);
        self.decoder = BodyDecoder::endless();
        self.intake = Intake::new(endless);
        self.tunnel = true;
    }

    /// Whether the client waits for 100 and has not got it: what it will send is not certain.
    pub(super) fn awaits_continue(&self) -> bool {
        self.expects_continue && !self.is_finished()
    }

    /// Whether all of the content has been read.
    pub(super) fn is_finished(&self) -> bool {
        self.decoder.is_finished()
    }

    /// Whether the client has ended its side: its connection ends with the answer.
    pub(super) fn is_half_closed(&self) -> bool {
        self.half_closed
    }

    /// A final head is about to be sent: no 100 may follow it.
    pub(super) fn answered(&mut self) {
        self.expects_continue = false;
    }

    /// Polls the responder until it is ready, and moves content to it meanwhile. What was queued leaves
    /// before the first wait.
    ///
    /// # Errors
    /// The connection ended, or its content is refused.
    pub(super) async fn drive<T>(
        &mut self,
        context: &Rc<Context>,
        socket: &Socket,
        session: &mut Session,
        mut poll: impl FnMut(&mut task::Context<'_>, &mut Intake) -> Poll<T>,
    ) -> Result<T, Stop> {
        let mut flushed = false;
        let mut gives_back_at = None;
        loop {
            let polled = poll_fn(|cx| Poll::Ready(poll(cx, &mut self.intake))).await;
            if let Poll::Ready(ready) = polled {
                return Ok(ready);
            }
            if self.intake.is_wanted() && self.feed(session)? {
                continue;
            }
            // Nothing has been awaited since: a wait need not begin with another poll.
            let mut is_new = true;
            if !flushed {
                is_new = session.writer.is_at_rest();
                if let Some(ready) = self.flush(context, socket, session, &mut poll).await? {
                    return Ok(ready);
                }
                flushed = true;
            }
            if self.intake.is_wanted() && self.expects_continue {
                self.expects_continue = false;
                send_continue(session, socket).await?;
                is_new = false;
            }
            let wait = self.wait(context, socket, session, &mut poll, &mut gives_back_at, is_new);
            match wait.await? {
                Event::Ready(ready) => {
                    session.writer.restart_pace();
                    return Ok(ready);
                }
                // What has come goes first, so that the responder is polled once for it.
                Event::Moved if self.intake.is_wanted() => {
                    self.feed(session)?;
                }
                Event::Moved => {}
                Event::Late => return Err(self.late(Why::ServerTimeout)),
                Event::Silent => return Err(self.late(Why::ServerTunnelIdle)),
                Event::Held => {
                    if !session.reader.set_aside() {
                        return Err(self.late(Why::ClientFlood));
                    }
                    gives_back_at = Some(u64::MAX);
                }
                Event::Left => {
                    session.clock.ends(Why::ClientClose);
                    return Err(Stop::Close(Ending::Reset));
                }
            }
        }
    }

    /// Sends what was queued. From a client that does not keep up it turns to the responder, which may be
    /// ready before all has left: the rest leaves before anything that is queued behind it.
    async fn flush<T>(
        &mut self,
        context: &Rc<Context>,
        socket: &Socket,
        session: &mut Session,
        poll: &mut impl FnMut(&mut task::Context<'_>, &mut Intake) -> Poll<T>,
    ) -> Result<Option<T>, Stop> {
        if session.writer.is_at_rest() {
            return Ok(None);
        }
        let slow_at = context.ring.now().saturating_add(HELD_UP.as_millis() as u64);
        let mut flush = pin!(session.flush(socket));
        let intake = &mut self.intake;
        poll_fn(|cx| match flush.as_mut().poll(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed.map(|()| None).map_err(Stop::from)),
            Poll::Pending if context.ring.poll_until(slow_at).is_ready() => {
                poll(cx, intake).map(|ready| Ok(Some(ready)))
            }
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Waits for the responder, or for what it or its client needs. `is_new`: the responder was polled just
    /// now, by this poll of the task.
    async fn wait<T>(
        &mut self,
        context: &Rc<Context>,
        socket: &Socket,
        session: &mut Session,
        poll: &mut impl FnMut(&mut task::Context<'_>, &mut Intake) -> Poll<T>,
        gives_back_at: &mut Option<u64>,
        mut is_new: bool,
    ) -> Result<Event<T>, Stop> {
        let (ring, began) = (&context.ring, context.ring.now());
        let wants = self.intake.is_wanted();
        let holds = !session.reader.plaintext().is_empty();
        // A client that has more here than was asked for is not looked at until that is wanted.
        let reads = !self.half_closed && (wants || !holds);
        if reads || !holds {
            *gives_back_at = None;
        } else if gives_back_at.is_none() {
            *gives_back_at = Some(began.saturating_add(HELD_UP.as_millis() as u64));
        }
        let until = began.saturating_add(self.terms.timeouts.body_progress.as_millis() as u64);
        let tunnel = self.tunnel;
        let silent_at = began.saturating_add(self.silence);
        // An end within content is none that an answer could follow. The sides of a tunnel end one by one.
        let may_end = tunnel || (self.answers_half_closed && self.decoder.is_finished());
        let leaves = self.leaves();
        let mut looks_at = began.saturating_add(LOOKS_EVERY);
        let (intake, half_closed) = (&mut self.intake, &mut self.half_closed);
        let event = {
            let mut fill = pin!(async {
                if reads { session.fill(socket).await } else { std::future::pending().await }
            });
            poll_fn(|cx| {
                // Content that a responder waits for comes before another look at it.
                let mut filled = if wants { fill.as_mut().poll(cx) } else { Poll::Pending };
                if let Poll::Ready(Ok(())) = filled {
                    return Poll::Ready(Ok(Event::Moved));
                }
                if !std::mem::take(&mut is_new)
                    && let Poll::Ready(ready) = poll(cx, intake)
                {
                    return Poll::Ready(Ok(Event::Ready(ready)));
                }
                if intake.is_wanted() != wants {
                    return Poll::Ready(Ok(Event::Moved));
                }
                if !wants {
                    filled = fill.as_mut().poll(cx);
                }
                match filled {
                    Poll::Ready(Err(Ending::Closed)) if may_end => {
                        *half_closed = true;
                        if tunnel {
                            intake.end();
                        }
                        return Poll::Ready(Ok(Event::Moved));
                    }
                    Poll::Ready(filled) => return Poll::Ready(filled.map(|()| Event::Moved)),
                    Poll::Pending => {}
                }
                if !reads && ring.poll_until(looks_at).is_ready() {
                    if leaves(socket.peer()) {
                        return Poll::Ready(Ok(Event::Left));
                    }
                    looks_at = ring.now().saturating_add(LOOKS_EVERY);
                    // For the next look.
                    let _ = ring.poll_until(looks_at);
                }
                if wants && !tunnel && ring.poll_until(until).is_ready() {
                    return Poll::Ready(Ok(Event::Late));
                }
                if tunnel && ring.poll_until(silent_at).is_ready() {
                    return Poll::Ready(Ok(Event::Silent));
                }
                if let Some(at) = gives_back_at.filter(|at| *at != u64::MAX)
                    && ring.poll_until(at).is_ready()
                {
                    return Poll::Ready(Ok(Event::Held));
                }
                Poll::Pending
            })
            .await?
        };
        if wants {
            self.waited += ring.now().saturating_sub(began);
        }
        Ok(event)
    }

    /// Which peers have left, while nothing is received from them. What a tunnel's client has sent before
    /// its FIN is still delivered, and an answer still sent to a client that may end its side before it.
    fn leaves(&self) -> fn(Peer) -> bool {
        if self.tunnel || self.answers_half_closed {
            |peer| peer == Peer::Gone
        } else {
            |peer| peer != Peer::Sends
        }
    }

    /// Moves content that has arrived to the intake. False if there is none.
    fn feed(&mut self, session: &mut Session) -> Result<bool, Stop> {
        let bytes = session.reader.plaintext();
        if bytes.is_empty() {
            return Ok(false);
        }
        let to_head = self.to_head;
        let step =
            self.decoder.decode(bytes).map_err(|error| Stop::Refuse(refusal(error, to_head)))?;
        if !self.tunnel && !self.pace.keeps_up(self.waited, step.consumed) {
            return Err(self.late(Why::ServerTooSlow));
        }
        // Content has begun to come: the client does not wait for 100.
        self.expects_continue = false;
        if step.data.is_empty() {
            session.reader.consume(step.consumed);
        } else {
            let piece = session.reader.take(step.data, step.consumed);
            self.intake.put(piece);
        }
        if step.finished {
            let trailers = trailer_fields(&self.decoder.take_trailers(), TrailersOf::Request);
            self.intake.end_with(if trailers.is_empty() {
                Fields::None
            } else {
                Fields::Lines(trailers)
            });
        }
        Ok(step.consumed > 0 || step.finished)
    }

    /// Drops what is left of the content behind an answer, if it is little. False if the connection
    /// has to end.
    ///
    /// # Errors
    /// The connection ended.
    pub(super) async fn drop_rest(
        &mut self,
        context: &Rc<Context>,
        socket: &Socket,
        session: &mut Session,
    ) -> Result<bool, Stop> {
        let mut dropped = 0;
        while !self.decoder.is_finished() {
            let bytes = session.reader.plaintext();
            if !bytes.is_empty() {
                let Ok(step) = self.decoder.decode(bytes) else { return Ok(false) };
                session.reader.consume(step.consumed);
                dropped += step.consumed;
                if step.finished {
                    break;
                }
                if dropped > DROPPED {
                    return Ok(false);
                }
                if step.consumed > 0 {
                    continue;
                }
            }
            if !session.fill_at_hand(socket)? {
                session.flush(socket).await?;
                let limit = self.terms.timeouts.close;
                let Ok(filled) = context.ring.within(limit, session.fill(socket)).await else {
                    return Ok(false);
                };
                filled?;
            }
        }
        Ok(true)
    }

    fn late(&self, why: Why) -> Stop {
        Stop::Refuse(Refusal { status: Status::RequestTimeout, why, to_head: self.to_head })
    }
}

fn refusal(error: BodyError, to_head: bool) -> Refusal {
    log::debug!("decode: {error}");
    Refusal { status: error.status(), why: why::of_body(error), to_head }
}
