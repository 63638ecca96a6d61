//! Page-aligned zeroed memory. The invariant: the allocation lives exactly as long as its
//! [`Pages`], at one address.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

const PAGE: usize = 4096;

/// A page-aligned allocation, zeroed at the start.
#[derive(Debug)]
pub(crate) struct Pages {
    start: NonNull<u8>,
    layout: Layout,
}

impl Pages {
    /// Allocates `bytes`, at least one.
    ///
    /// # Panics
    ///
    /// If `bytes` is zero or larger than `isize::MAX`.
    pub(crate) fn new(bytes: usize) -> Self {
        assert!(bytes > 0, "an empty allocation has no address");
        let layout = Layout::from_size_align(bytes, PAGE).expect("a size within isize::MAX");
        // SAFETY: the layout is not empty, as asserted above.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, layout }
    }

    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub(crate) fn len(&self) -> usize {
        self.layout.size()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout, and freed only here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}
