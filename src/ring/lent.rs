//! Receive buffers in the hands of an application, which reads and drops them on any thread, perhaps
//! after their worker has ended.
//!
//! The invariant: the memory of a pool lives for as long as one of its buffers is lent, and a lent buffer
//! is nobody else's until it has come back.

use std::{fmt, sync::Arc};

use super::{region::Region, returns::Returns};

/// The memory of a pool, and the way back to it.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) memory: Region,
    pub(super) returns: Returns,
}

/// A filled receive buffer that is read wherever it is wanted. Dropping it gives the buffer back, if its
/// pool is still there.
pub(crate) struct LentBuf {
    home: Arc<Home>,
    /// Where the buffer begins in the memory of its pool.
    offset: usize,
    len: usize,
    buffer: u16,
    /// Counts the buffers of one borrower.
    _borrower: Arc<()>,
}

impl LentBuf {
    /// Lends `len` bytes of a buffer of `home`, which was leased and is nobody else's from now on.
    /// `borrower` is cloned until it comes back.
    pub(super) fn new(
        home: &Arc<Home>,
        (buffer, offset, len): (u16, usize, usize),
        borrower: &Arc<()>,
    ) -> Self {
        Self { home: Arc::clone(home), offset, len, buffer, _borrower: Arc::clone(borrower) }
    }
}

impl AsRef<[u8]> for LentBuf {
    fn as_ref(&self) -> &[u8] {
        let base = self.home.memory.at(self.offset);
        // SAFETY: `len` bytes of the buffer were filled before it was lent, and nobody writes to it until
        // it is given back; `home` keeps it mapped.
        unsafe { std::slice::from_raw_parts(base.as_ptr(), self.len) }
    }
}

impl Drop for LentBuf {
    fn drop(&mut self) {
        self.home.returns.give_back(self.buffer);
    }
}

impl fmt::Debug for LentBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LentBuf {{ buffer: {}, len: {} }}", self.buffer, self.len)
    }
}
