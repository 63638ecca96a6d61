//! Bytes at a page boundary: file content that the kernel reads where it lies.
//!
//! Kernel TLS walks source and ciphertext page by page. A record that begins at a page boundary
//! is four pages and no block of the cipher straddles two of them; one that does not costs a
//! fifth page and a bounce for each block at a boundary (`crypto/skcipher.c`).

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    cell::Cell,
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    rc::Rc,
};

use crate::defects::give_back;

/// Alignment of what is longer than a page: the page itself.
const PAGE: usize = 4096;

/// Alignment of what is shorter: a cache line.
const LINE: usize = 64;

/// Memory of a fixed length, zeroed at first. Behind an `Rc`, it does not change any more and
/// may be lent to the kernel.
pub(crate) struct Pages {
    base: NonNull<u8>,
    len: usize,
    /// Where the bytes are counted for as long as they live.
    account: Option<Rc<Cell<usize>>>,
}

impl Pages {
    /// So many zero bytes.
    pub(crate) fn zeroed(len: usize) -> Self {
        let Some(layout) = layout(len) else {
            return Self { base: NonNull::dangling(), len: 0, account: None };
        };
        // SAFETY: the layout is not empty.
        let base = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout));
        Self { base, len, account: None }
    }

    /// The same, counted in `account` until the last holder lets go of them.
    pub(crate) fn counted(len: usize, account: &Rc<Cell<usize>>) -> Self {
        account.set(account.get() + len);
        let mut pages = Self::zeroed(len);
        pages.account = Some(Rc::clone(account));
        pages
    }
}

impl From<&[u8]> for Pages {
    fn from(bytes: &[u8]) -> Self {
        let mut pages = Self::zeroed(bytes.len());
        pages.copy_from_slice(bytes);
        pages
    }
}

/// How `len` bytes are allocated; None for none, or for more than an address space holds.
fn layout(len: usize) -> Option<Layout> {
    let align = if len >= PAGE { PAGE } else { LINE };
    Layout::from_size_align(len, align).ok().filter(|layout| layout.size() > 0)
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes, owned by this value.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let Some(account) = &self.account {
            give_back(account, self.len);
        }
        if let Some(layout) = layout(self.len) {
            // SAFETY: allocated with this layout; an op that reads it holds a reference to it.
            unsafe { dealloc(self.base.as_ptr(), layout) };
        }
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pages({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_long_as_a_page_begins_at_one() {
        for len in [0, 1, 63, 4095, 4096, 1 << 20] {
            let mut pages = Pages::zeroed(len);
            assert_eq!(pages.len(), len);
            assert!(pages.iter().all(|byte| *byte == 0));
            let align = if len >= PAGE { PAGE } else { 1 };
            assert_eq!(pages.as_ptr() as usize % align, 0, "{len} bytes");
            pages.fill(7);
        }
        assert_eq!(&Pages::from(&b"text"[..])[..], b"text");
    }
}
