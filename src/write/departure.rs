//! A send in flight, until all of its load has left. It is polled and owned: dropping a future that
//! waited for it does not end it, and meanwhile its connection can read.

use std::{io, rc::Rc, task::Poll};

use super::{WriteError, sealing::Load};
use crate::{
    observe::Sending,
    ring::{Flight, Message, Ring, SendBuf, Socket},
};

/// A load on its way.
#[derive(Debug)]
pub(super) struct Departure {
    state: State,
    /// The requests that end when it has left, and how it leaves.
    pub(super) sending: Sending,
    /// Bytes of a buffer that have left, and that are to.
    sent: usize,
    used: usize,
    /// When the current send has to have left something, in milliseconds on the worker's clock.
    until: u64,
}

#[derive(Debug)]
enum State {
    Buffer(Flight<SendBuf>),
    Message(Flight<Box<Message>>),
    /// Nothing is in flight: the rest is to be submitted.
    Resting(Load),
    /// All has left.
    Gone,
}

impl State {
    /// Submits a load but for its first `sent` bytes, which a message knows itself.
    #[inline]
    fn flying(ring: &Rc<Ring>, socket: &Socket, load: Load, sent: usize) -> Self {
        match load {
            Load::Buffer(buffer, used) => Self::Buffer(ring.begin_send(socket, buffer, sent..used)),
            Load::Message(message) => Self::Message(ring.begin_message(socket, message)),
        }
    }
}

impl Departure {
    /// Submits a load, of which each send has `stall` milliseconds.
    pub(super) fn begin(
        ring: &Rc<Ring>,
        socket: &Socket,
        load: Load,
        sending: Sending,
        stall: u64,
    ) -> Self {
        let used = if let Load::Buffer(_, used) = &load { *used } else { 0 };
        let state = State::flying(ring, socket, load, 0);
        Self { state, sending, sent: 0, used, until: ring.now().saturating_add(stall) }
    }

    /// Submits what has not left.
    #[cold]
    pub(super) fn submit(&mut self, ring: &Rc<Ring>, socket: &Socket, stall: u64) {
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Resting(load) => State::flying(ring, socket, load, self.sent),
            flying => flying,
        };
        self.until = ring.now().saturating_add(stall);
    }

    /// How many bytes the send in flight has taken. What is left rests until it is submitted. None: it
    /// was interrupted, or the ring was full, so that others are first.
    pub(super) fn poll(&mut self, ring: &Ring) -> Poll<Result<Option<usize>, WriteError>> {
        let State::Buffer(flight) = &mut self.state else { return self.poll_other(ring) };
        let Poll::Ready((result, buffer)) = flight.poll() else { return self.poll_stalled(ring) };
        // Nearly every send takes all that there is.
        if let Ok(count) = result
            && count > 0
            && self.sent + count == self.used
        {
            self.sent = self.used;
            self.state = State::Gone;
            drop(buffer);
            return Poll::Ready(Ok(Some(count)));
        }
        Poll::Ready(self.land(ring, result, Load::Buffer(buffer, self.used)))
    }

    /// The same of what is no buffer.
    #[inline(never)]
    fn poll_other(&mut self, ring: &Ring) -> Poll<Result<Option<usize>, WriteError>> {
        let State::Message(flight) = &mut self.state else { return Poll::Ready(Ok(None)) };
        let Poll::Ready((result, message)) = flight.poll() else { return self.poll_stalled(ring) };
        Poll::Ready(self.land(ring, result, Load::Message(message)))
    }

    #[inline(never)]
    fn land(
        &mut self,
        ring: &Ring,
        result: io::Result<usize>,
        mut load: Load,
    ) -> Result<Option<usize>, WriteError> {
        self.state = State::Gone;
        let count = match result {
            Ok(0) => return Err(WriteError::Socket(io::ErrorKind::WriteZero.into())),
            Ok(count) => Some(count),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => None,
            Err(error) => return Err(WriteError::Socket(error)),
        };
        // None: the kernel had no room, and took nothing.
        let taken = count.unwrap_or(0);
        let rest = match &mut load {
            Load::Buffer(_, used) => {
                self.sent += taken;
                let Some(rest) = used.checked_sub(self.sent) else {
                    return Err(WriteError::Defect("more was sent than there is"));
                };
                rest
            }
            Load::Message(message) => {
                message.advance(taken);
                message.remaining()
            }
        };
        match load {
            load if rest > 0 => self.state = State::Resting(load),
            Load::Message(message) => ring.put_back_message(message),
            Load::Buffer(..) => {}
        }
        Ok(count)
    }

    fn poll_stalled<T>(&self, ring: &Ring) -> Poll<Result<T, WriteError>> {
        ring.poll_until(self.until).map(|()| Err(WriteError::Stalled))
    }

    /// Nothing more is sent: gives the memory back. The requests that ride on it end with it.
    pub(super) fn give_up(&mut self) {
        self.state = State::Gone;
    }

    /// Whether what is left has to be submitted.
    pub(super) fn is_resting(&self) -> bool {
        matches!(self.state, State::Resting(_))
    }

    /// Whether all has left.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Gone)
    }
}
