//! The polling backend under a script: it makes its system calls on real sockets and files, and the
//! script has the clock. It never sleeps but for a disk: where the thread would sleep, the script says
//! so to its player, who is the only other one that could wake it.

use std::{
    io,
    os::fd::BorrowedFd,
    rc::Rc,
    time::{Duration, Instant},
};

use super::{Scripted, kernel::is_clean};
use crate::ring::{
    Backend, Granted, Ring, RingConfig,
    op::{Completion, Kind, OpId, Submission, Wait},
    poll::Poll,
    receive_pool::ReceivePool,
    send_pool::SendPool,
};

/// How long a thread of the backend may take for a file of a player, on a machine that is crowded.
const PATIENCE: Duration = Duration::from_secs(60);

/// One wait for such a thread; its eventfd ends it.
const DISK: Duration = Duration::from_millis(100);

/// The polling backend of a scripted ring.
#[derive(Debug)]
pub(super) struct Polled {
    poll: Poll,
    /// Bytes that a socket which is accepted takes before it would block (`SO_SNDBUF`).
    send_buffer: usize,
}

impl Polled {
    /// Carries out what is queued. Returns how long the thread would have slept.
    pub(super) fn enter(
        &mut self,
        queued: impl Iterator<Item = (OpId, Submission)>,
        wait: Wait,
    ) -> io::Result<Wait> {
        for (id, submission) in queued {
            if !self.poll.push(id, &submission) {
                // The script's room is smaller than the backend's.
                return Err(io::ErrorKind::OutOfMemory.into());
            }
        }
        self.poll.enter(Wait::Not)?;
        let until = Instant::now() + PATIENCE;
        while wait != Wait::Not && self.poll.is_drained() && self.poll.waits_for_disks() {
            assert!(Instant::now() < until, "a thread for files does not end");
            self.poll.enter(Wait::Until { at: 0, rest: DISK })?;
        }
        Ok(if self.poll.is_drained() { wait } else { Wait::Not })
    }

    pub(super) fn next(&mut self) -> Option<Completion> {
        let done = self.poll.next()?;
        if done.id.kind == Kind::Accept && done.result >= 0 {
            // SAFETY: the completion brings the descriptor, which is open and will be owned by whom it
            // is handed to, behind this call.
            let socket = unsafe { BorrowedFd::borrow_raw(done.result) };
            // The kernel may have another least size; then that is it.
            let _ = rustix::net::sockopt::set_socket_send_buffer_size(socket, self.send_buffer);
        }
        Some(done)
    }
}

/// The player's side of a scripted ring that polls.
#[derive(Debug)]
pub(crate) struct PolledKernel {
    ring: Rc<Ring>,
}

impl PolledKernel {
    /// A ring of this size. Sockets that it accepts block behind `send_buffer` bytes.
    ///
    /// # Errors
    /// There is no memory for its pools, or no descriptor for it.
    pub(crate) fn new(config: &RingConfig, send_buffer: usize) -> io::Result<Self> {
        let receive = ReceivePool::new(config.receive_buffers, config.receive_buffer_len)?;
        let send = SendPool::new(config.send_memory)?;
        let poll = Poll::new(MOST_ROOM as u32, &receive)?;
        let mut script = Scripted::new(Rc::clone(&receive), config.queues.submissions as usize);
        script.polled = Some(Polled { poll, send_buffer });
        let backend = Backend::Scripted(script);
        let ring = Ring::assemble(config, backend, receive, send, Granted::default());
        Ok(Self { ring: Rc::new(ring) })
    }

    /// The ring.
    pub(crate) fn ring(&self) -> &Rc<Ring> {
        &self.ring
    }

    fn script<T>(&self, act: impl FnOnce(&mut Scripted) -> T) -> T {
        match &mut self.ring.state.borrow_mut().backend {
            Backend::Scripted(script) => act(script),
            Backend::Kernel(_) | Backend::Poll(_) => unreachable!("made with a script"),
        }
    }

    /// Whether no task is ready and the last turn would have put the thread to sleep.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.ring.ready.borrow().is_empty() && self.script(|script| script.slept) != Wait::Not
    }

    /// What the worker's clock shows, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        self.script(|script| script.clock.as_nanos() as u64)
    }

    /// Moves the worker's clock.
    pub(crate) fn advance(&self, by: Duration) {
        self.script(|script| script.clock += by);
    }

    /// From now on the queue takes so many submissions per enter.
    pub(crate) fn set_room(&self, room: usize) {
        self.script(|script| script.room = room.clamp(1, MOST_ROOM));
    }

    /// Whether nothing is in flight, every buffer is home, and nothing is set aside.
    pub(crate) fn is_clean(&self) -> bool {
        is_clean(&self.ring)
    }
}

/// Submissions for one enter, at most.
const MOST_ROOM: usize = 64;
