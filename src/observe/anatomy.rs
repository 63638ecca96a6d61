//! What all workers have noted, put together: the source of every report.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use super::{
    Attention, Coarse, ConnectionStreams, Counts, Endpoints, Ends, Histograms, KernelFigures,
    Ledger, PoolFigures, RateFigures, Slow, Statuses, Tail, ThreadFigures, Window, WorkerSnapshot,
    access_log::Totals, slow::EACH, spans::SpanTotals,
};
use crate::wall_clock::since_1970_at;

/// What does not change while a server runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
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
    /// The pools of upstream servers, as of this report.
    pub pools: Vec<PoolFigures>,
    /// The rates that limit requests, by name, as of this report.
    pub rates: Vec<RateFigures>,
    /// The certificates that it serves at present.
    pub certificates: Vec<CertificateFacts>,
}

/// A certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateFacts {
    /// The first name that it is for.
    pub name: String,
    /// The file of its chain; empty if it is kept in memory only.
    pub file: String,
    /// The last second of its validity, since 1970; None if that could not be read.
    pub not_after: Option<i64>,
}

/// A slow request and its worker.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SlowOnWorker {
    /// Which worker.
    pub worker: usize,
    /// How long ago it ended.
    pub ago: Duration,
    /// The request.
    pub slow: Slow,
}

/// The open streams of a connection, and its worker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamsOnWorker {
    /// Which worker.
    pub worker: usize,
    /// What the worker's clock showed, in nanoseconds.
    pub now: u64,
    /// The streams.
    pub streams: ConnectionStreams,
}

impl StreamsOnWorker {
    /// Those of all workers, the most open ones first.
    fn of(workers: &[Option<Box<WorkerSnapshot>>]) -> Vec<Self> {
        let known = workers.iter().enumerate().filter_map(|(number, worker)| {
            let worker = worker.as_ref()?;
            let of = move |streams: &ConnectionStreams| Self {
                worker: number,
                now: worker.now,
                streams: streams.clone(),
            };
            Some(worker.streams.iter().map(of))
        });
        let mut all: Vec<Self> = known.flatten().collect();
        all.sort_by_key(|one| std::cmp::Reverse(one.streams.open));
        all
    }
}

/// What all workers have noted, put together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Anatomy {
    /// What does not change.
    pub server: ServerFacts,
    /// When this was put together.
    pub time: SystemTime,
    /// How long the server has run.
    pub uptime: Duration,
    /// The time that the figures are of; None if that is all since the start.
    pub window: Option<Window>,
    /// Each worker's own; None for one that did not answer in time.
    pub workers: Vec<Option<Box<WorkerSnapshot>>>,
    /// Each worker's thread; None if the kernel does not report it.
    pub threads: Vec<Option<ThreadFigures>>,
    /// The durations of all.
    pub histograms: Histograms,
    /// The slowest requests of all.
    pub tail: Tail,
    /// What the requests of each endpoint of an application took, since the start.
    pub endpoints: Endpoints,
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
    /// The slowest requests of each class, of the window or the last minutes, slowest first.
    pub slowest: Vec<SlowOnWorker>,
    /// Those of them that the history does not keep yet.
    pub(super) uncollected: Vec<SlowOnWorker>,
    /// The open streams of connections that have most of them, as they are now.
    pub streams: Vec<StreamsOnWorker>,
    /// What is wrong now, compared with the hour before.
    pub attention: Vec<Attention>,
    /// What the kernel says.
    pub kernel: KernelFigures,
    /// What became of the access log's lines, if there is one.
    pub access_log: Option<Totals>,
    /// What became of slow requests that became spans, if there is a collector.
    pub spans: Option<SpanTotals>,
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
        let thread =
            |worker: &Option<Box<WorkerSnapshot>>| ThreadFigures::sample(worker.as_ref()?.thread);
        let threads = workers.iter().map(thread).collect();
        let mut slowest = Vec::new();
        for (worker, snapshot) in workers.iter().enumerate() {
            let Some(snapshot) = snapshot else { continue };
            slowest.extend(snapshot.slowest.iter().map(|slow| SlowOnWorker {
                worker,
                ago: Duration::from_nanos(snapshot.now.saturating_sub(slow.finished.ended)),
                slow: *slow,
            }));
        }
        let empty = Self::empty();
        let mut anatomy = Self { server, uptime, workers, threads, kernel, access_log, ..empty };
        anatomy.add_up();
        anatomy.uncollected.clone_from(&slowest);
        anatomy.streams = StreamsOnWorker::of(&anatomy.workers);
        anatomy.rank(slowest);
        anatomy
    }

    /// Of no worker.
    pub(super) fn empty() -> Self {
        Self {
            server: ServerFacts {
                addresses: Vec::new(),
                tls: String::new(),
                io: "",
                anatomy: true,
                root_missing: false,
                root_replaced: 0,
                whole_records: true,
                pools: Vec::new(),
                rates: Vec::new(),
                certificates: Vec::new(),
            },
            time: SystemTime::now(),
            uptime: Duration::ZERO,
            window: None,
            workers: Vec::new(),
            threads: Vec::new(),
            histograms: Histograms::default(),
            tail: Tail::default(),
            endpoints: Endpoints::default(),
            ledger: Ledger::default(),
            counts: Counts::default(),
            ends: Ends::default(),
            statuses: Statuses::default(),
            aborted: Coarse::default(),
            timed_out: Coarse::default(),
            slowest: Vec::new(),
            uncollected: Vec::new(),
            streams: Vec::new(),
            attention: Vec::new(),
            kernel: KernelFigures::default(),
            access_log: None,
            spans: None,
        }
    }

    /// The same server at the same moment, with the figures of a window of time.
    pub(super) fn of_window(
        &self,
        window: Window,
        workers: Vec<Option<Box<WorkerSnapshot>>>,
        threads: Vec<Option<ThreadFigures>>,
        kernel: KernelFigures,
        access_log: Option<Totals>,
        slowest: Vec<SlowOnWorker>,
    ) -> Self {
        let (server, window) = (self.server.clone(), Some(window));
        let empty = Self { server, time: self.time, uptime: self.uptime, window, ..Self::empty() };
        let mut anatomy = Self { workers, threads, kernel, access_log, ..empty };
        anatomy.add_up();
        // The history does not keep these.
        anatomy.streams.clone_from(&self.streams);
        anatomy.endpoints.clone_from(&self.endpoints);
        anatomy.rank(slowest);
        anatomy
    }

    /// Adds up what the workers noted.
    pub(super) fn add_up(&mut self) {
        for snapshot in self.workers.iter().flatten() {
            self.histograms.add(&snapshot.histograms);
            self.tail.add(&snapshot.tail);
            self.endpoints.add(&snapshot.endpoints);
            self.ledger.add(&snapshot.ledger);
            self.counts = self.counts.plus(snapshot.counts);
            self.ends.add(&snapshot.ends);
            self.statuses.add(&snapshot.statuses);
            self.aborted.add(&snapshot.aborted);
            self.timed_out.add(&snapshot.timed_out);
        }
    }

    /// Adds slow requests that were kept elsewhere.
    pub fn remember(&mut self, kept: Vec<SlowOnWorker>) {
        let mut slowest = std::mem::take(&mut self.slowest);
        slowest.extend(kept);
        self.rank(slowest);
    }

    /// Takes the slowest of each class.
    fn rank(&mut self, slowest: Vec<SlowOnWorker>) {
        self.slowest = slowest_of(slowest, EACH, |one, other| {
            one.slow.finished.class() == other.slow.finished.class()
        });
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

/// The days from `now` until a second since 1970; negative if that has passed.
pub(super) fn days_left(last: i64, now: SystemTime) -> f64 {
    (last as f64 - since_1970_at(now).as_secs_f64()) / 86_400.0
}

/// Sorts requests, slowest first, and keeps at most `each` of those that are `alike`.
pub(super) fn slowest_of(
    mut all: Vec<SlowOnWorker>,
    each: usize,
    alike: impl Fn(&SlowOnWorker, &SlowOnWorker) -> bool,
) -> Vec<SlowOnWorker> {
    all.sort_by_key(|slow| std::cmp::Reverse(slow.slow.finished.waited()));
    let mut kept: Vec<SlowOnWorker> = Vec::new();
    for slow in all {
        if kept.iter().filter(|kept| alike(kept, &slow)).count() < each {
            kept.push(slow);
        }
    }
    kept
}
