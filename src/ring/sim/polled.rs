//! The polling backend under a script: it makes its system calls on real sockets and files, and the
//! script has the clock. It never sleeps but for a disk: where the thread would sleep, the script says
//! so to its player, who is the only other one that could wake it.

use std::{
    io,
    os::fd::BorrowedFd,
    rc::Rc,
    time::{Duration, Instant},
};

use super::{Reins, Scripted};
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
        if done.id.kind() == Kind::Accept && done.result >= 0 {
            // SAFETY: the completion brings the descriptor, which is open and will be owned by whom it
            // is handed to, behind this call.
            let socket = unsafe { BorrowedFd::borrow_raw(done.result) };
            // The kernel may have another least size; then that is it.
            let _ = rustix::net::sockopt::set_socket_send_buffer_size(socket, self.send_buffer);
        }
        Some(done)
    }
}

/// A scripted ring that polls. Sockets that it accepts block behind `send_buffer` bytes.
///
/// # Errors
/// There is no memory for its pools, or no descriptor for it.
pub(crate) fn polled(config: &RingConfig, send_buffer: usize) -> io::Result<Reins> {
    let receive = ReceivePool::new(config.receive_buffers, config.receive_buffer_len)?;
    let send = SendPool::new(config.send_memory)?;
    let poll = Poll::new(MOST_ROOM as u32, &receive)?;
    let mut script = Scripted::new(Rc::clone(&receive), config.queues.submissions as usize);
    script.polled = Some(Polled { poll, send_buffer });
    let backend = Backend::Scripted(script);
    let ring = Ring::assemble(config, backend, receive, send, Granted::default());
    Ok(Reins::new(ring, MOST_ROOM))
}

/// Submissions for one enter, at most.
const MOST_ROOM: usize = 64;
