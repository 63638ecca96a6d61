//! Send memory: one registered region, carved into three classes of buffers.
//!
//! Buffers are handed out last in, first out, so that the memory that leaves next is still in
//! the cache. A class that is empty makes its takers wait in order; nothing else is allocated.

use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt, io,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    rc::Rc,
};

use super::{TaskId, region::Region};

/// The sizes that send memory comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendClass {
    /// A head and a small body: [`SendClass::SMALL_LEN`] bytes.
    Small,
    /// A head and one full record: [`SendClass::RECORD_LEN`] bytes.
    Record,
    /// Eight full records: [`SendClass::BULK_LEN`] bytes.
    Bulk,
}

impl SendClass {
    /// Bytes of a [`SendClass::Small`] buffer. 64 more than 2 KiB, so that the beginnings of
    /// buffers spread over the cache sets.
    pub const SMALL_LEN: usize = 2048 + 64;
    /// Bytes of a [`SendClass::Record`] buffer: a full TLS record and a kilobyte of head.
    pub const RECORD_LEN: usize = 16384 + 1024 + 64;
    /// Bytes of a [`SendClass::Bulk`] buffer: eight full records and their framing.
    pub const BULK_LEN: usize = 8 * (16384 + 64) + 64;

    const ALL: [Self; 3] = [Self::Small, Self::Record, Self::Bulk];

    /// Bytes of a buffer of this class.
    pub const fn len(self) -> usize {
        match self {
            Self::Small => Self::SMALL_LEN,
            Self::Record => Self::RECORD_LEN,
            Self::Bulk => Self::BULK_LEN,
        }
    }

    /// How many of this class `budget` bytes of send memory hold: an eighth of the memory goes
    /// to small buffers, three eighths to records, half to bulk; at least four of each.
    pub fn count_within(self, budget: usize) -> usize {
        let share = match self {
            Self::Small => budget / 8,
            Self::Record => budget / 8 * 3,
            Self::Bulk => budget / 2,
        };
        (share / self.len()).max(4)
    }
}

#[derive(Debug)]
struct Class {
    /// Where the class begins in the region.
    offset: usize,
    count: usize,
    /// Buffers at rest, the warmest last.
    free: Vec<u32>,
    waiters: VecDeque<TaskId>,
}

/// The memory that a worker sends from.
pub struct SendPool {
    memory: Region,
    classes: RefCell<[Class; 3]>,
}

impl SendPool {
    /// Carves about `budget` bytes (see [`SendClass::count_within`]).
    pub(super) fn new(budget: usize) -> io::Result<Rc<Self>> {
        let mut offset = 0;
        let classes = SendClass::ALL.map(|class| {
            let count = class.count_within(budget);
            let begin = offset;
            offset += count * class.len();
            let free = (0..count as u32).rev().collect();
            Class { offset: begin, count, free, waiters: VecDeque::new() }
        });
        Ok(Rc::new(Self { memory: Region::new(offset)?, classes: RefCell::new(classes) }))
    }

    /// The whole region, for registration.
    pub(super) fn as_iovec(&self) -> libc::iovec {
        libc::iovec { iov_base: self.memory.at(0).as_ptr().cast(), iov_len: self.memory.len() }
    }

    /// Bytes of address space behind the pool; resident only as far as it was used.
    pub fn bytes(&self) -> usize {
        self.memory.len()
    }

    /// Buffers of a class at rest.
    pub fn available(&self, class: SendClass) -> usize {
        self.classes.borrow()[class as usize].free.len()
    }

    /// Whether every buffer is at rest: what a leak check asks.
    pub fn is_whole(&self) -> bool {
        self.classes.borrow().iter().all(|class| class.free.len() == class.count)
    }

    /// The warmest buffer of this class, if one is at rest.
    pub(super) fn try_take(self: &Rc<Self>, class: SendClass) -> Option<SendBuf> {
        let mut classes = self.classes.borrow_mut();
        let state = &mut classes[class as usize];
        let index = state.free.pop()?;
        let base = self.memory.at(state.offset + index as usize * class.len());
        Some(SendBuf { base, class, index, pool: Rc::clone(self) })
    }

    /// Queues a task for a class that is empty.
    pub(super) fn wait(&self, class: SendClass, task: TaskId) {
        let waiters = &mut self.classes.borrow_mut()[class as usize].waiters;
        if !waiters.contains(&task) {
            waiters.push_back(task);
        }
    }

    /// Takes out the tasks for which a buffer is there now, in order.
    pub(super) fn take_served(&self, mut wake: impl FnMut(TaskId)) {
        for class in self.classes.borrow_mut().iter_mut() {
            let served = class.waiters.len().min(class.free.len());
            class.waiters.drain(..served).for_each(&mut wake);
        }
    }
}

impl fmt::Debug for SendPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendPool").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// One buffer of send memory, zero-initialised at first and dirty afterwards: whoever takes it
/// sends only what it wrote. Dropping it gives it back.
pub struct SendBuf {
    base: NonNull<u8>,
    class: SendClass,
    index: u32,
    pool: Rc<SendPool>,
}

impl SendBuf {
    /// The class it belongs to.
    pub fn class(&self) -> SendClass {
        self.class
    }
}

impl Deref for SendBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the buffer lies inside the region, is initialised (mapped zeroed) and is owned
        // by this value alone; an op that reads or fills it owns the value meanwhile.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.class.len()) }
    }
}

impl DerefMut for SendBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.class.len()) }
    }
}

impl Drop for SendBuf {
    fn drop(&mut self) {
        self.pool.classes.borrow_mut()[self.class as usize].free.push(self.index);
    }
}

impl fmt::Debug for SendBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendBuf {{ {:?} {} }}", self.class, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_do_not_overlap_and_the_last_given_back_is_taken_first() {
        let pool = SendPool::new(1 << 20).unwrap();
        let mut taken = Vec::new();
        for class in SendClass::ALL {
            while let Some(mut buffer) = pool.try_take(class) {
                let mark = taken.len() as u8;
                buffer.fill(mark);
                taken.push(buffer);
            }
        }
        for (mark, buffer) in taken.iter().enumerate() {
            assert!(buffer.iter().all(|byte| *byte == mark as u8));
        }
        assert!(!pool.is_whole());
        let last = taken.pop().unwrap();
        let index = last.index;
        drop(last);
        assert_eq!(pool.try_take(SendClass::Bulk).unwrap().index, index);
        drop(taken);
        assert!(pool.is_whole());
    }

    #[test]
    fn waiters_wake_in_order_when_buffers_return() {
        let pool = SendPool::new(0).unwrap();
        let held: Vec<_> = std::iter::from_fn(|| pool.try_take(SendClass::Small)).collect();
        let tasks: Vec<TaskId> = (0..6).map(TaskId::for_test).collect();
        tasks.iter().for_each(|task| pool.wait(SendClass::Small, *task));
        let mut woken = Vec::new();
        pool.take_served(|task| woken.push(task));
        assert!(woken.is_empty());
        drop(held);
        pool.take_served(|task| woken.push(task));
        assert_eq!(woken, tasks[..4]);
    }
}
