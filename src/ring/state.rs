//! The queues and what is behind them: submissions in their order, completions to their slots, and
//! a kernel that may refuse for the moment. The invariant: nothing that was queued is lost, and the
//! order of submissions is kept.

use std::{collections::VecDeque, io, rc::Rc, time::Duration};

#[cfg(any(test, feature = "fuzzing"))]
use super::sim;
use super::{
    Counts, NamedCalls, ReceivePool, TaskId, calls,
    op::{self, Kind, OpId, Submission, Wait},
    poll,
    table::{Effect, OpTable},
    uring,
};
use crate::tick_clock::TickClock;

#[derive(Debug)]
pub(super) enum Backend {
    Kernel(uring::Uring),
    Poll(poll::Poll),
    #[cfg(any(test, feature = "fuzzing"))]
    Scripted(sim::Scripted),
}

impl Backend {
    pub(super) fn push(&mut self, id: OpId, submission: &Submission) -> bool {
        match self {
            Self::Kernel(ring) => ring.push(id, submission),
            Self::Poll(poll) => poll.push(id, submission),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Scripted(ring) => ring.push(id, submission),
        }
    }

    pub(super) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        match self {
            Self::Kernel(ring) => ring.enter(wait),
            Self::Poll(poll) => poll.enter(wait),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Scripted(ring) => ring.enter(wait),
        }
    }

    pub(super) fn next(&mut self) -> Option<op::Completion> {
        match self {
            Self::Kernel(ring) => ring.next(),
            Self::Poll(poll) => poll.next(),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Scripted(ring) => ring.next(),
        }
    }

    /// The result of an operation that is polled while it is queued, if the backend can try it at once.
    #[inline]
    fn try_now(&mut self, id: OpId) -> Option<i32> {
        match self {
            Self::Poll(poll) => poll.try_now(id),
            Self::Kernel(_) => None,
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Scripted(_) => None,
        }
    }

    /// The system calls made, of which `enters` are known above.
    pub(super) fn calls(&self, enters: u64) -> NamedCalls {
        match self {
            Self::Kernel(_) => calls::of_io_uring(enters),
            Self::Poll(poll) => poll.calls(),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Scripted(_) => NamedCalls::default(),
        }
    }

    /// Rests for a moment, because the kernel wants something that only time brings.
    pub(super) fn rest(&mut self) {
        match self {
            Self::Kernel(_) | Self::Poll(_) => std::thread::sleep(REFUSED_REST),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Scripted(ring) => ring.rests += 1,
        }
    }

    /// Whether the kernel holds completions back because the completion queue is full.
    pub(super) fn overflowed(&mut self) -> bool {
        match self {
            Self::Kernel(ring) => ring.overflowed(),
            Self::Poll(_) => false,
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Scripted(_) => false,
        }
    }

    /// What a worker's clock shows, the kernel asked; a script has a clock of its own.
    pub(super) fn ask_time(&self, time: &TickClock) -> u64 {
        match self {
            Self::Kernel(_) | Self::Poll(_) => time.anchor(),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Scripted(ring) => ring.clock.as_nanos() as u64,
        }
    }

    /// The same without asking.
    pub(super) fn time(&self, time: &TickClock) -> u64 {
        match self {
            Self::Kernel(_) | Self::Poll(_) => time.now(),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Scripted(ring) => ring.clock.as_nanos() as u64,
        }
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) backend: Backend,
    pub(super) table: OpTable,
    /// Submissions that found the queue full, in order. Bounded by the table (and by one close
    /// or cancel for each of its slots).
    pub(super) backlog: VecDeque<(OpId, Submission)>,
    /// Closes and cancels that were queued and have not completed.
    pub(super) forgotten: u32,
    pub(super) counts: Counts,
    /// Enters in a row that were refused.
    pub(super) refused: u32,
}

/// Enters in a row that may be refused before the thread rests between them.
const REFUSED_IN_A_ROW: u32 = 4;

/// How long it rests then.
const REFUSED_REST: Duration = Duration::from_millis(1);

impl State {
    /// Enters the kernel. One that refuses for the moment is asked again in the next turn: what was
    /// not submitted stays queued.
    pub(super) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.counts.enters += 1;
        let refused = match self.backend.enter(wait) {
            Ok(()) => false,
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EBUSY | libc::ENOMEM) => true,
                _ => return Err(error),
            },
        };
        self.counts.refused_enters += u64::from(refused);
        self.refused = if refused { self.refused.saturating_add(1) } else { 0 };
        if self.refused > REFUSED_IN_A_ROW {
            self.backend.rest();
        }
        Ok(())
    }

    /// The result of an operation that completes once, which is to be collected then; None: `task` is woken for it.
    #[inline]
    pub(super) fn landed(&mut self, id: OpId, task: TaskId) -> Option<i32> {
        match self.table.landed(id, task) {
            None => self.try_now(id, task),
            landed => landed,
        }
    }

    /// Has the backend try an operation that has not landed, if it can.
    fn try_now(&mut self, id: OpId, task: TaskId) -> Option<i32> {
        let result = self.backend.try_now(id)?;
        self.counts.completions += 1;
        self.table.land(id, result);
        self.table.landed(id, task)
    }

    pub(super) fn push(&mut self, id: OpId, submission: Submission) {
        self.counts.submissions += 1;
        self.forgotten += u32::from(id.kind() == Kind::Forgotten);
        if self.backlog.is_empty() && self.backend.push(id, &submission) {
            return;
        }
        self.counts.full_queue += 1;
        self.backlog.push_back((id, submission));
    }

    /// Moves the backlog into the queue, entering the kernel as often as that makes room.
    pub(super) fn drain_backlog(&mut self) -> io::Result<()> {
        while let Some((id, submission)) = self.backlog.front() {
            if self.backend.push(*id, submission) {
                self.backlog.pop_front();
                continue;
            }
            self.enter(Wait::Not)?;
            let (id, submission) = self.backlog[0];
            if !self.backend.push(id, &submission) {
                // Completions must be taken first.
                return Ok(());
            }
            self.backlog.pop_front();
        }
        Ok(())
    }

    pub(super) fn cancel(&mut self, id: OpId) {
        self.counts.cancels += 1;
        self.push(OpId::FORGOTTEN, Submission::Cancel { target: id.to_user_data() });
    }

    /// Takes all completions that have come, and says whom they concern.
    pub(super) fn take_completions(
        &mut self,
        pool: &Rc<ReceivePool>,
        mut wake: impl FnMut(TaskId),
    ) {
        while let Some(done) = self.backend.next() {
            self.counts.completions += 1;
            self.counts.out_of_buffers += u64::from(done.result == -libc::ENOBUFS);
            if done.id.kind() == Kind::Forgotten {
                self.forgotten = self.forgotten.saturating_sub(1);
            }
            match self.table.complete(done, pool) {
                Effect::Nothing => {}
                Effect::Wake(task) => wake(task),
                Effect::WakeAndCancel(task, id) => {
                    wake(task);
                    self.cancel(id);
                }
            }
        }
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.table.occupied() + self.forgotten
    }
}
