//! The system calls behind each submission, tried without waiting. Results are as the kernel's
//! completions have them: a count or a descriptor, or a negated errno.
//!
//! The invariant of every unsafe block here: the submission is in flight, so its slot in the op
//! table keeps the descriptor open and the memory that it names alive for this operation alone,
//! until its last completion, which comes after the call.

use std::{
    ffi::CStr,
    io,
    os::fd::{BorrowedFd, IntoRawFd, RawFd},
};

use rustix::fs::OFlags;

use super::{
    lines::{Direction, Lines},
    walk,
};
use crate::ring::{SendClass, calls::Call, op::Submission, receive_pool::ReceivePool, table::own};

/// How a submission is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is tried, and waits for its descriptor if it would block.
    Line(RawFd, Direction),
    /// It waits for its descriptor first.
    Wait(RawFd, Direction),
    /// A file: tried in the page cache and the cache of names, else by the helper.
    File,
    Close(RawFd),
    /// By the target's `user_data`.
    Cancel(u64),
}

/// Where a submission belongs.
pub(super) fn place(submission: &Submission) -> Place {
    match *submission {
        Submission::AcceptMulti { listener } | Submission::Accept { listener } => {
            Place::Line(listener, Direction::Read)
        }
        Submission::Receive { socket, .. }
        | Submission::ReceiveMulti { socket }
        | Submission::ReceiveMessage { socket, .. }
        | Submission::ReceiveArrived { socket, .. } => Place::Line(socket, Direction::Read),
        Submission::Send { socket, .. }
        | Submission::SendMessage { socket, .. }
        | Submission::Connect { socket, .. } => Place::Line(socket, Direction::Write),
        Submission::PollWritable { socket } => Place::Wait(socket, Direction::Write),
        // An eventfd, which may block: it is read once it is said to be readable.
        Submission::Read { file, offset: u64::MAX, .. } => Place::Wait(file, Direction::Read),
        Submission::OpenAt2 { .. }
        | Submission::Read { .. }
        | Submission::ReadFixed { .. }
        | Submission::ReadVectored { .. } => Place::File,
        Submission::Close { fd } => Place::Close(fd),
        Submission::Cancel { target } => Place::Cancel(target),
    }
}

/// Whether a submission sends no more than fits a head and one record.
pub(super) fn is_short_send(submission: &Submission) -> bool {
    let len = match *submission {
        Submission::Send { len, .. } => len as usize,
        Submission::SendMessage { header, .. } => {
            // SAFETY: the module's invariant: the header and its vectors lie in the slot.
            let vectors =
                unsafe { std::slice::from_raw_parts((*header).msg_iov, (*header).msg_iovlen) };
            vectors.iter().map(|vector| vector.iov_len).sum()
        }
        _ => return false,
    };
    len <= SendClass::RECORD_LEN
}

/// The kind of call by which a submission is tried.
pub(super) fn call(submission: &Submission) -> Call {
    match *submission {
        Submission::AcceptMulti { .. } | Submission::Accept { .. } => Call::Accept,
        Submission::Receive { .. }
        | Submission::ReceiveMulti { .. }
        | Submission::ReceiveMessage { .. }
        | Submission::ReceiveArrived { .. } => Call::Receive,
        Submission::Send { .. } | Submission::SendMessage { .. } => Call::Send,
        Submission::Connect { .. } => Call::Connect,
        // An eventfd is polled before it is read.
        Submission::PollWritable { .. } | Submission::Read { offset: u64::MAX, .. } => Call::Poll,
        Submission::OpenAt2 { .. }
        | Submission::Read { .. }
        | Submission::ReadFixed { .. }
        | Submission::ReadVectored { .. } => Call::File,
        Submission::Close { .. } | Submission::Cancel { .. } => Call::Close,
    }
}

/// What trying an operation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It would block.
    NotYet,
    /// Its last completion.
    Ended { result: i32, buffer: Option<u16> },
    /// One completion of several; another try is likely to bring one more at once, or not.
    Continues { result: i32, buffer: Option<u16>, likely_more: bool },
}

/// A system call's result as a completion has it.
fn completion(result: i64) -> i32 {
    if result < 0 {
        return -io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    }
    // No call here is asked for more than 2^31 bytes.
    i32::try_from(result).unwrap_or(i32::MAX)
}

fn would_block(result: i32) -> bool {
    matches!(-result, libc::EAGAIN | libc::EINTR)
}

/// One call that completes once.
fn once(result: i64) -> Attempt {
    let result = completion(result);
    if would_block(result) { Attempt::NotYet } else { Attempt::Ended { result, buffer: None } }
}

/// What has to be done once before the first try: accept(2) and connect(2) take no flag
/// that says so, and on a descriptor that blocks they would make the worker wait.
pub(super) fn prepare(submission: &Submission) -> Result<(), i32> {
    let (Submission::AcceptMulti { listener: fd }
    | Submission::Accept { listener: fd }
    | Submission::Connect { socket: fd, .. }) = *submission
    else {
        return Ok(());
    };
    // SAFETY: the module's invariant: the descriptor is open.
    let file = unsafe { BorrowedFd::borrow_raw(fd) };
    let set = rustix::fs::fcntl_getfl(file).and_then(|flags| {
        if flags.contains(rustix::fs::OFlags::NONBLOCK) {
            return Ok(());
        }
        rustix::fs::fcntl_setfl(file, flags | rustix::fs::OFlags::NONBLOCK)
    });
    set.map_err(|errno| -errno.raw_os_error())
}

/// Tries an operation on a socket or an eventfd.
pub(super) fn socket(submission: &Submission, pool: &ReceivePool, head: &mut u16) -> Attempt {
    match *submission {
        Submission::AcceptMulti { listener } => match accept(listener) {
            Attempt::Ended { result, .. } if result >= 0 => {
                Attempt::Continues { result, buffer: None, likely_more: true }
            }
            other => other,
        },
        Submission::Accept { listener } => accept(listener),
        Submission::Receive { socket, limit } => receive(socket, limit, pool, head),
        Submission::ReceiveMulti { socket } => match receive(socket, 0, pool, head) {
            Attempt::Ended { result, buffer } if result > 0 => {
                // A buffer that was not filled: there is likely no more, and if there is, epoll says
                // so again.
                let likely_more = result as usize >= pool.buffer_len();
                Attempt::Continues { result, buffer, likely_more }
            }
            other => other,
        },
        // SAFETY: the module's invariant; the header and what it points to lie in the slot.
        Submission::ReceiveMessage { socket, header } => once(unsafe {
            libc::recvmsg(socket, header, libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC) as i64
        }),
        Submission::ReceiveArrived { socket, header } => {
            // SAFETY: the module's invariant; the header and what it points to lie in the slot.
            let received = unsafe { libc::recvmsg(socket, header, libc::MSG_DONTWAIT) as i64 };
            Attempt::Ended { result: completion(received), buffer: None }
        }
        // SAFETY: the module's invariant; `len` bytes at `data` are the operation's.
        Submission::Send { socket, data, len } => once(unsafe {
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            libc::send(socket, data.cast(), len as usize, flags) as i64
        }),
        // SAFETY: as for a received message.
        Submission::SendMessage { socket, header } => once(unsafe {
            libc::sendmsg(socket, header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as i64
        }),
        Submission::Connect { socket, address, len } => connect(socket, address, len),
        Submission::PollWritable { socket } => match poll(socket, libc::POLLOUT) {
            0 => Attempt::NotYet,
            result => Attempt::Ended { result, buffer: None },
        },
        Submission::Read { file, data, len, offset: u64::MAX, .. } => {
            match poll(file, libc::POLLIN) {
                0 => Attempt::NotYet,
                // SAFETY: the module's invariant. It is readable, and this ring alone reads it.
                1.. => once(unsafe { libc::read(file, data.cast(), len as usize) as i64 }),
                result => Attempt::Ended { result, buffer: None },
            }
        }
        Submission::OpenAt2 { .. }
        | Submission::Read { .. }
        | Submission::ReadFixed { .. }
        | Submission::ReadVectored { .. }
        | Submission::Close { .. }
        | Submission::Cancel { .. } => Attempt::Ended { result: -libc::EINVAL, buffer: None },
    }
}

fn accept(listener: RawFd) -> Attempt {
    // SAFETY: no address is asked for; the descriptor is open (the module's invariant).
    once(i64::from(unsafe {
        libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC)
    }))
}

/// Connects, or asks again how that went: on a socket that is being connected, connect(2) answers
/// EALREADY, then once with the outcome (`__inet_stream_connect` in `net/ipv4/af_inet.c`).
fn connect(socket: RawFd, address: *const libc::sockaddr, len: u32) -> Attempt {
    // SAFETY: the module's invariant: the address lies in the slot.
    let result = completion(i64::from(unsafe { libc::connect(socket, address, len) }));
    match -result {
        libc::EINPROGRESS | libc::EALREADY | libc::EINTR => Attempt::NotYet,
        _ => Attempt::Ended { result, buffer: None },
    }
}

/// Receives at most `limit` bytes (0: as many as fit) into the next buffer of the pool. Without a
/// buffer it ends with ENOBUFS, as the kernel's does.
fn receive(socket: RawFd, limit: u32, pool: &ReceivePool, head: &mut u16) -> Attempt {
    let Some((buffer, memory)) = pool.next_published(*head) else {
        return Attempt::Ended { result: -libc::ENOBUFS, buffer: None };
    };
    let len = match limit {
        0 => pool.buffer_len(),
        limit => pool.buffer_len().min(limit as usize),
    };
    // SAFETY: a published buffer is nobody's lease, `len` bytes fit into it, and the pool outlives
    // the call.
    let received = unsafe { libc::recv(socket, memory.as_ptr().cast(), len, libc::MSG_DONTWAIT) };
    match once(received as i64) {
        Attempt::Ended { result, .. } if result > 0 => {
            *head = head.wrapping_add(1);
            Attempt::Ended { result, buffer: Some(buffer) }
        }
        other => other,
    }
}

/// What a descriptor is ready for of this, now: poll(2)'s `revents`, 0 if nothing, or a negated errno.
fn poll(fd: RawFd, events: i16) -> i32 {
    let mut asked = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one pollfd, which outlives the call; it does not wait.
    match completion(i64::from(unsafe { libc::poll(&raw mut asked, 1, 0) })) {
        0 => 0,
        1.. => i32::from(asked.revents),
        error if would_block(error) => 0,
        error => error,
    }
}

/// Whether a file operation may wait for a disk or a file server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    Never,
    May,
}

/// `RESOLVE_CACHED` of openat2(2), Linux 5.12.
const RESOLVE_CACHED: u64 = 0x20;

/// Opens or reads a file. None if that would have to wait, or cannot be had without waiting.
pub(super) fn file(submission: &Submission, disk: Disk) -> Option<i32> {
    let result = match *submission {
        // What lies on a file server may wait for it even where the name is cached.
        Submission::OpenAt2 { on_thread: true, .. } if disk == Disk::Never => return None,
        Submission::OpenAt2 { directory, path, how, .. } => {
            // SAFETY: the slot keeps the path, which ends in a zero, and the rules alive.
            unsafe {
                let mut how = *how;
                if disk == Disk::Never {
                    how.resolve |= RESOLVE_CACHED;
                }
                libc::syscall(
                    libc::SYS_openat2,
                    directory,
                    path,
                    &raw const how,
                    size_of::<libc::open_how>(),
                )
            }
        }
        Submission::Read { on_thread: true, .. }
        | Submission::ReadFixed { on_thread: true, .. }
        | Submission::ReadVectored { on_thread: true, .. }
            if disk == Disk::Never =>
        {
            return None;
        }
        Submission::Read { file, data, len, offset, .. }
        | Submission::ReadFixed { file, data, len, offset, .. } => {
            let vector = libc::iovec { iov_base: data.cast(), iov_len: len as usize };
            read_at(file, &raw const vector, 1, offset, disk)
        }
        Submission::ReadVectored { file, vectors, count, offset, .. } => {
            read_at(file, vectors, count, offset, disk)
        }
        _ => return Some(-libc::EINVAL),
    };
    let result = completion(result);
    if let Submission::OpenAt2 { directory, path, how, .. } = *submission
        && is_refused(result)
    {
        return (disk == Disk::May).then(|| walk(directory, path, how));
    }
    // EINVAL and EOPNOTSUPP: a kernel without RESOLVE_CACHED, or a file system that cannot tell.
    let waits = matches!(-result, libc::EAGAIN | libc::EINVAL | libc::EOPNOTSUPP);
    (disk == Disk::May || !waits).then_some(result)
}

/// Whether this result of openat2(2) says that the call is not there. EPERM is a filter's answer
/// (container engines before 2020): openat2(2) gives it for no path that is opened for reading.
fn is_refused(result: i32) -> bool {
    matches!(-result, libc::ENOSYS | libc::EPERM)
}

/// Opens what openat2(2) would, where it is not there.
fn walk(directory: RawFd, path: *const libc::c_char, how: *const libc::open_how) -> i32 {
    // SAFETY: the module's invariant: the descriptor is open, the path ends in a zero, and the slot
    // keeps path and rules alive.
    let (folder, path, how) =
        unsafe { (BorrowedFd::borrow_raw(directory), CStr::from_ptr(path), &*how) };
    let flags = OFlags::from_bits_retain(how.flags as u32);
    let follows_links = how.resolve & libc::RESOLVE_NO_SYMLINKS == 0;
    match walk::open(folder, path, flags, follows_links) {
        Ok(opened) => opened.into_raw_fd(),
        Err(errno) => -errno.raw_os_error(),
    }
}

fn read_at(file: RawFd, vectors: *const libc::iovec, count: u32, offset: u64, disk: Disk) -> i64 {
    let flags = if disk == Disk::Never { libc::RWF_NOWAIT } else { 0 };
    // SAFETY: the module's invariant: `count` vectors, and the memory that each of them names. The
    // offset is one argument on 64-bit kernels and its upper half is ignored there.
    unsafe {
        libc::syscall(libc::SYS_preadv2, file, vectors, count as usize, offset, 0_usize, flags)
    }
}

/// Closes a descriptor that was handed to the ring.
pub(super) fn close(fd: RawFd) -> i32 {
    drop(own(fd));
    0
}

/// A descriptor that somebody waits for.
pub(super) fn borrow(lines: &Lines, fd: RawFd) -> Option<BorrowedFd<'_>> {
    // SAFETY: the slots of those who wait own the descriptor, and leave the lines before they let
    // go of it.
    lines.has_any(fd).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Takes a number out of an epoll instance. Nobody may own it any more, and then it is not there.
pub(super) fn unregister(epoll: BorrowedFd<'_>, fd: RawFd) {
    use std::os::fd::AsRawFd;
    // SAFETY: EPOLL_CTL_DEL reads no event; a number that is closed is refused (EBADF, ENOENT).
    let _ = unsafe {
        libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut())
    };
}
