//! What applications have handed to the threads for work that computes or blocks (`service/offload.rs`):
//! one pool for the process, so one set of figures. The threads count, and a report reads.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

static THREADS: AtomicU64 = AtomicU64::new(0);
static WAITING: AtomicU64 = AtomicU64::new(0);
static BEGUN: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);
static TAKEN_BACK: AtomicU64 = AtomicU64::new(0);
static WAITED: AtomicU64 = AtomicU64::new(0);
static RAN: AtomicU64 = AtomicU64::new(0);

/// Jobs of [`ringway::offload`](crate::offload) since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffloadFigures {
    /// Threads that there are.
    pub threads: u64,
    /// Jobs that wait for a thread, as they are now.
    pub waiting: u64,
    /// Jobs that a thread has begun.
    pub begun: u64,
    /// Jobs that were refused, since as many waited as may.
    pub refused: u64,
    /// Jobs that were dropped before a thread had begun them.
    pub taken_back: u64,
    /// Nanoseconds that the begun ones waited before.
    pub waited: u64,
    /// Nanoseconds that threads have spent in jobs, as they ended.
    pub ran: u64,
}

impl OffloadFigures {
    /// The present figures; None if nothing was handed over yet.
    pub(crate) fn read() -> Option<Self> {
        let figures = Self {
            threads: THREADS.load(Relaxed),
            waiting: WAITING.load(Relaxed),
            begun: BEGUN.load(Relaxed),
            refused: REFUSED.load(Relaxed),
            taken_back: TAKEN_BACK.load(Relaxed),
            waited: WAITED.load(Relaxed),
            ran: RAN.load(Relaxed),
        };
        (figures != Self::default()).then_some(figures)
    }
}

/// What happens to a job.
#[cfg_attr(not(feature = "service"), allow(dead_code))]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Job {
    /// It waits.
    Queued,
    /// It is not taken.
    Refused,
    /// It was dropped while it waited.
    TakenBack,
    /// A thread begins it after this wait.
    Begun(Duration),
    /// It has run for so long.
    Ended(Duration),
}

/// Counts what happened to a job.
#[cfg_attr(not(feature = "service"), allow(dead_code))]
pub(crate) fn count(job: Job) {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    match job {
        Job::Queued => WAITING.fetch_add(1, Relaxed),
        Job::Refused => REFUSED.fetch_add(1, Relaxed),
        Job::TakenBack => {
            WAITING.fetch_sub(1, Relaxed);
            TAKEN_BACK.fetch_add(1, Relaxed)
        }
        Job::Begun(waited) => {
            WAITING.fetch_sub(1, Relaxed);
            WAITED.fetch_add(nanoseconds(waited), Relaxed);
            BEGUN.fetch_add(1, Relaxed)
        }
        Job::Ended(ran) => RAN.fetch_add(nanoseconds(ran), Relaxed),
    };
}

/// A thread has begun to serve.
#[cfg_attr(not(feature = "service"), allow(dead_code))]
pub(crate) fn count_thread() {
    THREADS.fetch_add(1, Relaxed);
}
