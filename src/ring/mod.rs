//! The substrate: one io_uring, and everything that the kernel can see. Nearly all unsafe code
//! of the crate lives here.
//!
//! A completion-based runtime is sound only if memory that the kernel may touch outlives the
//! operation that names it, whatever becomes of the task that started it. The rules:
//!
//! 1. Such memory lies in an op's slot (`table`) or in a pool, never in a future or on a stack; that of
//!    the one timer in the `alarm`, which the ring keeps as long. The slot also owns the descriptor.
//! 2. Dropping a future orphans the slot and queues a cancel. The slot is freed by the
//!    operation's last completion, never earlier.
//! 3. A completion for a slot that has moved on is discarded, but the descriptor or buffer that
//!    it brings is given back.
//! 4. Every completion with a buffer makes exactly one lease; a lease returns exactly once;
//!    returns are published in batches.
//! 5. A receive stream holds a bounded number of leases. `ENOBUFS` is neither error nor end of
//!    stream: the task waits its turn for buffers.
//! 6. Close is a join: cancel, drain to nothing in flight, then close the descriptor.
//! 7. Every queue is bounded and every wait can be given a deadline ([`Ring::within`]).
//!
//! What is below the op table is exchangeable: `uring` is io_uring; `poll` plays the same submissions
//! and completions over epoll, for hosts that refuse io_uring; tests and the fuzzer put a scripted
//! kernel (`sim`) in their place, which plays late, reordered, short and failing completions.

mod alarm;
#[cfg(test)]
mod awaited;
mod calls;
mod choice;
mod clock;
mod connect;
mod content;
mod counts;
mod descriptor;
mod file;
mod flight;
mod lanes;
mod lent;
mod line;
mod lockable;
mod message;
mod number_set;
mod op;
mod operations;
mod ops;
mod pages;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod parts;
mod poll;
mod prefetch;
pub(crate) mod probe;
mod ready;
mod receive_into;
mod receive_pool;
mod region;
mod residency;
mod restrict;
mod returns;
mod send_pool;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub(crate) mod sim;
mod socket;
mod state;
mod stream;
mod sync;
mod table;
mod task;
mod tcp_info;
#[cfg(test)]
mod tests;
mod ticks;
mod timer;
mod uring;
mod waker;
mod within;
mod woken;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd},
    rc::Rc,
    sync::Arc,
    task::Waker,
    time::Duration,
};

pub(crate) use calls::NamedCalls;
pub(crate) use choice::Choice;
pub(crate) use connect::{connect_unix, outgoing_socket};
pub(crate) use content::{Chunk, Content};
pub(crate) use counts::Counts;
pub(crate) use descriptor::Descriptor;
pub(crate) use file::{MAX_VECTORS, OpenFile, OpenRules};
pub(crate) use flight::{Claim, ControlRecord, Flight, ReadInto};
pub(crate) use message::Message;
pub(crate) use number_set::NumberSet;
pub(crate) use pages::Pages;
pub(crate) use poll::{PollFeatures, THREADS_BYTES as POLL_THREADS_BYTES};
pub(crate) use prefetch::prefetch;
pub(crate) use ready::WokenLane;
pub(crate) use receive_pool::{Arrived, ReceivePool, RecvBuf};
pub(crate) use residency::is_cached;
pub use send_pool::SendClass;
pub(crate) use send_pool::{SendBuf, SendPool};
#[cfg(test)]
pub(crate) use socket::MAX_UNSENT;
pub(crate) use socket::{Peer, SendQueue, Socket, limit_unsent};
pub(crate) use stream::{AcceptStream, ReceiveStream, Received};
pub(crate) use task::TaskId;
pub(crate) use tcp_info::TcpInfo;
pub(crate) use ticks::ticks;
pub(crate) use uring::{Granted, RingOptions};
pub(crate) use within::Elapsed;

use op::{Defect, Kind, OpId, Refusal, Submission, Wait};
use ready::ReadyQueue;
use state::{Backend, State};
use table::{OpTable, Payload};
use task::{ALL_LANES, NO_LANE};
use waker::Wakers;

/// Message frames that are kept for reuse; about a kilobyte each.
pub(crate) const MAX_RESTING_MESSAGES: usize = 256;

/// What a ring runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Io {
    /// io_uring.
    #[default]
    Ring,
    /// epoll(7), which plays the ring.
    Poll,
}

/// How large a worker's ring and pools are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingConfig {
    /// The queues.
    pub queues: RingOptions,
    /// Operations in flight at most: a submission beyond them fails with EAGAIN.
    pub operations: u32,
    /// Receive buffers: a power of two.
    pub receive_buffers: u16,
    /// Bytes of each.
    pub receive_buffer_len: u32,
    /// Buffers that one receive stream may hold unread.
    pub leases: usize,
    /// Bytes of send memory.
    pub send_memory: usize,
    /// What it runs on.
    pub io: Io,
    /// Rings that the process has in all: they share its limit on locked memory.
    pub rings: usize,
    /// It opens connections; one that does not is refused that by the kernel.
    pub connects: bool,
}

/// How often a ring that is dropped enters the kernel to submit its last closes and cancels and
/// to let go of what they end.
const LAST_ENTERS: usize = 16;

/// One worker's io_uring, its pools, its clock and the queue of tasks to run.
///
/// Not `Send`: it belongs to the thread that made it (`IORING_SETUP_SINGLE_ISSUER`).
#[derive(Debug)]
pub(crate) struct Ring {
    state: RefCell<State>,
    receive: Rc<ReceivePool>,
    send: Rc<SendPool>,
    granted: Granted,
    /// Message frames at rest, the warmest last: a connection holds one only while it sends.
    /// Boxed, because a frame in flight must stay where it is.
    #[expect(clippy::vec_box)]
    messages: RefCell<Vec<Box<Message>>>,
    ready: RefCell<ReadyQueue>,
    current: Cell<TaskId>,
    /// The earliest deadline that the current task's futures have set in this poll.
    deadline: Cell<Option<u64>>,
    wheel: RefCell<timer::Wheel>,
    clock: clock::Clock,
    wakers: Wakers,
    /// The waker of the lane that is being polled, once it has one.
    lane_waker: RefCell<Option<Waker>>,
}

impl Ring {
    /// Sets up the ring and its pools, on the thread that will use them.
    ///
    /// # Errors
    /// What io_uring_setup(2) and io_uring_register(2) say, and ENOMEM.
    pub(crate) fn new(config: &RingConfig) -> io::Result<Rc<Self>> {
        let receive = ReceivePool::new(config.receive_buffers, config.receive_buffer_len)?;
        let send = SendPool::new(config.send_memory)?;
        let (backend, granted) = match config.io {
            Io::Ring => {
                let ring = uring::Uring::new(config, &receive, &send)?;
                let granted = ring.granted();
                (Backend::Kernel(ring), granted)
            }
            Io::Poll => {
                let poll = poll::Poll::new(config.queues.submissions, &receive)?;
                (Backend::Poll(poll), Granted::default())
            }
        };
        Ok(Rc::new(Self::assemble(config, backend, receive, send, granted)))
    }

    fn assemble(
        config: &RingConfig,
        backend: Backend,
        receive: Rc<ReceivePool>,
        send: Rc<SendPool>,
        granted: Granted,
    ) -> Self {
        let table = OpTable::new(config.operations, config.leases);
        let backlog = VecDeque::new();
        let state =
            State { backend, table, backlog, forgotten: 0, counts: Counts::default(), refused: 0 };
        Self {
            state: RefCell::new(state),
            receive,
            send,
            granted,
            messages: RefCell::new(Vec::new()),
            ready: RefCell::default(),
            current: Cell::new(TaskId::NOBODY),
            deadline: Cell::new(None),
            wheel: RefCell::new(timer::Wheel::new(0)),
            clock: clock::Clock::new(),
            wakers: Wakers::default(),
            lane_waker: RefCell::new(None),
        }
    }

    /// What the kernel granted.
    #[cfg(test)]
    pub(crate) fn granted(&self) -> Granted {
        self.granted
    }

    /// What the ring has done.
    pub(crate) fn counts(&self) -> Counts {
        self.state.borrow().counts
    }

    /// The system calls that it has made, by name.
    pub(crate) fn calls(&self) -> NamedCalls {
        let state = self.state.borrow();
        state.backend.calls(state.counts.enters)
    }

    /// Operations in flight, closes and cancels among them.
    pub(crate) fn in_flight(&self) -> u32 {
        self.state.borrow().in_flight()
    }

    /// Opens and reads of files that were given up and that the kernel has not ended: their disk
    /// does not answer.
    pub(crate) fn abandoned_files(&self) -> u32 {
        self.state.borrow().table.abandoned_files()
    }

    /// The receive buffers.
    pub(crate) fn receive_pool(&self) -> &Rc<ReceivePool> {
        &self.receive
    }

    /// The send memory.
    pub(crate) fn send_pool(&self) -> &SendPool {
        &self.send
    }

    /// Says which task is polled next: what its futures wait for will wake it. It has no deadline
    /// until they set one (see [`Ring::within`]).
    pub(crate) fn set_current(&self, task: TaskId) {
        self.note_deadline();
        self.current.set(task);
        self.deadline.set(Some(timer::NEVER));
    }

    /// Puts the deadline of the task that was polled on the wheel. A future that was polled outside
    /// of any task has none: there is nobody to wake.
    fn note_deadline(&self) {
        if let Some(at) = self.deadline.take()
            && self.current.get() != TaskId::NOBODY
        {
            self.wheel.borrow_mut().set(self.current.get(), at);
        }
    }

    /// The task that is being polled.
    pub(crate) fn current(&self) -> TaskId {
        self.current.get()
    }

    /// Queues a task to be polled, behind those that are queued; once, however often it is woken.
    pub(crate) fn wake(&self, task: TaskId) {
        self.ready.borrow_mut().push(task);
    }

    /// Moves the first tasks to run, at most `most`, to the end of `taken`. While others are left,
    /// [`Ring::turn`] does not wait.
    pub(crate) fn take_ready(&self, taken: &mut Vec<TaskId>, most: usize) {
        self.ready.borrow_mut().take(taken, most);
    }

    /// One turn of the loop: gives buffers back, submits all that is queued, waits for a
    /// completion if no task is ready, and makes ready whom completions and deadlines concern.
    ///
    /// # Errors
    /// Only what io_uring_enter(2) fails with for good; the ring cannot be used afterwards.
    pub(crate) fn turn(&self) -> io::Result<()> {
        self.note_deadline();
        self.receive.publish_returns();
        self.serve_waiters();
        self.take_woken();
        let state = &mut *self.state.borrow_mut();
        state.drain_backlog()?;
        let idle = self.ready.borrow().is_empty() && state.backlog.is_empty();
        // Whatever wakes a task from here on finds the ring asleep, and rings.
        let idle = idle && self.wakers.may_sleep();
        let mut wait = Wait::Not;
        if idle || self.clock.is_timed() {
            let ends = state.backend.time(&self.clock.time);
            self.clock.turn_ends(ends);
            wait = if idle { self.idle_time(ends) } else { wait };
        }
        state.enter(wait)?;
        self.wakers.awake();
        state.counts.completion_overflows += u64::from(state.backend.overflowed());
        self.clock.turn_begins(state.backend.ask_time(&self.clock.time), idle);
        let ready = &mut *self.ready.borrow_mut();
        state.take_completions(&self.receive, |task| ready.push(task));
        self.wheel.borrow_mut().advance(self.now(), |task| ready.push(task));
        self.wakers.take(|task| ready.push(task));
        Ok(())
    }

    /// Readies the tasks that wakers have named.
    fn take_woken(&self) {
        let ready = &mut *self.ready.borrow_mut();
        self.wakers.take(|task| ready.push(task));
    }

    /// A waker of the task that is being polled, for futures that are not the ring's own. The same
    /// for every task of a place, made at the first call; or that of the lane that is being polled.
    pub(crate) fn waker(&self) -> Waker {
        let task = self.current.get();
        if task.lane() == NO_LANE {
            return self.wakers.of(task);
        }
        let waker = &mut *self.lane_waker.borrow_mut();
        waker.get_or_insert_with(|| self.wakers.of(task)).clone()
    }

    /// Wakers write to this eventfd(2) while the ring sleeps; a task has to read it. Without one, a
    /// waker that is called on another thread does not end the ring's sleep.
    pub(crate) fn ring_at(&self, bell: &Arc<OwnedFd>) {
        self.wakers.ring_at(bell);
    }

    /// How long nobody has anything to do, if no completion comes.
    fn idle_time(&self, now: u64) -> Wait {
        let Some(at) = self.wheel.borrow().next_wake() else { return Wait::Forever };
        let rest = Duration::from_millis(at).saturating_sub(Duration::from_nanos(now));
        Wait::Until { at, rest: rest.max(Duration::from_millis(1)) }
    }

    /// Wakes tasks that wait for buffers, in their order, one for each free buffer.
    fn serve_waiters(&self) {
        let ready = &mut *self.ready.borrow_mut();
        self.receive.take_served(|task| ready.push(task));
        self.send.serve(|task| ready.push(task));
    }

    /// An empty message, used before if one is at rest.
    pub(crate) fn message(&self) -> Box<Message> {
        self.messages.borrow_mut().pop().unwrap_or_else(Message::new)
    }

    /// Takes a message back, and lets go of its parts. More than [`MAX_RESTING_MESSAGES`] are not
    /// kept.
    pub(crate) fn put_back_message(&self, mut message: Box<Message>) {
        message.clear();
        let messages = &mut *self.messages.borrow_mut();
        if messages.len() < MAX_RESTING_MESSAGES {
            messages.push(message);
        }
    }

    /// Queues an operation on a descriptor, which its slot owns until the last completion.
    /// `describe` says what the kernel shall do, by the descriptor's number and the payload where it
    /// lies in the slot; or why the payload is not fit for that.
    fn begin(
        &self,
        kind: Kind,
        descriptor: Descriptor,
        payload: Payload,
        describe: impl FnOnce(RawFd, &mut Payload) -> Result<Submission, Defect>,
    ) -> Result<OpId, (Refusal, Payload)> {
        let state = &mut *self.state.borrow_mut();
        let fd = descriptor.as_raw_fd();
        let id = state
            .table
            .insert(kind, self.current.get(), Some(descriptor), payload)
            .map_err(|payload| (Refusal::Full, payload))?;
        let described = state.table.payload(id).ok_or(Defect::NoSlot);
        match described.and_then(|payload| describe(fd, payload)) {
            Ok(submission) => {
                state.push(id, submission);
                Ok(id)
            }
            Err(defect) => Err((Refusal::Defect(defect), state.table.take_back(id))),
        }
    }

    /// Queues a cancel, unless one is under way.
    fn cancel(&self, id: OpId) {
        let state = &mut *self.state.borrow_mut();
        if state.table.begin_cancel(id) {
            state.cancel(id);
        }
    }

    fn orphan(&self, id: OpId) {
        let state = &mut *self.state.borrow_mut();
        if state.table.orphan(id) {
            state.cancel(id);
        }
    }

    /// Closes a descriptor in the order of submissions, after what was queued for it before.
    pub(crate) fn close(&self, fd: OwnedFd) {
        let fd = fd.into_raw_fd();
        self.state.borrow_mut().push(OpId::FORGOTTEN, Submission::Close { fd });
    }
}

impl Io {
    /// The name of it, as `--io` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Poll => "poll",
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        for _ in 0..LAST_ENTERS {
            if state.in_flight() == 0 {
                return;
            }
            if state.drain_backlog().and_then(|()| state.enter(Wait::Not)).is_err() {
                break;
            }
            state.take_completions(&self.receive, |_| {});
        }
        if state.table.occupied() == 0 {
            return;
        }
        // The kernel cancels what is left when the ring's descriptor closes, but not before the
        // close returns. Leaking is the only sound way out.
        log::error!("ring: dropped with {} operations in flight", state.table.occupied());
        std::mem::forget(std::mem::replace(&mut state.table, OpTable::new(0, 0)));
        std::mem::forget((Rc::clone(&self.receive), Rc::clone(&self.send)));
    }
}
