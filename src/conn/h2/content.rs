//! Request content for responders: one piece at a time, when it is wanted. What comes before waits
//! here, in the worker's account, and the stream's window opens only as it is taken.

use super::{Connection, Stop, exchange::Step, streams::Slot};
use crate::{
    conn::exchange::{Failure, Fields},
    observe::Why,
    respond::{Status, h2 as respond},
    ring::Chunk,
};

impl Connection<'_> {
    /// Hands over what has arrived, if it is wanted. False if there is nothing: then the client is
    /// waited for, and asked to go on if it waits for that.
    pub(super) fn feed(&mut self, slot: Slot) -> Result<bool, Stop> {
        let now = self.now();
        let stream = self.streams.at(slot)?;
        let Some(exchange) = &mut stream.exchange else { return Ok(false) };
        if !exchange.intake.is_wanted() {
            exchange.waits_no_longer(now);
            return Ok(false);
        }
        if exchange.arrived.is_empty() {
            if exchange.ends {
                exchange.waits_no_longer(now);
                exchange.end_intake();
                return Ok(true);
            }
            exchange.wanted_since =
                if exchange.wanted_since == 0 { now.max(1) } else { exchange.wanted_since };
            if std::mem::take(&mut exchange.expects_continue) && exchange.step == Step::Head {
                let frame =
                    respond::continue_100(stream.id, std::mem::take(&mut self.table_lowered));
                self.reply(&frame)?;
            }
            return Ok(false);
        }
        exchange.waits_no_longer(now);
        let piece = std::mem::take(&mut exchange.arrived);
        exchange.held.shrink_by(piece.len());
        exchange.owed += piece.len() as u32;
        exchange.intake.put(Chunk::from(piece));
        if exchange.ends {
            exchange.end_intake();
        }
        self.give_back(slot)?;
        Ok(true)
    }

    /// Takes a stretch of the plaintext as content of a request that a responder answers; `consumed`
    /// bytes of it are done with. False if the stream has no responder: then nothing was taken.
    pub(super) fn take_content(
        &mut self,
        slot: Slot,
        data: std::ops::Range<usize>,
        consumed: usize,
    ) -> Result<bool, Stop> {
        let now = self.now();
        let Self { streams, session, .. } = self;
        let stream = streams.at(slot)?;
        let Some(exchange) = &mut stream.exchange else { return Ok(false) };
        let length = data.len();
        // Content has begun to come: the client does not wait for 100.
        exchange.expects_continue &= length == 0;
        if length == 0 {
            session.reader.consume(consumed);
            return Ok(true);
        }
        exchange.waits_no_longer(now);
        exchange.moved_at = now;
        if !exchange.is_two_way && !exchange.pace.keeps_up(exchange.waited, length) {
            session.reader.consume(consumed);
            self.refuse_content(slot, Status::RequestTimeout, Why::ServerTooSlow)?;
            return Ok(true);
        }
        if exchange.intake.is_wanted() && exchange.arrived.is_empty() {
            exchange.intake.put(session.reader.take(data, consumed));
            exchange.owed += length as u32;
            self.give_back(slot)?;
            self.poll_exchange(slot)?;
            return Ok(true);
        }
        let fits = exchange.held.grow_for_client(length);
        if fits && let Some(bytes) = session.reader.plaintext().get(data) {
            exchange.arrived.extend_from_slice(bytes);
        }
        session.reader.consume(consumed);
        if !fits {
            self.refuse_content(slot, Status::ServiceUnavailable, Why::ServerError)?;
        }
        Ok(true)
    }

    /// END_STREAM has come for a request that a responder answers, behind these trailers.
    pub(super) fn end_content(&mut self, slot: Slot, trailers: Vec<u8>) -> Result<(), Stop> {
        let now = self.now();
        let Some(exchange) = &mut self.streams.at(slot)?.exchange else { return Ok(()) };
        exchange.ends = true;
        exchange.waits_no_longer(now);
        if !trailers.is_empty() {
            if !exchange.held.grow_for_client(trailers.len()) {
                return self.refuse_content(slot, Status::ServiceUnavailable, Why::ServerError);
            }
            exchange.trailers = Fields::Lines(trailers);
        }
        if exchange.arrived.is_empty() {
            exchange.end_intake();
        }
        Ok(())
    }

    /// The content of a request is not taken: its client gets this status, or a reset behind a head.
    pub(super) fn refuse_content(
        &mut self,
        slot: Slot,
        status: Status,
        why: Why,
    ) -> Result<(), Stop> {
        self.fail(slot, Failure { status, why })
    }

    /// Opens the stream's window by what was handed over.
    fn give_back(&mut self, slot: Slot) -> Result<(), Stop> {
        let stream = self.streams.at(slot)?;
        let Some(exchange) = &mut stream.exchange else { return Ok(()) };
        if !self.replies.has_room() {
            return Ok(());
        }
        let owed = std::mem::take(&mut exchange.owed);
        let (id, open) = (stream.id, stream.remote_open);
        match stream.receive.consumed(owed) {
            Some(increment) if open => self.reply(&respond::window_update(id, increment)),
            _ => Ok(()),
        }
    }

    /// When the client of a stream has to have sent more content, in milliseconds.
    pub(super) fn content_deadline(&self, slot: Slot) -> Option<u64> {
        let stream = self.streams.get(slot)?;
        let exchange = stream.exchange.as_ref()?;
        let limit = stream.terms.timeouts.body_progress.as_millis() as u64;
        let waited_for = exchange.wanted_since > 0 && !exchange.is_two_way;
        waited_for.then(|| exchange.wanted_since.saturating_add(limit))
    }

    /// When one side of a two-way stream has to have sent something, in milliseconds. A window that
    /// is shut has a deadline of its own.
    pub(super) fn silence_deadline(&self, slot: Slot) -> Option<u64> {
        let stream = self.streams.get(slot)?;
        let exchange = stream.exchange.as_ref()?;
        let silent = exchange.is_two_way
            && (stream.remote_open || exchange.tunnel)
            && !exchange.has_chunk()
            && !exchange.responder.report().limits_silence;
        let timeouts = &stream.terms.timeouts;
        let limit = if exchange.tunnel { timeouts.tunnel_idle } else { timeouts.stream_idle };
        let limit = limit.as_millis() as u64;
        silent.then(|| exchange.moved_at.saturating_add(limit))
    }

    /// Why a stream is reset one of whose deadlines has passed.
    pub(super) fn why_late(&self, slot: Slot, now: u64) -> Why {
        let is_silent = self.silence_deadline(slot).is_some_and(|deadline| deadline <= now);
        let stream = self.streams.get(slot);
        let is_tunnel =
            stream.and_then(|stream| stream.exchange.as_ref()).is_some_and(|own| own.tunnel);
        if is_silent && is_tunnel { Why::ServerTunnelIdle } else { Why::ServerTimeout }
    }
}

impl super::exchange::Exchange {
    /// The client is not waited for, from `now` on.
    fn waits_no_longer(&mut self, now: u64) {
        let since = std::mem::take(&mut self.wanted_since);
        if since > 0 {
            self.waited += now.saturating_sub(since);
        }
    }
}
