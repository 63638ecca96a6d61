//! The system calls that a ring makes, by their kind: io_uring_enter(2) alone, or those of polling.

/// Kinds of calls that an account has room for.
pub(crate) const KINDS: usize = 10;

/// Calls by name since the ring's start, as many as there are names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedCalls {
    pub(crate) names: &'static [&'static str],
    pub(crate) counts: [u64; KINDS],
}

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
        NamedCalls { names: &NAMES, counts: self.0 }
    }
}

/// The calls of a ring on io_uring: it makes one kind.
pub(super) fn of_io_uring(enters: u64) -> NamedCalls {
    let mut calls = NamedCalls { names: &["io_uring_enter"], ..NamedCalls::default() };
    calls.counts[0] = enters;
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_name() {
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
            let mut calls = Calls::default();
            calls.add(call);
            let NamedCalls { names, counts } = calls.named();
            let at = counts.iter().position(|count| *count == 1).unwrap();
            assert_eq!((names[at], counts.iter().sum::<u64>()), (name, 1));
        }
        let NamedCalls { names, counts } = of_io_uring(7);
        assert_eq!((names, counts[0]), (&["io_uring_enter"][..], 7));
    }
}
