//! A run: the threads, the stages and the samples of the server.
//!
//! The invariant: the server is sampled at the very ends of the measured interval, so its CPU time
//! and the requests counted belong to the same time.

use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustls::pki_types::ServerName;

use crate::bodies::{self, Bodies, Files};
use crate::connection::Common;
use crate::engine::Engine;
use crate::observe::{self, KernelMemory, Sample, Ticks};
use crate::plan::{Plan, Sessions};
use crate::progress::Progress;
use crate::session;
use crate::tally::Tally;

/// How long idle connections may take to be opened, for each thousand of them and to begin with.
const IDLE_PATIENCE: Duration = Duration::from_secs(30);
/// How long the threads may take to notice a new stage. They look all the time, so this is for a
/// machine that does not let them run.
const STAGE_PATIENCE: Duration = Duration::from_secs(30);
/// How long the warm-up may last until each connection has had an answer.
const WARM_PATIENCE: Duration = Duration::from_secs(10);
/// How often the waiting thread looks up.
const LOOK: Duration = Duration::from_millis(10);

/// What all threads do at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The idle connections are opened.
    Idle,
    /// All connections are at work, nothing counts yet.
    WarmUp,
    /// What happens counts.
    Measure,
    /// The end.
    Stop,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Idle, Self::WarmUp, Self::Measure, Self::Stop];

    /// The stage that follows; the last is followed by itself.
    pub(crate) fn next(self) -> Self {
        Self::ALL[(self as usize + 1).min(Self::ALL.len() - 1)]
    }
}

/// What the load threads and the main thread share.
#[derive(Debug)]
pub(crate) struct Control {
    stage: AtomicU8,
    idle_ready: AtomicUsize,
    /// Threads of whose connections each has had an answer.
    warm: AtomicUsize,
    /// The stage that each thread has entered.
    entered: Vec<AtomicU8>,
    requests: Vec<AtomicU64>,
    failed: Vec<AtomicU64>,
}

impl Control {
    fn new(threads: usize) -> Self {
        let zeros = || (0..threads).map(|_| AtomicU64::new(0)).collect();
        let (requests, failed) = (zeros(), zeros());
        let entered = (0..threads).map(|_| AtomicU8::new(0)).collect();
        Self {
            stage: AtomicU8::new(0),
            idle_ready: AtomicUsize::new(0),
            warm: AtomicUsize::new(0),
            entered,
            requests,
            failed,
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        Stage::ALL[usize::from(self.stage.load(Ordering::Relaxed))]
    }

    fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Thread `index` has entered `stage`.
    pub(crate) fn entered(&self, index: usize, stage: Stage) {
        self.entered[index].store(stage as u8, Ordering::Release);
    }

    fn all_entered(&self, stage: Stage) -> bool {
        self.entered.iter().all(|entered| entered.load(Ordering::Acquire) >= stage as u8)
    }

    /// A thread's idle connections are open.
    pub(crate) fn idle_ready(&self) {
        self.idle_ready.fetch_add(1, Ordering::Relaxed);
    }

    /// Each connection of a thread has had an answer.
    pub(crate) fn warm(&self) {
        self.warm.fetch_add(1, Ordering::Relaxed);
    }

    /// Thread `index` has got so far.
    pub(crate) fn progress(&self, index: usize, requests: u64, failed: u64) {
        self.requests[index].store(requests, Ordering::Relaxed);
        self.failed[index].store(failed, Ordering::Relaxed);
    }

    fn total(counts: &[AtomicU64]) -> u64 {
        counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// What was seen of the server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Before the first connection.
    pub at_rest: Sample,
    /// With the idle connections open and nothing else.
    pub idle: Sample,
    /// When the measured interval began.
    pub before: Sample,
    /// When it ended.
    pub after: Sample,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the threads counted, together.
    pub tally: Tally,
    /// What was seen of the server, if its processes were named.
    pub server: Option<Server>,
    /// The kernel's memory before the first connection and with the idle ones open.
    pub kernel: (KernelMemory, KernelMemory),
    /// What the CPUs of both sides did while it was measured.
    pub ticks: Ticks,
}

/// Runs `plan`.
///
/// # Errors
///
/// What stopped it, for a person: a root directory that cannot be read, an io_uring that cannot
/// be had, a server that is not there or answers nothing.
pub fn run(plan: &Plan, quiet: bool) -> Result<Outcome, String> {
    raise_open_files();
    let files = bodies::load(plan).map_err(|error| error.to_string())?;
    let control = Control::new(plan.threads);
    let progress = Progress::new(plan, quiet);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads)
            .map(|index| {
                let (control, files) = (&control, &files);
                scope.spawn(move || one(plan, control, files, index))
            })
            .collect();
        let finished = || threads.iter().any(thread::ScopedJoinHandle::is_finished);
        let watched = watch(plan, &control, &progress, finished);
        control.enter(Stage::Stop);
        progress.finish();
        let mut tally = Tally::default();
        for thread in threads {
            tally.merge(&thread.join().map_err(|_| "a thread panicked".to_owned())??);
        }
        let Watched { server, kernel, ticks } = watched?;
        Ok(Outcome { tally, server, kernel, ticks })
    })
}

/// One thread.
fn one(plan: &Plan, control: &Control, files: &Files, index: usize) -> Result<Tally, String> {
    if let Some(&cpu) = plan.cpus.get(index) {
        let mut set = CpuSet::new();
        set.set(cpu);
        sched_setaffinity(None, &set).map_err(|error| format!("--cpus {cpu}: {error}"))?;
    }
    let tls = match &plan.tls {
        None => None,
        Some(tls) => {
            let host = plan.host.rsplit_once(':').map_or(plan.host.as_str(), |(host, _)| host);
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
                .map_err(|error| format!("{host}: {error}"))?;
            let config = session::config(tls, plan.sessions, plan.http2)
                .map_err(|error| error.to_string())?;
            Some((config, name))
        }
    };
    let common = Common {
        tls,
        keep_tickets: plan.sessions == Sessions::Resumed,
        requests: plan.requests(),
        blocks: plan.http2.then(|| plan.blocks()),
        status: plan.status,
        bodies: Bodies::new(files, plan.hash),
        tally: Tally::default(),
    };
    let engine = Engine::new(plan, control, common, index)
        .map_err(|error: io::Error| format!("io_uring cannot be set up: {error}"))?;
    engine.run()
}

/// What was seen from outside the threads.
struct Watched {
    server: Option<Server>,
    kernel: (KernelMemory, KernelMemory),
    ticks: Ticks,
}

/// Leads the threads through the stages and samples the server in between.
fn watch(
    plan: &Plan,
    control: &Control,
    progress: &Progress,
    finished: impl Fn() -> bool,
) -> Result<Watched, String> {
    let sample = || observe::sample(&plan.server).map_err(|error| error.to_string());
    let memory = || observe::kernel_memory().map_err(|error| error.to_string());
    let look = |until: Instant, stop: &dyn Fn() -> bool| {
        while Instant::now() < until && !stop() && !finished() {
            thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
            let (requests, failed) = (&control.requests, &control.failed);
            progress.tell(control.stage(), Control::total(requests), Control::total(failed));
        }
    };
    let (at_rest, kernel_at_rest) = (sample()?, memory()?);
    let patience = IDLE_PATIENCE * (1 + plan.idle / 1000) as u32;
    let ready = || control.idle_ready.load(Ordering::Relaxed) == plan.threads;
    look(Instant::now() + patience, &ready);
    if !ready() && !finished() {
        return Err(format!("{} idle connections were not open in {patience:?}", plan.idle));
    }
    let (idle, kernel_idle) = (sample()?, memory()?);
    let enter = |stage| lead(control, stage, STAGE_PATIENCE, &finished);
    enter(Stage::WarmUp)?;
    // No first handshake of a connection falls into the measured interval.
    let began = Instant::now();
    look(began + plan.warm_up, &|| false);
    look(began + plan.warm_up + WARM_PATIENCE, &|| {
        control.warm.load(Ordering::Relaxed) == plan.threads
    });
    let cpus = observe::cpus(&plan.server, &plan.cpus).map_err(|error| error.to_string())?;
    let ticks = || observe::ticks(&cpus).map_err(|error| error.to_string());
    let (before, ticks_before) = (sample()?, ticks()?);
    enter(Stage::Measure)?;
    let enough = || plan.enough.is_some_and(|enough| Control::total(&control.requests) >= enough);
    look(Instant::now() + plan.duration, &enough);
    let (after, ticks_after) = (sample()?, ticks()?);
    control.enter(Stage::Stop);
    let server = Server { at_rest, idle, before, after };
    Ok(Watched {
        server: (!plan.server.is_empty()).then_some(server),
        kernel: (kernel_at_rest, kernel_idle),
        ticks: ticks_after.since(&ticks_before),
    })
}

/// Begins a stage: it lasts from when the last thread has entered it, so that none is left out.
///
/// # Errors
///
/// If a thread did not enter in time. What is counted then belongs to another stage: the machine
/// stood still, or its clock leapt.
fn lead(
    control: &Control,
    stage: Stage,
    patience: Duration,
    finished: &dyn Fn() -> bool,
) -> Result<(), String> {
    control.enter(stage);
    let deadline = Instant::now() + patience;
    while !control.all_entered(stage) && !finished() {
        if Instant::now() > deadline {
            return Err(format!("{stage:?}: a thread was not there in {patience:?}"));
        }
        thread::yield_now();
    }
    Ok(())
}

/// Raises the limit on open files as far as it goes; a refusal shows when sockets run out.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Control, Stage, lead};

    #[test]
    fn a_stage_that_a_thread_does_not_enter_ends_the_run() {
        let control = Control::new(2);
        control.entered(0, Stage::Measure);
        let late = lead(&control, Stage::Measure, Duration::ZERO, &|| false);
        assert!(late.unwrap_err().contains("Measure"));
        control.entered(1, Stage::Measure);
        assert_eq!(lead(&control, Stage::Measure, Duration::ZERO, &|| false), Ok(()));
        // A thread that ended reports why itself.
        assert_eq!(lead(&control, Stage::Stop, Duration::ZERO, &|| true), Ok(()));
    }
}
