//! A request and its response on one connection.
//!
//! The invariant: the response is read from the start, also while the request is sent, so that an early
//! answer is seen; nothing is read beyond what the client takes.

use std::{
    task::{Poll, ready},
    time::Duration,
};

use super::{
    connection::{Arrived, Connection},
    exchange::{Answer, Request, RequestContent, Waits},
    failure::Reason,
    pool::Pool,
    relay::{LIKELY_MORE, RELAYED},
    sender::{Outgoing, Sender},
};
use crate::{
    decode::BodyDecoder,
    observe::FromServer,
    parse::{
        BodyLength, FieldStorage, HeadScan,
        response::{
            Answered, ContentEnd, ResponseError, ResponseHead, keep_alive_timeout, response_head,
        },
    },
    respond::forward::{TrailersOf, response_fields, trailer_fields},
    ring::{Chunk, Content, Flight, ReadInto},
};

/// A request and its response on one connection.
pub(super) struct Talk {
    // Before the connection: what it lent to the kernel is let go first.
    pub(super) sender: Sender,
    pub(super) connection: Box<Connection>,
    /// Milliseconds for which the connection had been unused, if it is one that was kept.
    unused: Option<u64>,
    is_head: bool,
    /// The client gets interim responses.
    interim: bool,
    /// The client accepts trailers; and those that have come.
    trailers: Option<Vec<u8>>,
    /// The protocol that the request asks to switch to.
    switch: Option<String>,
    /// HTTP has ended: bytes of both sides are passed on as they are.
    tunnel: bool,
    /// Bytes of a head that has not come whole.
    stash: Vec<u8>,
    scan: HeadScan,
    interims: u32,
    /// Any byte of a response has come.
    responded: bool,
    /// The turn in which the last of the request was submitted, in nanoseconds on the worker's clock.
    asked: Option<u64>,
    /// The kernel has all of it.
    sent: bool,
    /// The deadline of the present wait, in milliseconds; of a wait for content, once it has begun: while
    /// the client is waited for, the server is not.
    pub(super) until: u64,
    pub(super) waiting: bool,
    /// What has come and was not handed over.
    pub(super) input: Option<Chunk>,
    pub(super) content: Ends,
    /// So far, the connection can be used again.
    reusable: bool,
    /// Much content of a stated length comes; and what of it has arrived is received into send memory next.
    pub(super) long: bool,
    pub(super) relays: bool,
    pub(super) relay: Option<Flight<ReadInto>>,
}

/// Where the content of the response ends.
#[derive(Debug)]
pub(super) enum Ends {
    /// The head has not come.
    Unknown,
    By(BodyDecoder),
    /// With the connection.
    Close,
    /// It has ended.
    Over,
}

/// What polling for a head came to.
pub(super) enum Talked {
    Head(Answer),
    Failed {
        reason: Reason,
        server: usize,
        /// No byte of the request was accepted by the kernel for a connection that was kept, so no
        /// server has seen any.
        harmless: bool,
        /// Milliseconds for which that one had been unused; None of a fresh one.
        unused: Option<u64>,
    },
}

impl Talk {
    pub(super) fn new(
        pool: &Pool,
        connection: Box<Connection>,
        unused: Option<u64>,
        request: &Request,
        outgoing: Outgoing<'_>,
    ) -> Self {
        let until = pool.ring().now().saturating_add(pool.shared.options.send.as_millis() as u64);
        Self {
            sender: Sender::new(outgoing),
            connection,
            unused,
            is_head: request.is_head,
            interim: request.interim,
            trailers: request.trailers.then(Vec::new),
            switch: request.switch.clone(),
            tunnel: false,
            stash: Vec::new(),
            scan: HeadScan::default(),
            interims: 0,
            responded: false,
            asked: None,
            sent: false,
            until,
            waiting: false,
            input: None,
            content: Ends::Unknown,
            reusable: false,
            long: false,
            relays: false,
            relay: None,
        }
    }

    /// What it waits for.
    pub(super) fn waits(&self) -> Waits {
        match self.content {
            Ends::Unknown if self.sender.waits_for_client() => Waits::Client,
            Ends::Unknown => Waits::Head,
            Ends::By(_) | Ends::Close | Ends::Over => Waits::Content,
        }
    }

    /// Polls for the head of the response.
    pub(super) fn poll_head(
        &mut self,
        pool: &Pool,
        content: &mut impl RequestContent,
    ) -> Poll<Talked> {
        loop {
            self.send(pool, content);
            // What came behind an interim response.
            if let Some(input) = self.input.take() {
                match self.take(pool, input) {
                    Ok(Some(answer)) => return Poll::Ready(Talked::Head(answer)),
                    Ok(None) => {}
                    Err(reason) => return self.failed(reason),
                }
            }
            match self.connection.poll_arrived() {
                Poll::Ready(Arrived::Data(input)) => {
                    self.responded = true;
                    match self.take(pool, input) {
                        Ok(Some(answer)) => return Poll::Ready(Talked::Head(answer)),
                        Ok(None) => {}
                        Err(reason) => return self.failed(reason),
                    }
                }
                Poll::Ready(Arrived::End | Arrived::Failed) => {
                    return self.failed(Reason::Terminated);
                }
                Poll::Pending => {
                    // A client that is waited for has deadlines of its own.
                    if self.sender.waits_for_client()
                        || pool.ring().poll_until(self.until).is_pending()
                    {
                        return Poll::Pending;
                    }
                    let sending = !self.sender.is_done();
                    let send_until = self.asked_until(pool.shared.options.send);
                    if sending && self.asked.is_some() && pool.ring().now() < send_until {
                        self.until = send_until;
                        continue;
                    }
                    let late = if sending { Reason::SendTimeout } else { Reason::ResponseTimeout };
                    return self.failed(late);
                }
            }
        }
    }

    fn failed(&self, reason: Reason) -> Poll<Talked> {
        let unseen = self.unused.is_some() && !self.sender.sent_any();
        // A response that had begun is none that ended before it began.
        let reason = match reason {
            Reason::Terminated if self.responded => Reason::Incomplete,
            reason => reason,
        };
        Poll::Ready(Talked::Failed {
            reason,
            server: self.connection.server(),
            harmless: unseen && !self.sender.has_streamed(),
            unused: self.unused,
        })
    }

    /// Sends what can be sent, and sets the deadline of what is waited for then.
    fn send(&mut self, pool: &Pool, content: &mut impl RequestContent) {
        let options = &pool.shared.options;
        let (moved, done) =
            (self.sender.drive(pool, &mut self.connection, content), self.sender.is_done());
        let now = pool.ring().now();
        if self.asked.is_none() && (done || self.sender.is_unwatched()) {
            self.asked = Some(pool.ring().turn_began());
            // Nothing else wakes the task before one of the two.
            let first = options.first_byte.min(options.send).as_millis() as u64;
            self.until = now.saturating_add(first);
        }
        if done && !self.sent {
            self.sent = true;
            self.until = self.asked_until(options.first_byte);
        } else if moved && !done {
            self.until = now.saturating_add(options.send.as_millis() as u64);
        }
    }

    /// When it is too late, that long after the last of the request was submitted.
    fn asked_until(&self, limit: Duration) -> u64 {
        let asked = self.asked.unwrap_or(u64::MAX) / 1_000_000;
        asked.saturating_add(limit.as_millis() as u64)
    }

    /// Takes bytes of a head. The final head, once it has come whole.
    fn take(&mut self, pool: &Pool, mut input: Chunk) -> Result<Option<Answer>, Reason> {
        loop {
            if !self.stash.is_empty() {
                self.stash.extend_from_slice(&input);
                if !self.scan.worth_parsing(&self.stash, &pool.limits) {
                    return Ok(None);
                }
                input = Chunk::from(std::mem::take(&mut self.stash));
            }
            let mut storage = FieldStorage::new();
            let answered = Answered { head: self.is_head, upgrade: self.switch.is_some() };
            let parsed = response_head(&input, &mut storage, &pool.limits, answered);
            let Some(head) = parsed.map_err(Reason::Head)? else {
                self.stash.extend_from_slice(&input);
                // What is there was found incomplete; this only takes note of its lines.
                let _ = self.scan.worth_parsing(&self.stash, &pool.limits);
                return Ok(None);
            };
            let length = head.length;
            if !head.is_interim() {
                let answer = self.answer(pool, &head);
                input.advance(length);
                self.input = (!input.is_empty()).then_some(input);
                return answer.map(Some);
            }
            self.interims += 1;
            if self.interims > pool.shared.options.interim {
                return Err(Reason::Interim);
            }
            // One that we did not wait for ourselves says something of the answer.
            let answer = (self.interim && head.status != 100).then(|| {
                let mut lines = Vec::with_capacity(head.length);
                let present = response_fields(&mut lines, head.fields);
                Answer { status: head.status, lines, present, length: None }
            });
            input.advance(length);
            self.scan = HeadScan::default();
            if answer.is_some() {
                self.input = (!input.is_empty()).then_some(input);
                return Ok(answer);
            }
            if input.is_empty() {
                return Ok(None);
            }
        }
    }

    fn answer(&mut self, pool: &Pool, head: &ResponseHead<'_, '_>) -> Result<Answer, Reason> {
        let options = &pool.shared.options;
        let asked = self.asked.unwrap_or(u64::MAX);
        let first_byte = pool.ring().turn_began().saturating_sub(asked) / 1_000;
        pool.shared.served(self.connection.server(), first_byte);
        self.connection.stated =
            keep_alive_timeout(head.fields).map_or(0, |seconds| u64::from(seconds) * 1_000);
        let (content, length) = match head.content {
            ContentEnd::Absent => (Ends::Over, head.stated_length.filter(|_| self.is_head)),
            ContentEnd::Length(0) => (Ends::Over, Some(0)),
            ContentEnd::Length(length) => {
                let decoder = BodyDecoder::new(BodyLength::Length(length), u64::MAX);
                (Ends::By(decoder.map_err(|_| Reason::Framing)?), Some(length))
            }
            ContentEnd::Chunked => {
                let decoder = BodyDecoder::new(BodyLength::Chunked, u64::MAX);
                let mut decoder = decoder.map_err(|_| Reason::Framing)?;
                if self.trailers.is_some() {
                    decoder.keep_trailers();
                }
                (Ends::By(decoder), None)
            }
            ContentEnd::Close => (Ends::Close, None),
        };
        self.long = length.is_some_and(|length| length >= RELAYED);
        self.relays = self.long;
        self.content = content;
        let ordinary = head.version == crate::parse::Version::Http11 && head.status != 101;
        self.reusable = head.persistent && ordinary && self.sender.is_done();
        self.until = pool.ring().now().saturating_add(options.between.as_millis() as u64);
        let mut lines = Vec::with_capacity(head.length);
        let present = response_fields(&mut lines, head.fields);
        if head.status == 101 {
            self.open_tunnel(pool, head, &mut lines)?;
        }
        Ok(Answer { status: head.status, lines, present, length })
    }

    /// The server has switched: from here on bytes are passed on both ways.
    fn open_tunnel(
        &mut self,
        pool: &Pool,
        head: &ResponseHead<'_, '_>,
        lines: &mut Vec<u8>,
    ) -> Result<(), Reason> {
        let protocol = self.switch.as_deref().unwrap_or("");
        let agreed = head.fields.get("upgrade");
        if !agreed.is_some_and(|agreed| agreed.eq_ignore_ascii_case(protocol.as_bytes())) {
            return Err(Reason::Head(ResponseError::UnaskedSwitch));
        }
        for piece in ["Upgrade: ", protocol, "\r\n"] {
            lines.extend_from_slice(piece.as_bytes());
        }
        self.content = Ends::Close;
        self.sender.open_tunnel();
        self.tunnel = true;
        self.until = self.next_deadline(pool);
        Ok(())
    }

    /// When more has to have come, in milliseconds.
    fn next_deadline(&self, pool: &Pool) -> u64 {
        let options = &pool.shared.options;
        let limit = if self.tunnel { options.tunnel_idle } else { options.between };
        pool.ring().now().saturating_add(limit.as_millis() as u64)
    }

    /// Waits until content has been waited for too long.
    pub(super) fn poll_late(&mut self, pool: &Pool) -> Poll<()> {
        if !std::mem::replace(&mut self.waiting, true) {
            self.until = self.next_deadline(pool);
        }
        pool.ring().poll_until(self.until)
    }

    /// Bytes of the next chunk, at most, if content can be taken ahead of the client: the request has left,
    /// and what is received goes into receive buffers, of `buffer` bytes.
    pub(super) fn longest_ahead(&self, buffer: usize) -> Option<usize> {
        let can_be = !self.tunnel && self.relay.is_none() && self.sender.is_done();
        can_be.then(|| self.connection.longest_chunk(buffer))
    }

    /// What was done with content that is handed over, before.
    pub(super) fn origin_of(&self, chunk: &Chunk) -> FromServer {
        let (count, none) = (chunk.len() as u64, FromServer::default());
        match chunk.parts().0 {
            _ if self.connection.is_secured() => FromServer { opened: count, ..none },
            Content::Gathered(_) => FromServer { held: count, ..none },
            _ => none,
        }
    }

    /// Whether the kernel accepted any byte of the request.
    pub(super) fn sent_any(&self) -> bool {
        self.sender.sent_any()
    }

    /// Whether the response has no content, or all of it was handed over.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.content, Ends::Over)
    }

    /// Polls for the next content; None at its end.
    pub(super) fn poll_chunk(
        &mut self,
        pool: &Pool,
        content: &mut impl RequestContent,
    ) -> Poll<Result<Option<Chunk>, Reason>> {
        loop {
            if let Some(chunk) = self.decode()? {
                self.waiting = false;
                return Poll::Ready(Ok(Some(chunk)));
            }
            if matches!(self.content, Ends::Over) {
                return Poll::Ready(Ok(None));
            }
            // A server may answer while it reads.
            if self.sender.drive(pool, &mut self.connection, content) && self.tunnel {
                self.waiting = false;
            }
            match self.connection.poll_arrived() {
                Poll::Ready(Arrived::Data(input)) => {
                    self.waiting = false;
                    self.relays = self.long && input.len() >= LIKELY_MORE;
                    self.input = Some(input);
                }
                Poll::Ready(Arrived::End) if matches!(self.content, Ends::Close) => {
                    self.content = Ends::Over;
                    self.reusable = false;
                }
                Poll::Ready(Arrived::End | Arrived::Failed) => {
                    return Poll::Ready(Err(Reason::Incomplete));
                }
                Poll::Pending => {
                    ready!(self.poll_late(pool));
                    let late = if self.tunnel { Reason::TunnelIdle } else { Reason::ReadTimeout };
                    return Poll::Ready(Err(late));
                }
            }
        }
    }

    /// The next content among what has come.
    fn decode(&mut self) -> Result<Option<Chunk>, Reason> {
        while let Some(input) = &mut self.input {
            let decoder = match &mut self.content {
                Ends::Close => return Ok(self.input.take()),
                // Bytes behind the end: the connection cannot be used again.
                Ends::Over | Ends::Unknown => {
                    self.reusable = false;
                    self.input = None;
                    return Ok(None);
                }
                Ends::By(decoder) => decoder,
            };
            let step = decoder.decode(input).map_err(|_| Reason::Framing)?;
            let data = input.part(step.data.clone());
            input.advance(step.consumed);
            let behind = !input.is_empty();
            if step.finished {
                if let Some(trailers) = &mut self.trailers {
                    *trailers = trailer_fields(&decoder.take_trailers(), TrailersOf::Response);
                }
                self.content = Ends::Over;
                self.reusable &= !behind;
            }
            if !behind || step.finished {
                self.input = None;
            }
            if !data.is_empty() {
                return Ok(Some(data));
            }
            if step.finished {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// The trailer lines of the response, once it is over, as they go on.
    pub(super) fn take_trailers(&mut self) -> Vec<u8> {
        let mut lines = Vec::new();
        if let Some(kept) = &mut self.trailers {
            lines.append(kept);
        }
        lines
    }

    /// The connection, if it can be used again. `usual`: the request had no content that servers do
    /// not expect.
    pub(super) fn into_reusable(self: Box<Self>, usual: bool) -> Option<Box<Connection>> {
        let ended = matches!(self.content, Ends::Over) && self.input.is_none();
        let Self { sender, connection, reusable, .. } = *self;
        let may = ended && reusable && sender.is_done() && (usual || !sender.had_content());
        drop(sender);
        may.then_some(connection)
    }
}
