//! The receiving side of an established connection, whichever layer opens its records.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    rc::Rc,
    task::{Poll, ready},
};

use super::{ReadError, decrypt::Decrypt, gathered::Gathered, held::Held, low_water::LowWater};
use crate::{
    observe::Taken,
    record::{
        ContentType, MAX_PLAINTEXT, Opener, RecordError, TlsVersion, TrafficKeys, parse_control,
    },
    ring::{Arrived, ControlRecord, Flight, ReceiveStream, Received, RecvBuf, Ring, Socket},
};

/// What a wait for more has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// There is more plaintext than before.
    More,
    /// The peer sent close_notify: nothing more will come.
    Closed,
    /// The peer changed its keys: [`Reader::rekey`] before anything else is read.
    KeyUpdate {
        /// It wants ours changed as well.
        requested: bool,
    },
}

/// The receiving side of an established connection.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(super) ring: Rc<Ring>,
    pub(super) stream: ReceiveStream,
    pub(super) decrypt: Decrypt,
    pub(super) version: TlsVersion,
    /// The bytes that are being opened and read.
    pub(super) held: Option<Held>,
    /// What follows them and was moved out of its buffers, see [`Self::set_aside`].
    pub(super) aside: VecDeque<Arrived>,
    /// The beginning of a record whose rest has not arrived; one record at most.
    pub(super) partial: Vec<u8>,
    /// Plaintext that did not come in one piece.
    pub(super) gathered: Gathered,
    /// A control record that the kernel has opened, on its way to us. Nothing else is received
    /// meanwhile. Boxed: few connections ever have one.
    control: Option<Box<Flight<ControlRecord>>>,
    pub(super) control_in_a_row: u8,
    /// How much of long content wakes the current task.
    pub(super) low_water: LowWater,
    /// More was consumed than there was.
    pub(super) overdrawn: bool,
    /// What was received.
    pub(super) taken: Taken,
    /// Nanoseconds spent opening records.
    pub(super) opening: u64,
}

impl Reader {
    /// Control records in a row that are tolerated: alerts that change nothing, key updates.
    pub(crate) const MAX_CONTROL_IN_A_ROW: u8 = 16;

    /// Continues where the handshake ended: `stream` receives once at a time. `early` is a lease
    /// whose bytes from an index on came behind the handshake. With `kernel`, the kernel takes over
    /// at the first record boundary.
    pub(crate) fn new(
        ring: &Rc<Ring>,
        stream: ReceiveStream,
        keys: TrafficKeys,
        kernel: bool,
        early: Option<(RecvBuf, usize)>,
    ) -> Self {
        let opener = Opener::new(&keys);
        let version = keys.version();
        let decrypt = if kernel {
            Decrypt::HandingOver(opener, Box::new(keys))
        } else {
            Decrypt::User(opener)
        };
        let sealed = early.as_ref().map_or(0, |(lease, from)| lease.len().saturating_sub(*from));
        let taken = Taken { sealed: sealed as u64, ..Taken::default() };
        let held = early.map(|(lease, from)| Held::records(Arrived::Lease(lease), from));
        Self { held, taken, ..Self::over(ring, stream, decrypt, version) }
    }

    /// A connection without TLS, whose first bytes have come: those from the byte `from` on.
    pub(crate) fn plain(
        ring: &Rc<Ring>,
        stream: ReceiveStream,
        first: RecvBuf,
        from: usize,
    ) -> Self {
        let mut held = Held::opened(Arrived::Lease(first));
        held.consume(from);
        let held = Some(held);
        Self { held, ..Self::over(ring, stream, Decrypt::Plain, TlsVersion::Tls13) }
    }

    fn over(ring: &Rc<Ring>, stream: ReceiveStream, decrypt: Decrypt, version: TlsVersion) -> Self {
        Self {
            ring: Rc::clone(ring),
            stream,
            decrypt,
            version,
            held: None,
            aside: VecDeque::new(),
            partial: Vec::new(),
            gathered: Gathered::default(),
            control: None,
            control_in_a_row: 0,
            low_water: LowWater::default(),
            overdrawn: false,
            taken: Taken::default(),
            opening: 0,
        }
    }

    /// The plaintext that has arrived and has not been consumed.
    pub(crate) fn plaintext(&self) -> &[u8] {
        if self.gathered.is_empty() {
            self.held.as_ref().map_or(&[], Held::plaintext)
        } else {
            self.gathered.plaintext()
        }
    }

    /// Whether the connection has no TLS.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.decrypt, Decrypt::Plain)
    }

    /// Whether the kernel opens the records.
    pub(crate) fn is_kernel(&self) -> bool {
        matches!(self.decrypt, Decrypt::Kernel)
    }

    /// What was received since this was last asked.
    pub(crate) fn take_taken(&mut self) -> Taken {
        std::mem::take(&mut self.taken)
    }

    /// Nanoseconds spent opening records since this was last asked.
    pub(crate) fn take_opening(&mut self) -> u64 {
        std::mem::take(&mut self.opening)
    }

    /// Lets go of the first `count` bytes of plaintext. What is emptied by that is given back. If
    /// there are fewer, the next wait for more ends with [`ReadError::Defect`].
    pub(crate) fn consume(&mut self, count: usize) {
        let fits = if self.gathered.is_empty() {
            self.held.as_mut().map_or(count == 0, |held| held.consume(count))
        } else {
            self.gathered.consume(count)
        };
        self.overdrawn |= !fits;
        self.give_back_if_spent();
    }

    /// `length` bytes of content follow what was consumed, part of which may be here already: while
    /// they come fast, the current task is woken for much at once.
    pub(crate) fn expects(&mut self, length: u64) {
        let held = self.held.as_ref().map_or(0, Held::remaining);
        let here = held + self.gathered.plaintext().len() + self.partial.len();
        // The mark is for whom TCP wakes; where the kernel opens records, that is the kernel.
        let opens = matches!(self.decrypt, Decrypt::User(_) | Decrypt::Plain);
        self.low_water.expects(if opens { length.saturating_sub(here as u64) } else { 0 });
    }

    /// Opens what has arrived without waiting. None if more has to come from the socket.
    pub(crate) fn fill_at_hand(&mut self) -> Result<Option<Filled>, ReadError> {
        loop {
            if let Some(filled) = self.open_next()? {
                return Ok(Some(filled));
            }
            let Some(arrived) = self.next_at_hand() else { return Ok(None) };
            if self.take_in(arrived) {
                return Ok(Some(Filled::More));
            }
        }
    }

    /// Whether [`Self::fill_at_hand`] has something to look at.
    #[inline]
    pub(crate) fn has_at_hand(&self) -> bool {
        self.held.is_some() || !self.aside.is_empty() || self.stream.has_next()
    }

    /// Waits for more plaintext, or for a control record that the caller must know of.
    pub(crate) async fn fill(&mut self, socket: &Socket) -> Result<Filled, ReadError> {
        poll_fn(|_| self.poll_fill(socket)).await
    }

    /// Waits for more plaintext, or for a control record that the caller must know of. All that a
    /// wait has begun is kept here: a future around it may be dropped at any time. The current task
    /// is woken by the ring.
    pub(crate) fn poll_fill(&mut self, socket: &Socket) -> Poll<Result<Filled, ReadError>> {
        loop {
            if let Some(filled) = self.open_next()? {
                return Poll::Ready(Ok(filled));
            }
            if self.control.is_some() {
                if let Some(filled) = ready!(self.poll_control())? {
                    return Poll::Ready(Ok(filled));
                }
                continue;
            }
            if let Some(arrived) = self.aside.pop_front() {
                if self.take_in(arrived) {
                    return Poll::Ready(Ok(Filled::More));
                }
                continue;
            }
            self.approach_hand_over(socket)?;
            // A waiting connection holds no lease: a few hundred heads without an end would else be
            // enough to leave nobody a buffer.
            self.gather_held();
            self.held = None;
            let Poll::Ready(received) = self.stream.poll_next() else {
                if let Err(error) = self.low_water.waits(&self.ring, socket) {
                    return Poll::Ready(Err(ReadError::Socket(error)));
                }
                return Poll::Pending;
            };
            match received {
                Received::Data(lease) => {
                    self.expect_more();
                    if self.take_in(Arrived::Lease(lease)) {
                        return Poll::Ready(Ok(Filled::More));
                    }
                }
                Received::End if self.is_plain() => return Poll::Ready(Ok(Filled::Closed)),
                Received::End => return Poll::Ready(Err(ReadError::Truncated)),
                Received::Failed(error) => self.receiving_failed(socket, error)?,
            }
        }
    }

    /// A receive has failed: the connection has, or a control record waits, which is asked for.
    #[cold]
    fn receiving_failed(&mut self, socket: &Socket, error: io::Error) -> Result<(), ReadError> {
        if !self.is_kernel() {
            return Err(ReadError::Socket(error));
        }
        if error.raw_os_error() != Some(libc::EIO) {
            return Err(ReadError::from_kernel(error));
        }
        let flight = self.ring.begin_receive_control(socket, MAX_PLAINTEXT);
        self.control = Some(Box::new(flight));
        Ok(())
    }

    /// Waits for the control record that was asked for, if one was. None: it changes nothing.
    #[cold]
    fn poll_control(&mut self) -> Poll<Result<Option<Filled>, ReadError>> {
        let Some(flight) = &mut self.control else { return Poll::Ready(Ok(None)) };
        let (result, record) = ready!(flight.poll());
        self.control = None;
        let record = result.map(|len| record.into_record(len));
        let (content_type, payload) = record.map_err(ReadError::from_kernel)?;
        Poll::Ready(self.take_control(content_type, &payload))
    }

    /// Cancels what is armed and waits until the kernel has let go of it.
    pub(crate) async fn stop(&mut self) {
        self.held = None;
        self.control = None;
        self.aside = VecDeque::new();
        self.stream.stop().await;
    }

    fn next_at_hand(&mut self) -> Option<Arrived> {
        self.aside.pop_front().or_else(|| self.stream.next_if_ready().map(Arrived::Lease))
    }

    /// Takes what came from the socket. True if its bytes are plaintext already.
    #[inline]
    fn take_in(&mut self, bytes: Arrived) -> bool {
        self.gather_held();
        self.low_water.came(self.ring.now(), bytes.len());
        if !self.is_kernel() && !self.is_plain() {
            self.taken.sealed += bytes.len() as u64;
            self.held = Some(Held::records(bytes, 0));
            return false;
        }
        self.take_plaintext_in(bytes);
        true
    }

    #[inline(never)]
    fn take_plaintext_in(&mut self, bytes: Arrived) {
        // What comes without TLS is nobody's to open.
        if self.is_kernel() {
            self.taken.plain += bytes.len() as u64;
        }
        self.control_in_a_row = 0;
        if self.gathered.is_empty() {
            self.held = Some(Held::opened(bytes));
        } else {
            self.held = None;
            self.gather(&bytes);
        }
    }

    /// Takes a control record that made the kernel answer EIO, by the type that the kernel noted.
    fn take_control(
        &mut self,
        content_type: Option<u8>,
        payload: &[u8],
    ) -> Result<Option<Filled>, ReadError> {
        let known = |byte| ContentType::from_byte(byte).ok_or(RecordError::UnknownType(byte));
        match content_type.map_or(Ok(ContentType::ApplicationData), known)? {
            ContentType::ApplicationData if payload.is_empty() => Err(ReadError::Truncated),
            ContentType::ApplicationData => {
                self.gather_held();
                self.gather(payload);
                Ok(Some(Filled::More))
            }
            other => self.act_on(parse_control(self.version, other, payload)?),
        }
    }

    /// Appends to the gathered plaintext.
    pub(super) fn gather(&mut self, bytes: &[u8]) {
        self.taken.note_copy(matches!(self.decrypt, Decrypt::Kernel), bytes.len());
        self.gathered.append(bytes);
    }

    /// Moves the plaintext out of the bytes that are held, because more is to stand behind it.
    #[inline]
    pub(super) fn gather_held(&mut self) {
        if self.held.as_ref().is_some_and(Held::has_plaintext) {
            self.gather_plaintext();
        }
    }

    fn gather_plaintext(&mut self) {
        let Some(held) = &mut self.held else { return };
        let bytes = held.take_plaintext();
        self.taken.note_copy(matches!(self.decrypt, Decrypt::Kernel), bytes.len());
        self.gathered.append(bytes);
    }

    /// Gives the bytes that are held back, if there is nothing left to open or read in them.
    pub(super) fn give_back_if_spent(&mut self) {
        if self.held.as_ref().is_some_and(Held::is_spent) {
            self.held = None;
        }
    }
}
