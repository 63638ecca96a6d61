//! Send memory: one registered region, carved into three classes of buffers.
//!
//! Buffers are handed out last in, first out, so that the memory that leaves next is still in
//! the cache. A class that is empty makes its takers wait in line; nothing else is allocated. A
//! buffer that returns belongs to the head of the line, and no task overtakes: one that gives a
//! buffer back and wants another at once stands behind those who waited meanwhile.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    future::Future,
    io,
    ops::{Deref, DerefMut},
    pin::Pin,
    ptr::NonNull,
    rc::Rc,
    task::{Context, Poll},
};

use super::{
    Ring, TaskId,
    line::{Line, Place},
    region::Region,
};

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
    pub(crate) const SMALL_LEN: usize = 2048 + 64;
    /// Bytes of a [`SendClass::Record`] buffer: a full TLS record and a kilobyte of head.
    pub(crate) const RECORD_LEN: usize = 16384 + 1024 + 64;
    /// Bytes of a [`SendClass::Bulk`] buffer: eight full records and their framing.
    pub(crate) const BULK_LEN: usize = 8 * (16384 + 64) + 64;

    const ALL: [Self; 3] = [Self::Small, Self::Record, Self::Bulk];

    /// Bytes of a buffer of this class.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Small => Self::SMALL_LEN,
            Self::Record => Self::RECORD_LEN,
            Self::Bulk => Self::BULK_LEN,
        }
    }

    /// How many of this class `budget` bytes of send memory hold: an eighth of the memory goes
    /// to small buffers, three eighths to records, half to bulk; at least four of each.
    pub(crate) fn count_within(self, budget: usize) -> usize {
        let share = match self {
            Self::Small => budget / 8,
            Self::Record => budget / 8 * 3,
            Self::Bulk => budget / 2,
        };
        (share / self.bytes()).max(4)
    }
}

#[derive(Debug)]
struct Class {
    /// Where the class begins in the region.
    offset: usize,
    count: usize,
    /// Buffers at rest, the warmest last.
    free: Vec<u32>,
    line: Line,
    /// Buffers whose turn has come, until they are collected.
    granted: BTreeMap<Place, u32>,
}

/// The memory that a worker sends from.
pub(crate) struct SendPool {
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
            offset += count * class.bytes();
            // The last ones first: they are registered, if not all are.
            let free = (0..count as u32).collect();
            let (line, granted) = (Line::default(), BTreeMap::new());
            Class { offset: begin, count, free, line, granted }
        });
        Ok(Rc::new(Self { memory: Region::new(offset)?, classes: RefCell::new(classes) }))
    }

    /// The part of the region to be registered, at most so many bytes: its end, where the bulk
    /// buffers are, which files are read into.
    pub(super) fn registrable(&self, most: usize) -> libc::iovec {
        let len = self.memory.len();
        // The kernel counts whole pages.
        let begin = len.saturating_sub(most).next_multiple_of(rustix::param::page_size());
        if begin >= len {
            return libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        }
        libc::iovec { iov_base: self.memory.at(begin).as_ptr().cast(), iov_len: len - begin }
    }

    /// Whether a buffer lies in the last `registered` bytes of the region.
    pub(super) fn is_within_last(&self, registered: usize, buffer: &SendBuf) -> bool {
        let end = self.memory.at(0).as_ptr() as usize + self.memory.len();
        buffer.as_ptr() as usize >= end - registered.min(self.memory.len())
    }

    /// Bytes of address space behind the pool; resident only as far as it was used.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.len()
    }

    /// Buffers of a class at rest.
    #[cfg(test)]
    pub(crate) fn available(&self, class: SendClass) -> usize {
        self.classes.borrow()[class as usize].free.len()
    }

    /// Bytes of buffers that are taken.
    pub(crate) fn taken(&self) -> usize {
        let classes = self.classes.borrow();
        let taken = |class: &Class| class.count - class.free.len();
        SendClass::ALL.iter().zip(&*classes).map(|(size, class)| taken(class) * size.bytes()).sum()
    }

    /// Whether every buffer is at rest: what a leak check asks.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn is_whole(&self) -> bool {
        self.classes.borrow().iter().all(|class| class.free.len() == class.count)
    }

    /// The warmest buffer of this class, if one is at rest and nobody waits for it.
    pub(super) fn try_take(self: &Rc<Self>, class: SendClass) -> Option<SendBuf> {
        let state = &mut self.classes.borrow_mut()[class as usize];
        if !state.line.is_empty() {
            return None;
        }
        let index = state.free.pop()?;
        Some(self.buffer(state, class, index))
    }

    /// Whether a buffer is free and nobody waits for it.
    pub(super) fn has_free(&self, class: SendClass) -> bool {
        let state = &self.classes.borrow()[class as usize];
        state.line.is_empty() && !state.free.is_empty()
    }

    fn buffer(self: &Rc<Self>, state: &Class, class: SendClass, index: u32) -> SendBuf {
        let base = self.memory.at(state.offset + index as usize * class.bytes());
        SendBuf { base, class, index, pool: Rc::clone(self) }
    }

    fn join(&self, class: SendClass, task: TaskId) -> Place {
        self.classes.borrow_mut()[class as usize].line.join(task)
    }

    /// What this place was granted; if it still has to wait, `task` will be woken.
    fn collect(self: &Rc<Self>, class: SendClass, place: Place, task: TaskId) -> Option<SendBuf> {
        let state = &mut self.classes.borrow_mut()[class as usize];
        if state.line.is_waiting(place, task) {
            return None;
        }
        let index = state.granted.remove(&place)?;
        Some(self.buffer(state, class, index))
    }

    /// Gives a place up, and what it was granted meanwhile.
    fn leave(&self, class: SendClass, place: Place) {
        let state = &mut self.classes.borrow_mut()[class as usize];
        if !state.line.leave(place) {
            state.free.extend(state.granted.remove(&place));
        }
    }

    /// Grants what is at rest to those who wait, in order.
    pub(super) fn serve(&self, mut wake: impl FnMut(TaskId)) {
        for class in self.classes.borrow_mut().iter_mut() {
            while !class.free.is_empty()
                && let Some((place, task)) = class.line.serve()
            {
                class.granted.extend(class.free.pop().map(|index| (place, index)));
                wake(task);
            }
        }
    }
}

impl fmt::Debug for SendPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendPool").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// A taker of send memory, in line while there is none. Dropping it leaves the line.
pub(super) struct Taking<R: Deref<Target = Ring>> {
    ring: R,
    class: SendClass,
    place: Option<Place>,
}

impl<R: Deref<Target = Ring>> Taking<R> {
    pub(super) fn new(ring: R, class: SendClass) -> Self {
        Self { ring, class, place: None }
    }

    pub(super) fn class(&self) -> SendClass {
        self.class
    }

    pub(super) fn take(&mut self) -> Poll<SendBuf> {
        let (pool, class, task) = (&self.ring.send, self.class, self.ring.current());
        let taken = match self.place {
            Some(place) => pool.collect(class, place, task),
            None => pool.try_take(class),
        };
        if let Some(buffer) = taken {
            self.place = None;
            return Poll::Ready(buffer);
        }
        if self.place.is_none() {
            self.place = Some(pool.join(class, task));
        }
        Poll::Pending
    }
}

impl<R: Deref<Target = Ring> + Unpin> Future for Taking<R> {
    type Output = SendBuf;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<SendBuf> {
        self.take()
    }
}

impl<R: Deref<Target = Ring>> Drop for Taking<R> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.ring.send.leave(self.class, place);
        }
    }
}

/// One buffer of send memory, zero-initialised at first and dirty afterwards: the task that takes it
/// sends only what it wrote. Dropping it gives it back.
pub(crate) struct SendBuf {
    base: NonNull<u8>,
    class: SendClass,
    index: u32,
    pool: Rc<SendPool>,
}

impl SendBuf {
    /// The class it belongs to.
    #[cfg(test)]
    pub(crate) fn class(&self) -> SendClass {
        self.class
    }
}

impl Deref for SendBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the buffer lies inside the region, is initialised (mapped zeroed) and is owned
        // by this value alone; an op that reads or fills it owns the value meanwhile.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.class.bytes()) }
    }
}

impl DerefMut for SendBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.class.bytes()) }
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
    fn the_end_is_registered_and_its_buffers_are_taken_first() {
        const MIB: usize = 1 << 20;
        for most in [0, 4096, 2 * MIB, 5 * MIB, 8 * MIB, usize::MAX] {
            let pool = SendPool::new(8 * MIB).unwrap();
            let part = pool.registrable(most);
            let wanted = most.min(pool.bytes());
            assert!(part.iov_len <= wanted && wanted - part.iov_len < 65_536, "{most}");
            let (mut before, mut taken) = (true, Vec::new());
            while let Some(bulk) = pool.try_take(SendClass::Bulk) {
                let within = part.iov_len > 0 && bulk.as_ptr() >= part.iov_base.cast();
                assert_eq!(pool.is_within_last(part.iov_len, &bulk), within);
                assert!(before || !within, "{most}: registered ones come first");
                before = within;
                taken.push(bulk);
            }
        }
    }

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
        let class = SendClass::Small;
        let places: Vec<Place> = tasks.iter().map(|task| pool.join(class, *task)).collect();
        let mut woken = Vec::new();
        pool.serve(|task| woken.push(task));
        assert!(woken.is_empty());
        drop(held);
        assert!(pool.try_take(class).is_none(), "nobody overtakes the line");
        pool.serve(|task| woken.push(task));
        assert_eq!(woken, tasks[..4]);
        // The first collects, the second gave up: what it was granted goes to the fifth.
        let first = pool.collect(class, places[0], tasks[0]).unwrap();
        pool.leave(class, places[1]);
        assert!(pool.collect(class, places[4], tasks[4]).is_none());
        pool.serve(|task| woken.push(task));
        assert_eq!(woken, tasks[..5]);
        for place in places {
            pool.leave(class, place);
        }
        assert!(!pool.is_whole());
        drop(first);
        assert!(pool.is_whole());
    }
}
