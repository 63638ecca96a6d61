//! Bytes to be written: slots of one registered allocation, handed out last in, first out, so
//! that the next response is built in memory that is still warm.
//!
//! The invariant: a slot's index is in exactly one place: the free list or a [`Slot`]. While a
//! write is in flight, the ring holds the [`Slot`].

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::memory::Pages;

/// The registered memory and the slots that are free.
#[derive(Debug)]
pub(crate) struct SendPool {
    memory: Pages,
    size: usize,
    free: RefCell<Vec<u16>>,
}

impl SendPool {
    /// `count` slots of `size` bytes each.
    pub(crate) fn new(count: u16, size: usize) -> Self {
        let memory = Pages::new(usize::from(count) * size);
        Self { memory, size, free: RefCell::new((0..count).rev().collect()) }
    }

    /// The whole memory, for registration.
    pub(crate) fn whole(&self) -> (*mut u8, usize) {
        (self.memory.start(), self.memory.len())
    }

    pub(crate) fn start(&self, index: u16) -> *mut u8 {
        let offset = usize::from(index) * self.size;
        assert!(offset + self.size <= self.memory.len(), "a slot of this pool");
        // SAFETY: the offset is inside the allocation, as asserted.
        unsafe { self.memory.start().add(offset) }
    }
}

/// A piece of registered memory to build bytes in. Dropping it frees the slot.
pub struct Slot {
    pool: Rc<SendPool>,
    index: u16,
}

impl Slot {
    /// The slot that was freed last, or nothing if all are taken.
    pub(crate) fn take(pool: &Rc<SendPool>) -> Option<Self> {
        let index = pool.free.borrow_mut().pop()?;
        Some(Self { pool: Rc::clone(pool), index })
    }

    pub(crate) fn index(&self) -> u16 {
        self.index
    }

    pub(crate) fn is_of(&self, pool: &Rc<SendPool>) -> bool {
        Rc::ptr_eq(&self.pool, pool)
    }
}

impl Deref for Slot {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the slot's memory is this value's alone and was zeroed at the start.
        unsafe { std::slice::from_raw_parts(self.pool.start(self.index), self.pool.size) }
    }
}

impl DerefMut for Slot {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.pool.start(self.index), self.pool.size) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pool.free.borrow_mut().push(self.index);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("index", &self.index).finish_non_exhaustive()
    }
}
