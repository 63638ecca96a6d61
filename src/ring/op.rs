//! What the kernel is asked to do, and how its answers find their way back.
//!
//! Every operation that is waited for has a slot in the op table. Its name, [`OpId`], travels as
//! `user_data` and comes back in each completion: kind, slot and generation, so that an answer
//! to an operation that is gone is recognised and what it carries (a descriptor, a buffer) is
//! given back.

use std::{io, os::fd::RawFd, time::Duration};

/// What kind of completion to expect; kept in the id so that even a stale one can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// One result and nothing else.
    Plain = 0,
    /// Each completion may carry an accepted descriptor.
    Accept = 1,
    /// Each completion may carry a buffer of the receive pool.
    Receive = 2,
    /// The one completion may carry an opened descriptor.
    Open = 3,
    /// Nobody waits: close and cancel.
    Forgotten = 4,
}

/// The name of an operation in flight, as it travels as `user_data`: how often its slot had been used before
/// (which wraps) in 32 bits, its kind in 8, its slot in 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpId(u64);

impl OpId {
    /// For operations that nobody waits for.
    pub(super) const FORGOTTEN: Self = Self::new(Kind::Forgotten, 0, 0);

    /// `slot` is below 2^24.
    pub(super) const fn new(kind: Kind, slot: u32, generation: u32) -> Self {
        Self((generation as u64) << 32 | (kind as u64) << 24 | slot as u64)
    }

    pub(super) fn to_user_data(self) -> u64 {
        self.0
    }

    pub(super) fn from_user_data(user_data: u64) -> Self {
        Self(user_data)
    }

    pub(super) fn kind(self) -> Kind {
        match (self.0 >> 24) as u8 {
            0 => Kind::Plain,
            1 => Kind::Accept,
            2 => Kind::Receive,
            3 => Kind::Open,
            _ => Kind::Forgotten,
        }
    }

    /// Its slot in the op table.
    pub(super) fn slot(self) -> u32 {
        self.0 as u32 & 0x00ff_ffff
    }

    /// How often the slot had been used before.
    pub(super) fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// An operation was asked for with memory that it does not fit: a fault of the caller, never of
/// the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Defect {
    /// The slot that was just taken is not there.
    NoSlot,
    /// A send of no bytes, or of more than its buffer has.
    SendRange,
    /// A message of which nothing remains.
    EmptyMessage,
    /// A part of a message that does not lie in its buffer.
    MessagePart,
    /// A read into pages that are full.
    FullPages,
    /// A read into no range, or into more than [`super::MAX_VECTORS`].
    ReadCount,
    /// A read into a range that is empty, or does not lie in its buffer.
    ReadRange,
}

impl Defect {
    fn describe(self) -> &'static str {
        match self {
            Self::NoSlot => "the op table lost a slot",
            Self::SendRange => "a send of no bytes, or beyond its buffer",
            Self::EmptyMessage => "a message of which nothing remains",
            Self::MessagePart => "a part of a message beyond its buffer",
            Self::FullPages => "a read into full pages",
            Self::ReadCount => "a read into no range, or too many",
            Self::ReadRange => "a read into an empty range, or beyond its buffer",
        }
    }
}

/// Why an operation was not handed to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The op table is full. The caller may try again after others have completed.
    Full,
    Defect(Defect),
}

impl Refusal {
    /// EAGAIN for a full table; for a defect an error that names it.
    pub(super) fn into_error(self) -> io::Error {
        match self {
            Self::Full => io::Error::from_raw_os_error(libc::EAGAIN),
            Self::Defect(defect) => io::Error::new(io::ErrorKind::InvalidInput, defect.describe()),
        }
    }
}

/// One completion, as the kernel wrote it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) id: OpId,
    /// The result, or a negated errno.
    pub(super) result: i32,
    /// More completions of this operation will follow (`IORING_CQE_F_MORE`).
    pub(super) more: bool,
    /// The provided buffer that it filled (`IORING_CQE_F_BUFFER`).
    pub(super) buffer: Option<u16>,
}

/// How long an enter of the kernel may wait for a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Not,
    /// Until the worker's clock shows this many milliseconds, `rest` from now. It may end earlier.
    Until {
        at: u64,
        rest: Duration,
    },
    Forever,
}

/// A request to the kernel. The pointers point into the slot's payload or into a pool; the op
/// table keeps both alive until the last completion.
#[derive(Clone, Copy, Debug)]
pub(super) enum Submission {
    /// Multishot accept; descriptors are close-on-exec.
    AcceptMulti { listener: RawFd },
    /// One accept, likewise.
    Accept { listener: RawFd },
    /// One receive of at most `limit` bytes (0: as many as fit) into a buffer of the receive pool.
    Receive { socket: RawFd, limit: u32 },
    /// Receives into buffers of the receive pool until cancelled, failed or out of buffers.
    ReceiveMulti { socket: RawFd },
    /// One recvmsg(2), for what a plain receive refuses: kernel TLS's control records.
    ReceiveMessage { socket: RawFd, header: *mut libc::msghdr },
    /// One recvmsg(2) that does not wait: EAGAIN if nothing has come.
    ReceiveArrived { socket: RawFd, header: *mut libc::msghdr },
    /// One send(2) from any memory.
    Send { socket: RawFd, data: *const u8, len: u32 },
    /// One sendmsg(2).
    SendMessage { socket: RawFd, header: *const libc::msghdr },
    /// connect(2).
    Connect { socket: RawFd, address: *const libc::sockaddr, len: u32 },
    /// Wait until a socket takes bytes again.
    PollWritable { socket: RawFd },
    /// openat2(2); always by a thread of the kernel if `on_thread`.
    OpenAt2 {
        directory: RawFd,
        path: *const libc::c_char,
        how: *const libc::open_how,
        on_thread: bool,
    },
    /// pread(2) into any memory.
    Read { file: RawFd, data: *mut u8, len: u32, offset: u64, on_thread: bool },
    /// The same into registered memory.
    ReadFixed { file: RawFd, data: *mut u8, len: u32, offset: u64, on_thread: bool },
    /// preadv(2).
    ReadVectored {
        file: RawFd,
        vectors: *const libc::iovec,
        count: u32,
        offset: u64,
        on_thread: bool,
    },
    /// close(2).
    Close { fd: RawFd },
    /// Cancel the operation with this `user_data`.
    Cancel { target: u64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_the_trip_through_user_data() {
        for kind in [Kind::Plain, Kind::Accept, Kind::Receive, Kind::Open] {
            for (slot, generation) in [(0, 0), (0x00ff_ffff, u32::MAX), (7, 9)] {
                let id = OpId::new(kind, slot, generation);
                let back = OpId::from_user_data(id.to_user_data());
                assert_eq!((back.kind(), back.slot(), back.generation()), (kind, slot, generation));
            }
        }
        let forgotten = OpId::FORGOTTEN;
        assert_eq!(OpId::from_user_data(forgotten.to_user_data()).kind(), Kind::Forgotten);
    }
}
