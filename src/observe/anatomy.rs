//! What all workers have noted, put together: the source of every report.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use super::{
    Coarse, Counts, Ends, Histograms, KernelFigures, Ledger, Slow, Statuses, Tail, ThreadFigures,
    WorkerSnapshot, access_log::Totals, slow::MOST,
};

/// What does not change while a server runs.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// The addresses that it listens on.
    pub addresses: Vec<SocketAddr>,
    /// Who seals and opens records, and why.
    pub tls: String,
    /// What the workers run on: `ring` or `poll`.
    pub io: &'static str,
    /// Whether stages are timed and bytes counted.
    pub anatomy: bool,
    /// Whether there is no folder at the path of the served one at present.
    pub root_missing: bool,
    /// Times that another folder took the place of the served one.
    pub root_replaced: u64,
    /// Whether a receive buffer holds a whole TLS record.
    pub whole_records: bool,
}

/// A slow request and its worker.
#[derive(Clone, Copy, Debug)]
pub struct SlowOnWorker {
    /// Which worker.
    pub worker: usize,
    /// How long ago it ended.
    pub ago: Duration,
    /// The request.
    pub slow: Slow,
}

/// What all workers have noted, put together.
#[derive(Clone, Debug)]
pub struct Anatomy {
    /// What does not change.
    pub server: ServerFacts,
    /// When this was put together.
    pub time: SystemTime,
    /// How long the server has run.
    pub uptime: Duration,
    /// Each worker's own; None for one that did not answer in time.
    pub workers: Vec<Option<Box<WorkerSnapshot>>>,
    /// Each worker's thread; None if the kernel does not report it.
    pub threads: Vec<Option<ThreadFigures>>,
    /// The durations of all.
    pub histograms: Histograms,
    /// The slowest requests of all.
    pub tail: Tail,
    /// The ledger of all.
    pub ledger: Ledger,
    /// What all have done.
    pub counts: Counts,
    /// How connections and requests ended, if not by a complete answer.
    pub ends: Ends,
    /// Complete answers by status.
    pub statuses: Statuses,
    /// Durations of what was aborted.
    pub aborted: Coarse,
    /// Durations of what a deadline ended.
    pub timed_out: Coarse,
    /// The slowest requests of the last minutes, slowest first.
    pub slowest: Vec<SlowOnWorker>,
    /// What the kernel says.
    pub kernel: KernelFigures,
    /// What became of the access log's lines, if there is one.
    pub access_log: Option<Totals>,
}

impl Anatomy {
    /// Puts it together.
    pub fn of(
        server: ServerFacts,
        uptime: Duration,
        workers: Vec<Option<Box<WorkerSnapshot>>>,
        kernel: KernelFigures,
        access_log: Option<Totals>,
    ) -> Self {
        let mut histograms = Histograms::default();
        let thread =
            |worker: &Option<Box<WorkerSnapshot>>| ThreadFigures::sample(worker.as_ref()?.thread);
        let (mut tail, mut ledger, mut counts) =
            (Tail::default(), Ledger::default(), Counts::default());
        let (mut ends, mut statuses) = (Ends::default(), Statuses::default());
        let (mut aborted, mut timed_out) = (Coarse::default(), Coarse::default());
        let mut slowest = Vec::new();
        for (worker, snapshot) in workers.iter().enumerate() {
            let Some(snapshot) = snapshot else { continue };
            histograms.add(&snapshot.histograms);
            tail.add(&snapshot.tail);
            ledger.add(&snapshot.ledger);
            counts = counts.plus(snapshot.counts);
            ends.add(&snapshot.ends);
            statuses.add(&snapshot.statuses);
            aborted.add(&snapshot.aborted);
            timed_out.add(&snapshot.timed_out);
            slowest.extend(snapshot.slowest.iter().map(|slow| SlowOnWorker {
                worker,
                ago: Duration::from_nanos(snapshot.now.saturating_sub(slow.finished.ended)),
                slow: *slow,
            }));
        }
        slowest.sort_by_key(|slow| std::cmp::Reverse(slow.slow.finished.total));
        slowest.truncate(MOST);
        Self {
            server,
            time: SystemTime::now(),
            uptime,
            threads: workers.iter().map(thread).collect(),
            workers,
            histograms,
            tail,
            ledger,
            counts,
            ends,
            statuses,
            aborted,
            timed_out,
            slowest,
            kernel,
            access_log,
        }
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.workers.iter().flatten().map(|worker| worker.connections).sum()
    }

    /// Requests that found no clock.
    pub fn unobserved(&self) -> u64 {
        self.workers.iter().flatten().map(|worker| worker.unobserved).sum()
    }
}
