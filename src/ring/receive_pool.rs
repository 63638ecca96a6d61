//! Receive buffers: a provided-buffer ring (`io_uring_register_buf_ring(3)`) and its leases.
//!
//! A buffer is in exactly one of five places: published to the kernel, queued in a receive op's
//! slot, leased as a [`RecvBuf`], lent to an application as a [`LentBuf`], or at rest. Leases return
//! themselves when dropped, and are published again in one batch before each submission. Half of the
//! buffers may be lent at most: the worker goes on with the others, however long an application keeps
//! what it has.
//!
//! The kernel takes published buffers in turn, so all of them are touched again and again. As many
//! are published as the load needs, the warmest first; the others rest, and are not even resident
//! until they are wanted for the first time.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use io_uring::types::BufRingEntry;

use super::{
    TaskId,
    lent::{Home, LentBuf},
    line::{Line, Place},
    region::Region,
    returns::Returns,
};
use crate::defects::give_back;

/// Most buffers that the kernel lets one ring hold (`io_uring/kbuf.c`).
pub(crate) const MAX_BUFFERS: u16 = 1 << 15;

/// Buffers that are published at first, and at least.
const LEAST_PUBLISHED: u16 = 64;

/// Turns after which it is seen whether fewer would do.
const REVIEW_AFTER: u32 = 4096;

/// The buffers that a worker receives into.
pub(crate) struct ReceivePool {
    home: Arc<Home>,
    /// The ring that the kernel takes buffers from: `count` entries of 16 bytes.
    entries: Region,
    count: u16,
    /// Bytes that the kernel may fill of each buffer.
    len: u32,
    /// Distance between two buffers. Not a power of two, so that the beginnings of buffers (all
    /// that a small request touches) do not fall into the same cache sets.
    stride: usize,
    /// Where the next returned buffer is published; the kernel reads it from the ring.
    tail: Cell<u16>,
    /// Buffers that nobody has, the warmest last.
    resting: RefCell<Vec<u16>>,
    /// Buffers that the kernel may fill now.
    published: Cell<u16>,
    /// Buffers that it shall have at the beginning of a turn.
    wanted: Cell<u16>,
    /// The fewest that it had left at the end of a turn since the last review, so many turns ago.
    fewest_left: Cell<u16>,
    turns: Cell<u32>,
    lowest: Cell<u16>,
    /// Bytes that were moved out of buffers and are still held.
    aside: Cell<usize>,
    /// Buffers that are lent, and those of them that have come back since they were collected last.
    lent: Cell<u16>,
    line: RefCell<Line>,
}

impl ReceivePool {
    /// `count` buffers (a power of two, at most [`MAX_BUFFERS`]) of `len` bytes each.
    pub(super) fn new(count: u16, len: u32) -> io::Result<Rc<Self>> {
        if !count.is_power_of_two() || count > MAX_BUFFERS || len == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{count} receive buffers of {len} bytes: the count must be a power of two"),
            ));
        }
        let stride = (len as usize).next_multiple_of(64) + 64;
        let memory = Region::new(stride * usize::from(count))?;
        let returns = Returns::new(usize::from(most_lent(count)));
        let pool = Self {
            home: Arc::new(Home { memory, returns }),
            entries: Region::new(usize::from(count) * size_of::<BufRingEntry>())?,
            count,
            len,
            stride,
            tail: Cell::new(0),
            resting: RefCell::new((0..count).rev().collect()),
            published: Cell::new(0),
            wanted: Cell::new(count.min(LEAST_PUBLISHED)),
            fewest_left: Cell::new(count),
            turns: Cell::new(0),
            lowest: Cell::new(count),
            aside: Cell::new(0),
            lent: Cell::new(0),
            line: RefCell::new(Line::default()),
        };
        pool.publish();
        Ok(Rc::new(pool))
    }

    /// The address of the entry ring, for registration.
    pub(super) fn entries_address(&self) -> u64 {
        self.entries.at(0).as_ptr() as u64
    }

    /// Buffers in the pool.
    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    /// Bytes that fit one buffer.
    pub(crate) fn buffer_len(&self) -> usize {
        self.len as usize
    }

    /// Buffers that nobody has but the kernel, or that it can be given.
    pub(crate) fn available(&self) -> u16 {
        self.published.get() + self.resting.borrow().len() as u16
    }

    /// The fewest that were ever available.
    pub(crate) fn low_water(&self) -> u16 {
        self.lowest.get()
    }

    /// Copies a lease's bytes, so that its buffer can go back. None if that would make the copies
    /// take more memory than the buffers.
    pub(crate) fn set_aside(self: &Rc<Self>, lease: &RecvBuf) -> Option<AsideBuf> {
        let total = self.aside.get() + lease.len();
        (total <= self.len as usize * usize::from(self.count)).then(|| {
            self.aside.set(total);
            AsideBuf { bytes: lease.to_vec(), pool: Rc::clone(self) }
        })
    }

    /// Bytes that were moved out of buffers and are still held.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn aside(&self) -> usize {
        self.aside.get()
    }

    /// Takes note that the kernel filled `buffer` with `len` bytes.
    pub(super) fn taken(&self) {
        // For reports alone: which buffers are leased is known from their leases.
        self.published.set(self.published.get().saturating_sub(1));
        self.lowest.set(self.lowest.get().min(self.available()));
    }

    /// Makes the lease of a buffer that the kernel filled. Exactly one per completion.
    pub(super) fn lease(self: &Rc<Self>, buffer: u16, len: u32) -> RecvBuf {
        debug_assert!(buffer < self.count && len <= self.len);
        RecvBuf {
            base: self.home.memory.at(usize::from(buffer) * self.stride),
            len: len.min(self.len),
            buffer,
            pool: Rc::clone(self),
        }
    }

    /// Gives a buffer back; it is published with the next batch, or rests.
    pub(super) fn give_back(&self, buffer: u16) {
        self.resting.borrow_mut().push(buffer);
    }

    /// Takes back what was lent and has been dropped.
    fn collect_lent(&self) {
        if self.lent.get() > 0 {
            self.home.returns.collect(|buffer| {
                give_back(&self.lent, 1);
                self.give_back(buffer);
            });
        }
    }

    /// Decides how many the kernel shall have, at the end of a turn: twice as many if it has used
    /// up three quarters, half as many if it has left half of them for long.
    fn review(&self) {
        let (wanted, left) = (self.wanted.get(), self.published.get());
        let fewest = self.fewest_left.get().min(left);
        self.fewest_left.set(fewest);
        self.turns.set(self.turns.get() + 1);
        let better = if left < wanted / 4 {
            wanted.saturating_mul(2).min(self.count)
        } else if self.turns.get() < REVIEW_AFTER {
            return;
        } else if fewest > wanted / 2 && wanted > LEAST_PUBLISHED {
            wanted / 2
        } else {
            wanted
        };
        self.wanted.set(better);
        self.fewest_left.set(better);
        self.turns.set(0);
    }

    /// Ends a turn: publishes what was given back, as far as it is wanted.
    pub(super) fn publish_returns(&self) {
        self.collect_lent();
        self.review();
        self.publish();
    }

    /// Publishes as many of those at rest as are wanted, in one store of the tail.
    fn publish(&self) {
        let mut resting = self.resting.borrow_mut();
        let mut tail = self.tail.get();
        // Last in, first out: the warmest buffer is filled first.
        while self.published.get() < self.wanted.get() {
            let Some(buffer) = resting.pop() else { break };
            let slot = usize::from(tail & (self.count - 1)) * size_of::<BufRingEntry>();
            let address = self.home.memory.at(usize::from(buffer) * self.stride).as_ptr() as u64;
            // SAFETY: the slot lies inside the entry ring, which is aligned to a page and holds
            // `count` entries; the kernel does not read it before the tail passes it.
            let entry = unsafe { self.entries.at(slot).cast::<BufRingEntry>().as_mut() };
            entry.set_addr(address);
            entry.set_len(self.len);
            entry.set_bid(buffer);
            tail = tail.wrapping_add(1);
            self.published.set(self.published.get() + 1);
        }
        if tail == self.tail.replace(tail) {
            return;
        }
        // SAFETY: the tail is the `resv` field of the first entry, two bytes, aligned; the kernel
        // reads it with acquire semantics (io_uring/kbuf.c).
        let shared = unsafe {
            let tail = BufRingEntry::tail(self.entries.at(0).as_ptr().cast());
            AtomicU16::from_ptr(tail.cast_mut())
        };
        shared.store(tail, Ordering::Release);
    }

    /// Queues a task that ran out of buffers.
    pub(super) fn join(&self, task: TaskId) -> Place {
        self.line.borrow_mut().join(task)
    }

    /// Whether this place is still to be served; then `task` will be woken.
    pub(super) fn is_waiting(&self, place: Place, task: TaskId) -> bool {
        self.line.borrow_mut().is_waiting(place, task)
    }

    /// Gives a place in the line up.
    pub(super) fn leave(&self, place: Place) {
        self.line.borrow_mut().leave(place);
    }

    /// Takes out the tasks that may receive now, in order: one for each published buffer. They
    /// are not promised it. A task that finds it gone joins again, and so does the one that took it.
    pub(super) fn take_served(&self, mut wake: impl FnMut(TaskId)) {
        let mut line = self.line.borrow_mut();
        for _ in 0..self.published.get() {
            let Some((_, task)) = line.serve() else { return };
            wake(task);
        }
    }

    /// The published buffer at `head`, which the kernel would fill next, and its memory: how rings
    /// without a kernel behind them receive. It stays published until the head has passed it.
    pub(super) fn next_published(&self, head: u16) -> Option<(u16, NonNull<u8>)> {
        if head == self.tail.get() {
            return None;
        }
        let slot = usize::from(head & (self.count - 1)) * size_of::<BufRingEntry>();
        // SAFETY: the entry was published, so it is initialised and stays put until reused.
        let buffer = unsafe { self.entries.at(slot).cast::<BufRingEntry>().as_ref() }.bid();
        Some((buffer, self.home.memory.at(usize::from(buffer) * self.stride)))
    }

    /// Fills the next published buffer: the scripted ring's way to receive.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn fill_next(&self, head: &mut u16, bytes: &[u8]) -> Option<u16> {
        let (buffer, base) = self.next_published(*head)?;
        *head = head.wrapping_add(1);
        let len = bytes.len().min(self.len as usize);
        // SAFETY: a published buffer is nobody's lease, and `len` fits into it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), base.as_ptr(), len) };
        Some(buffer)
    }
}

impl fmt::Debug for ReceivePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivePool")
            .field("count", &self.count)
            .field("len", &self.len)
            .field("available", &self.published.get())
            .finish_non_exhaustive()
    }
}

/// A lease of one filled receive buffer. Dropping it gives the buffer back.
pub(crate) struct RecvBuf {
    base: NonNull<u8>,
    len: u32,
    buffer: u16,
    pool: Rc<ReceivePool>,
}

/// How many of `count` buffers may be lent.
fn most_lent(count: u16) -> u16 {
    count / 2
}

impl RecvBuf {
    /// Lends the buffer to an application: it may be read and dropped on any thread. `borrower` is cloned
    /// for as long as it has it.
    ///
    /// # Errors
    /// Half of the buffers are lent: the lease stays what it is.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(crate) fn lend(self, borrower: &Arc<()>) -> Result<LentBuf, Self> {
        let lent = self.pool.lent.get();
        if lent >= most_lent(self.pool.count) {
            return Err(self);
        }
        self.pool.lent.set(lent + 1);
        let lease = ManuallyDrop::new(self);
        // SAFETY: the lease is not dropped, so its pool is moved out of it once.
        let pool = unsafe { std::ptr::read(&raw const lease.pool) };
        let offset = usize::from(lease.buffer) * pool.stride;
        let bytes = (lease.buffer, offset, lease.len as usize);
        Ok(LentBuf::new(&pool.home, bytes, borrower))
    }
}

impl Deref for RecvBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the kernel filled `len` bytes and has let go of the buffer; the lease is its
        // only owner until it is dropped.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len as usize) }
    }
}

impl DerefMut for RecvBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len as usize) }
    }
}

impl Drop for RecvBuf {
    fn drop(&mut self) {
        self.pool.give_back(self.buffer);
    }
}

impl fmt::Debug for RecvBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecvBuf {{ buffer: {}, len: {} }}", self.buffer, self.len)
    }
}

/// Bytes that were received and moved out of their buffer, because it was wanted back.
#[derive(Debug)]
pub(crate) struct AsideBuf {
    bytes: Vec<u8>,
    pool: Rc<ReceivePool>,
}

impl Drop for AsideBuf {
    fn drop(&mut self) {
        give_back(&self.pool.aside, self.bytes.len());
    }
}

/// Bytes that were received, wherever they lie.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// In the buffer that the kernel filled.
    Lease(RecvBuf),
    /// In memory of their own.
    Aside(AsideBuf),
}

impl Deref for Arrived {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lease(lease) => lease,
            Self::Aside(aside) => &aside.bytes,
        }
    }
}

impl DerefMut for Arrived {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Lease(lease) => lease,
            Self::Aside(aside) => &mut aside.bytes,
        }
    }
}

#[cfg(test)]
#[path = "receive_pool_tests.rs"]
mod tests;
