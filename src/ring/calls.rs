//! The system calls that a ring makes, by their kind: io_uring_enter(2) alone, or those of polling.

/// Kinds of calls that an account has room for.
pub(crate) const KINDS: usize = 10;

/// Calls by name since the ring's start. A kind that this ring has not is named by nothing.
pub(crate) type NamedCalls = [(&'static str, u64); KINDS];

/// A kind of call that polling makes. The names are those of the system calls; `file` stands for the
/// opens and reads that the worker tries in the kernel's caches, `thread` for those that a thread of
/// the ring carries out, since they may wait for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Wait,
    Register,
    Accept,
    Receive,
    Send,
    Connect,
    Poll,
    File,
    Close,
    Thread,
}

const NAMES: [&str; KINDS] = [
    "epoll_pwait",
    "epoll_ctl",
    "accept4",
    "recv",
    "send",
    "connect",
    "poll",
    "file",
    "close",
    "thread",
];

/// The calls of a ring that polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls([u64; KINDS]);

impl Calls {
    pub(super) fn add(&mut self, call: Call) {
        self.0[call as usize] += 1;
    }

    pub(super) fn named(self) -> NamedCalls {
        std::array::from_fn(|at| (NAMES[at], self.0[at]))
    }
}

/// The calls of a ring on io_uring: it makes one kind.
pub(super) fn of_io_uring(enters: u64) -> NamedCalls {
    let mut calls = NamedCalls::default();
    calls[0] = ("io_uring_enter", enters);
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_name() {
        let mut calls = Calls::default();
        for (call, name) in [
            (Call::Wait, "epoll_pwait"),
            (Call::Register, "epoll_ctl"),
            (Call::Accept, "accept4"),
            (Call::Receive, "recv"),
            (Call::Send, "send"),
            (Call::Connect, "connect"),
            (Call::Poll, "poll"),
            (Call::File, "file"),
            (Call::Close, "close"),
            (Call::Thread, "thread"),
        ] {
            let before = calls.named();
            calls.add(call);
            let changed: Vec<_> =
                calls.named().into_iter().filter(|each| !before.contains(each)).collect();
            assert_eq!(changed, [(name, 1)]);
        }
        assert_eq!(of_io_uring(7)[..2], [("io_uring_enter", 7), ("", 0)]);
    }
}
