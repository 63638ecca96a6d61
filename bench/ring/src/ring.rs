//! The ring: operations in, completions out.
//!
//! The invariant: `in_flight` counts the operations whose last completion has not been seen, and
//! neither the pools nor the address are freed while it is above zero.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::net::SocketAddrAny;

use crate::recv::{Lease, RecvPool};
use crate::send::{SendPool, Slot};

const RECV_GROUP: u16 = 0;
const ACCEPT: u64 = 0;
const CONNECT: u64 = 1;
const RECV: u64 = 2;
const WRITE: u64 = 3;
const CLOSE: u64 = 4;

/// How much memory a ring holds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries of the submission queue; the completion queue has four times as many.
    pub entries: u32,
    /// Receive buffers, a power of two of at most 32,768.
    pub recv_buffers: u16,
    /// Bytes of each receive buffer.
    pub recv_size: u32,
    /// Slots to write from: at most so many writes are in flight.
    pub send_slots: u16,
    /// Bytes of each slot.
    pub send_size: usize,
}

/// A completion. `key` is what the caller named the operation with.
#[derive(Debug)]
pub enum Done {
    /// A connection was accepted, or accepting failed. Without `more` it must be armed again.
    Accepted {
        /// The listener's key.
        key: u32,
        /// The connection.
        result: io::Result<OwnedFd>,
        /// Whether the operation stays armed.
        more: bool,
    },
    /// A connect ended.
    Connected {
        /// The connection's key.
        key: u32,
        /// How it ended.
        result: io::Result<()>,
    },
    /// Bytes arrived; `Ok(None)` is the end of the stream. Without `more` receiving has ended
    /// and must be armed again. `ENOBUFS` means that all buffers are leased.
    Received {
        /// The connection's key.
        key: u32,
        /// The bytes.
        result: io::Result<Option<Lease>>,
        /// Whether the operation stays armed.
        more: bool,
    },
    /// A write ended, perhaps short.
    Written {
        /// The connection's key.
        key: u32,
        /// The slot, with its bytes as they were.
        slot: Slot,
        /// Bytes that the socket took.
        result: io::Result<usize>,
    },
    /// A descriptor was closed.
    Closed,
}

/// One io_uring, used by one thread.
pub struct Ring {
    uring: IoUring,
    recv: Rc<RecvPool>,
    send: Rc<SendPool>,
    /// The slots of the writes in flight, each at its own index.
    lent: Vec<Option<Slot>>,
    /// The one address that this ring connects to; boxed so that it stays where it is.
    target: Box<SocketAddrAny>,
    in_flight: usize,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

impl Ring {
    /// Sets a ring up. `target` is where [`connect`](Self::connect) goes.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the ring (io_uring forbidden, Linux before 6.1) or the registration
    /// of the send memory (the limit on locked memory).
    pub fn new(limits: Limits, target: SocketAddr) -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_cqsize(limits.entries * 4)
            .setup_clamp()
            .setup_submit_all()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .build(limits.entries)?;
        let recv = Rc::new(RecvPool::new(limits.recv_buffers, limits.recv_size));
        let send = Rc::new(SendPool::new(limits.send_slots, limits.send_size));
        let lent = (0..limits.send_slots).map(|_| None).collect();
        let target = Box::new(SocketAddrAny::from(target));
        let ring = Self { uring, recv, send, lent, target, in_flight: 0 };
        let (start, len) = ring.send.whole();
        let whole = [libc::iovec { iov_base: start.cast(), iov_len: len }];
        let submitter = ring.uring.submitter();
        // SAFETY: both registrations are of memory that the ring holds until it has been dropped
        // and every operation has ended.
        unsafe {
            submitter.register_buf_ring_with_flags(
                ring.recv.entries(),
                ring.recv.count(),
                RECV_GROUP,
                0,
            )?;
            submitter.register_buffers(&whole)?;
        }
        Ok(ring)
    }

    /// Memory to build bytes in; nothing if every slot is taken.
    pub fn slot(&self) -> Option<Slot> {
        Slot::take(&self.send)
    }

    /// Accepts on `listener` until it is cancelled.
    ///
    /// # Errors
    ///
    /// If a full queue could not be submitted.
    pub fn accept(&mut self, key: u32, listener: BorrowedFd<'_>) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).build();
        self.push(entry, key, ACCEPT, 0)
    }

    /// Connects `socket` to the ring's target.
    ///
    /// # Errors
    ///
    /// If a full queue could not be submitted.
    pub fn connect(&mut self, key: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let address = self.target.as_ptr().cast();
        let len = self.target.addr_len();
        let entry = opcode::Connect::new(Fd(socket.as_raw_fd()), address, len).build();
        self.push(entry, key, CONNECT, 0)
    }

    /// Receives whatever comes until the stream ends, an error, or no buffer is left.
    ///
    /// # Errors
    ///
    /// If a full queue could not be submitted.
    pub fn receive_all(&mut self, key: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let entry = opcode::RecvMulti::new(Fd(socket.as_raw_fd()), RECV_GROUP).build();
        self.push(entry, key, RECV, 0)
    }

    /// Receives once, at most `limit` bytes; 0 stands for as much as a buffer holds.
    ///
    /// # Errors
    ///
    /// If a full queue could not be submitted.
    pub fn receive_once(&mut self, key: u32, socket: BorrowedFd<'_>, limit: u32) -> io::Result<()> {
        let fd = Fd(socket.as_raw_fd());
        let entry = opcode::Recv::new(fd, std::ptr::null_mut(), limit)
            .buf_group(RECV_GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        self.push(entry, key, RECV, 0)
    }

    /// Writes `slot[from..to]`.
    ///
    /// # Errors
    ///
    /// If a full queue could not be submitted.
    ///
    /// # Panics
    ///
    /// If the range is not inside the slot, or the slot is another ring's.
    pub fn write(
        &mut self,
        key: u32,
        socket: BorrowedFd<'_>,
        slot: Slot,
        from: usize,
        to: usize,
    ) -> io::Result<()> {
        assert!(slot.is_of(&self.send), "a slot of this ring");
        let bytes = &slot[from..to];
        let entry =
            opcode::WriteFixed::new(Fd(socket.as_raw_fd()), bytes.as_ptr(), bytes.len() as u32, 0)
                .build();
        let index = slot.index();
        self.lent[usize::from(index)] = Some(slot);
        self.push(entry, key, WRITE, index)
    }

    /// Closes a descriptor without a system call of its own.
    ///
    /// # Errors
    ///
    /// If a full queue could not be submitted.
    pub fn close(&mut self, socket: OwnedFd) -> io::Result<()> {
        let entry = opcode::Close::new(Fd(socket.into_raw_fd())).build();
        self.push(entry, 0, CLOSE, 0)
    }

    /// Submits what is queued and collects what is ready, without waiting. Costs no system call
    /// when there is neither.
    ///
    /// # Errors
    ///
    /// Those of `io_uring_enter(2)`.
    pub fn poll(&mut self) -> io::Result<()> {
        let queue = self.uring.submission();
        let idle = queue.is_empty() && !queue.taskrun() && !queue.cq_overflow();
        drop(queue);
        if idle { Ok(()) } else { self.enter(0) }
    }

    /// Submits what is queued and waits for at least one completion.
    ///
    /// # Errors
    ///
    /// Those of `io_uring_enter(2)`.
    pub fn wait(&mut self) -> io::Result<()> {
        self.enter(1)
    }

    /// The same, but waits no longer than `most`.
    ///
    /// # Errors
    ///
    /// Those of `io_uring_enter(2)`.
    pub fn wait_at_most(&mut self, most: Duration) -> io::Result<()> {
        let most = Timespec::from(most);
        let arguments = SubmitArgs::new().timespec(&most);
        settled(self.uring.submitter().submit_with_args(1, &arguments))
    }

    fn enter(&mut self, want: usize) -> io::Result<()> {
        settled(self.uring.submit_and_wait(want))
    }

    /// The next completion, if one is ready.
    pub fn completion(&mut self) -> Option<Done> {
        let entry = self.uring.completion().next()?;
        Some(self.done(&entry))
    }

    fn done(&mut self, entry: &cqueue::Entry) -> Done {
        let more = cqueue::more(entry.flags());
        if !more {
            self.in_flight -= 1;
        }
        let key = entry.user_data() as u32;
        let result = match entry.result() {
            error if error < 0 => Err(io::Error::from_raw_os_error(-error)),
            value => Ok(value as usize),
        };
        match entry.user_data() >> 32 & 0xff {
            ACCEPT => {
                let result = result.map(|fd| {
                    // SAFETY: a fresh descriptor from the kernel that nobody else has seen.
                    unsafe { OwnedFd::from_raw_fd(fd as i32) }
                });
                Done::Accepted { key, result, more }
            }
            CONNECT => Done::Connected { key, result: result.map(|_| ()) },
            RECV => {
                let buffer = cqueue::buffer_select(entry.flags());
                let result = match (result, buffer) {
                    (Ok(len), Some(id)) => {
                        let lease = Lease::new(&self.recv, id, len);
                        Ok((len > 0).then_some(lease))
                    }
                    (Ok(_), None) => Ok(None),
                    (Err(error), _) => Err(error),
                };
                Done::Received { key, result, more }
            }
            CLOSE => Done::Closed,
            _ => {
                let index = (entry.user_data() >> 40) as u16;
                let slot = self.lent[usize::from(index)].take().expect("lent when written");
                Done::Written { key, slot, result }
            }
        }
    }

    /// Operations whose last completion has not been seen.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn push(&mut self, entry: squeue::Entry, key: u32, kind: u64, slot: u16) -> io::Result<()> {
        let entry = entry.user_data(u64::from(key) | kind << 32 | u64::from(slot) << 40);
        while self.uring.submission().is_full() {
            self.uring.submit()?;
        }
        // SAFETY: what the entry points to is owned by the pools or by `target`, which outlive
        // the operation; descriptors are only numbers to the kernel once submitted.
        unsafe { self.uring.submission().push(&entry) }.map_err(io::Error::other)?;
        self.in_flight += 1;
        Ok(())
    }
}

/// What an `io_uring_enter(2)` came to.
fn settled(entered: io::Result<usize>) -> io::Result<()> {
    match entered {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            // EBUSY: the completion queue is full; the caller empties it and comes again.
            Some(libc::EINTR | libc::EBUSY | libc::ETIME) => Ok(()),
            _ => Err(error),
        },
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let second = Timespec::new().sec(1);
        let _ = self.uring.submit();
        let _ = self.uring.submitter().register_sync_cancel(Some(second), CancelBuilder::any());
        for _ in 0..1000 {
            while self.completion().is_some() {}
            if self.in_flight == 0 {
                return;
            }
            let _ = self.uring.submit();
            std::thread::sleep(Duration::from_millis(1));
        }
        // The kernel still holds operations: their memory must outlive us.
        std::mem::forget((Rc::clone(&self.recv), std::mem::take(&mut self.lent)));
    }
}
