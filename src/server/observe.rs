//! Where reports come from: the workers' copies, the listeners' queues, the kernel's counters.

use std::{
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    root::RootFigures,
    tls::{ServedCertificate, Tls},
};
use crate::{
    conn::Rates,
    observe::{
        Anatomy, CertificateFacts, EVERY, History, KernelFigures, ListenerQueue, ServerFacts, Span,
        WorkerSnapshot, access_log::LogHandle, admin::Source, attention, spans::SpanHandle,
    },
    ring::TcpInfo,
    upstream::Shared as Upstream,
    worker::{Command, Inbox},
};

/// How long all workers together may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A listener of a worker, for as long as that holds it.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) worker: usize,
    pub(super) listener: Weak<OwnedFd>,
}

/// Everything that a report is made of.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) facts: ServerFacts,
    pub(super) started: Instant,
    pub(super) inboxes: Vec<Arc<Inbox>>,
    pub(super) listeners: Mutex<Vec<Listening>>,
    pub(super) log: Option<LogHandle>,
    pub(super) spans: Option<SpanHandle>,
    /// The addresses with TLS, the pools, and the rates, as they are at present.
    pub(super) addresses: Mutex<Vec<SocketAddr>>,
    pub(super) upstreams: Mutex<Vec<Arc<Upstream>>>,
    pub(super) rates: Mutex<Rates>,
    pub(super) root: Arc<RootFigures>,
    pub(super) tls: Arc<Tls>,
    pub(super) history: Mutex<History>,
    /// The server has been asked to stop.
    pub(super) leaving: AtomicBool,
}

/// How long slow requests are reported if no time is asked for.
const SLOWEST: Span = Span { since: Duration::from_secs(300), until: Duration::ZERO };

/// What a worker is asked.
type Question = fn(mpsc::SyncSender<Box<WorkerSnapshot>>) -> Command;

impl Sources {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what happened since this was last called.
    fn keep(&self) {
        let anatomy = self.ask(Command::Collect);
        self.history().keep(&anatomy);
    }

    /// Asks each worker.
    fn ask(&self, question: Question) -> Anatomy {
        // Asked all at once, so that one that is stuck does not keep the others from being heard.
        let replies: Vec<_> = self
            .inboxes
            .iter()
            .map(|inbox| {
                let (reply, answer) = mpsc::sync_channel(1);
                inbox.send(question(reply));
                answer
            })
            .collect();
        let until = Instant::now() + PATIENCE;
        let workers = replies
            .into_iter()
            .map(|answer| answer.recv_timeout(until.saturating_duration_since(Instant::now())).ok())
            .collect();
        let queues = locked(&self.listeners).iter().filter_map(queue).collect();
        let kernel = KernelFigures::sample(queues);
        let log = self.log.as_ref().map(LogHandle::totals);
        let facts = ServerFacts {
            root_missing: self.root.missing.load(Ordering::Relaxed),
            root_replaced: self.root.replaced.load(Ordering::Relaxed),
            addresses: locked(&self.addresses).clone(),
            pools: locked(&self.upstreams).iter().map(|pool| pool.figures()).collect(),
            rates: locked(&self.rates).iter().map(|(name, rate)| rate.figures(name)).collect(),
            certificates: self.tls.certificates().into_iter().map(certificate).collect(),
            ..self.facts.clone()
        };
        let mut anatomy = Anatomy::of(facts, self.started.elapsed(), workers, kernel, log);
        anatomy.spans = self.spans.as_ref().map(SpanHandle::totals);
        anatomy
    }
}

impl Source for Sources {
    fn anatomy(&self) -> Anatomy {
        let mut anatomy = self.ask(Command::Snapshot);
        let history = self.history();
        anatomy.remember(history.slowest(SLOWEST, anatomy.uptime));
        anatomy.attention = attention(&history, &anatomy);
        anatomy
    }

    fn within(&self, span: Span) -> Anatomy {
        let now = self.ask(Command::Snapshot);
        let history = self.history();
        let mut within = history.within(&now, span);
        within.attention = attention(&history, &now);
        within
    }

    fn is_ready(&self) -> bool {
        !self.leaving.load(Ordering::Relaxed)
    }

    fn history(&self) -> String {
        Self::history(self).to_json(self.started.elapsed())
    }
}

/// The thread that keeps the history. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Historian {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Historian {
    /// Starts it.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(sources: Arc<Sources>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("history".to_owned()).spawn(move || {
            while stopped.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                sources.keep();
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Historian {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("history: its thread panicked: a defect");
        }
    }
}

fn certificate(served: ServedCertificate) -> CertificateFacts {
    CertificateFacts {
        name: served.names.into_iter().next().unwrap_or_else(String::new),
        file: served.file.display().to_string(),
        not_after: served.not_after,
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn queue(listening: &Listening) -> Option<ListenerQueue> {
    let listener = listening.listener.upgrade()?;
    let (queued, limit) = TcpInfo::of(&listener).ok()?.accept_queue();
    Some(ListenerQueue { address: listening.address, worker: listening.worker, queued, limit })
}
