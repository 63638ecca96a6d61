//! Threads for what would block a worker and has no operation of the ring: reading folders.
//!
//! The invariant: at most [`MAX_THREADS`] threads and [`MAX_WAITING`] jobs that wait for one; what
//! is beyond is refused at once. Threads start when the first job needs them and are joined by
//! [`Pool::close`].

use std::{
    collections::VecDeque,
    io,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Threads of the process that run jobs. One that waits for a disk occupies its thread, so there
/// are more than a disk can serve at a time.
const MAX_THREADS: usize = 8;

/// Jobs that wait for a thread.
const MAX_WAITING: usize = 64;

type Job = Box<dyn FnOnce() + Send>;

/// The pool, shared by the workers of a server.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

impl Default for Pool {
    /// The pool for what waits for disks.
    fn default() -> Self {
        Self::of("files", MAX_THREADS, MAX_WAITING)
    }
}

struct Shared {
    /// Threads that run jobs, and jobs that wait for one, at most.
    bounds: (usize, usize),
    /// What its threads are called.
    name: &'static str,
    state: Mutex<State>,
    /// There is a job, or the pool closes.
    called: Condvar,
    /// A thread has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: Vec<JoinHandle<()>>,
    /// Threads that have not ended.
    live: usize,
    /// Those of them that wait for a job.
    idle: usize,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// A pool of at most so many threads, and so many jobs that wait for one.
    pub(crate) fn of(name: &'static str, threads: usize, waiting: usize) -> Self {
        let (state, called, ended) = Default::default();
        Self(Arc::new(Shared { bounds: (threads, waiting), name, state, called, ended }))
    }

    /// Runs a job on one of the threads, as soon as one is free.
    ///
    /// # Errors
    /// `ResourceBusy`: too many jobs wait, or the pool is closed. Or there is no thread and none
    /// can be made.
    pub(crate) fn run(&self, job: Job) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.closed || state.jobs.len() >= self.0.bounds.1 {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "too many jobs wait"));
        }
        if state.idle <= state.jobs.len() && state.live < self.0.bounds.0 {
            match self.start() {
                Ok(thread) => {
                    state.live += 1;
                    state.threads.retain(|thread| !thread.is_finished());
                    state.threads.push(thread);
                }
                Err(error) if state.live == 0 => return Err(error),
                // Those that run will come to it.
                Err(error) => log::debug!("files: no further thread: {error}"),
            }
        }
        state.jobs.push_back(job);
        self.0.called.notify_one();
        Ok(())
    }

    fn start(&self) -> io::Result<JoinHandle<()>> {
        let shared = Arc::clone(&self.0);
        thread::Builder::new().name(self.0.name.into()).spawn(move || {
            let live = Live(shared);
            while let Some(job) = live.next() {
                // What a job leaves half done is dropped with it.
                if panic::catch_unwind(AssertUnwindSafe(job)).is_err() {
                    log::error!("files: a job panicked; please report its message");
                }
            }
        })
    }

    /// Drops the jobs that wait, refuses further ones and joins the threads. A thread that has not
    /// ended after `limit`, since its disk does not answer, is left to the end of the process.
    pub(crate) fn close(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let mut state = self.0.lock();
        state.closed = true;
        // Dropping a job may take its time, and no thread is to wait for that.
        let waiting = std::mem::take(&mut state.jobs);
        self.0.called.notify_all();
        while state.live > 0 {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                log::warn!("files: {} threads still wait for a disk", state.live);
                break;
            }
            let waited = self.0.ended.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let threads = std::mem::take(&mut state.threads);
        let all_ended = state.live == 0;
        drop(state);
        drop(waiting);
        for thread in threads {
            if all_ended || thread.is_finished() {
                // Jobs cannot make it panic.
                let _ = thread.join();
            }
        }
    }
}

/// A thread of the pool, counted for as long as it runs.
struct Live(Arc<Shared>);

impl Live {
    /// The next job; None when the pool closes.
    fn next(&self) -> Option<Job> {
        let mut state = self.0.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state.idle += 1;
            state = self.0.called.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.lock().live -= 1;
        self.0.ended.notify_all();
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Pool")
            .field("threads", &state.live)
            .field("waiting", &state.jobs.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// More than any job takes.
    const LONG: Duration = Duration::from_secs(300);

    /// Jobs that hang until what is returned is dropped, one for each thread.
    fn occupy(pool: &Pool) -> Vec<std::sync::mpsc::Sender<()>> {
        let (began, begins) = channel();
        let hung = (0..MAX_THREADS).map(|_| {
            let (release, wait) = channel::<()>();
            let began = began.clone();
            pool.run(Box::new(move || {
                began.send(()).unwrap();
                let _ = wait.recv();
            }))
            .unwrap();
            begins.recv_timeout(LONG).unwrap();
            release
        });
        hung.collect()
    }

    fn run(pool: &Pool) -> io::Result<Receiver<()>> {
        let (done, wait) = channel();
        pool.run(Box::new(move || _ = done.send(()))).map(|()| wait)
    }

    #[test]
    fn threads_and_queue_are_bounded() {
        let pool = Pool::default();
        let hung = occupy(&pool);
        let waiting: Vec<_> = (0..MAX_WAITING).map(|_| run(&pool).unwrap()).collect();
        assert_eq!(run(&pool).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(pool.0.lock().threads.len(), MAX_THREADS);
        drop(hung);
        for job in waiting {
            job.recv_timeout(LONG).expect("a job that waited is run");
        }
        pool.close(LONG);
        assert_eq!(pool.0.lock().live, 0);
    }

    #[test]
    fn a_thread_is_used_again() {
        let pool = Pool::default();
        for _ in 0..20 {
            run(&pool).unwrap().recv_timeout(LONG).unwrap();
            while pool.0.lock().idle == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(pool.0.lock().threads.len(), 1);
    }

    #[test]
    fn a_job_that_panics_costs_no_thread() {
        let pool = Pool::default();
        for _ in 0..2 * MAX_THREADS {
            pool.run(Box::new(|| panic!("a job of this test"))).unwrap();
        }
        run(&pool).unwrap().recv_timeout(LONG).expect("the threads are still there");
        pool.close(LONG);
    }

    #[test]
    fn closing_joins_the_threads_drops_what_waits_and_refuses_the_rest() {
        let pool = Pool::default();
        let hung = occupy(&pool);
        let waiting = run(&pool).unwrap();
        // A thread that hangs is not waited for beyond the limit.
        pool.close(Duration::from_millis(1));
        assert_eq!(pool.0.lock().live, MAX_THREADS);
        assert!(waiting.recv_timeout(LONG).is_err(), "it was dropped");
        assert!(run(&pool).is_err());
        drop(hung);
        pool.close(LONG);
        assert_eq!(pool.0.lock().live, 0);
    }
}
