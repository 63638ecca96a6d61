//! HTTP/1.1 on an established connection: read a head, find the answer, send it, again.
//!
//! Responses to pipelined requests are gathered while there is room for them, and leave before
//! the task waits for anything. The invariant: a request is answered completely and in its turn,
//! or the connection is closed; after an answer to anything ambiguous it is always closed.

mod body;
mod first;
mod framing;
mod head;
mod pump;
mod relay;
mod reply;
mod slow;
mod streamed;

use std::{future::poll_fn, rc::Rc, task::Poll};

use super::{
    Context, DRAIN_GRACE, Session, boxed,
    exchange::{Answered, KeptAsked, Lookups, Reply, Want, find_out},
    received_ago,
    session::ending_of_write,
};
use crate::{
    close::Ending,
    observe::{RequestClock, Stage, Why},
    parse::{BodyLength, HeadScan},
    respond::Status,
    ring::{Elapsed, Socket},
    write::WriteError,
};
use head::{Examined, Framing, Refusal, examine};
use reply::Queueing;

/// Requests that are answered in one go before other connections have their turn.
const REQUESTS_A_TURN: u32 = 32;

/// Why the loop of requests ended: what the connection is closed with, or a refusal to send first.
pub(super) enum Stop {
    Close(Ending),
    Refuse(Refusal),
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        Self::Close(ending_of_write(&error))
    }
}

impl From<Ending> for Stop {
    fn from(ending: Ending) -> Self {
        Self::Close(ending)
    }
}

/// Serves requests until the connection ends, or one is refused: [`stop`] says how to close it then. Each layer
/// of futures is walked through at every poll, so the refusal is left to who calls this.
pub(super) async fn serve(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    clock: &mut RequestClock,
) -> Result<Ending, Stop> {
    let (mut number, mut in_turn) = (0, 0);
    // The first head has its time from the handshake, each further one from its
    // own first byte.
    let established = context.ring.now();
    loop {
        number += 1;
        let fresh = session.reader.plaintext().is_empty();
        if fresh && !session.fill_at_hand(socket)? {
            session.flush(socket).await?;
            in_turn = 0;
            let first = number == 1;
            if let Some(why) = first_bytes(context, socket, session, first).await? {
                session.clock.ends(why);
                return Ok(Ending::CloseNotify);
            }
        }
        in_turn += 1;
        if in_turn == REQUESTS_A_TURN {
            in_turn = 0;
            session.flush(socket).await?;
            context.ring.yield_now().await;
        }
        if number > 1 {
            context.occupancy.asked_again();
        }
        *clock = session.clock.begin(fresh, || received_ago(socket));
        let began = if number == 1 { established } else { context.ring.now() };
        let most = context.waits().requests;
        let last = number >= most;
        let lookups = Lookups::default();
        let mut serving = Serving::Begins;
        let persists = loop {
            match serving {
                Serving::Begins => {
                    at_once(context, socket, session, &lookups, clock, last, &mut serving)?;
                }
                Serving::Answered(persists) => break persists,
                Serving::Queueing(queueing, mut reply, (persists, to_head)) => {
                    let queued =
                        reply::finish(context, socket, session, clock, &mut reply, queueing).await;
                    queued.map_err(|unsent| unsent.into_stop(context, session, to_head))?;
                    break persists;
                }
                // Boxed, both, so that a connection that waits for requests does not carry their state.
                Serving::Waits(waits) => {
                    let bounds = (began, last);
                    serving = boxed(|| {
                        after_wait(context, socket, session, &lookups, clock, bounds, waits)
                    })
                    .await?;
                }
                Serving::Streamed(begun) => {
                    break boxed(|| streamed::answer(context, socket, session, clock, begun))
                        .await?;
                }
            }
        };
        if !persists {
            session.clock.ends(match number >= most {
                _ if context.is_draining() => Why::ServerDrain,
                true => Why::ServerRequests,
                false => Why::ClientLast,
            });
            session.flush(socket).await?;
            return Ok(Ending::Linger);
        }
    }
}

/// Answers a request that was refused, if one was, and says how to close the connection.
pub(super) async fn stop(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    clock: &mut RequestClock,
    stop: Stop,
) -> Ending {
    match stop {
        Stop::Close(ending) => ending,
        Stop::Refuse(refusal) => reply::refuse(context, socket, session, clock, refusal).await,
    }
}

/// Waits for a request to begin, or for a reason not to wait any longer.
async fn first_bytes(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    first: bool,
) -> Result<Option<Why>, Ending> {
    let ring = &context.ring;
    let now = ring.now();
    // A client that has completed its handshake has a request on its way. An idle connection may be
    // closed at any time (RFC 9112 section 9.5), but the next request of one that was answered just
    // now, without `Connection: close`, may be on its way too.
    let waits = context.waits();
    let (limit, late) =
        if first { (waits.head, Why::ServerTimeout) } else { (waits.idle, Why::ServerIdle) };
    let until = now.saturating_add(limit);
    let _idle = (!first).then(|| context.occupancy.idles());
    let over =
        |draining: u64| if first { draining.max(now) + DRAIN_GRACE } else { now + DRAIN_GRACE };
    // One poll of all that is waited for: a future around another would be another layer of state,
    // set up and walked through for each request.
    poll_fn(|_| {
        if let Poll::Ready(filled) = session.poll_fill(socket) {
            return Poll::Ready(filled.map(|()| None));
        }
        if context.is_over(over) {
            let draining = context.is_draining();
            return Poll::Ready(Ok(Some(if draining {
                Why::ServerDrain
            } else {
                Why::ServerEvicted
            })));
        }
        ring.poll_until(until).map(|()| Ok(Some(late)))
    })
    .await
}

/// How far a request has been served.
enum Serving<'l> {
    /// Its head is to be looked at.
    Begins,
    /// Something has to be awaited first.
    Waits(Waits<'l>),
    /// Its answer is made piece by piece.
    Streamed(streamed::Begun),
    /// Its answer is on its way into the queue; whether the connection goes on, and whether it asks for the
    /// head alone.
    Queueing(Queueing, Reply<'l>, (bool, bool)),
    /// Its answer is queued; whether the connection goes on.
    Answered(bool),
}

/// What a request waits for.
enum Waits<'l> {
    /// The rest of its head.
    Head,
    /// What has to be looked up.
    Lookup(Framing, KeptAsked, Want),
    /// The end of its content, or a new key: then it gets this.
    Content(Framing, Reply<'l>),
}

/// Serves a request that begins as far as that needs no wait; says how far in `serving`. Most requests are
/// answered here: no state is kept for them, and no future is set up and walked through.
fn at_once<'l>(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    lookups: &'l Lookups,
    clock: &mut RequestClock,
    last: bool,
    serving: &mut Serving<'l>,
) -> Result<(), Stop> {
    let mut slot = None;
    let (framing, reply) = match examine(context, socket, session, lookups, clock, &mut slot) {
        Ok(Examined::Decided(framing, reply)) => {
            take_head(session, clock, &framing);
            (framing, reply)
        }
        Ok(Examined::Streamed(framing, served, mut responder, first)) => {
            take_head(session, clock, &framing);
            let is_due = first.is_none() && !framing.has_body();
            let first = if is_due {
                Some(first::poll_first(clock, &framing, &mut *responder))
            } else {
                first
            };
            match first {
                Some(Poll::Ready(Ok(Answered::Whole(whole))))
                    if !responder.report().ends_connection =>
                {
                    responder.record(clock);
                    let whole = if framing.to_head { whole.head_only() } else { whole };
                    (framing, slot.insert(whole))
                }
                first => {
                    let begun = streamed::Begun { framing, served, responder, first, last };
                    *serving = Serving::Streamed(begun);
                    return Ok(());
                }
            }
        }
        Ok(Examined::Wants(framing, kept, want)) => {
            take_head(session, clock, &framing);
            *serving = Serving::Waits(Waits::Lookup(framing, kept, want));
            return Ok(());
        }
        Ok(Examined::Incomplete) => {
            *serving = Serving::Waits(Waits::Head);
            return Ok(());
        }
        Ok(Examined::Refused(refusal)) => return Err(Stop::Refuse(refusal)),
        Err(error) => return Err(error.into()),
    };
    clock.compressed(lookups.compressing());
    let waits = framing.has_body() || session.writer.needs_key();
    if !waits {
        clock.enter(Stage::Respond);
        let (persists, queueing) =
            respond(context, socket, session, clock, (&framing, last), reply)?;
        let Some(queueing) = queueing else {
            *serving = Serving::Answered(persists);
            return Ok(());
        };
        return moves_on(slot, serving, |reply| {
            Serving::Queueing(queueing, reply, (persists, framing.to_head))
        });
    }
    moves_on(slot, serving, |reply| Serving::Waits(Waits::Content(framing, reply)))
}

/// The answer in `slot` needs a wait, for which it leaves its place.
fn moves_on<'l>(
    slot: Option<Reply<'l>>,
    serving: &mut Serving<'l>,
    to: impl FnOnce(Reply<'l>) -> Serving<'l>,
) -> Result<(), Stop> {
    let Some(reply) = slot else {
        return Err(Stop::Close(Ending::Defect("a decided answer is not in its place")));
    };
    *serving = to(reply);
    Ok(())
}

/// Queues the answer to a request as far as that needs no wait, in [`Stage::Respond`]. Whether the connection
/// goes on, and what is left to do.
fn respond(
    context: &Context,
    socket: &Socket,
    session: &mut Session,
    clock: &mut RequestClock,
    (framing, last): (&Framing, bool),
    reply: &mut Reply<'_>,
) -> Result<(bool, Option<Queueing>), Stop> {
    context.count(|counts| counts.requests += 1);
    let persists = framing.persistent && !last && !context.is_draining();
    let connection = reply::Connection { persists, says_so: framing.says_keep_alive };
    match reply::begin(context, socket, session, clock, reply, connection) {
        Ok(queueing) => Ok((persists, queueing)),
        Err(unsent) => Err(unsent.into_stop(context, session, framing.to_head)),
    }
}

/// Waits for what a request waits for, and serves it as far as that needs no further wait. Its head has been
/// waited for since `began`, in milliseconds on the worker's clock.
async fn after_wait<'l>(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    lookups: &'l Lookups,
    clock: &mut RequestClock,
    (began, last): (u64, bool),
    waits: Waits<'l>,
) -> Result<Serving<'l>, Stop> {
    let (framing, mut reply) = match waits {
        Waits::Head => {
            clock.enter(Stage::Head);
            let gathered = gather_head(context, socket, session, began).await;
            if gathered.is_err() {
                clock.head(session.reader.plaintext(), usize::MAX);
            }
            gathered?;
            clock.resumes(Stage::Parse, || received_ago(socket));
            return Ok(Serving::Begins);
        }
        Waits::Lookup(framing, kept, want) => {
            clock.enter(Stage::Process);
            let reply = find_out(context, kept, want, lookups).await?;
            clock.compressed(lookups.compressing());
            (framing, reply)
        }
        Waits::Content(framing, reply) => (framing, reply),
    };
    if framing.has_body() {
        clock.enter(Stage::Body);
        body::discard(context, socket, session, &framing, reply.terms()).await?;
        clock.resumes(Stage::Respond, || received_ago(socket));
    } else {
        clock.enter(Stage::Respond);
    }
    session.refresh_key(socket).await?;
    let responded = respond(context, socket, session, clock, (&framing, last), &mut reply)?;
    Ok(match responded {
        (persists, None) => Serving::Answered(persists),
        (persists, Some(queueing)) => {
            Serving::Queueing(queueing, reply, (persists, framing.to_head))
        }
    })
}

/// The first bytes of plaintext are a request's head and the content that was taken with it, and are done with.
fn take_head(session: &mut Session, clock: &mut RequestClock, framing: &Framing) {
    let Framing { head, taken, .. } = *framing;
    clock.head(session.reader.plaintext(), head);
    session.reader.consume_copied(head, taken);
    session.reader.expects(match framing.body {
        BodyLength::Length(length) => length,
        // Where content ends that is chunked is seen when its end comes.
        BodyLength::None | BodyLength::Chunked => 0,
    });
}

/// Reads on until an incomplete head is worth another look.
async fn gather_head(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    began: u64,
) -> Result<(), Stop> {
    let terms = context.terms();
    let limits = &terms.head_limits;
    let refuse = |session: &Session, status, why| {
        Stop::Refuse(Refusal::of_head(status, why, session.reader.plaintext()))
    };
    let until = began.saturating_add(terms.timeouts.head.as_millis() as u64);
    let mut scan = HeadScan::default();
    // What is there was found incomplete; this only takes note of its lines.
    let _ = scan.worth_parsing(session.reader.plaintext(), limits);
    loop {
        if !session.fill_at_hand(socket)? {
            session.flush(socket).await?;
            let filled = session.fill(socket);
            let filled = context.unless_draining(filled, began, DRAIN_GRACE);
            match context.ring.until(until, filled).await {
                Ok(Some(filled)) => filled?,
                Ok(None) => {
                    return Err(refuse(session, Status::ServiceUnavailable, Why::ServerDrain));
                }
                Err(Elapsed) => {
                    return Err(refuse(session, Status::RequestTimeout, Why::ServerTimeout));
                }
            }
        }
        if scan.worth_parsing(session.reader.plaintext(), limits) {
            return Ok(());
        }
    }
}
