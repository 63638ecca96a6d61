//! One request and its response: takes a connection, sends, receives, gives the connection back.
//!
//! The invariant: a request of which a server may have acted on a byte is sent again only if that does
//! no harm (RFC 9110 section 9.2.2), and never after a byte of a response; a connection goes back only
//! after an entirely ordinary exchange.

use std::{rc::Rc, task::Poll};

use super::{
    ahead::Ahead,
    attempt::{Attempt, Attempted},
    connection::Connection,
    failure::Reason,
    outstanding::Outstanding,
    pool::{Held, Pool, Tunnel},
    sender::Outgoing,
    shared::{Grant, NoPlace, Place, Taken, Wish},
    talk::{Talk, Talked},
};
use crate::{
    observe::{FromServer, Passed},
    parse::BodyLength,
    respond::forward::{Hop, Present, TrailersOf, end_of_request, trailer_fields},
    ring::{Chunk, Content, ReadInto},
};

/// Where the content of a request comes from.
pub(crate) trait RequestContent {
    /// The next piece; None at the end. Pending: the caller is polled again when there is one.
    fn poll_piece(&mut self) -> Poll<Option<Chunk>>;
    /// Whether nothing comes behind what was handed over.
    fn is_ended(&self) -> bool;
    /// The trailer lines behind the content, once it has ended, as the client sent them.
    fn take_trailers(&mut self) -> Box<[u8]>;
}

/// A request, ready to be sent.
#[derive(Debug)]
pub(crate) struct Request {
    /// What its connection begins with, which serves nothing else then; empty: nothing.
    pub(crate) preface: Vec<u8>,
    /// Its head but for the end ([`end_of_request`]).
    pub(crate) head: Vec<u8>,
    pub(crate) is_head: bool,
    /// The protocol that it asks to switch to.
    pub(crate) switch: Option<String>,
    /// The client gets interim responses.
    pub(crate) interim: bool,
    /// The client accepts trailers behind the response.
    pub(crate) trailers: bool,
    /// It may run twice (RFC 9110 section 9.2.2).
    pub(crate) is_idempotent: bool,
    /// Servers do not expect content with its method.
    pub(crate) content_is_unusual: bool,
    pub(crate) body: BodyLength,
    /// What a pool that hashes goes by.
    pub(crate) key: u64,
}

/// The head of a response, as the client gets it.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 100 to 599: interim heads come before the final one, where they are wanted.
    pub(crate) status: u16,
    /// Field lines, each with its CRLF, and which are among them.
    pub(crate) lines: Vec<u8>,
    pub(crate) present: Present,
    /// Bytes of content, if they are known.
    pub(crate) length: Option<u64>,
}

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Content of the request.
    Client,
    /// Its turn in line.
    Line,
    Connect,
    /// The server, to take the request and to begin its response.
    Head,
    /// The server, for more of its response.
    Content,
}

/// An exchange. Dropping it ends it: its connection is closed.
pub(crate) struct Exchange {
    pub(super) pool: Rc<Pool>,
    pub(super) request: Request,
    pub(super) stage: Stage,
    /// Content that was held before a connection was taken.
    pub(super) held: Vec<Chunk>,
    pub(super) held_bytes: usize,
    pub(super) holding: Option<Held>,
    /// The request with all of its head, once it is known how it is framed.
    head: Option<Content>,
    framed: BodyLength,
    /// All of the content is in `held`.
    pub(super) whole: bool,
    tries_left: u32,
    /// The server that failed the request.
    except: Option<usize>,
    /// Only a fresh connection will do: a second try.
    fresh_only: bool,
    outstanding: Option<Outstanding>,
    /// The place of a request that asks to switch.
    tunnel: Option<Tunnel>,
    /// Trailer lines of content that is held whole; then those of the response.
    trailers: Vec<u8>,
    /// What the access log and the ledger say of it.
    pub(super) passed: Passed,
    /// Content of the response that the client has not taken.
    pub(super) ahead: Ahead,
}

pub(super) enum Stage {
    Holding,
    Choosing,
    InLine(super::shared::LineTicket, u64),
    Attempting(Box<Attempt>),
    Talking(Box<Talk>),
    Over,
}

impl Exchange {
    /// Begins an exchange with a server of the pool.
    pub(crate) fn new(pool: &Rc<Pool>, request: Request) -> Self {
        use std::sync::atomic::Ordering::Relaxed;
        pool.shared.counts.tries.fetch_add(1, Relaxed);
        Self {
            framed: request.body,
            tries_left: pool.shared.options.tries,
            pool: Rc::clone(pool),
            fresh_only: !request.preface.is_empty(),
            request,
            stage: Stage::Holding,
            held: Vec::new(),
            held_bytes: 0,
            holding: None,
            head: None,
            whole: false,
            except: None,
            outstanding: None,
            tunnel: None,
            trailers: Vec::new(),
            passed: Passed::proxied(),
            ahead: Ahead::default(),
        }
    }

    /// What the access log says of it so far.
    pub(crate) fn passed(&self) -> Passed {
        self.passed
    }

    /// It is sent to this server, or will be once that is connected.
    fn note_try(&mut self, server: usize, reused: bool) {
        if let Some(server) = self.pool.shared.servers().get(server) {
            self.passed.tried(server.logged, reused);
        }
    }

    /// What it waits for.
    pub(crate) fn waits(&self) -> Waits {
        match &self.stage {
            Stage::Holding => Waits::Client,
            Stage::Choosing | Stage::InLine(..) => Waits::Line,
            Stage::Attempting(_) => Waits::Connect,
            Stage::Talking(talk) => talk.waits(),
            Stage::Over => Waits::Content,
        }
    }

    /// Polls for the head of the response.
    pub(crate) fn poll_head(
        &mut self,
        content: &mut impl RequestContent,
    ) -> Poll<Result<Answer, Reason>> {
        loop {
            match &mut self.stage {
                Stage::Holding => {
                    if self.poll_hold(content).is_pending() {
                        return Poll::Pending;
                    }
                    self.frame(content);
                    self.stage = Stage::Choosing;
                }
                Stage::Choosing => {
                    if let Err(reason) = self.choose() {
                        return self.fail(reason);
                    }
                }
                Stage::InLine(ticket, until) => match ticket.take() {
                    Some(grant) => self.granted(grant),
                    None if self.pool.ring().poll_until(*until).is_ready() => {
                        self.pool.shared.count_refused();
                        return self.fail(Reason::Busy);
                    }
                    None => return Poll::Pending,
                },
                Stage::Attempting(attempt) => match attempt.poll(&self.pool) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Attempted::Connected(connection)) => self.talk(connection, true),
                    Poll::Ready(Attempted::Failed(reason, server)) => {
                        self.outstanding = None;
                        // What this host lacks (ports, descriptors) is no failure of the server.
                        if reason != Reason::Local {
                            self.pool.shared.failed(server, self.pool.random());
                        }
                        // Nothing was sent: any method may be sent elsewhere.
                        if let Err(reason) = self.again(reason, server) {
                            return self.fail(reason);
                        }
                    }
                },
                Stage::Talking(talk) => {
                    let Poll::Ready(talked) = talk.poll_head(&self.pool, content) else {
                        // What cannot be sent again is not held for it.
                        if !self.request.is_idempotent && talk.sent_any() {
                            self.held.clear();
                            self.whole = false;
                        }
                        return Poll::Pending;
                    };
                    match talked {
                        Talked::Head(answer) if answer.status < 200 && answer.status != 101 => {
                            return Poll::Ready(Ok(answer));
                        }
                        Talked::Head(answer) => {
                            self.passed.answered = true;
                            if answer.status != 101 {
                                self.tunnel = None;
                            }
                            // Nobody asks for content that is not there.
                            if talk.is_over() {
                                self.finish();
                            }
                            return Poll::Ready(Ok(answer));
                        }
                        Talked::Failed { reason, server, harmless, unused } => {
                            self.outstanding = None;
                            let shared = &self.pool.shared;
                            match unused {
                                None => shared.failed(server, self.pool.random()),
                                Some(age) if reason == Reason::Terminated => {
                                    shared.closed_as_it_was_used(server, age);
                                }
                                Some(_) => {}
                            }
                            // Not one answered too late: that doubles the load of an overloaded one.
                            let in_time =
                                !matches!(reason, Reason::ResponseTimeout | Reason::SendTimeout);
                            let ended = matches!(reason, Reason::Terminated);
                            let may = harmless || (self.request.is_idempotent && self.whole);
                            if !(ended && in_time && may) {
                                return self.fail(reason);
                            }
                            if let Err(reason) = self.again(reason, server) {
                                return self.fail(reason);
                            }
                        }
                    }
                }
                Stage::Over => return Poll::Ready(Err(Reason::Terminated)),
            }
        }
    }

    /// Polls for the next content of the response; None at its end.
    pub(crate) fn poll_chunk(
        &mut self,
        content: &mut impl RequestContent,
    ) -> Poll<Option<Result<Chunk, Reason>>> {
        if let Some(next) = self.ahead.next() {
            return Poll::Ready(Some(next));
        }
        let Stage::Talking(talk) = &mut self.stage else { return Poll::Ready(None) };
        match talk.poll_chunk(&self.pool, content) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Some(chunk))) => {
                self.passed.content.add(talk.origin_of(&chunk));
                // Who knows the length does not ask for the end behind it.
                if talk.is_over() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(chunk)))
            }
            Poll::Ready(Ok(None)) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Err(reason)) => {
                self.end_with(reason);
                Poll::Ready(Some(Err(reason)))
            }
        }
    }

    /// Bytes of content that are still to come, if they can be received straight into memory now.
    pub(crate) fn relays(&mut self) -> Option<u64> {
        match &mut self.stage {
            Stage::Talking(talk) if self.ahead.is_empty() => talk.relays(),
            _ => None,
        }
    }

    /// Receives what has arrived into this memory, which it takes at the first call: None if nothing has,
    /// else the memory and how many bytes are in it.
    pub(crate) fn poll_relay(
        &mut self,
        memory: &mut Option<ReadInto>,
    ) -> Poll<Result<Option<(ReadInto, usize)>, Reason>> {
        // While memory was waited for, content may have been taken ahead, or be on its way to that.
        if memory.is_some() && self.relays().is_none() {
            *memory = None;
            return Poll::Ready(Ok(None));
        }
        let Stage::Talking(talk) = &mut self.stage else { return Poll::Ready(Ok(None)) };
        let polled = talk.poll_relay(&self.pool, memory);
        match polled {
            Poll::Ready(Err(reason)) => self.end_with(reason),
            Poll::Ready(Ok(Some(_))) if talk.is_over() => self.finish(),
            Poll::Ready(Ok(_)) | Poll::Pending => {}
        }
        polled
    }

    /// So many bytes of content were copied, as the client did not take them.
    pub(crate) fn note_held(&mut self, count: usize) {
        self.passed.content.add(FromServer { held: count as u64, ..FromServer::default() });
    }

    /// Gives back the connection, if the response has no content or all of it was read.
    pub(super) fn finish(&mut self) {
        if let Stage::Talking(mut talk) = std::mem::replace(&mut self.stage, Stage::Over) {
            self.trailers = talk.take_trailers();
            let shared = !self.pool.sends_proxy();
            if let Some(connection) =
                talk.into_reusable(!self.request.content_is_unusual).filter(|_| shared)
            {
                self.pool.give_back(connection);
            }
        }
        self.outstanding = None;
    }

    /// The trailer lines of the response, once it is over.
    pub(crate) fn take_trailers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.trailers)
    }

    fn fail(&mut self, reason: Reason) -> Poll<Result<Answer, Reason>> {
        self.end_with(reason);
        Poll::Ready(Err(reason))
    }

    /// It is over: its connection is closed.
    pub(super) fn end_with(&mut self, reason: Reason) {
        self.stage = Stage::Over;
        self.outstanding = None;
        self.passed.reason = reason.name();
    }

    /// Tries once more, if that is allowed; else the failure is the answer.
    fn again(&mut self, reason: Reason, failed: usize) -> Result<(), Reason> {
        if self.tries_left == 0 || !self.pool.shared.may_try_again() {
            return Err(reason);
        }
        self.tries_left -= 1;
        self.except = Some(failed);
        self.fresh_only = true;
        self.stage = Stage::Choosing;
        Ok(())
    }

    /// Decides how the content is framed, and ends the head.
    fn frame(&mut self, content: &mut impl RequestContent) {
        if self.whole {
            self.trailers = trailer_fields(&content.take_trailers(), TrailersOf::Request);
        }
        self.framed = match self.request.body {
            // Nothing else has trailers.
            _ if !self.trailers.is_empty() => BodyLength::Chunked,
            BodyLength::None => BodyLength::None,
            // Held whole, chunked content goes on with its length: many applications read none
            // without one.
            BodyLength::Chunked if self.whole => BodyLength::Length(self.held_bytes as u64),
            other => other,
        };
        let mut head = std::mem::take(&mut self.request.preface);
        let alone = !head.is_empty();
        if alone {
            head.append(&mut self.request.head);
        } else {
            head = std::mem::take(&mut self.request.head);
        }
        let options = &self.pool.shared.options;
        let hop = match &self.request.switch {
            Some(protocol) => Hop::Switches(protocol),
            None if alone || options.keep == 0 || options.keep_idle.is_zero() => Hop::Closes,
            None => Hop::Persists,
        };
        end_of_request(&mut head, self.framed, hop, self.request.trailers);
        self.head = Some(Content::Gathered(Rc::new(head)));
    }

    /// Takes an unused connection, a place for a new one, or a place in line.
    fn choose(&mut self) -> Result<(), Reason> {
        let pool = Rc::clone(&self.pool);
        let shared = &pool.shared;
        if self.request.switch.is_some() && self.tunnel.is_none() {
            self.tunnel = Some(pool.open_tunnel().ok_or(Reason::Tunnels)?);
        }
        let wish = Wish { random: pool.random(), key: self.request.key, except: self.except };
        let server = shared.choose(&wish);
        if !self.fresh_only
            && !shared.is_waited_for()
            && let Some(connection) = pool.take_unused(server, self.longest_unused(server))
        {
            self.talk(connection, false);
            return Ok(());
        }
        match shared.take(server, || pool.ring().waker()) {
            Ok(Taken::Room(place)) => self.attempt(place),
            Ok(Taken::Wait(ticket)) => {
                // A receive buffer is not to wait in line.
                self.copy_held();
                let wait = shared.options.wait.as_millis() as u64;
                let until = pool.ring().now().saturating_add(wait);
                self.stage = Stage::InLine(ticket, until);
            }
            Err(NoPlace::LineFull) => {
                shared.count_refused();
                return Err(Reason::Busy);
            }
        }
        Ok(())
    }

    fn longest_unused(&self, server: usize) -> u64 {
        self.pool.shared.longest_unused(server, self.request.is_idempotent)
    }

    fn granted(&mut self, grant: Grant) {
        match grant {
            Grant::Room(place) => self.attempt(place),
            Grant::Unused(parcel) => {
                let server = parcel.place.server();
                if self.fresh_only || parcel.unused >= self.longest_unused(server) {
                    let place = Connection::from_parcel(self.pool.ring(), parcel).into_place();
                    match place {
                        Some(place) => self.attempt(place),
                        None => self.stage = Stage::Choosing,
                    }
                    return;
                }
                let connection = Connection::from_parcel(self.pool.ring(), parcel);
                self.talk(connection, false);
            }
        }
    }

    fn attempt(&mut self, place: Place) {
        self.outstanding = Some(Outstanding::new(&self.pool, place.server()));
        self.note_try(place.server(), false);
        self.stage = Stage::Attempting(Box::new(Attempt::new(&self.pool, place)));
    }

    fn talk(&mut self, connection: Box<Connection>, fresh: bool) {
        if self.outstanding.is_none() {
            self.outstanding = Some(Outstanding::new(&self.pool, connection.server()));
        }
        if !fresh {
            self.note_try(connection.server(), true);
        }
        self.pool.shared.count_used(fresh);
        // Nor is it to wait for a response, for the case that the request has to be sent again.
        if self.request.is_idempotent {
            self.copy_held();
        }
        let Some(head) = self.head.clone() else { return };
        let outgoing = Outgoing {
            framed: self.framed,
            head,
            held: &self.held,
            whole: self.whole,
            trailers: &self.trailers,
        };
        let unused = (!fresh).then(|| connection.unused());
        let talk = Talk::new(&self.pool, connection, unused, &self.request, outgoing);
        self.stage = Stage::Talking(Box::new(talk));
    }
}
