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
    Context, DRAIN_GRACE, Session,
    exchange::{Answered, Lookups, find_out},
    received_ago,
    session::ending_of_write,
};
use crate::{
    close::Ending,
    observe::{RequestClock, Stage, Why},
    parse::HeadScan,
    respond::Status,
    ring::{Elapsed, Socket},
    write::WriteError,
};
use head::{Examined, Framing, Refusal, examine};

/// Requests that are answered in one go before other connections have their turn.
const REQUESTS_A_TURN: u32 = 32;

/// Why the loop of requests ended: what the connection is closed with, or a refusal to send first.
enum Stop {
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

/// Serves requests until the connection ends; says how to close it.
pub(super) async fn serve(context: &Rc<Context>, socket: &Socket, session: &mut Session) -> Ending {
    let mut clock = RequestClock::default();
    let stop = match requests(context, socket, session, &mut clock).await {
        Ok(ending) => return ending,
        Err(stop) => stop,
    };
    match stop {
        Stop::Close(ending) => ending,
        Stop::Refuse(refusal) => {
            Box::pin(reply::refuse(context, socket, session, &mut clock, refusal)).await
        }
    }
}

async fn requests(
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
        if !request(context, socket, session, clock, began, number >= most).await? {
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

/// Serves one request, whose first bytes are there and whose head was waited for since `began`, in
/// milliseconds on the worker's clock. False if it is the connection's last.
async fn request(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    clock: &mut RequestClock,
    began: u64,
    last: bool,
) -> Result<bool, Stop> {
    let lookups = Lookups::default();
    let mut reply;
    let framing = loop {
        match examine(context, socket, session, &lookups, clock) {
            Err(error) => return Err(error.into()),
            Ok(Examined::Decided(framing, decided)) => {
                reply = decided;
                take_head(session, clock, &framing);
                break framing;
            }
            Ok(Examined::Incomplete) => {
                clock.enter(Stage::Head);
                let gathered = Box::pin(gather_head(context, socket, session, began)).await;
                if gathered.is_err() {
                    clock.head(session.reader.plaintext(), usize::MAX);
                }
                gathered?;
                clock.resumes(Stage::Parse, || received_ago(socket));
            }
            Ok(Examined::Refused(refusal)) => return Err(Stop::Refuse(refusal)),
            Ok(Examined::Streamed(framing, served, mut responder, first)) => {
                take_head(session, clock, &framing);
                let is_due = first.is_none() && !framing.has_body();
                let first = if is_due {
                    Some(first::poll_first(clock, &framing, &mut *responder))
                } else {
                    first
                };
                let first = match first {
                    Some(Poll::Ready(Ok(Answered::Whole(whole)))) => {
                        responder.record(clock);
                        reply = if framing.to_head { whole.head_only() } else { whole };
                        break framing;
                    }
                    first => first,
                };
                // Boxed, so that a connection that waits for requests does not carry its state.
                let begun = streamed::Begun { framing, served, responder, first, last };
                let answered = streamed::answer(context, socket, session, clock, begun);
                return Box::pin(answered).await;
            }
            Ok(Examined::Wants(framing, kept, want)) => {
                take_head(session, clock, &framing);
                clock.enter(Stage::Process);
                reply = Box::pin(find_out(context, kept, want, &lookups)).await?;
                break framing;
            }
        }
    };
    clock.compressed(lookups.compressing());
    if framing.has_body() {
        clock.enter(Stage::Body);
        Box::pin(body::discard(context, socket, session, &framing, reply.terms())).await?;
        clock.resumes(Stage::Respond, || received_ago(socket));
    } else {
        clock.enter(Stage::Respond);
    }
    if session.writer.needs_key() {
        // Boxed: it is seldom, and the task does not carry its state.
        Box::pin(session.refresh_key(socket)).await?;
    }
    context.count(|counts| counts.requests += 1);
    let persists = framing.persistent && !last && !context.is_draining();
    let connection = reply::Connection { persists, says_so: framing.says_keep_alive };
    match reply::queue(context, socket, session, clock, &mut reply, connection).await {
        Ok(()) => Ok(persists),
        Err(unsent) => Err(unsent.into_stop(context, session, framing.to_head)),
    }
}

/// The first bytes of plaintext are a request's head and the content that was taken with it, and are done with.
fn take_head(session: &mut Session, clock: &mut RequestClock, framing: &Framing) {
    let Framing { head, taken, .. } = *framing;
    clock.head(session.reader.plaintext(), head);
    session.reader.consume_copied(head, taken);
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
