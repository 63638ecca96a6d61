//! Receives from a socket straight into send memory: content that is passed on from one connection to
//! another, and that is sealed and sent from where it arrived.

use std::{fmt, ops::Range};

use super::{file::MAX_VECTORS, op::Defect, send_pool::SendBuf};

/// A receive in flight: its memory, and the frame that describes it to the kernel. Boxed: the frame holds
/// pointers into itself, which are set before it is submitted.
pub(super) struct ReceiveInto {
    buffer: SendBuf,
    /// Ranges of the buffer, filled one after the other.
    ranges: Vec<Range<usize>>,
    header: libc::msghdr,
    vectors: [libc::iovec; MAX_VECTORS],
}

impl ReceiveInto {
    pub(super) fn new(buffer: SendBuf, ranges: Vec<Range<usize>>) -> Box<Self> {
        // SAFETY: all-zero is a valid msghdr: null pointers and zero lengths.
        let header = unsafe { std::mem::zeroed() };
        let empty = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Box::new(Self { buffer, ranges, header, vectors: [empty; MAX_VECTORS] })
    }

    /// Sets the frame up and gives its address, good while the box stays where it is.
    ///
    /// Fails if there is no range, more than [`MAX_VECTORS`] of them, or one that is empty or does not lie
    /// in the buffer.
    pub(super) fn prepare(&mut self) -> Result<*mut libc::msghdr, Defect> {
        if self.ranges.is_empty() || self.ranges.len() > MAX_VECTORS {
            return Err(Defect::ReadCount);
        }
        let room = self.buffer.len();
        let base = self.buffer.as_mut_ptr();
        for (vector, range) in self.vectors.iter_mut().zip(&self.ranges) {
            if range.is_empty() || range.end > room {
                return Err(Defect::ReadRange);
            }
            // SAFETY: the range begins and ends within the buffer.
            let data = unsafe { base.add(range.start) };
            *vector = libc::iovec { iov_base: data.cast(), iov_len: range.len() };
        }
        self.header.msg_iov = self.vectors.as_mut_ptr();
        self.header.msg_iovlen = self.ranges.len();
        Ok(&raw mut self.header)
    }

    /// The memory, and its ranges.
    pub(super) fn into_parts(self) -> (SendBuf, Vec<Range<usize>>) {
        (self.buffer, self.ranges)
    }
}

impl fmt::Debug for ReceiveInto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveInto").field("ranges", &self.ranges).finish_non_exhaustive()
    }
}
