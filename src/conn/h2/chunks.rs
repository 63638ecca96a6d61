//! Chunks of responders on their way: one for each stream, in frames as windows and the schedule allow.

use super::{
    Connection, Stop,
    exchange::{NO_EXCHANGE, Step},
    gather::{NO_CONTENT, Sent},
    room::LentFrom,
    streams::Slot,
};
use crate::{
    observe::{Stage, Why},
    parse::h2::FRAME_HEAD,
    respond::h2 as respond,
    ring::Chunk,
    write::COPIED,
};

impl Connection<'_> {
    /// A chunk is there: it is next, as far as windows and the schedule allow.
    pub(super) fn take_chunk(&mut self, slot: Slot, chunk: Chunk) -> Result<(), Stop> {
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
        exchange.put_chunk(chunk);
        (exchange.waits, exchange.moved_at) = (None, now);
        self.chunk_is_next(slot)
    }

    /// Content is there: it waits for its window, or for its turn.
    pub(super) fn chunk_is_next(&mut self, slot: Slot) -> Result<(), Stop> {
        let now = self.now();
        let stream = self.streams.at(slot)?;
        if stream.window.available() == 0 {
            stream.shut_at(now);
            stream.clock.enter(Stage::Window);
        } else {
            stream.clock.enter(Stage::Turn);
            self.schedule.insert(&mut self.streams, slot);
        }
        Ok(())
    }

    /// Gathers frames of a chunk: sealed from where it lies, or lent to the kernel; a copy if it is short.
    pub(super) fn send_chunk(&mut self, slot: Slot, allowed: u32) -> Result<Sent, Stop> {
        let frame = allowed.min(self.most_of_a_frame()) as usize;
        let exchange = self.streams.at(slot)?.exchange.as_ref().ok_or(NO_EXCHANGE)?;
        if exchange.relaying.is_some() {
            return self.send_relayed(slot, allowed);
        }
        let chunk = exchange.chunk.as_ref().map(|chunk| chunk.part(exchange.from..chunk.len()));
        let chunk = chunk.filter(|chunk| !chunk.is_empty());
        let chunk = chunk.ok_or(Stop::defect("a chunk is scheduled and not there"))?;
        let (rest, left) = (chunk.len(), exchange.left);
        // Content of unknown length is expected to end with this chunk.
        let expected = left.unwrap_or(0).saturating_add(rest as u64);
        let in_place = rest.min(allowed as usize) > COPIED;
        let count = if !in_place {
            let Some(count) = self.copy_chunk(slot, &chunk, expected, frame)? else {
                return Ok(Sent::Blocked);
            };
            count
        } else if self.session.writer.is_kernel() {
            if !self.reserve(FRAME_HEAD, expected)? {
                return Ok(Sent::Blocked);
            }
            let count = rest.min(frame);
            let stream = self.streams.at(slot)?;
            stream.in_place += count as u64;
            let id = stream.id;
            self.put(&respond::data(id, count as u32, left == Some(0) && count == rest))?;
            let (content, range) = chunk.into_parts();
            self.lend(LentFrom::Content(content), range.start..range.start + count)?;
            count as u32
        } else {
            let remaining = left.map(|left| left.saturating_add(rest as u64));
            let Some(count) = self.seal_content(slot, &chunk, remaining, allowed)? else {
                return Ok(Sent::Blocked);
            };
            count
        };
        self.streams.at(slot)?.exchange.as_mut().ok_or(NO_EXCHANGE)?.from += count as usize;
        let last = count as usize == rest;
        self.sent_chunk(slot, count, allowed, last, last && left == Some(0))?;
        Ok(Sent::Content(count.into()))
    }

    /// Gathers a frame of at most `most` bytes of a chunk by a copy. Says how many; None if there is no
    /// room now.
    fn copy_chunk(
        &mut self,
        slot: Slot,
        chunk: &Chunk,
        expected: u64,
        most: usize,
    ) -> Result<Option<u32>, Stop> {
        let Some(room) = self.room_for(chunk.len().min(most), expected)? else { return Ok(None) };
        let count = chunk.len().min(most).min(room);
        let stream = self.streams.at(slot)?;
        let exchange = stream.exchange.as_ref().ok_or(NO_EXCHANGE)?;
        let ends = exchange.left == Some(0) && count == chunk.len();
        let head = respond::data(stream.id, count as u32, ends);
        self.put(&head)?;
        self.put(chunk.get(..count).ok_or(NO_CONTENT)?)?;
        Ok(Some(count as u32))
    }

    /// Takes note of so much of a chunk that was gathered; `last`: it was the rest of it, and `ends`: of the
    /// content.
    pub(super) fn sent_chunk(
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
        let now = self.now();
        let stream = self.streams.at(slot)?;
        let exchange = stream.exchange.as_mut().ok_or(NO_EXCHANGE)?;
        (exchange.chunk, exchange.moved_at) = (None, now);
        exchange.held.shrink_by(std::mem::take(&mut exchange.aside));
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
}
