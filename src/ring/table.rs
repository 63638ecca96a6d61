//! The op table: a slot for every operation in flight.
//!
//! The slot, not the future that waits, owns everything that the kernel can see: memory and the
//! descriptor. Dropping a future orphans its slot; the slot is freed by the operation's last
//! completion (the one without `IORING_CQE_F_MORE`) and never earlier, whatever became of the task.

use std::{
    collections::VecDeque,
    os::fd::{FromRawFd, OwnedFd, RawFd},
    rc::Rc,
    task::Poll,
};

use super::{
    Descriptor, TaskId,
    connect::ConnectAddress,
    file::{FileRead, OpenRequest},
    message::{ControlFrame, Message},
    op::{Completion, Kind, OpId},
    receive_into::ReceiveInto,
    receive_pool::{ReceivePool, RecvBuf},
    send_pool::SendBuf,
};

/// What an operation lends to the kernel, or collects from it.
#[derive(Debug)]
pub(super) enum Payload {
    Nothing,
    /// A send from send memory.
    Buffer(SendBuf),
    Message(Box<Message>),
    Control(Box<ControlFrame>),
    Address(Box<ConnectAddress>),
    Open(Box<OpenRequest>),
    Read(Box<FileRead>),
    /// A receive into send memory.
    Into(Box<ReceiveInto>),
    /// Eight bytes, for reading an eventfd.
    Counter(Box<u64>),
    Accepted(VecDeque<OwnedFd>),
    Received(VecDeque<RecvBuf>),
}

impl Payload {
    /// Whether the operation opens or reads a file: it takes as long as a disk takes.
    fn is_of_file(&self) -> bool {
        matches!(self, Self::Open(_) | Self::Read(_))
    }
}

#[derive(Debug)]
enum State {
    Free {
        next: u32,
    },
    /// The kernel has it; `quiet` when a cancel is under way already.
    Flying {
        quiet: bool,
    },
    /// The last completion came, with this result; the waiter has not collected it.
    Landed(i32),
    /// Nobody waits any more; the kernel still has it.
    Orphan,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    kind: Kind,
    state: State,
    task: TaskId,
    /// The result for which nobody is woken.
    expected: Option<i32>,
    /// What the operation works on, open until its last completion. None in a free slot.
    descriptor: Option<Descriptor>,
    payload: Payload,
}

/// What a completion means for the rest of the worker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    Wake(TaskId),
    /// Wake the task; this stream has more than its share: cancel it.
    WakeAndCancel(TaskId, OpId),
}

const NONE: u32 = u32::MAX;

/// Slots for at most `limit` operations, grown in steps as they are needed.
#[derive(Debug)]
pub(super) struct OpTable {
    slots: Vec<Slot>,
    limit: u32,
    free: u32,
    occupied: u32,
    /// Orphans that open or read a file.
    abandoned_files: u32,
    /// Buffers that one receive stream may queue before it is cancelled.
    leases: usize,
}

impl OpTable {
    /// `limit` is at most 2^24, the slots that an [`OpId`] can name.
    pub(super) fn new(limit: u32, leases: usize) -> Self {
        Self {
            slots: Vec::new(),
            limit: limit.min(1 << 24),
            free: NONE,
            occupied: 0,
            abandoned_files: 0,
            leases,
        }
    }

    /// Operations that the kernel has, or whose results wait.
    pub(super) fn occupied(&self) -> u32 {
        self.occupied
    }

    /// Opens and reads of files that nobody waits for any more and that the kernel still has.
    pub(super) fn abandoned_files(&self) -> u32 {
        self.abandoned_files
    }

    /// Takes a slot. The payload comes back if the table is full.
    pub(super) fn insert(
        &mut self,
        kind: Kind,
        task: TaskId,
        descriptor: Option<Descriptor>,
        payload: Payload,
    ) -> Result<OpId, Payload> {
        if self.free == NONE && !self.grow() {
            return Err(payload);
        }
        let index = self.free;
        let slot = &mut self.slots[index as usize];
        let State::Free { next } = slot.state else {
            unreachable!("the free list names a free slot")
        };
        self.free = next;
        slot.kind = kind;
        slot.state = State::Flying { quiet: false };
        slot.task = task;
        slot.expected = None;
        slot.descriptor = descriptor;
        slot.payload = payload;
        self.occupied += 1;
        Ok(OpId::new(kind, index, slot.generation))
    }

    /// Makes a slot that is free. False if there are as many as there may be.
    #[cold]
    fn grow(&mut self) -> bool {
        let slot = self.slots.len() as u32;
        if slot >= self.limit {
            return false;
        }
        self.slots.push(Slot {
            generation: 0,
            kind: Kind::Plain,
            state: State::Free { next: self.free },
            task: TaskId::NOBODY,
            expected: None,
            descriptor: None,
            payload: Payload::Nothing,
        });
        self.free = slot;
        true
    }

    fn get(&mut self, id: OpId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(id.slot() as usize)?;
        let current =
            slot.generation == id.generation() && !matches!(slot.state, State::Free { .. });
        current.then_some(slot)
    }

    fn release(&mut self, index: u32) -> Payload {
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.state = State::Free { next: self.free };
        self.free = index;
        self.occupied -= 1;
        slot.descriptor = None;
        std::mem::replace(&mut slot.payload, Payload::Nothing)
    }

    /// Where the payload of an operation lies while the kernel has it.
    pub(super) fn payload(&mut self, id: OpId) -> Option<&mut Payload> {
        self.get(id).map(|slot| &mut slot.payload)
    }

    /// Frees the slot of an operation that was never handed to the kernel.
    pub(super) fn take_back(&mut self, id: OpId) -> Payload {
        self.release(id.slot())
    }

    /// Records one completion.
    pub(super) fn complete(&mut self, done: Completion, pool: &Rc<ReceivePool>) -> Effect {
        let lease = done.buffer.map(|buffer| {
            pool.taken();
            pool.lease(buffer, done.result.max(0) as u32)
        });
        if done.id.kind() == Kind::Forgotten {
            return Effect::Nothing;
        }
        let leases = self.leases;
        let slot = match self.get(done.id) {
            Some(slot) if !matches!(slot.state, State::Orphan) => slot,
            _ => {
                self.complete_for_nobody(done);
                return Effect::Nothing;
            }
        };
        let mut overfull = false;
        match &mut slot.payload {
            Payload::Accepted(queue) if done.result >= 0 => queue.push_back(own(done.result)),
            Payload::Received(queue) => {
                if let Some(lease) = lease.filter(|lease| !lease.is_empty()) {
                    queue.push_back(lease);
                }
                overfull = queue.len() >= leases;
            }
            // Single-shot operations have their result alone.
            _ => {}
        }
        let task = slot.task;
        if !done.more {
            slot.state = State::Landed(done.result);
            if slot.expected == Some(done.result) {
                return Effect::Nothing;
            }
        } else if overfull && matches!(slot.state, State::Flying { quiet: false }) {
            slot.state = State::Flying { quiet: true };
            return Effect::WakeAndCancel(task, done.id);
        }
        Effect::Wake(task)
    }

    /// Records a completion that nobody waits for.
    #[cold]
    fn complete_for_nobody(&mut self, done: Completion) {
        let kind = done.id.kind();
        let brings_descriptor = matches!(kind, Kind::Accept | Kind::Open) && done.result >= 0;
        discard(brings_descriptor, done.result);
        let Some(slot) = self.get(done.id) else {
            log::error!("ring: a completion for an operation that is gone: {done:?}");
            return;
        };
        if !done.more {
            let is_of_file = slot.payload.is_of_file();
            self.abandoned_files -= u32::from(is_of_file);
            // Dropped here, after the last completion: the kernel has let go.
            drop(self.release(done.id.slot()));
        }
    }

    /// Collects the result of an operation and lets go of what it held, or says that it still flies; then
    /// `task` is woken.
    pub(super) fn poll(&mut self, id: OpId, task: TaskId) -> Poll<i32> {
        let Some(result) = self.landed(id, task) else { return Poll::Pending };
        drop(self.collect(id));
        Poll::Ready(result)
    }

    /// The result of an operation, which is to be collected then; None if it still flies: `task` is
    /// woken.
    #[inline]
    pub(super) fn landed(&mut self, id: OpId, task: TaskId) -> Option<i32> {
        let Some(slot) = self.get(id) else { return Some(-libc::ECANCELED) };
        slot.task = task;
        match slot.state {
            State::Landed(result) => Some(result),
            _ => None,
        }
    }

    /// What was lent to the kernel for an operation that has [landed](Self::landed). Its slot is free again.
    #[inline]
    pub(super) fn collect(&mut self, id: OpId) -> Payload {
        if self.get(id).is_none() {
            return Payload::Nothing;
        }
        self.release(id.slot())
    }

    /// The next buffer that a receive brought, or the result with which it has ended; else `task` is woken
    /// for either.
    pub(super) fn poll_received(&mut self, id: OpId, task: TaskId) -> Poll<Result<RecvBuf, i32>> {
        let Some(slot) = self.get(id) else { return Poll::Ready(Err(-libc::ECANCELED)) };
        if let Payload::Received(queue) = &mut slot.payload
            && let Some(bytes) = queue.pop_front()
        {
            return Poll::Ready(Ok(bytes));
        }
        slot.task = task;
        let State::Landed(result) = slot.state else { return Poll::Pending };
        drop(self.release(id.slot()));
        Poll::Ready(Err(result))
    }

    /// An operation has ended while its waiter asks for it, which needs no waking.
    pub(super) fn land(&mut self, id: OpId, result: i32) {
        if let Some(slot) = self.get(id) {
            slot.state = State::Landed(result);
        }
    }

    /// Nobody is woken if the operation ends with this result.
    pub(super) fn expect(&mut self, id: OpId, result: i32) {
        if let Some(slot) = self.get(id) {
            slot.expected = Some(result);
        }
    }

    /// The next descriptor that a multishot accept brought.
    pub(super) fn next_accepted(&mut self, id: OpId) -> Option<OwnedFd> {
        match self.payload(id)? {
            Payload::Accepted(queue) => queue.pop_front(),
            _ => None,
        }
    }

    /// The next buffer that a receive brought.
    pub(super) fn next_received(&mut self, id: OpId) -> Option<RecvBuf> {
        match self.payload(id)? {
            Payload::Received(queue) => queue.pop_front(),
            _ => None,
        }
    }

    /// Whether a receive has brought buffers that were not taken.
    pub(super) fn has_received(&mut self, id: OpId) -> bool {
        matches!(self.payload(id), Some(Payload::Received(queue)) if !queue.is_empty())
    }

    /// Whether a receive that brought bytes has ended, and all of them were taken. A failure or
    /// the end of the stream is still to be collected.
    pub(super) fn is_drained(&mut self, id: OpId) -> bool {
        self.get(id).is_some_and(|slot| {
            matches!(slot.state, State::Landed(result) if result > 0)
                && matches!(&slot.payload, Payload::Received(queue) if queue.is_empty())
        })
    }

    /// Whether a receive has ended, and not because its stream did, and all that it brought was taken.
    pub(super) fn is_let_go(&mut self, id: OpId) -> bool {
        self.get(id).is_some_and(|slot| {
            let ended = match slot.state {
                State::Landed(result) => {
                    result > 0 || matches!(-result, libc::ECANCELED | libc::EINTR | libc::ENOBUFS)
                }
                State::Free { .. } | State::Flying { .. } | State::Orphan => false,
            };
            ended && matches!(&slot.payload, Payload::Received(queue) if queue.is_empty())
        })
    }

    #[cfg(test)]
    pub(super) fn set_generation(&mut self, slot: u32, generation: u32) {
        self.slots[slot as usize].generation = generation;
    }

    /// Takes note that a cancel is queued. False if there is nothing (more) to cancel.
    pub(super) fn begin_cancel(&mut self, id: OpId) -> bool {
        match self.get(id).map(|slot| &mut slot.state) {
            Some(State::Flying { quiet }) => !std::mem::replace(quiet, true),
            _ => false,
        }
    }

    /// The waiter is gone. True if the kernel still has the operation, so that a cancel is due.
    pub(super) fn orphan(&mut self, id: OpId) -> bool {
        let Some(slot) = self.get(id) else { return false };
        match slot.state {
            State::Landed(result) => {
                let brings_descriptor = slot.kind == Kind::Open && result >= 0;
                discard(brings_descriptor, result);
                drop(self.release(id.slot()));
                false
            }
            State::Flying { .. } => {
                slot.state = State::Orphan;
                let is_of_file = slot.payload.is_of_file();
                // What a stream has brought already goes back at once; what is lent stays.
                match &mut slot.payload {
                    Payload::Accepted(queue) => queue.clear(),
                    Payload::Received(queue) => queue.clear(),
                    // The kernel may still read or write what the others hold.
                    _ => {}
                }
                self.abandoned_files += u32::from(is_of_file);
                true
            }
            State::Orphan | State::Free { .. } => false,
        }
    }
}

/// Takes a descriptor that a completion brought.
pub(super) fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the completion of an accept or open hands over a descriptor that nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Closes the descriptor of a completion that nobody waits for.
fn discard(brings_descriptor: bool, result: i32) {
    if brings_descriptor {
        drop(own(result));
    }
}
