//! Multishot operations as streams: one submission, many completions, armed again when the
//! kernel ends them for reasons of its own.

use std::{collections::VecDeque, future::poll_fn, io, os::fd::OwnedFd, rc::Rc, task::Poll};

use super::{
    Descriptor, RecvBuf, Ring, TaskId,
    line::Place,
    op::{Kind, OpId, Submission},
    table::Payload,
};

/// What a receive brings.
#[derive(Debug)]
pub(crate) enum Received {
    /// Bytes, in a lease of the receive pool.
    Data(RecvBuf),
    /// The peer closed its side (FIN).
    End,
    /// The connection failed, or (EIO on kernel TLS) a control record waits to be taken.
    Failed(io::Error),
}

/// Receives on one socket, which it keeps open. Not armed until first asked.
#[derive(Debug)]
pub(crate) struct ReceiveStream {
    ring: Rc<Ring>,
    socket: Descriptor,
    op: Option<OpId>,
    /// What is armed is multishot, whatever the mode has become since.
    multishot: bool,
    /// In line for a buffer, instead of armed.
    place: Option<Place>,
    mode: Mode,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    /// One receive at a time, of at most so many bytes; 0: as many as fit a buffer.
    Single(u32),
    Multishot,
}

impl ReceiveStream {
    /// A stream that receives once at a time, so that nothing is read ahead: for the handshake.
    pub(crate) fn single(ring: &Rc<Ring>, socket: impl Into<Descriptor>) -> Self {
        let mode = Mode::Single(0);
        Self {
            ring: Rc::clone(ring),
            socket: socket.into(),
            op: None,
            multishot: false,
            place: None,
            mode,
        }
    }

    /// From the next receive on, take at most `limit` bytes at once: what a record still lacks.
    pub(crate) fn limit(&mut self, limit: u32) {
        self.mode = Mode::Single(limit);
    }

    /// From the next receive on, one submission receives until further notice.
    pub(crate) fn make_multishot(&mut self) {
        self.mode = Mode::Multishot;
    }

    /// The next bytes, or how the stream ended. After [`Received::Failed`] it may be asked again.
    pub(crate) async fn next(&mut self) -> Received {
        poll_fn(|_| self.poll_next()).await
    }

    /// Whether nothing is armed and nothing that arrived is left.
    pub(crate) fn is_at_rest(&mut self) -> bool {
        let Some(id) = self.op else { return true };
        let table = &mut self.ring.state.borrow_mut().table;
        let landed = table.is_drained(id);
        if landed {
            let _ = table.poll(id, self.ring.current.get());
            self.op = None;
        }
        landed
    }

    /// What has arrived already, without waiting.
    pub(crate) fn next_if_ready(&mut self) -> Option<RecvBuf> {
        self.ring.state.borrow_mut().table.next_received(self.op?)
    }

    /// Whether something has arrived that was not taken.
    pub(crate) fn has_next(&self) -> bool {
        self.op.is_some_and(|id| self.ring.state.borrow_mut().table.has_received(id))
    }

    /// As [`Self::next`], polled: the current task is woken for it.
    pub(crate) fn poll_next(&mut self) -> Poll<Received> {
        loop {
            let Some(id) = self.op else {
                if let Some(polled) = self.poll_arm() {
                    return polled;
                }
                continue;
            };
            let polled = {
                let table = &mut self.ring.state.borrow_mut().table;
                table.poll_received(id, self.ring.current.get())
            };
            let result = match polled {
                Poll::Ready(Ok(bytes)) => return Poll::Ready(Received::Data(bytes)),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(result)) => result,
            };
            if let Some(received) = self.ended(result) {
                return Poll::Ready(received);
            }
        }
    }

    /// Arms anew, once it is this connection's turn. None if that is done.
    #[inline(never)]
    fn poll_arm(&mut self) -> Option<Poll<Received>> {
        if let Some(place) = self.place {
            if self.ring.receive.is_waiting(place, self.ring.current.get()) {
                return Some(Poll::Pending);
            }
            self.place = None;
        }
        match self.arm() {
            Ok(id) => {
                self.op = Some(id);
                None
            }
            Err(error) => Some(Poll::Ready(Received::Failed(error))),
        }
    }

    /// What was armed has ended with this result. None if it is to be armed again.
    #[inline(never)]
    fn ended(&mut self, result: i32) -> Option<Received> {
        self.op = None;
        if self.multishot {
            let counts = &mut self.ring.state.borrow_mut().counts;
            counts.re_arms += u64::from(result != 0);
            counts.overflows += u64::from(result > 0);
        }
        match -result {
            0 => return Some(Received::End),
            // Out of buffers is no fault of this connection: it waits in line, and re-arms.
            libc::ENOBUFS => {
                self.place = Some(self.ring.receive.join(self.ring.current.get()));
            }
            // Cancelled by us for holding too much, interrupted, or ended by a completion
            // queue overflow (a success without F_MORE): armed again.
            libc::ECANCELED | libc::EINTR => {}
            error if error > 0 => {
                return Some(Received::Failed(io::Error::from_raw_os_error(error)));
            }
            // A multishot receive that ended with bytes, which were queued: armed again.
            _ => {}
        }
        None
    }

    fn arm(&mut self) -> io::Result<OpId> {
        self.multishot = matches!(self.mode, Mode::Multishot);
        let payload = Payload::Received(VecDeque::new());
        let mode = self.mode;
        let begun = self.ring.begin(Kind::Receive, self.socket.clone(), payload, |socket, _| {
            Ok(match mode {
                Mode::Single(limit) => Submission::Receive { socket, limit },
                Mode::Multishot => Submission::ReceiveMulti { socket },
            })
        });
        begun.map_err(|(refusal, _)| refusal.into_error())
    }

    /// Cancels what is armed. Whether the kernel has let go, and all that had arrived was taken; an end or
    /// a failure is still to be asked for. The current task is woken for it.
    pub(crate) fn comes_to_rest(&mut self) -> bool {
        self.leave_line();
        let Some(id) = self.op else { return true };
        self.ring.cancel(id);
        let table = &mut self.ring.state.borrow_mut().table;
        let landed = table.is_let_go(id);
        if landed {
            let _ = table.poll(id, self.ring.current.get());
            self.op = None;
        }
        landed
    }

    /// Cancels what is armed, without waiting for it: what arrives before the kernel lets go is
    /// delivered, and the next wait arms anew.
    pub(crate) fn pause(&mut self) {
        if let Some(id) = self.op {
            self.ring.cancel(id);
        }
    }

    /// Polls on behalf of another task, which is woken for what comes.
    pub(crate) fn poll_next_for(&mut self, task: TaskId) -> Poll<Received> {
        let ring = Rc::clone(&self.ring);
        let current = ring.current.replace(task);
        let polled = self.poll_next();
        ring.current.set(current);
        polled
    }

    /// Cancels what is armed. Once the kernel has let go: whether nothing came meanwhile, neither
    /// bytes nor an end. Bytes that came are dropped.
    pub(crate) fn poll_disarm(&mut self) -> Poll<bool> {
        self.leave_line();
        let Some(id) = self.op else { return Poll::Ready(true) };
        self.ring.cancel(id);
        let state = &mut *self.ring.state.borrow_mut();
        let Poll::Ready(result) = state.table.poll(id, self.ring.current.get()) else {
            return Poll::Pending;
        };
        self.op = None;
        Poll::Ready(matches!(-result, libc::ECANCELED | libc::EINTR | libc::ENOBUFS))
    }

    /// Cancels what is armed and waits until the kernel has let go: the first half of closing.
    /// What arrived meanwhile is dropped.
    pub(crate) async fn stop(&mut self) {
        self.leave_line();
        let Some(id) = self.op else { return };
        self.ring.cancel(id);
        poll_fn(|_| {
            let table = &mut self.ring.state.borrow_mut().table;
            while table.next_received(id).is_some() {}
            table.poll(id, self.ring.current.get()).map(drop)
        })
        .await;
        self.op = None;
    }

    fn leave_line(&mut self) {
        if let Some(place) = self.place.take() {
            self.ring.receive.leave(place);
        }
    }
}

impl Drop for ReceiveStream {
    fn drop(&mut self) {
        self.leave_line();
        if let Some(id) = self.op.take() {
            self.ring.orphan(id);
        }
    }
}

/// Accepts on one listener, multishot unless told otherwise.
#[derive(Debug)]
pub(crate) struct AcceptStream {
    ring: Rc<Ring>,
    listener: Descriptor,
    op: Option<OpId>,
    /// The next that is armed is multishot.
    multishot: bool,
    /// What is armed is.
    armed_multishot: bool,
}

impl AcceptStream {
    /// Not armed until first asked. It keeps the listener open.
    pub(crate) fn new(ring: &Rc<Ring>, listener: impl Into<Descriptor>) -> Self {
        Self {
            ring: Rc::clone(ring),
            listener: listener.into(),
            op: None,
            multishot: true,
            armed_multishot: false,
        }
    }

    /// Whether one submission is to accept all that come, or one only. A multishot that is armed
    /// stays so: see [`Self::is_multishot`].
    pub(crate) fn set_multishot(&mut self, multishot: bool) {
        self.multishot = multishot;
    }

    /// Whether a multishot is armed.
    pub(crate) fn is_multishot(&self) -> bool {
        self.op.is_some() && self.armed_multishot
    }

    /// The next connection, or why none came: EMFILE, ENFILE, ENOBUFS, ENOMEM and the errors of
    /// a connection that died in the queue (accept(2)). It may be asked again after each.
    pub(crate) fn poll_next(&mut self) -> Poll<io::Result<OwnedFd>> {
        loop {
            let Some(id) = self.op else {
                let payload = Payload::Accepted(VecDeque::new());
                let (listener, multishot) = (self.listener.clone(), self.multishot);
                self.armed_multishot = multishot;
                let begun = self.ring.begin(Kind::Accept, listener, payload, |listener, _| {
                    Ok(if multishot {
                        Submission::AcceptMulti { listener }
                    } else {
                        Submission::Accept { listener }
                    })
                });
                match begun {
                    Ok(id) => self.op = Some(id),
                    Err((refusal, _)) => return Poll::Ready(Err(refusal.into_error())),
                }
                continue;
            };
            let state = &mut *self.ring.state.borrow_mut();
            if let Some(socket) = state.table.next_accepted(id) {
                return Poll::Ready(Ok(socket));
            }
            let Poll::Ready(result) = state.table.poll(id, self.ring.current.get()) else {
                return Poll::Pending;
            };
            self.op = None;
            if self.armed_multishot {
                state.counts.re_arms += 1;
                state.counts.overflows += u64::from(result >= 0);
            }
            if result < 0 && result != -libc::ECANCELED {
                return Poll::Ready(Err(io::Error::from_raw_os_error(-result)));
            }
        }
    }

    /// Cancels what is armed and waits until the kernel has let go. Connections that it had
    /// accepted by then are returned: they are the server's to serve.
    pub(crate) async fn stop(&mut self) -> Vec<OwnedFd> {
        let mut last = Vec::new();
        let Some(id) = self.op else { return last };
        self.ring.cancel(id);
        poll_fn(|_| {
            let table = &mut self.ring.state.borrow_mut().table;
            while let Some(socket) = table.next_accepted(id) {
                last.push(socket);
            }
            table.poll(id, self.ring.current.get()).map(drop)
        })
        .await;
        self.op = None;
        last
    }
}

impl Drop for AcceptStream {
    fn drop(&mut self) {
        if let Some(id) = self.op.take() {
            self.ring.orphan(id);
        }
    }
}
