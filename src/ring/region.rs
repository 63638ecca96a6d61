//! Anonymous memory at a fixed address, zeroed, page-aligned and unmapped on drop.
//!
//! Pools carve their buffers from a region, so the kernel may be given pointers into it for as
//! long as the region lives. Untouched pages cost nothing: the kernel backs them on first use.

use std::{io, ptr::NonNull};

/// A private anonymous mapping (mmap(2)).
#[derive(Debug)]
pub(super) struct Region {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a region is an address and a length, and a mapping may be unmapped by any thread. Who reads and
// writes which byte, and when, is for its pools to order.
unsafe impl Send for Region {}
// SAFETY: as above: nothing of a region changes while it is shared.
unsafe impl Sync for Region {}

impl Region {
    /// Maps `len` bytes, rounded up by the kernel to whole pages. `len` must not be zero.
    pub(super) fn new(len: usize) -> io::Result<Self> {
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mmap gave null"))?;
        Ok(Self { base, len })
    }

    /// The address of byte `offset`.
    ///
    /// # Panics
    /// If `offset` lies outside the region: that is a defect of the pool, never of input.
    pub(super) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.len, "offset {offset} outside a region of {} bytes", self.len);
        // SAFETY: the offset was just checked to stay inside the mapping.
        unsafe { self.base.add(offset) }
    }

    /// Bytes in the region.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the region owns the mapping, and its users (the pools) outlive every op that
        // was given a pointer into it: the ring is dropped before them.
        let unmapped = unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert_eq!(unmapped, 0, "a region unmaps");
    }
}
