//! The one table of operations: what the ring submits, how each is encoded, and, derived from the
//! same rows, which of them the probe demands ([`super::probe`]) and the restriction allows
//! ([`super::restrict`]).

use io_uring::{
    opcode, squeue,
    types::{Fd, OpenHow, Timespec},
};

use super::op::Submission;

/// The group that the receive pool is registered as.
pub(super) const RECEIVE_GROUP: u16 = 0;

/// The index that the send memory is registered as.
pub(super) const SEND_MEMORY: u16 = 0;

/// Each row: a submission, the name of its operation as io_uring_enter(2) has it, its code, and its
/// entry.
macro_rules! operations {
    ($($pattern:pat => $name:literal $operation:ident: $entry:expr;)*) => {
        /// Every operation that a ring submits: name and code. Some stand here twice, since two
        /// kinds of submission are one operation.
        pub(super) const OPERATIONS: &[(&str, u8)] = &[
            $(($name, opcode::$operation::CODE),)*
            ("TIMEOUT", opcode::Timeout::CODE),
            ("TIMEOUT_REMOVE", opcode::TimeoutUpdate::CODE),
        ];

        /// A submission as the kernel takes it, without its name.
        pub(super) fn encode(submission: &Submission) -> squeue::Entry {
            match *submission {
                $($pattern => $entry,)*
            }
        }
    };
}

operations! {
    Submission::AcceptMulti { listener } => "ACCEPT" AcceptMulti:
        opcode::AcceptMulti::new(Fd(listener)).flags(libc::SOCK_CLOEXEC).build();
    Submission::Accept { listener } => "ACCEPT" Accept:
        opcode::Accept::new(Fd(listener), std::ptr::null_mut(), std::ptr::null_mut())
            .flags(libc::SOCK_CLOEXEC)
            .build();
    Submission::Receive { socket, limit } => "RECV" Recv:
        opcode::Recv::new(Fd(socket), std::ptr::null_mut(), limit)
            .buf_group(RECEIVE_GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
    Submission::ReceiveMulti { socket } => "RECV" RecvMulti:
        opcode::RecvMulti::new(Fd(socket), RECEIVE_GROUP).build();
    Submission::ReceiveMessage { socket, header } => "RECVMSG" RecvMsg:
        opcode::RecvMsg::new(Fd(socket), header).build();
    Submission::ReceiveArrived { socket, header } => "RECVMSG" RecvMsg:
        opcode::RecvMsg::new(Fd(socket), header).flags(libc::MSG_DONTWAIT as u32).build();
    Submission::Send { socket, data, len } => "SEND" Send:
        opcode::Send::new(Fd(socket), data, len).flags(libc::MSG_NOSIGNAL).build();
    Submission::SendMessage { socket, header } => "SENDMSG" SendMsg:
        opcode::SendMsg::new(Fd(socket), header).flags(libc::MSG_NOSIGNAL as u32).build();
    Submission::Connect { socket, address, len } => "CONNECT" Connect:
        opcode::Connect::new(Fd(socket), address, len).build();
    Submission::PollWritable { socket } => "POLL_ADD" PollAdd:
        opcode::PollAdd::new(Fd(socket), libc::POLLOUT as u32).build();
    Submission::OpenAt2 { directory, path, how, on_thread } => "OPENAT2" OpenAt2:
        opcode::OpenAt2::new(Fd(directory), path, how.cast::<OpenHow>())
            .build()
            .flags(thread(on_thread));
    Submission::Read { file, data, len, offset, on_thread } => "READ" Read:
        opcode::Read::new(Fd(file), data, len).offset(offset).build().flags(thread(on_thread));
    Submission::ReadFixed { file, data, len, offset, on_thread } => "READ_FIXED" ReadFixed:
        opcode::ReadFixed::new(Fd(file), data, len, SEND_MEMORY)
            .offset(offset)
            .build()
            .flags(thread(on_thread));
    Submission::ReadVectored { file, vectors, count, offset, on_thread } => "READV" Readv:
        opcode::Readv::new(Fd(file), vectors, count)
            .offset(offset)
            .build()
            .flags(thread(on_thread));
    Submission::Close { fd } => "CLOSE" Close: opcode::Close::new(Fd(fd)).build();
    // By its name, which the kernel finds by a hash: a cancel by descriptor walks through every poll
    // of the ring, which is milliseconds with ten thousand connections (`io_poll_cancel`,
    // io_uring/poll.c).
    Submission::Cancel { target } => "ASYNC_CANCEL" AsyncCancel:
        opcode::AsyncCancel::new(target).build();
}

/// Whether a thread of the kernel does it from the start.
fn thread(on_thread: bool) -> squeue::Flags {
    if on_thread { squeue::Flags::ASYNC } else { squeue::Flags::empty() }
}

/// The operation that only a ring with upstream servers submits.
pub(super) const CONNECT: u8 = opcode::Connect::CODE;

/// A timer, for the ring's alarm.
pub(super) fn timeout(rest: *const Timespec) -> squeue::Entry {
    opcode::Timeout::new(rest).build()
}

/// Sets the timer with this `user_data` anew.
pub(super) fn update_timeout(target: u64, rest: *const Timespec) -> squeue::Entry {
    opcode::TimeoutUpdate::new(target, rest).build()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, os::fd::RawFd};

    use super::*;

    /// One of each kind. The match in `encode` is exhaustive, so a new kind has a row; this list
    /// cannot know it, but a row of it that names the wrong operation shows here.
    fn samples() -> Vec<(Submission, &'static str)> {
        let fd: RawFd = -1;
        let (header, data) = (std::ptr::null_mut(), std::ptr::null_mut());
        vec![
            (Submission::AcceptMulti { listener: fd }, "ACCEPT"),
            (Submission::Accept { listener: fd }, "ACCEPT"),
            (Submission::Receive { socket: fd, limit: 0 }, "RECV"),
            (Submission::ReceiveMulti { socket: fd }, "RECV"),
            (Submission::ReceiveMessage { socket: fd, header }, "RECVMSG"),
            (Submission::ReceiveArrived { socket: fd, header }, "RECVMSG"),
            (Submission::Send { socket: fd, data, len: 1 }, "SEND"),
            (Submission::SendMessage { socket: fd, header }, "SENDMSG"),
            (Submission::Connect { socket: fd, address: std::ptr::null(), len: 0 }, "CONNECT"),
            (Submission::PollWritable { socket: fd }, "POLL_ADD"),
            (
                Submission::OpenAt2 {
                    directory: fd,
                    path: std::ptr::null(),
                    how: std::ptr::null(),
                    on_thread: true,
                },
                "OPENAT2",
            ),
            (Submission::Read { file: fd, data, len: 1, offset: 0, on_thread: true }, "READ"),
            (
                Submission::ReadFixed { file: fd, data, len: 1, offset: 0, on_thread: false },
                "READ_FIXED",
            ),
            (
                Submission::ReadVectored {
                    file: fd,
                    vectors: std::ptr::null(),
                    count: 1,
                    offset: 0,
                    on_thread: false,
                },
                "READV",
            ),
            (Submission::Close { fd }, "CLOSE"),
            (Submission::Cancel { target: 0 }, "ASYNC_CANCEL"),
        ]
    }

    /// The code of an entry: the first byte of `struct io_uring_sqe`
    /// (include/uapi/linux/io_uring.h), which the crate's `Debug` shows as `op_code`.
    fn code_of(entry: &squeue::Entry) -> u8 {
        let shown = format!("{entry:?}");
        let code = shown.split("op_code: ").nth(1).and_then(|rest| rest.split([',', ' ']).next());
        code.expect("an entry shows its code").parse().unwrap()
    }

    #[test]
    fn what_is_encoded_is_what_the_table_names() {
        for (submission, name) in samples() {
            let code = code_of(&encode(&submission));
            assert!(OPERATIONS.contains(&(name, code)), "{submission:?} is {code}");
        }
        let rest = Timespec::new();
        assert!(OPERATIONS.contains(&("TIMEOUT", code_of(&timeout(&raw const rest)))));
        let update = update_timeout(1, &raw const rest);
        assert!(OPERATIONS.contains(&("TIMEOUT_REMOVE", code_of(&update))));
    }

    #[test]
    fn nothing_is_allowed_or_demanded_that_is_not_submitted() {
        let named: BTreeSet<_> = OPERATIONS.iter().map(|(name, _)| *name).collect();
        let mut used: BTreeSet<_> = samples().iter().map(|(_, name)| *name).collect();
        used.extend(["TIMEOUT", "TIMEOUT_REMOVE"]);
        assert_eq!(named, used);
    }
}
