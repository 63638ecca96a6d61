//! A kernel for whole connections on a scripted ring: it holds what was submitted until its
//! player says how each operation goes on. Bytes that are sent are read from where the operation
//! lent them, at the moment of its completion; files are opened and read for real.
//!
//! Nothing here decides anything. What the player may choose is what a kernel may do: short
//! transfers, errors, any order across operations, cancels that come too late.

use std::{
    collections::HashMap,
    io,
    ops::Deref,
    os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd},
    rc::Rc,
};

use super::{Reins, Scripted};
#[cfg(test)]
use crate::ring::message::ControlFrame;
use crate::ring::{
    Backend, Granted, Ring, RingConfig, SendQueue,
    op::{OpId, Submission},
    receive_pool::ReceivePool,
    send_pool::SendPool,
};

/// What an operation that is held asks for. A socket is named by the number that its player gave
/// it, never by its descriptor, which may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Connections, until cancelled.
    Accept,
    /// Bytes of this socket.
    Receive(usize),
    /// A control record of this socket, which the kernel has opened.
    Control(usize),
    /// That this socket takes bytes.
    Send(usize),
    /// A completion when this socket takes bytes.
    Writable(usize),
    /// A connection to a server.
    Connect,
    /// A file to be opened.
    Open,
    /// A file to be read.
    Read,
    /// A completion when the worker's inbox has something.
    Inbox,
    /// The end of another operation.
    Cancel,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    id: OpId,
    submission: Submission,
    asked: Asked,
    /// A cancel came too late; so it must end soon by itself.
    ends: bool,
}

/// The player's side of a scripted ring.
#[derive(Debug)]
pub(crate) struct SimKernel {
    reins: Reins,
    held: Vec<Held>,
    sockets: HashMap<RawFd, usize>,
}

impl SimKernel {
    /// A scripted ring of this size, and its kernel.
    ///
    /// # Errors
    /// There is no memory for its pools.
    pub(crate) fn new(config: &RingConfig) -> io::Result<Self> {
        let receive = ReceivePool::new(config.receive_buffers, config.receive_buffer_len)?;
        let send = SendPool::new(config.send_memory)?;
        let script = Scripted::new(Rc::clone(&receive), config.queues.submissions as usize);
        let backend = Backend::Scripted(script);
        let ring = Ring::assemble(config, backend, receive, send, Granted::default());
        Ok(Self { reins: Reins::new(ring, usize::MAX), held: Vec::new(), sockets: HashMap::new() })
    }

    /// How full the ring says a socket is, by its descriptor.
    pub(crate) fn set_send_queue(&self, descriptor: RawFd, queue: SendQueue) {
        self.script(|script| script.send_queues.insert(descriptor, queue));
    }

    /// Takes what was submitted since this was last called. To be called after every turn, and
    /// before any descriptor is opened.
    pub(crate) fn absorb(&mut self) {
        while let Some((id, submission)) = self.script(|script| script.submitted.pop_front()) {
            let asked = self.asked_by(&submission);
            self.held.push(Held { id, submission, asked, ends: false });
        }
    }

    fn asked_by(&self, submission: &Submission) -> Asked {
        let socket = |fd: &RawFd| *self.sockets.get(fd).expect("a socket that was accepted");
        match submission {
            Submission::Accept { .. } | Submission::AcceptMulti { .. } => Asked::Accept,
            Submission::Receive { socket: fd, .. } | Submission::ReceiveMulti { socket: fd } => {
                Asked::Receive(socket(fd))
            }
            Submission::Send { socket: fd, .. } => Asked::Send(socket(fd)),
            Submission::PollWritable { socket: fd } => Asked::Writable(socket(fd)),
            Submission::Connect { .. } => Asked::Connect,
            Submission::OpenAt2 { .. } => Asked::Open,
            Submission::Read { offset: u64::MAX, .. } => Asked::Inbox,
            Submission::Read { .. }
            | Submission::ReadFixed { .. }
            | Submission::ReadVectored { .. } => Asked::Read,
            Submission::Cancel { .. } => Asked::Cancel,
            Submission::ReceiveMessage { socket: fd, .. } => Asked::Control(socket(fd)),
            Submission::SendMessage { .. }
            | Submission::ReceiveArrived { .. }
            | Submission::Close { .. } => {
                unreachable!("no kernel seals, nothing is passed on; closes are done at once")
            }
        }
    }

    /// Operations that are held.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// What the operation at a place asks for.
    pub(crate) fn asked(&self, at: usize) -> Option<Asked> {
        self.held.get(at).map(|held| held.asked)
    }

    /// Whether a cancel of this operation came too late: a kernel that says so lets it end by
    /// itself before long.
    pub(crate) fn ends_soon(&self, at: usize) -> bool {
        self.held.get(at).is_some_and(|held| held.ends)
    }

    /// Where an operation is held that asks for this.
    pub(crate) fn find(&self, asked: Asked) -> Option<usize> {
        self.held.iter().position(|held| held.asked == asked)
    }

    fn complete(&mut self, at: usize, result: i32) {
        let held = self.held.remove(at);
        self.script(|script| script.complete(held.id, result, false));
    }

    /// Completes an operation with a negated errno, or ends a receive with 0.
    pub(crate) fn end(&mut self, at: usize, result: i32) {
        self.complete(at, result.min(0));
    }

    /// From now on a socket that no accept has brought is known as `number`.
    #[cfg(test)]
    pub(crate) fn name(&mut self, socket: &OwnedFd, number: usize) {
        self.sockets.insert(socket.as_raw_fd(), number);
    }

    /// Brings a connection; its socket will be known as `number`.
    pub(crate) fn accept(&mut self, at: usize, socket: OwnedFd, number: usize, more: bool) {
        let multishot = matches!(self.held[at].submission, Submission::AcceptMulti { .. });
        let more = more && multishot;
        let fd = socket.into_raw_fd();
        self.sockets.insert(fd, number);
        let id = self.held[at].id;
        self.script(|script| {
            script.send_queues.remove(&fd);
            script.complete(id, fd, more);
        });
        if !more {
            self.held.remove(at);
        }
    }

    /// Brings bytes to a receive: as many of them as fit it. Returns how many; none if there is
    /// no buffer for them, which completes the receive with ENOBUFS and ends it. One that is not
    /// multishot ends anyway.
    pub(crate) fn receive(&mut self, at: usize, bytes: &[u8], more: bool) -> usize {
        let held = self.held[at];
        let (limit, more) = match held.submission {
            Submission::Receive { limit: 0, .. } => (usize::MAX, false),
            Submission::Receive { limit, .. } => (limit as usize, false),
            _ => (usize::MAX, more),
        };
        let count = bytes.len().min(limit).min(self.ring.receive.buffer_len());
        debug_assert!(count > 0, "the end of a stream has a call of its own");
        if !self.script(|script| script.deliver(held.id, &bytes[..count], more)) {
            self.complete(at, -libc::ENOBUFS);
            return 0;
        }
        if !more {
            self.held.remove(at);
        }
        count
    }

    /// Brings a control record of kernel TLS to a receive that asked for one.
    #[cfg(test)]
    pub(crate) fn control(&mut self, at: usize, content_type: u8, payload: &[u8]) {
        let Submission::ReceiveMessage { header, .. } = self.held[at].submission else { return };
        // SAFETY: the operation is in flight, so its slot keeps the frame alive and in its place, for
        // this operation alone, until it completes, which is below.
        let result = unsafe { ControlFrame::fill(header, content_type, payload) };
        self.complete(at, result as i32);
    }

    /// Sends at most `most` bytes of what a send has lent, and completes it; they are appended to
    /// `out`.
    pub(crate) fn send(&mut self, at: usize, most: usize, out: &mut Vec<u8>) -> usize {
        let Submission::Send { data, len, .. } = self.held[at].submission else { return 0 };
        let count = most.min(len as usize);
        // SAFETY: the operation is in flight, so its slot keeps the `len` bytes at `data` alive
        // and unchanged until it completes, which is below.
        out.extend_from_slice(unsafe { std::slice::from_raw_parts(data, count) });
        self.complete(at, count as i32);
        count
    }

    /// Calls a socket writable (`POLLOUT`).
    pub(crate) fn writable(&mut self, at: usize) {
        self.complete(at, i32::from(libc::POLLOUT));
    }

    /// Opens or reads a file as asked; reads at most `most` bytes. For an inbox there must be a
    /// command, or this blocks.
    pub(crate) fn perform(&mut self, at: usize, most: usize) {
        let result = perform(&self.held[at].submission, most.max(1));
        self.complete(at, result);
    }

    /// Carries a cancel out, or says that it came too late although its target goes on
    /// (`EALREADY`).
    pub(crate) fn cancel(&mut self, at: usize, carried_out: bool) {
        let result = match self.held[at].submission {
            Submission::Cancel { target } => {
                match self.held.iter().position(|held| held.id.to_user_data() == target) {
                    None => -libc::ENOENT,
                    Some(target) if !carried_out => {
                        self.held[target].ends = true;
                        -libc::EALREADY
                    }
                    Some(target) => {
                        let id = self.held[target].id;
                        self.script(|script| script.complete(id, -libc::ECANCELED, false));
                        self.held[target].submission = Submission::Close { fd: -1 };
                        0
                    }
                }
            }
            _ => return,
        };
        self.complete(at, result);
        self.held.retain(|held| !matches!(held.submission, Submission::Close { .. }));
    }
}

impl Deref for SimKernel {
    type Target = Reins;

    fn deref(&self) -> &Reins {
        &self.reins
    }
}

/// Carries an operation on a file out.
fn perform(submission: &Submission, most: usize) -> i32 {
    let result = match *submission {
        // SAFETY: the operation is in flight, so its slot keeps the path, which ends in a zero,
        // and the rules alive; the size is theirs.
        Submission::OpenAt2 { directory, path, how, .. } => unsafe {
            libc::syscall(libc::SYS_openat2, directory, path, how, size_of::<libc::open_how>())
        },
        // SAFETY: the slot keeps the `len` bytes at `data` for this operation alone.
        Submission::Read { file, data, len, offset: u64::MAX, .. } => unsafe {
            libc::read(file, data.cast(), len as usize) as i64
        },
        Submission::Read { file, data, len, offset, .. }
        // SAFETY: as above.
        | Submission::ReadFixed { file, data, len, offset, .. } => unsafe {
            libc::pread(file, data.cast(), most.min(len as usize), offset as i64) as i64
        },
        Submission::ReadVectored { file, vectors, count, offset, .. } => {
            // SAFETY: the slot keeps `count` vectors alive, and the memory that they name for
            // this operation alone; the copies below are no longer than they.
            unsafe {
                let mut left = most;
                let vectors: Vec<_> = std::slice::from_raw_parts(vectors, count as usize)
                    .iter()
                    .map(|vector| {
                        let len = vector.iov_len.min(left);
                        left -= len;
                        libc::iovec { iov_base: vector.iov_base, iov_len: len }
                    })
                    .collect();
                libc::preadv(file, vectors.as_ptr(), count as i32, offset as i64) as i64
            }
        }
        _ => return -libc::EINVAL,
    };
    if result < 0 {
        return -io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    }
    result as i32
}

/// A pair of connected stream sockets: one to be accepted, the other to see that it is closed.
///
/// # Errors
/// What socketpair(2) says.
pub(crate) fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// The descriptor's number, for [`SimKernel::set_send_queue`].
pub(crate) fn number_of(socket: &OwnedFd) -> RawFd {
    socket.as_raw_fd()
}
