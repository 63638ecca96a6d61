//! Long content of a server on its way to a client of HTTP/2: received into the memory that it is sent from,
//! in the layout of frames.
//!
//! The invariant: one stream of a connection relays at a time, and only what both windows and the socket have
//! room for is received, when nothing waits to leave before it. What of it the client then takes back (a
//! window that SETTINGS has made smaller, or others have used) moves into memory of its own, so that no
//! send memory waits for a client.

use std::task::{Poll, ready};

use super::{
    Connection, Stop,
    exchange::{Exchange, NO_EXCHANGE, lane_of},
    gather::{FRAMES_TOO_LONG, Sent},
    streams::Slot,
};
use crate::{
    conn::exchange::Failure,
    observe::Why,
    respond::h2 as respond,
    ring::{Chunk, ReadInto},
};

/// What a receive into memory has brought.
pub(super) type Received = Result<Option<(ReadInto, usize)>, Failure>;

/// How far a stream is that relays.
#[derive(Debug)]
pub(super) enum Relaying {
    /// It waits for its turn, and for memory then.
    Asked,
    Receiving,
    /// So many bytes of content lie in memory, to leave next.
    Here(ReadInto, usize),
}

/// A stream that relays, and waits for memory for so many bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct RelayWish {
    slot: Slot,
    rest: u64,
}

impl Exchange {
    /// Polls a receive into memory, which it takes at the first call.
    fn poll_receive(&mut self, memory: &mut Option<ReadInto>) -> Poll<Received> {
        let source = self.responder.content().and_then(|content| content.relay());
        source.map_or(Poll::Ready(Err(Failure::NO_CONTENT)), |source| source.poll_relay(memory))
    }

    /// Polls the receive that is in flight.
    pub(super) fn poll_received(&mut self) -> Poll<Received> {
        self.poll_receive(&mut None)
    }

    /// Whether content can be received into the memory that it is sent from: that of a stated length.
    pub(super) fn can_relay(&mut self) -> bool {
        let source = self.responder.content().and_then(|content| content.relay());
        self.left.is_some() && source.is_some_and(|source| source.relays().is_some())
    }
}

impl Connection<'_> {
    /// Content of a stream is to be received into the memory that it is sent from.
    pub(super) fn ask_to_relay(&mut self, slot: Slot) -> Result<(), Stop> {
        self.streams.at(slot)?.exchange.as_mut().ok_or(NO_EXCHANGE)?.relaying =
            Some(Relaying::Asked);
        self.relaying = Some(slot);
        self.chunk_is_next(slot)
    }

    /// The turn of a stream that relays: begins to receive, or sends what was received.
    pub(super) fn send_relayed(&mut self, slot: Slot, allowed: u32) -> Result<Sent, Stop> {
        self.seal()?;
        if self.session.writer.gathered() > 0 || self.session.writer.is_departing() {
            // It leaves first: what it takes of the socket is not known yet.
            return Ok(Sent::Blocked);
        }
        let exchange = self.streams.at(slot)?.exchange.as_mut().ok_or(NO_EXCHANGE)?;
        match exchange.relaying.take() {
            Some(Relaying::Here(memory, count)) if count <= allowed as usize => {
                self.depart_relayed(slot, memory, count, allowed)
            }
            Some(Relaying::Asked) => {
                let left = exchange.left.ok_or(Stop::defect("relayed content has no length"))?;
                let rest = left.min(allowed.into());
                exchange.relaying = Some(Relaying::Asked);
                self.relay_wish = Some(RelayWish { slot, rest });
                match self.poll_relay_wish() {
                    Poll::Ready(begun) => begun.map(|()| Sent::Content(0)),
                    Poll::Pending => Ok(Sent::Blocked),
                }
            }
            here @ Some(Relaying::Here(..)) => {
                exchange.relaying = here;
                self.set_relayed_aside()?;
                Ok(Sent::Content(0))
            }
            Some(Relaying::Receiving) | None => {
                Err(Stop::defect("a stream that has nothing to relay is scheduled"))
            }
        }
    }

    /// Begins to receive once there is memory, and room in the socket.
    pub(super) fn poll_relay_wish(&mut self) -> Poll<Result<(), Stop>> {
        let most = self.most_of_a_frame() as usize;
        let Some(RelayWish { slot, rest }) = self.relay_wish else { return Poll::Ready(Ok(())) };
        if self.relaying == Some(slot) {
            let rest = usize::try_from(rest).unwrap_or(usize::MAX);
            let writer = &mut self.session.writer;
            let memory = ready!(writer.poll_framed_memory(self.socket, rest, most));
            self.relay_wish = None;
            let memory = memory.map_err(Stop::from);
            return Poll::Ready(memory.and_then(|memory| self.receive_relayed(slot, memory)));
        }
        // The stream has ended meanwhile.
        self.relay_wish = None;
        Poll::Ready(Ok(()))
    }

    fn receive_relayed(&mut self, slot: Slot, memory: ReadInto) -> Result<(), Stop> {
        self.schedule.remove(&mut self.streams, slot);
        let ring = &self.context.ring;
        let stream = self.streams.at(slot)?;
        let exchange = stream.exchange.as_mut().ok_or(NO_EXCHANGE)?;
        exchange.relaying = Some(Relaying::Receiving);
        let (mut waker, mut memory) = (exchange.waker.take(), Some(memory));
        let (polled, until) =
            ring.in_lane(lane_of(slot), &mut waker, || exchange.poll_receive(&mut memory));
        exchange.waker = waker;
        self.exchange_deadline = self.exchange_deadline.min(until);
        match polled {
            Poll::Ready(received) => {
                if !self.relayed(slot, received)? {
                    self.streams.stir(slot);
                }
                Ok(())
            }
            Poll::Pending => Ok(()),
        }
    }

    /// A receive into memory has ended. False if it has brought nothing: then the responder is to be polled.
    pub(super) fn relayed(&mut self, slot: Slot, received: Received) -> Result<bool, Stop> {
        let now = self.now();
        let exchange = self.streams.at(slot)?.exchange.as_mut().ok_or(NO_EXCHANGE)?;
        exchange.relaying = None;
        let (memory, count) = match received {
            Ok(Some(received)) => received,
            // Nothing had arrived: chunks bring what comes next.
            Ok(None) => {
                self.relaying = None;
                return Ok(false);
            }
            Err(failure) => return self.cut(slot, failure.why).map(|()| true),
        };
        let Some(rest) = exchange.left.and_then(|left| left.checked_sub(count as u64)) else {
            return Err(Stop::defect("more was received than there is content"));
        };
        exchange.left = Some(rest);
        (exchange.waits, exchange.moved_at) = (None, now);
        exchange.relaying = Some(Relaying::Here(memory, count));
        self.chunk_is_next(slot)?;
        let allowed = self.window.available().min(self.streams.at(slot)?.window.available());
        if (allowed as usize) < count {
            self.set_relayed_aside()?;
        }
        Ok(true)
    }

    fn depart_relayed(
        &mut self,
        slot: Slot,
        (memory, places): ReadInto,
        count: usize,
        allowed: u32,
    ) -> Result<Sent, Stop> {
        self.relaying = None;
        let stream = self.streams.at(slot)?;
        let id = stream.id;
        let beyond = stream.exchange.as_ref().ok_or(NO_EXCHANGE)?.left;
        let mut left = beyond.map(|beyond| beyond.saturating_add(count as u64));
        let mut head = |length: u32| {
            left = left.and_then(|left| left.checked_sub(length.into()));
            respond::data(id, length, left == Some(0))
        };
        stream.relayed += count as u64;
        let most = self.most_of_a_frame() as usize;
        self.session.writer.depart_frames(self.socket, (memory, places), count, most, &mut head)?;
        left.ok_or(FRAMES_TOO_LONG)?;
        self.departing_stream = self.last_stream;
        self.sent_chunk(slot, count as u32, allowed, true, beyond == Some(0))?;
        Ok(Sent::Content(count as u64))
    }

    /// What was received and may not leave now moves into memory of its own: its send memory goes back.
    pub(super) fn set_relayed_aside(&mut self) -> Result<(), Stop> {
        let Some(slot) = self.relaying else { return Ok(()) };
        let exchange = self.streams.at(slot)?.exchange.as_mut().ok_or(NO_EXCHANGE)?;
        let here = exchange.relaying.take_if(|relaying| matches!(relaying, Relaying::Here(..)));
        let Some(Relaying::Here((memory, places), count)) = here else { return Ok(()) };
        self.relaying = None;
        // Counted before it is taken.
        if !exchange.held.grow_for_client(count) {
            return self.cut(slot, Why::ServerError);
        }
        let mut bytes = Vec::with_capacity(count);
        for place in places {
            let length = place.len().min(count - bytes.len());
            let piece = memory.get(place.start..place.start + length);
            bytes.extend_from_slice(piece.ok_or(FRAMES_TOO_LONG)?);
        }
        if let Some(source) = exchange.responder.content().and_then(|content| content.relay()) {
            source.set_aside(count);
        }
        exchange.aside = count;
        exchange.put_chunk(Chunk::from(bytes));
        Ok(())
    }
}
