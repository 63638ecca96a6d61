//! A scripted ring: what is submitted is recorded, and completions come as the script says:
//! late, reordered, short, failing, twice. It drives the same table, pools and futures as the
//! real one, without a kernel. Or the polling backend carries the operations out, and the script has
//! only the clock and the sleep ([`polled()`]).

mod kernel;
mod polled;
mod reins;

use std::{
    collections::{HashMap, VecDeque},
    io,
    os::fd::RawFd,
    rc::Rc,
    time::Duration,
};

pub(crate) use kernel::{Asked, SimKernel, number_of, socket_pair};
pub(crate) use polled::polled;
pub(crate) use reins::Reins;

use super::{
    SendQueue,
    op::{Completion, OpId, Submission, Wait},
    receive_pool::ReceivePool,
    table::own,
};

#[cfg(test)]
impl super::RingConfig {
    /// A ring for tests, without send memory. Its queues hold more than any of them submits.
    pub(crate) fn small() -> Self {
        Self {
            queues: super::RingOptions { submissions: 64, completions: 512 },
            operations: 64,
            receive_buffers: 8,
            receive_buffer_len: 1024,
            leases: 4,
            send_memory: 0,
            rings: 1,
            connects: false,
            io: super::Io::default(),
        }
    }
}

/// The kernel's side of a scripted ring.
#[derive(Debug)]
pub(super) struct Scripted {
    pool: Rc<ReceivePool>,
    head: u16,
    /// Submissions per enter; more make the queue full.
    pub(super) room: usize,
    queued: Vec<(OpId, Submission)>,
    /// What was submitted and the script has not looked at. Closes are not among it: they are
    /// done at once.
    pub(super) submitted: VecDeque<(OpId, Submission)>,
    completions: VecDeque<Completion>,
    /// The worker's clock.
    pub(super) clock: Duration,
    /// Errors of the next enters, which then do nothing else.
    pub(super) refusals: VecDeque<i32>,
    /// How often the thread rested for want of anything better.
    pub(super) rests: usize,
    /// How long the last enter would have put the thread to sleep.
    pub(super) slept: Wait,
    /// What carries the operations out, if that is not the script.
    polled: Option<polled::Polled>,
    /// How full sockets are said to be, where that is not what the real one says.
    pub(super) send_queues: HashMap<RawFd, SendQueue>,
}

impl Scripted {
    pub(super) fn new(pool: Rc<ReceivePool>, room: usize) -> Self {
        Self {
            pool,
            head: 0,
            room,
            queued: Vec::new(),
            submitted: VecDeque::new(),
            completions: VecDeque::new(),
            clock: Duration::ZERO,
            refusals: VecDeque::new(),
            rests: 0,
            slept: Wait::Not,
            polled: None,
            send_queues: HashMap::new(),
        }
    }

    pub(super) fn push(&mut self, id: OpId, submission: &Submission) -> bool {
        let fits = self.queued.len() < self.room;
        if fits {
            self.queued.push((id, *submission));
        }
        fits
    }

    pub(super) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        if let Some(errno) = self.refusals.pop_front() {
            self.slept = Wait::Not;
            return Err(io::Error::from_raw_os_error(errno));
        }
        if let Some(polled) = &mut self.polled {
            self.slept = polled.enter(self.queued.drain(..), wait)?;
            return Ok(());
        }
        for (id, submission) in self.queued.drain(..) {
            if let Submission::Close { fd } = submission {
                drop(own(fd));
                self.completions.push_back(Completion { id, result: 0, more: false, buffer: None });
            } else {
                self.submitted.push_back((id, submission));
            }
        }
        self.slept = if self.completions.is_empty() { wait } else { Wait::Not };
        Ok(())
    }

    pub(super) fn next(&mut self) -> Option<Completion> {
        if let Some(polled) = &mut self.polled {
            return polled.next();
        }
        self.completions.pop_front()
    }

    /// Completes an operation without a buffer.
    pub(super) fn complete(&mut self, id: OpId, result: i32, more: bool) {
        self.completions.push_back(Completion { id, result, more, buffer: None });
    }

    /// Completes a receive with bytes. False if no buffer is published: the real kernel would
    /// say ENOBUFS.
    pub(super) fn deliver(&mut self, id: OpId, bytes: &[u8], more: bool) -> bool {
        let Some(buffer) = self.pool.fill_next(&mut self.head, bytes) else { return false };
        let result = bytes.len() as i32;
        self.completions.push_back(Completion { id, result, more, buffer: Some(buffer) });
        true
    }

    /// Takes a published buffer away without completing anything.
    #[cfg(test)]
    pub(super) fn take_buffer(&mut self) -> Option<u16> {
        self.pool.fill_next(&mut self.head, b"")
    }
}

impl super::Ring {
    /// What the script's clock shows, if the ring has one.
    pub(super) fn scripted_clock(&self) -> Option<Duration> {
        match &self.state.borrow().backend {
            super::Backend::Scripted(script) => Some(script.clock),
            super::Backend::Kernel(_) | super::Backend::Poll(_) => None,
        }
    }

    /// How full a socket is by the script, if the ring has one and it says so.
    pub(super) fn scripted_queue(&self, socket: RawFd) -> Option<SendQueue> {
        match &self.state.borrow().backend {
            super::Backend::Scripted(script) => script.send_queues.get(&socket).copied(),
            super::Backend::Kernel(_) | super::Backend::Poll(_) => None,
        }
    }
}
