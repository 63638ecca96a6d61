//! Received bytes: the provided buffer ring and the leases on its buffers.
//!
//! The invariant: a buffer is either the kernel's (its entry is published) or one [`Lease`]'s,
//! never both. Dropping the lease publishes the entry again.

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use crate::memory::Pages;

/// The buffers that receives pick from.
#[derive(Debug)]
pub(crate) struct RecvPool {
    entries: Pages,
    buffers: Pages,
    count: u16,
    size: u32,
    tail: Cell<u16>,
}

impl RecvPool {
    /// `count` buffers of `size` bytes each; `count` is a power of two of at most 32,768.
    pub(crate) fn new(count: u16, size: u32) -> Self {
        assert!(count.is_power_of_two() && count <= 1 << 15, "a ring of 2^n <= 32768 buffers");
        let entries = Pages::new(usize::from(count) * size_of::<BufRingEntry>());
        let buffers = Pages::new(usize::from(count) * size as usize);
        let pool = Self { entries, buffers, count, size, tail: Cell::new(0) };
        for id in 0..count {
            pool.provide(id);
        }
        pool
    }

    /// Where the kernel finds the entries, for registration.
    pub(crate) fn entries(&self) -> u64 {
        self.entries.start() as u64
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    fn buffer(&self, id: u16) -> *mut u8 {
        assert!(id < self.count, "the kernel names buffers that it was given");
        // SAFETY: `id` is below `count`, so the offset stays inside the allocation.
        unsafe { self.buffers.start().add(usize::from(id) * self.size as usize) }
    }

    /// Gives buffer `id` to the kernel.
    #[expect(clippy::cast_ptr_alignment, reason = "the entries begin on a page")]
    fn provide(&self, id: u16) {
        let tail = self.tail.get();
        let entries = self.entries.start().cast::<BufRingEntry>();
        let address = self.buffer(id) as u64;
        // SAFETY: the index is below `count` and the entries are ours until the tail moves past
        // them; the kernel reads the tail, which shares memory with the first entry's reserved
        // field, by an acquiring load, and nobody else writes it.
        unsafe {
            let entry = &mut *entries.add(usize::from(tail & (self.count - 1)));
            entry.set_addr(address);
            entry.set_len(self.size);
            entry.set_bid(id);
            let published = BufRingEntry::tail(entries).cast::<AtomicU16>();
            (*published).store(tail.wrapping_add(1), Ordering::Release);
        }
        self.tail.set(tail.wrapping_add(1));
    }
}

/// Received bytes, in the buffer where the kernel put them. Dropping it gives the buffer back.
pub struct Lease {
    pool: Rc<RecvPool>,
    id: u16,
    len: usize,
}

impl Lease {
    /// Takes over buffer `id`, of which the kernel filled the first `len` bytes.
    pub(crate) fn new(pool: &Rc<RecvPool>, id: u16, len: usize) -> Self {
        assert!(id < pool.count && len <= pool.size as usize, "a buffer of this pool");
        Self { pool: Rc::clone(pool), id, len }
    }
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the buffer is this lease's alone, `len` bytes of it are initialised.
        unsafe { std::slice::from_raw_parts(self.pool.buffer(self.id), self.len) }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.pool.buffer(self.id), self.len) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.provide(self.id);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("id", &self.id)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
