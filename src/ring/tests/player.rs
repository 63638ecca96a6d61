//! A kernel for the scripted ring that carries out what is submitted, on real sockets and files: a
//! model of io_uring's completions without its queues. It shares no code with the two backends.

use std::{io, os::fd::RawFd};

use crate::ring::{
    op::{OpId, Submission},
    receive_pool::ReceivePool,
    sim::Scripted,
};

/// What waits for its descriptor, in the order of submission.
#[derive(Default)]
pub(super) struct Player {
    held: Vec<(OpId, Submission)>,
}

/// What a call came to: it would block, or its result.
fn result(value: isize) -> Option<i32> {
    if value >= 0 {
        return Some(value as i32);
    }
    let errno = io::Error::last_os_error().raw_os_error().expect("a call failed");
    let waits = [libc::EAGAIN, libc::EINPROGRESS, libc::EALREADY].contains(&errno);
    (!waits).then_some(-errno)
}

/// Whether a descriptor is ready for this, or has failed.
fn is_ready(fd: RawFd, events: i16) -> bool {
    let mut asked = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one pollfd, which outlives the call.
    unsafe { libc::poll(&raw mut asked, 1, 0) == 1 }
}

impl Player {
    /// Carries out what the script has been handed, and what can go on of what waits.
    pub(super) fn play(&mut self, script: &mut Scripted, pool: &ReceivePool) {
        while let Some((id, submission)) = script.submitted.pop_front() {
            match submission {
                Submission::Cancel { target } => self.cancel(script, id, target),
                _ if is_done(script, pool, id, &submission) => {}
                _ => self.held.push((id, submission)),
            }
        }
        self.held.retain(|(id, submission)| !is_done(script, pool, *id, submission));
    }

    /// io_uring_prep_cancel(3): 0 and the target's ECANCELED, or ENOENT.
    fn cancel(&mut self, script: &mut Scripted, id: OpId, target: u64) {
        match self.held.iter().position(|(held, _)| held.to_user_data() == target) {
            Some(at) => {
                let (held, _) = self.held.remove(at);
                script.complete(id, 0, false);
                script.complete(held, -libc::ECANCELED, false);
            }
            None => script.complete(id, -libc::ENOENT, false),
        }
    }
}

/// Tries an operation. Whether it has come to its last completion.
fn is_done(script: &mut Scripted, pool: &ReceivePool, id: OpId, submission: &Submission) -> bool {
    let once = match *submission {
        Submission::Receive { socket, limit } => {
            let limit = if limit == 0 { pool.buffer_len() } else { limit as usize };
            return receive(script, pool, id, socket, limit, false);
        }
        Submission::ReceiveMulti { socket } => {
            return receive(script, pool, id, socket, pool.buffer_len(), true);
        }
        Submission::AcceptMulti { listener } => {
            return loop {
                match accept(listener) {
                    None => break false,
                    Some(fd @ 0..) => script.complete(id, fd, true),
                    Some(error) => {
                        script.complete(id, error, false);
                        break true;
                    }
                }
            };
        }
        Submission::Accept { listener } => accept(listener),
        // SAFETY: the test keeps the descriptor and the memory until the completion.
        Submission::Send { socket, data, len } => result(unsafe {
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            libc::send(socket, data.cast(), len as usize, flags)
        }),
        // SAFETY: the test keeps the descriptor and the memory until the completion.
        Submission::SendMessage { socket, header } => result(unsafe {
            libc::sendmsg(socket, header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
        }),
        Submission::ReceiveMessage { socket, header }
        | Submission::ReceiveArrived { socket, header } => {
            // SAFETY: the test keeps the descriptor and the memory until the completion.
            result(unsafe { libc::recvmsg(socket, header, libc::MSG_DONTWAIT) })
        }
        Submission::Connect { socket, address, len } => {
            // SAFETY: the test keeps the descriptor and the memory until the completion.
            result(unsafe { libc::connect(socket, address, len) as isize })
        }
        Submission::PollWritable { socket } => {
            is_ready(socket, libc::POLLOUT).then_some(i32::from(libc::POLLOUT))
        }
        Submission::Read { file, .. } if is_event(submission) && !is_ready(file, libc::POLLIN) => {
            None
        }
        Submission::Read { file, data, len, .. } if is_event(submission) => {
            // SAFETY: the test keeps the descriptor and the memory until the completion.
            result(unsafe { libc::read(file, data.cast(), len as usize) })
        }
        Submission::Read { file, data, len, offset, .. }
        | Submission::ReadFixed { file, data, len, offset, .. } => {
            // SAFETY: the test keeps the descriptor and the memory until the completion.
            result(unsafe { libc::pread(file, data.cast(), len as usize, offset as i64) })
        }
        Submission::ReadVectored { file, vectors, count, offset, .. } => {
            // SAFETY: the test keeps the descriptor and the memory until the completion.
            result(unsafe { libc::preadv(file, vectors, count as i32, offset as i64) })
        }
        // SAFETY: the test keeps the descriptor and the memory until the completion.
        Submission::OpenAt2 { directory, path, how, .. } => result(unsafe {
            let size = size_of::<libc::open_how>();
            libc::syscall(libc::SYS_openat2, directory, path, how, size) as isize
        }),
        Submission::Close { .. } | Submission::Cancel { .. } => {
            unreachable!("the script closes, the player cancels")
        }
    };
    if let Some(result) = once {
        script.complete(id, result, false);
    }
    once.is_some()
}

/// A read at no offset: of an eventfd.
fn is_event(submission: &Submission) -> bool {
    matches!(submission, Submission::Read { offset: u64::MAX, .. })
}

fn accept(listener: RawFd) -> Option<i32> {
    let none = std::ptr::null_mut();
    // SAFETY: no address is asked for, and a listener that blocks is made not to.
    result(unsafe {
        libc::fcntl(listener, libc::F_SETFL, libc::O_NONBLOCK);
        libc::accept4(listener, none, none.cast(), libc::SOCK_CLOEXEC) as isize
    })
}

/// Bytes into published buffers, one of them or all that have come. A socket's bytes are looked at
/// first: without a buffer they stay, and the receive ends with ENOBUFS.
fn receive(
    script: &mut Scripted,
    pool: &ReceivePool,
    id: OpId,
    socket: RawFd,
    limit: usize,
    multi: bool,
) -> bool {
    let mut bytes = vec![0; limit.min(pool.buffer_len())];
    let flags = libc::MSG_DONTWAIT;
    loop {
        let (data, len) = (bytes.as_mut_ptr().cast(), bytes.len());
        // SAFETY: the bytes outlive the call.
        let seen = unsafe { libc::recv(socket, data, len, flags | libc::MSG_PEEK) };
        match result(seen) {
            None => return false,
            Some(count @ 1..) => {
                let count = count as usize;
                if !script.deliver(id, &bytes[..count], multi) {
                    script.complete(id, -libc::ENOBUFS, false);
                    return true;
                }
                // SAFETY: as above; these bytes were seen.
                let taken = unsafe { libc::recv(socket, data, count, flags) };
                assert_eq!(taken, count as isize);
                if !multi {
                    return true;
                }
            }
            Some(end) => {
                script.complete(id, end, false);
                return true;
            }
        }
    }
}
