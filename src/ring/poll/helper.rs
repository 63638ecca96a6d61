//! The threads that wait for disks and file servers, so that the worker does not.
//!
//! The invariants: a ring has [`USUAL_THREADS`] at most, each started when a job finds none idle, and up
//! to [`MOST_THREADS`] while all of them are held up, so that a file server that does not answer holds up
//! its own files alone; jobs are at most one for each slot of the op table; a job that has begun is
//! carried out to its end, and its slot stays until the result was taken. A ring that goes away drops the jobs that have not begun.
//! One that has begun finds its memory in place, since the ring leaks what is in flight; a descriptor
//! that it opens is closed.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::event::{EventfdFlags, eventfd};

use super::attempt::{self, Disk};
use crate::ring::{
    op::{Kind, OpId, Submission},
    table::own,
};

/// Threads of one ring whose disks answer.
const USUAL_THREADS: usize = 4;

/// Threads of one ring. More than the store lets operations hang (`MAX_ABANDONED` of `files/store.rs`), so
/// that some are left for the files of others when all of those do. A stack touches 16 KiB or so.
const MOST_THREADS: usize = 128 + USUAL_THREADS;

/// A job that has taken so long is held up, and its thread is not counted on.
pub(super) const HELD_UP: Duration = Duration::from_millis(20);

/// After so long without a job a thread beyond the usual ones ends.
const IDLE: Duration = Duration::from_secs(5);

/// Bytes of a thread's stack; the calls below it are few and shallow.
const STACK: usize = 128 << 10;

/// Bytes that the threads of one ring take, at most.
pub(crate) const THREADS_BYTES: usize = MOST_THREADS * STACK;

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
    /// What the threads carry out now, and since when.
    begun: Vec<(OpId, Instant)>,
    threads: usize,
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
    /// Jobs whose results were not taken.
    outstanding: usize,
}

impl Helper {
    pub(super) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (state, called) = (Mutex::default(), Condvar::new());
        Ok(Self { shared: Arc::new(Shared { state, called, event }), outstanding: 0 })
    }

    /// What becomes readable when there are results.
    pub(super) fn event(&self) -> &OwnedFd {
        &self.shared.event
    }

    /// Has an operation carried out. A negated errno if there is no thread and none can be made.
    pub(super) fn give(&mut self, id: OpId, submission: &Submission) -> Result<(), i32> {
        let mut state = self.shared.lock();
        if state.idle <= state.jobs.len() && state.threads < USUAL_THREADS {
            match start(&self.shared) {
                Ok(()) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    return Err(-error.raw_os_error().unwrap_or(libc::EAGAIN));
                }
                // Those that run will come to it.
                Err(error) => log::debug!("ring: no further thread for files: {error}"),
            }
        }
        state.jobs.push_back(Job { id, submission: *submission });
        self.shared.called.notify_one();
        self.outstanding += 1;
        Ok(())
    }

    /// Whether there are jobs whose results were not taken.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn is_busy(&self) -> bool {
        self.outstanding > 0
    }

    /// Whether jobs wait for a thread: then [`Helper::relieve`] is to be called within [`HELD_UP`].
    pub(super) fn is_short_of_threads(&self) -> bool {
        self.outstanding > USUAL_THREADS && !self.shared.lock().jobs.is_empty()
    }

    /// Starts a few more threads if jobs wait and all threads are held up.
    pub(super) fn relieve(&mut self) {
        let mut state = self.shared.lock();
        let all_held_up = state.begun.len() == state.threads
            && state.begun.iter().all(|(_, since)| since.elapsed() >= HELD_UP);
        if state.jobs.is_empty() || !all_held_up {
            return;
        }
        let more = state.jobs.len().min(USUAL_THREADS).min(MOST_THREADS - state.threads);
        for _ in 0..more {
            match start(&self.shared) {
                Ok(()) => state.threads += 1,
                // It is tried again while jobs wait.
                Err(error) => return log::debug!("ring: no further thread for files: {error}"),
            }
        }
    }

    /// Takes a job back, if it has not begun.
    pub(super) fn cancel(&mut self, id: OpId) -> Cancelled {
        if self.outstanding == 0 {
            return Cancelled::Unknown;
        }
        let state = &mut *self.shared.lock();
        if let Some(at) = state.jobs.iter().position(|job| job.id == id) {
            state.jobs.remove(at);
            self.outstanding -= 1;
            return Cancelled::Taken;
        }
        let mut known =
            state.begun.iter().map(|(id, _)| id).chain(state.done.iter().map(|(id, _)| id));
        let has_begun = known.any(|known| *known == id);
        if has_begun { Cancelled::TooLate } else { Cancelled::Unknown }
    }

    /// Takes the results.
    pub(super) fn take_done(&mut self) -> Vec<(OpId, i32)> {
        // Nothing to read is no error: the results were taken before.
        let _ = rustix::io::read(&self.shared.event, &mut [0; 8]);
        let done = std::mem::take(&mut self.shared.lock().done);
        self.outstanding -= done.len();
        done
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
    if id.kind() == Kind::Open && result >= 0 {
        drop(own(result));
    }
}

/// Starts a thread, which the caller counts while it holds the lock.
fn start(shared: &Arc<Shared>) -> io::Result<()> {
    let shared = Arc::clone(shared);
    let builder = thread::Builder::new().name("disk".into()).stack_size(STACK);
    builder.spawn(move || run(&shared)).map(drop)
}

fn run(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        if state.is_closed {
            return;
        }
        let Some(job) = state.jobs.pop_front() else {
            state.idle += 1;
            let waited = shared.called.wait_timeout(state, IDLE);
            let (woken, time) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if time.timed_out() && state.jobs.is_empty() && state.threads > USUAL_THREADS {
                state.threads -= 1;
                return;
            }
            continue;
        };
        state.begun.push((job.id, Instant::now()));
        drop(state);
        // A disk may make it wait, so there is always a result.
        let result = attempt::file(&job.submission, Disk::May).unwrap_or(-libc::EIO);
        state = shared.lock();
        state.begun.retain(|(begun, _)| *begun != job.id);
        if state.is_closed {
            discard(job.id, result);
            return;
        }
        state.done.push((job.id, result));
        // It fails only when the counter is full, and then it is readable.
        let _ = rustix::io::write(&shared.event, &1_u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::CString,
        os::fd::AsRawFd,
        path::Path,
        time::{Duration, Instant},
    };

    use rustix::fs::{CWD, Mode, OFlags};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn id(slot: u32) -> OpId {
        OpId::new(Kind::Open, slot, 0)
    }

    /// Opens that wait until somebody opens their FIFO for writing.
    struct Pipes {
        folder: OwnedFd,
        paths: Vec<CString>,
        how: Box<libc::open_how>,
    }

    impl Pipes {
        fn new(folder: &Path, count: usize) -> Self {
            let paths: Vec<_> =
                (0..count).map(|at| CString::new(format!("{at}")).unwrap()).collect();
            for path in &paths {
                let path = folder.join(path.to_str().unwrap());
                rustix::fs::mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
            }
            // SAFETY: all-zero is a valid open_how.
            let mut how: Box<libc::open_how> = Box::new(unsafe { std::mem::zeroed() });
            how.flags = (libc::O_RDONLY | libc::O_CLOEXEC) as u64;
            Self { folder: std::fs::File::open(folder).unwrap().into(), paths, how }
        }

        fn open(&self, at: usize) -> Submission {
            Submission::OpenAt2 {
                directory: self.folder.as_raw_fd(),
                path: self.paths[at].as_ptr(),
                how: &raw const *self.how,
                on_thread: true,
            }
        }

        /// Ends the wait of one.
        fn release(&self, at: usize) -> OwnedFd {
            rustix::fs::openat(&self.folder, &self.paths[at], OFlags::WRONLY, Mode::empty())
                .unwrap()
        }
    }

    fn results(helper: &mut Helper, count: usize) -> Vec<(OpId, i32)> {
        let deadline = Instant::now() + PATIENCE;
        let mut done = Vec::new();
        while done.len() < count {
            assert!(Instant::now() < deadline, "{done:?}");
            std::thread::sleep(Duration::from_millis(1));
            done.extend(helper.take_done());
        }
        done
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn a_server_that_does_not_answer_holds_some_threads_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let pipes = Pipes::new(folder.path(), USUAL_THREADS + 1);
        let mut helper = Helper::new().unwrap();
        assert_eq!(helper.cancel(id(0)), Cancelled::Unknown);
        for at in 0..=USUAL_THREADS {
            helper.give(id(at as u32), &pipes.open(at)).unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        while helper.shared.lock().begun.len() < USUAL_THREADS {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(helper.shared.lock().threads, USUAL_THREADS);
        assert!(helper.is_short_of_threads());
        let last = id(USUAL_THREADS as u32);
        assert_eq!(helper.cancel(id(0)), Cancelled::TooLate);
        assert_eq!(helper.cancel(OpId::new(last.kind(), last.slot(), 1)), Cancelled::Unknown);
        assert_eq!(helper.cancel(last), Cancelled::Taken);
        assert_eq!(helper.cancel(last), Cancelled::Unknown);
        assert!(helper.take_done().is_empty());
        // One that answers at last serves the next operation.
        let _writer = pipes.release(0);
        let [(done, fd)] = results(&mut helper, 1)[..] else { panic!("one result") };
        assert!(done == id(0) && fd >= 0);
        discard(done, fd);
        helper.give(last, &pipes.open(USUAL_THREADS)).unwrap();
        let _writer = pipes.release(USUAL_THREADS);
        assert_eq!(helper.shared.lock().threads, USUAL_THREADS);
        let [(done, fd)] = results(&mut helper, 1)[..] else { panic!("one result") };
        assert!(done == last && fd >= 0);
        discard(done, fd);
        let _writers: Vec<_> = (1..USUAL_THREADS).map(|at| pipes.release(at)).collect();
        for (done, fd) in results(&mut helper, USUAL_THREADS - 1) {
            discard(done, fd);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn threads_that_are_held_up_are_not_counted_on_and_their_number_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let pipes = Pipes::new(folder.path(), MOST_THREADS + 8);
        let mut helper = Helper::new().unwrap();
        for at in 0..MOST_THREADS + 8 {
            helper.give(id(at as u32), &pipes.open(at)).unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        while helper.shared.lock().begun.len() < MOST_THREADS {
            assert!(Instant::now() < deadline, "{:?}", helper.shared.lock().threads);
            std::thread::sleep(Duration::from_millis(2));
            helper.relieve();
        }
        std::thread::sleep(2 * HELD_UP);
        helper.relieve();
        assert_eq!(helper.shared.lock().threads, MOST_THREADS);
        let writers: Vec<_> = (0..MOST_THREADS + 8).map(|at| pipes.release(at)).collect();
        for (done, fd) in results(&mut helper, MOST_THREADS + 8) {
            discard(done, fd);
        }
        drop(writers);
        assert!(!helper.is_short_of_threads() && helper.outstanding == 0);
        // Those beyond the usual ones end.
        let deadline = Instant::now() + PATIENCE;
        while helper.shared.lock().threads > USUAL_THREADS {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn what_is_opened_for_a_ring_that_is_gone_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let pipes = Pipes::new(folder.path(), 1);
        let mut helper = Helper::new().unwrap();
        helper.give(id(0), &pipes.open(0)).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while helper.shared.lock().begun.is_empty() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(helper);
        let writer = pipes.release(0);
        // Nobody reads it any more once the thread has closed it.
        let mut polled = [rustix::event::PollFd::new(&writer, rustix::event::PollFlags::OUT)];
        loop {
            assert!(Instant::now() < deadline, "the descriptor is left open");
            rustix::event::poll(&mut polled, None).unwrap();
            if polled[0].revents().contains(rustix::event::PollFlags::ERR) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
