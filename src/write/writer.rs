//! The sending side of an established connection, whichever layer seals its records: gathering, and the one
//! send that is in flight.
//!
//! What is polled (`poll_…`) keeps its state here, so the future around it may be dropped and made
//! anew; each has its deadline. The asynchronous methods are for a task that has nothing else to do.

use std::{
    future::poll_fn,
    ops::Range,
    rc::Rc,
    task::{Poll, ready},
};

use super::{
    Pace, SendBounds, WriteError,
    departure::Departure,
    file::Reading,
    memory::Waits,
    observed::Notes,
    rekey::NextKeys,
    sealing::{Lasting, Load, Sealing},
};
use crate::{
    config::Timeouts,
    record::{AlertDescription, ContentType, MAX_OVERHEAD, TrafficKeys, encode_alert},
    ring::{Content, Pages, Ring, SendClass, Socket},
};

/// Kernel memory that a send takes besides its payload, at least.
const FRAME: usize = 2048;

/// What a socket takes without waiting for its peer when the handshake has ended: less than the
/// smallest send buffer that the kernel gives (`SOCK_MIN_SNDBUF`), since by its Finished the peer
/// has acknowledged all that was sent before. So the first small answer need not ask.
const AFTER_HANDSHAKE: usize = 4096;

/// What is known to follow a head and its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Following {
    /// Nothing.
    Nothing,
    /// Further answers: memory for a record is taken.
    Some,
    /// More answers than a record has room for: memory for several records is taken, if some is free.
    Many,
}

/// The sending side of an established connection.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(super) ring: Rc<Ring>,
    pub(super) sealing: Sealing,
    /// The send in flight, or the one that failed: the requests on it end when the connection has its
    /// reason.
    pub(super) departure: Option<Departure>,
    /// Boxed: few responses are of this kind.
    pub(super) reading: Option<Box<Reading>>,
    pub(super) waits: Waits,
    /// Other connections are to have their turn before the next piece of a file.
    pub(super) rests: bool,
    /// A send failed: what is sent next could stand behind half a record.
    failed: bool,
    /// Bytes that the socket takes without waiting for the peer; a lower bound.
    pub(super) open: usize,
    pub(super) pace: Pace,
    /// Milliseconds between two advances of a response, at most.
    pub(super) stall: u64,
    /// Boxed: few look at it, and connections are many.
    pub(super) next_keys: Box<NextKeys>,
    /// What was done with content, and how it left.
    pub(super) notes: Notes,
}

impl Writer {
    /// Begins with the keys of the handshake. With `kernel`, the kernel seals; the caller has
    /// installed the keys.
    pub(crate) fn new(
        ring: &Rc<Ring>,
        keys: &TrafficKeys,
        kernel: bool,
        timeouts: &Timeouts,
    ) -> Self {
        let sealing = if kernel {
            Sealing::kernel(keys.suite(), keys.sequence())
        } else {
            Sealing::user(keys)
        };
        Self::over(ring, sealing, timeouts)
    }

    /// Begins on a connection without TLS.
    pub(crate) fn plain(ring: &Rc<Ring>, timeouts: &Timeouts) -> Self {
        Self::over(ring, Sealing::plain(), timeouts)
    }

    fn over(ring: &Rc<Ring>, sealing: Sealing, timeouts: &Timeouts) -> Self {
        Self {
            ring: Rc::clone(ring),
            sealing,
            departure: None,
            reading: None,
            waits: Waits::default(),
            rests: false,
            failed: false,
            open: AFTER_HANDSHAKE,
            pace: Pace::new(timeouts.response_min_rate, timeouts.response_stall),
            stall: u64::try_from(timeouts.response_stall.as_millis()).unwrap_or(u64::MAX),
            next_keys: Box::default(),
            notes: Notes::default(),
        }
    }

    /// Goes by these bounds from here on: those of the response that is queued next.
    pub(crate) fn goes_by(&mut self, bounds: SendBounds) {
        self.pace.set(bounds);
        self.stall = bounds.stall;
    }

    /// Most bytes that [`Self::queue_sealed`] takes.
    pub(crate) const MAX_SEALED: usize = SendClass::RECORD_LEN;

    /// Begins the queue with records that the handshake has sealed: they leave with what is queued
    /// behind them, or with the next flush. Nothing may have been queued before them, and the
    /// kernel must not seal what comes behind.
    pub(crate) async fn queue_sealed(
        &mut self,
        socket: &Socket,
        records: &[u8],
    ) -> Result<(), WriteError> {
        self.pace.begin(self.ring.now());
        self.take_memory(socket, SendClass::Record, records.len()).await?;
        self.sealing.take_sealed(records)
    }

    /// Whether the connection has no TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.sealing.is_plain()
    }

    /// Whether the kernel takes plaintext: it seals the records, or there are none.
    pub(crate) fn is_kernel(&self) -> bool {
        self.sealing.is_kernel()
    }

    /// Bytes that are gathered and wait to leave, as they will be sent.
    pub(crate) fn gathered(&self) -> usize {
        self.sealing.waiting()
    }

    /// Whether a send is in flight.
    pub(crate) fn is_departing(&self) -> bool {
        self.departure.is_some()
    }

    /// Whether nothing waits to leave, and nothing is on its way.
    pub(crate) fn is_at_rest(&self) -> bool {
        !self.is_departing() && self.gathered() == 0
    }

    /// Makes room for `plain` bytes of head, sending what waits if there is none. `body` bytes
    /// are expected behind them, and `more` says that further responses are: that decides how
    /// large a buffer is taken.
    pub(crate) async fn reserve(
        &mut self,
        socket: &Socket,
        plain: usize,
        body: u64,
        more: bool,
    ) -> Result<(), WriteError> {
        poll_fn(|_| {
            let following = if more { Following::Some } else { Following::Nothing };
            self.poll_reserve(socket, plain, body, following)
        })
        .await
    }

    /// The same. May be dropped and called again, or left for good.
    ///
    /// # Errors
    /// As [`Self::poll_flush`] and [`Self::poll_memory`].
    pub(crate) fn poll_reserve(
        &mut self,
        socket: &Socket,
        plain: usize,
        body: u64,
        following: Following,
    ) -> Poll<Result<(), WriteError>> {
        if self.gathered() == 0 && !self.is_departing() && !self.waits.is_any() {
            self.pace.begin(self.ring.now());
        }
        let more = following != Following::Nothing;
        let (mut wanted, mut class) = self.sealing.wanted(plain, body, more);
        // What waits may have room, or has to leave. A connection at rest holds no memory.
        if self.sealing.holds_memory() || self.is_departing() || self.failed {
            if self.has_room(socket, plain, body, wanted)? {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_flush(socket))?;
        }
        if more {
            wanted = class.bytes();
        }
        if following == Following::Many && self.ring.has_send_buffer(SendClass::Bulk) {
            class = SendClass::Bulk;
        }
        ready!(self.poll_memory(socket, class, wanted))?;
        if self.sealing.make_room(plain, body, plain, self.ring.now())? {
            Poll::Ready(Ok(()))
        } else {
            Poll::Ready(Err(WriteError::Defect("a buffer has no room for a head")))
        }
    }

    /// Makes room for so many bytes that are lent, or a good part of them, once what waits has left.
    /// May be dropped and called again, or left for good.
    ///
    /// # Errors
    /// As [`Self::poll_flush`] and [`Self::poll_memory`].
    pub(crate) fn poll_reserve_to_lend(
        &mut self,
        socket: &Socket,
        rest: usize,
    ) -> Poll<Result<(), WriteError>> {
        ready!(self.poll_flush(socket))?;
        let (wanted, class) = self.sealing.wanted_to_lend(rest);
        self.poll_memory(socket, class, wanted)
    }

    /// Whether a head of `plain` bytes can be gathered behind what waits, and leave with it.
    fn has_room(
        &mut self,
        socket: &Socket,
        plain: usize,
        body: u64,
        wanted: usize,
    ) -> Result<bool, WriteError> {
        if !self.sealing.make_room(plain, body, wanted, self.ring.now())? {
            return Ok(false);
        }
        let waiting = self.gathered();
        if waiting > 0 && waiting + wanted > self.open {
            // A question to the kernel costs less than another send.
            self.open = socket.send_queue().map_err(WriteError::Socket)?.free();
        }
        Ok(waiting == 0 || waiting + wanted <= self.open)
    }

    /// Takes memory in which `wanted` bytes are to leave. Nothing may wait to leave.
    pub(super) async fn take_memory(
        &mut self,
        socket: &Socket,
        class: SendClass,
        wanted: usize,
    ) -> Result<(), WriteError> {
        poll_fn(|_| self.poll_memory(socket, class, wanted)).await
    }

    /// Takes memory to gather into, in which `wanted` bytes are to leave, once the socket has room
    /// for them or a good part of them and it is this connection's turn. Nothing may wait to leave.
    ///
    /// # Errors
    /// [`WriteError::Stalled`] and [`WriteError::TooSlow`] for a peer that takes nothing or little.
    pub(crate) fn poll_memory(
        &mut self,
        socket: &Socket,
        class: SendClass,
        wanted: usize,
    ) -> Poll<Result<(), WriteError>> {
        let memory = match self.buffer_at_hand(class, wanted) {
            Some(memory) => memory,
            None => ready!(self.poll_buffer(socket, class, wanted))?,
        };
        Poll::Ready(self.sealing.take_memory(memory, &self.ring))
    }

    /// Where the head goes that [`Self::reserve`] made room for.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.sealing.room()
    }

    /// Queues the first `len` bytes of [`Self::room`]; they wait for [`Self::flush`].
    ///
    /// # Errors
    /// [`WriteError::Defect`] if the room has less.
    pub(crate) fn commit(&mut self, len: usize) -> Result<(), WriteError> {
        self.commit_with(len, 0)
    }

    /// The same for a head and `copied` bytes of content behind it.
    pub(super) fn commit_with(&mut self, head: usize, copied: usize) -> Result<(), WriteError> {
        if head + copied == 0 {
            return Ok(());
        }
        self.note_head(head);
        self.sealing.commit(head + copied)
    }

    /// Queues a head and `copied` behind it, which is content.
    pub(super) fn commit_copied(&mut self, head: usize, copied: &[u8]) -> Result<(), WriteError> {
        self.note_head(head);
        self.notes.moved.copied += copied.len() as u64;
        self.sealing.commit_copied(head, copied)
    }

    /// Gathers as much of a range of pages as fits, without a copy; says how much.
    ///
    /// # Errors
    /// What the record layer says.
    pub(crate) fn lend(
        &mut self,
        pages: &Rc<Pages>,
        range: Range<usize>,
    ) -> Result<usize, WriteError> {
        self.lend_lasting(Lasting::Pages(pages), range)
    }

    /// The same of any content.
    ///
    /// # Errors
    /// What the record layer says.
    pub(crate) fn lend_content(
        &mut self,
        content: &Content,
        range: Range<usize>,
    ) -> Result<usize, WriteError> {
        self.lend_lasting(Lasting::Content(content), range)
    }

    fn lend_lasting(
        &mut self,
        lasting: Lasting<'_>,
        range: Range<usize>,
    ) -> Result<usize, WriteError> {
        let (now, open) = (self.ring.now(), self.open);
        self.sealing.lend(lasting, range, open, now, &mut self.notes.moved)
    }

    /// Sends all that waits, and gives its memory back. May be dropped and called again.
    ///
    /// # Errors
    /// The connection is then to be closed: nothing can be sent any more.
    pub(crate) async fn flush(&mut self, socket: &Socket) -> Result<(), WriteError> {
        poll_fn(|_| self.poll_flush(socket)).await
    }

    /// Sends all that waits, and gives its memory back.
    ///
    /// # Errors
    /// The connection is then to be closed: nothing can be sent any more.
    pub(crate) fn poll_flush(&mut self, socket: &Socket) -> Poll<Result<(), WriteError>> {
        loop {
            ready!(self.poll_departed(socket))?;
            if !self.sealing.holds_memory() {
                return Poll::Ready(Ok(()));
            }
            if !self.depart(socket)? {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Submits what waits, as one send. False if nothing waits, or a send is in flight.
    ///
    /// # Errors
    /// [`WriteError::GivenUp`] if a send has failed, and what the record layer says.
    pub(crate) fn depart(&mut self, socket: &Socket) -> Result<bool, WriteError> {
        if self.failed {
            return Err(WriteError::GivenUp);
        }
        if self.is_departing() {
            return Ok(false);
        }
        let Some(load) = self.sealing.close()? else { return Ok(false) };
        self.send(socket, load);
        Ok(true)
    }

    #[inline]
    pub(super) fn send(&mut self, socket: &Socket, load: Load) {
        self.note_submission();
        let sending = self.notes.gathering.depart();
        self.departure = Some(Departure::begin(&self.ring, socket, load, sending, self.stall));
    }

    /// Waits until the send in flight has left, if there is one. Its connection may gather and read
    /// meanwhile.
    ///
    /// # Errors
    /// The connection is then to be closed: nothing can be sent any more.
    #[inline]
    pub(crate) fn poll_departed(&mut self, socket: &Socket) -> Poll<Result<(), WriteError>> {
        if self.failed {
            return Poll::Ready(Err(WriteError::GivenUp));
        }
        if self.departure.is_none() { Poll::Ready(Ok(())) } else { self.poll_departing(socket) }
    }

    fn poll_departing(&mut self, socket: &Socket) -> Poll<Result<(), WriteError>> {
        while let Some(departure) = &mut self.departure {
            if departure.is_resting() {
                departure.submit(&self.ring, socket, self.stall);
            }
            let taken = ready!(departure.poll(&self.ring));
            let is_done = departure.is_done();
            let noted = match taken {
                Ok(Some(count)) => {
                    let turn = self.ring.turn_began();
                    // What was tried at once was submitted in this turn.
                    let in_turn = !departure.sending.has_begun_before(turn);
                    departure.sending.completed(if in_turn { self.ring.clock() } else { turn });
                    self.note_progress(count)
                }
                Ok(None) => {
                    self.ring.wake(self.ring.current());
                    return Poll::Pending;
                }
                Err(error) => Err(error),
            };
            if let Err(error) = noted {
                self.failed = true;
                if let Some(departure) = &mut self.departure {
                    departure.give_up();
                }
                return Poll::Ready(Err(error));
            }
            if is_done {
                self.note_departed(socket);
                if let Err(error) = self.follow_key_update(socket) {
                    self.failed = true;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes note that the kernel accepted `count` bytes.
    ///
    /// # Errors
    /// The peer takes less than the minimum rate.
    pub(super) fn note_progress(&mut self, count: usize) -> Result<(), WriteError> {
        self.open = self.open.saturating_sub(count + count / 16 + FRAME);
        self.sealing.note_sent(count);
        if self.pace.keeps_up(self.ring.now(), count) { Ok(()) } else { Err(WriteError::TooSlow) }
    }

    /// Sends a record of another type than application data, after all that waits.
    pub(super) async fn control(
        &mut self,
        socket: &Socket,
        content_type: ContentType,
        body: &[u8],
    ) -> Result<(), WriteError> {
        self.flush(socket).await?;
        self.take_memory(socket, SendClass::Small, MAX_OVERHEAD + body.len()).await?;
        self.sealing.control(content_type, body)?;
        self.flush(socket).await
    }

    /// Sends an alert; close_notify is one. Without TLS it sends what waits, and no more.
    pub(crate) async fn alert(
        &mut self,
        socket: &Socket,
        description: AlertDescription,
    ) -> Result<(), WriteError> {
        if self.is_plain() {
            return self.flush(socket).await;
        }
        self.control(socket, ContentType::Alert, &encode_alert(description)).await
    }
}
