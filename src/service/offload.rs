//! Work that computes or blocks, on threads of its own: half as many as there are CPUs, at a lower
//! priority than the workers.
//!
//! The invariant: at most [`QUEUED`] jobs wait, first come, first served, and one whose future was
//! dropped waits no more. A pool that takes whatever comes would only move the wait out of sight.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
    thread,
    time::Instant,
};

use super::panics::caught;
use crate::observe::{self, count_job, count_offload_thread};

/// Jobs that wait, at most.
const QUEUED: usize = 1024;

/// How much nicer the threads are than the workers (nice(2)).
const NICER: i32 = 5;

/// Runs `work` on a thread for what computes or blocks. The worker serves others meanwhile. A hop there
/// and back costs some 15 µs: what takes less than 50 µs is better left in the handler.
///
/// Dropping the future takes back what has not begun.
///
/// ```
/// # async fn handler() -> Result<u64, ringway::OffloadError> {
/// let sum = ringway::offload(|| (0..100_000_000_u64).sum::<u64>()).await?;
/// # Ok(sum)
/// # }
/// ```
///
/// # Errors
/// 1,024 jobs wait already, or `work` panicked.
pub fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Offload<T> {
    pool().submit(work)
}

/// Why work was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OffloadError {
    /// As many jobs wait as may, or there are no threads to be had: the client should get 503.
    Full,
    /// It panicked, with this message.
    Panicked(String),
}

impl fmt::Display for OffloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("too much work waits to be done"),
            Self::Panicked(message) => write!(f, "the work panicked: {message}"),
        }
    }
}

impl std::error::Error for OffloadError {}

/// 503 where too much waits, 500 for a panic.
#[cfg(feature = "axum")]
impl axum::response::IntoResponse for OffloadError {
    fn into_response(self) -> axum::response::Response {
        let status = match self {
            Self::Full => http::StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked(_) => http::StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, self.to_string()).into_response()
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// The threads and what waits for them.
#[derive(Default)]
struct Pool {
    queue: Mutex<Queue>,
    work: Condvar,
}

/// A job that waits.
struct Waiting {
    number: u64,
    since: Instant,
    job: Job,
}

#[derive(Default)]
struct Queue {
    next: u64,
    jobs: VecDeque<Waiting>,
    threads: usize,
    idle: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pool() -> &'static Arc<Pool> {
    static POOL: OnceLock<Arc<Pool>> = OnceLock::new();
    POOL.get_or_init(Arc::default)
}

fn most_threads() -> usize {
    thread::available_parallelism().map_or(1, |cpus| (cpus.get() / 2).max(1))
}

/// What a job has come to.
struct Outcome<T> {
    output: Option<Result<T, String>>,
    waker: Option<Waker>,
}

impl Pool {
    fn submit<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Offload<T> {
        let outcome = Arc::new(Mutex::new(Outcome { output: None, waker: None }));
        let theirs = Arc::clone(&outcome);
        let job: Job = Box::new(move || {
            let output = caught(work);
            let waker = {
                let mut outcome = lock(&theirs);
                outcome.output = Some(output);
                outcome.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        let number = self.push(job);
        Offload { pool: Arc::clone(self), number, outcome }
    }

    /// Queues a job; None if too many wait.
    fn push(self: &Arc<Self>, job: Job) -> Option<u64> {
        let mut queue = lock(&self.queue);
        if queue.jobs.len() >= QUEUED {
            count_job(observe::Job::Refused);
            return None;
        }
        if queue.idle <= queue.jobs.len() && queue.threads < most_threads() {
            let pool = Arc::clone(self);
            let name = format!("offload-{}", queue.threads);
            match thread::Builder::new().name(name).spawn(move || pool.run()) {
                Ok(_) => {
                    queue.threads += 1;
                    count_offload_thread();
                }
                Err(_) if queue.threads == 0 => {
                    count_job(observe::Job::Refused);
                    return None;
                }
                // Those that there are will do it.
                Err(error) => log::warn!("offload: no further thread: {error}"),
            }
        }
        let number = queue.next;
        queue.next += 1;
        queue.jobs.push_back(Waiting { number, since: Instant::now(), job });
        count_job(observe::Job::Queued);
        self.work.notify_one();
        Some(number)
    }

    fn run(&self) {
        // It is a courtesy: without it the threads compete with the workers as equals.
        let _ = rustix::process::nice(NICER);
        loop {
            let Waiting { since, job, .. } = {
                let mut queue = lock(&self.queue);
                loop {
                    if let Some(waiting) = queue.jobs.pop_front() {
                        break waiting;
                    }
                    queue.idle += 1;
                    queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                    queue.idle -= 1;
                }
            };
            let began = Instant::now();
            count_job(observe::Job::Begun(began - since));
            job();
            count_job(observe::Job::Ended(began.elapsed()));
        }
    }

    fn take_back(&self, number: u64) {
        let job = {
            let jobs = &mut lock(&self.queue).jobs;
            let at = jobs.iter().position(|waiting| waiting.number == number);
            at.and_then(|at| jobs.remove(at))
        };
        if job.is_some() {
            count_job(observe::Job::TakenBack);
        }
        // Without the lock: what it holds is the program's.
        drop(job);
    }
}

/// Work on its way; see [`offload`].
#[must_use = "what is not awaited is taken back"]
pub struct Offload<T> {
    pool: Arc<Pool>,
    /// None: there was no place.
    number: Option<u64>,
    outcome: Arc<Mutex<Outcome<T>>>,
}

impl<T> Future for Offload<T> {
    type Output = Result<T, OffloadError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.number.is_none() {
            return Poll::Ready(Err(OffloadError::Full));
        }
        let mut outcome = lock(&self.outcome);
        if let Some(output) = outcome.output.take() {
            return Poll::Ready(output.map_err(OffloadError::Panicked));
        }
        outcome.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Offload<T> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.pool.take_back(number);
        }
    }
}

impl<T> fmt::Debug for Offload<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offload").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::service::RuntimeHandle;

    fn finish<T>(future: impl Future<Output = T>) -> T {
        RuntimeHandle::default().finish(future)
    }

    #[test]
    fn work_is_done_elsewhere_and_a_panic_is_its_own() {
        let pool = Arc::<Pool>::default();
        let here = thread::current().id();
        let elsewhere = finish(pool.submit(move || thread::current().id() != here));
        assert_eq!(elsewhere, Ok(true));
        let panicked = finish(pool.submit(|| assert!(thread::panicking(), "on purpose")));
        assert_eq!(panicked, Err(OffloadError::Panicked("on purpose".to_owned())));
        assert_eq!(finish(pool.submit(|| 7)), Ok(7), "the thread goes on");
    }

    #[test]
    fn no_more_wait_than_may_and_what_is_dropped_makes_room() {
        let pool = Arc::<Pool>::default();
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let block = |pool: &Arc<Pool>| {
            let released = Arc::clone(&released);
            let (began, begins) = mpsc::channel();
            let blocked = pool.submit(move || {
                began.send(()).unwrap();
                lock(&released).recv().unwrap();
            });
            (blocked, begins)
        };
        let threads = most_threads();
        let blocked: Vec<_> = (0..threads).map(|_| block(&pool)).collect();
        for (_, begins) in &blocked {
            begins.recv().unwrap();
        }
        let mut waiting: Vec<_> = (0..QUEUED).map(|at| pool.submit(move || at)).collect();
        assert_eq!(finish(pool.submit(|| 0)), Err(OffloadError::Full));
        drop(waiting.remove(10));
        let last = pool.submit(|| QUEUED);
        for _ in 0..threads {
            release.send(()).unwrap();
        }
        assert_eq!(finish(last), Ok(QUEUED));
        let done: Result<Vec<_>, _> = waiting.into_iter().map(finish).collect();
        assert_eq!(done.unwrap(), (0..QUEUED).filter(|at| *at != 10).collect::<Vec<_>>());
    }
}
