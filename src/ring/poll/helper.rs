//! The threads that wait for disks and file servers, so that the worker does not.
//!
//! The invariants: a ring has at most [`MOST_THREADS`], each started when a job finds none idle; jobs
//! are at most one for each slot of the op table; a job that has begun is carried out to its end, and
//! its slot stays until the result was taken. A ring that goes away drops the jobs that have not begun.
//! One that has begun finds its memory in place, since the ring leaks what is in flight; a descriptor
//! that it opens is closed.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use rustix::event::{EventfdFlags, eventfd};

use super::attempt::{self, Disk};
use crate::ring::{
    op::{Kind, OpId, Submission},
    table::own,
};

/// Threads of one ring. One that a file server does not answer is lost to the others.
const MOST_THREADS: usize = 4;

struct Job {
    id: OpId,
    submission: Submission,
}

// SAFETY: the pointers of the submission lead into its slot or into a pool; both belong to this
// operation alone until its completion is taken, which the worker does after the thread is done.
unsafe impl Send for Job {}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// What the threads carry out now.
    begun: Vec<OpId>,
    /// Threads that wait for a job.
    idle: usize,
    done: Vec<(OpId, i32)>,
    is_closed: bool,
}

struct Shared {
    state: Mutex<State>,
    called: Condvar,
    /// Readable while there are results.
    event: OwnedFd,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// The job had not begun.
    Taken,
    /// It is being carried out, or done.
    TooLate,
    Unknown,
}

/// The worker's side.
pub(super) struct Helper {
    shared: Arc<Shared>,
    threads: usize,
}

impl Helper {
    pub(super) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (state, called) = (Mutex::default(), Condvar::new());
        Ok(Self { shared: Arc::new(Shared { state, called, event }), threads: 0 })
    }

    /// What becomes readable when there are results.
    pub(super) fn event(&self) -> &OwnedFd {
        &self.shared.event
    }

    /// Has an operation carried out. A negated errno if there is no thread and none can be made.
    pub(super) fn give(&mut self, id: OpId, submission: &Submission) -> Result<(), i32> {
        let mut state = self.shared.lock();
        if state.idle <= state.jobs.len() && self.threads < MOST_THREADS {
            let shared = Arc::clone(&self.shared);
            match thread::Builder::new().name("disk".into()).spawn(move || run(&shared)) {
                Ok(_) => self.threads += 1,
                Err(error) if self.threads == 0 => {
                    return Err(-error.raw_os_error().unwrap_or(libc::EAGAIN));
                }
                // Those that run will come to it.
                Err(error) => log::debug!("ring: no further thread for files: {error}"),
            }
        }
        state.jobs.push_back(Job { id, submission: *submission });
        self.shared.called.notify_one();
        Ok(())
    }

    /// Takes a job back, if it has not begun.
    pub(super) fn cancel(&self, id: OpId) -> Cancelled {
        if self.threads == 0 {
            return Cancelled::Unknown;
        }
        let state = &mut *self.shared.lock();
        if let Some(at) = state.jobs.iter().position(|job| job.id == id) {
            state.jobs.remove(at);
            return Cancelled::Taken;
        }
        let has_begun = state.begun.contains(&id) || state.done.iter().any(|(done, _)| *done == id);
        if has_begun { Cancelled::TooLate } else { Cancelled::Unknown }
    }

    /// Takes the results.
    pub(super) fn take_done(&self) -> Vec<(OpId, i32)> {
        // Nothing to read is no error: the results were taken before.
        let _ = rustix::io::read(&self.shared.event, &mut [0; 8]);
        std::mem::take(&mut self.shared.lock().done)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let state = &mut *self.shared.lock();
        state.is_closed = true;
        state.jobs.clear();
        for (id, result) in state.done.drain(..) {
            discard(id, result);
        }
        self.shared.called.notify_all();
    }
}

/// Closes what an operation opened that nobody waits for.
fn discard(id: OpId, result: i32) {
    if id.kind == Kind::Open && result >= 0 {
        drop(own(result));
    }
}

fn run(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        if state.is_closed {
            return;
        }
        let Some(job) = state.jobs.pop_front() else {
            state.idle += 1;
            state = shared.called.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            continue;
        };
        state.begun.push(job.id);
        drop(state);
        // A disk may make it wait, so there is always a result.
        let result = attempt::file(&job.submission, Disk::May).unwrap_or(-libc::EIO);
        state = shared.lock();
        state.begun.retain(|begun| *begun != job.id);
        if state.is_closed {
            discard(job.id, result);
            return;
        }
        state.done.push((job.id, result));
        // It fails only when the counter is full, and then it is readable.
        let _ = rustix::io::write(&shared.event, &1_u64.to_ne_bytes());
    }
}
