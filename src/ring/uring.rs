//! The real ring: its set-up, the encoding of submissions, and the one system call of the loop.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
};

use io_uring::{IoUring, cqueue, types::Timespec};

use super::{
    RingConfig,
    alarm::Alarm,
    lockable::lockable,
    op::{Completion, OpId, Submission, Wait},
    operations::{RECEIVE_GROUP, encode},
    receive_pool::ReceivePool,
    restrict::restrict_and_enable,
    send_pool::SendPool,
};

/// What to ask of the kernel at set-up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingOptions {
    /// Entries of the submission queue: a power of two. A full queue costs a system call more.
    pub submissions: u32,
    /// Entries of the completion queue: a power of two. Multishot operations complete without
    /// being submitted, so it is larger; an overflow costs time but loses nothing.
    pub completions: u32,
}

impl Default for RingOptions {
    fn default() -> Self {
        Self { submissions: 1024, completions: 8192 }
    }
}

/// What a ring was granted; each refusal was logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Granted {
    /// Completions are handled only when the loop asks (`IORING_SETUP_DEFER_TASKRUN`).
    pub defer_taskrun: bool,
    /// The system call finds the ring without a descriptor look-up.
    pub registered_ring: bool,
    /// Bytes of send memory that are pinned once, not at each read into them; 0 if the limit on
    /// locked memory has no room for that.
    pub registered_send_memory: usize,
    /// The kernel refuses operations that Ringway does not submit.
    pub restricted: bool,
    /// Waits are not counted as I/O wait (`IORING_ENTER_NO_IOWAIT`, Linux 6.15).
    pub no_iowait: bool,
}

/// `IORING_ENTER_GETEVENTS`, `IORING_ENTER_EXT_ARG`, `IORING_ENTER_REGISTERED_RING` and
/// `IORING_ENTER_NO_IOWAIT` (`include/uapi/linux/io_uring.h`).
const ENTER_GETEVENTS: u32 = 1;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const ENTER_NO_IOWAIT: u32 = 1 << 7;
/// `IORING_REGISTER_RING_FDS` and `IORING_UNREGISTER_RING_FDS`.
pub(super) const REGISTER_RING_FDS: u32 = 20;
pub(super) const UNREGISTER_RING_FDS: u32 = 21;

/// `struct io_uring_getevents_arg`.
#[repr(C)]
struct GetEventsArgument {
    sigmask: u64,
    sigmask_size: u32,
    min_wait_usec: u32,
    timespec: u64,
}

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct ResourceUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

pub(super) struct Uring {
    ring: IoUring,
    /// What io_uring_enter(2) is given: the registered index, or the descriptor.
    enter_fd: i32,
    enter_flags: u32,
    granted: Granted,
    alarm: Alarm,
    // The kernel writes into both for as long as the ring lives, which is dropped before them.
    _receive: Rc<ReceivePool>,
    _send: Rc<SendPool>,
}

impl Uring {
    pub(super) fn new(
        config: &RingConfig,
        receive: &Rc<ReceivePool>,
        send: &Rc<SendPool>,
    ) -> io::Result<Self> {
        let (ring, defer_taskrun) = set_up(config.queues)?;
        // SAFETY: the entry ring lies in the pool, which this value keeps alive until the ring is
        // gone.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                receive.entries_address(),
                receive.count(),
                RECEIVE_GROUP,
                0,
            )?;
        }
        let registered_send_memory = register(&ring, send, lockable(config.rings));
        let restricted = restrict_and_enable(&ring, config.connects)?;
        let (enter_fd, enter_flags, registered_ring) = match register_ring_fd(ring.as_raw_fd()) {
            Ok(index) => (index, ENTER_REGISTERED_RING, true),
            Err(error) => {
                log::info!("ring: its descriptor cannot be registered ({error})");
                (ring.as_raw_fd(), 0, false)
            }
        };
        // The kernel counts a wait for a ring with something in flight as a wait for a disk, unless
        // asked not to: an idle server would show 100 % iowait.
        let quiet = ring.params().is_feature_no_iowait();
        let enter_flags =
            enter_flags | ENTER_GETEVENTS | ENTER_EXT_ARG | if quiet { ENTER_NO_IOWAIT } else { 0 };
        let granted = Granted {
            defer_taskrun,
            registered_ring,
            registered_send_memory,
            restricted,
            no_iowait: quiet,
        };
        Ok(Self {
            ring,
            enter_fd,
            enter_flags,
            granted,
            alarm: Alarm::new(),
            _receive: Rc::clone(receive),
            _send: Rc::clone(send),
        })
    }

    pub(super) fn granted(&self) -> Granted {
        self.granted
    }

    #[cfg(test)]
    pub(super) fn enter_flags(&self) -> u32 {
        self.enter_flags
    }

    /// Queues a submission. False if the queue is full.
    pub(super) fn push(&mut self, id: OpId, submission: &Submission) -> bool {
        let entry = encode(submission).user_data(id.to_user_data());
        // SAFETY: whatever the entry points to lives in the op's slot or in a pool; both outlast
        // the operation (see the table).
        unsafe { self.ring.submission().push(&entry).is_ok() }
    }

    /// The limit of this wait by itself: nothing, if the alarm ends it in time.
    fn limit(&mut self, wait: Wait) -> Option<Timespec> {
        let Wait::Until { at, rest } = wait else { return None };
        let ring = &mut self.ring;
        // SAFETY: the entry points into the alarm, which this value keeps until the ring is gone.
        let covered =
            self.alarm.covers(at, rest, |entry| unsafe { ring.submission().push(entry).is_ok() });
        (!covered).then(|| Timespec::from(rest))
    }

    /// Submits what is queued, runs the deferred work of the kernel, and waits for one completion
    /// if `wait` says so.
    pub(super) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let timespec = self.limit(wait);
        let queued = {
            let mut queue = self.ring.submission();
            queue.sync();
            queue.len() as u32
        };
        let argument = GetEventsArgument {
            sigmask: 0,
            sigmask_size: 0,
            min_wait_usec: 0,
            timespec: timespec.as_ref().map_or(0, |timespec| std::ptr::from_ref(timespec) as u64),
        };
        // SAFETY: the argument is the struct that IORING_ENTER_EXT_ARG announces, with a timespec as
        // the kernel has it (io_uring_enter(2)); both live until the call returns.
        let entered = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.enter_fd,
                queued,
                u32::from(wait != Wait::Not),
                self.enter_flags,
                &raw const argument,
                size_of::<GetEventsArgument>(),
            )
        };
        if entered >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // The wait ran out, or a signal came.
            Some(libc::ETIME | libc::EINTR) => Ok(()),
            _ => Err(error),
        }
    }

    /// Whether the kernel holds completions back because the completion queue is full: it hands
    /// them over at a later enter.
    pub(super) fn overflowed(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// Takes the next completion.
    pub(super) fn next(&mut self) -> Option<Completion> {
        let mut entry = self.ring.completion().next()?;
        while self.alarm.takes(entry.user_data(), entry.result()) {
            entry = self.ring.completion().next()?;
        }
        Some(Completion {
            id: OpId::from_user_data(entry.user_data()),
            result: entry.result(),
            more: cqueue::more(entry.flags()),
            buffer: cqueue::buffer_select(entry.flags()),
        })
    }
}

/// Sets up a ring with as much as the kernel grants, not yet switched on. Linux 6.1, our floor, has
/// everything but `NO_SQARRAY` (6.6).
fn set_up(options: RingOptions) -> io::Result<(IoUring, bool)> {
    let base = || {
        let mut builder = IoUring::builder();
        builder.dontfork().setup_cqsize(options.completions).setup_submit_all().setup_r_disabled();
        builder
    };
    let newest = base()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_no_sqarray()
        .build(options.submissions);
    if let Ok(ring) = newest {
        return Ok((ring, true));
    }
    let floor = base().setup_single_issuer().setup_defer_taskrun().build(options.submissions);
    match floor {
        Ok(ring) => Ok((ring, true)),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            log::warn!(
                "ring: no DEFER_TASKRUN (kernel older than 6.1): completions interrupt the loop"
            );
            base().setup_coop_taskrun().build(options.submissions).map(|ring| (ring, false))
        }
        Err(error) => Err(error),
    }
}

/// Registers as much of the send memory as the limit on locked memory lets, and says how much that
/// is. What is not registered serves as well: the kernel then pins it at each read from a file.
fn register(ring: &IoUring, send: &SendPool, most: usize) -> usize {
    let part = send.registrable(most);
    if part.iov_len == 0 {
        return 0;
    }
    // SAFETY: the part lies in the pool, which the ring's owner keeps alive until the ring is gone.
    if let Err(error) = unsafe { ring.submitter().register_buffers(&[part]) } {
        log::debug!(
            "ring: {} KiB of send memory are not registered ({error}); a higher limit on locked \
             memory (ulimit -l, LimitMEMLOCK=) saves pinning them at each read from a file",
            part.iov_len / 1024
        );
        return 0;
    }
    part.iov_len
}

/// Registers the ring's own descriptor, so that each enter is spared a look-up (Linux 5.18).
/// The registration is this thread's. It holds the ring until it is taken back or the thread ends.
fn register_ring_fd(ring: RawFd) -> io::Result<i32> {
    let mut update = ResourceUpdate { offset: u32::MAX, reserved: 0, data: ring as u64 };
    // SAFETY: one io_uring_rsrc_update, which the kernel reads and writes during the call only.
    let registered = unsafe {
        libc::syscall(libc::SYS_io_uring_register, ring, REGISTER_RING_FDS, &raw mut update, 1)
    };
    if registered == 1 { Ok(update.offset as i32) } else { Err(io::Error::last_os_error()) }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if !self.granted.registered_ring {
            return;
        }
        let ring = self.ring.as_raw_fd();
        let mut update = ResourceUpdate { offset: self.enter_fd as u32, reserved: 0, data: 0 };
        // SAFETY: as at the registration. Without this the ring would live on behind its closed
        // descriptor, and take one of the 16 places that a thread has for such registrations.
        let released = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                ring,
                UNREGISTER_RING_FDS,
                &raw mut update,
                1,
            )
        };
        debug_assert_eq!(released, 1, "the ring was registered on this thread");
    }
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring").field("granted", &self.granted).finish_non_exhaustive()
    }
}
