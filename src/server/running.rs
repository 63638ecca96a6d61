//! A server that serves.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Confinement,
    listeners::{Bound, Listening},
    live::Live,
    observe::{Historian, Sources},
    placement::Placement,
    root::RootWatch,
    threads::WorkerThread,
    tls::{ReloadError, ServedCertificate, Tls},
};
use crate::{
    config::{Config, MemoryCeiling},
    conn::Via,
    files::{Pool, Press},
    observe::{
        Anatomy, Counts,
        access_log::{AccessLog, LogHandle},
        admin::{Admin, Source},
        spans::SpanExporter,
    },
    ring::Io,
    worker::{Command, Inbox},
};

/// How long the folders that are being read at the end may take.
const LAST_JOBS: Duration = Duration::from_secs(5);

/// A worker ended for a reason other than a drain.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// Its ring failed.
    Ring(io::Error),
    /// It panicked: a defect.
    Panicked,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(error) => write!(f, "a worker's ring failed: {error}"),
            Self::Panicked => f.write_str("a worker panicked; please report its message"),
        }
    }
}

impl std::error::Error for ServerError {}

/// Makes a running server stop, or read its certificates again; may be cloned and sent to any
/// thread.
#[derive(Clone, Debug)]
pub struct Handle {
    inboxes: Arc<[Arc<Inbox>]>,
    log: Option<LogHandle>,
    tls: Arc<Tls>,
    root: Arc<RootWatch>,
    /// Held while a configuration takes the place of another.
    replacing: Arc<Mutex<()>>,
    live: Arc<Live>,
}

impl Handle {
    pub(super) fn new(
        inboxes: Vec<Arc<Inbox>>,
        log: Option<LogHandle>,
        tls: Arc<Tls>,
        root: Arc<RootWatch>,
        live: Arc<Live>,
    ) -> Self {
        Self { inboxes: inboxes.into(), log, tls, root, replacing: Arc::default(), live }
    }

    pub(super) fn replacing(&self) -> MutexGuard<'_, ()> {
        self.replacing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn live(&self) -> &Live {
        &self.live
    }

    pub(super) fn inboxes(&self) -> &[Arc<Inbox>] {
        &self.inboxes
    }

    pub(super) fn tls(&self) -> &Tls {
        &self.tls
    }

    pub(super) fn root(&self) -> &RootWatch {
        &self.root
    }

    /// Says by readiness that the server is about to stop: routes of that kind and `/readyz` of the admin
    /// listener answer 503 from here on. Everything else goes on. Returns for how long the configuration in
    /// force wants that.
    pub fn leave(&self) -> Duration {
        self.live.sources.leaving.store(true, std::sync::atomic::Ordering::Relaxed);
        for inbox in self.inboxes.iter() {
            inbox.send(Command::Leave);
        }
        self.live.state().drain_delay
    }

    /// Begins the drain, within the time that the configuration in force allows; see [`Self::drain`].
    /// Returns that time.
    pub fn drain_as_configured(&self) -> Duration {
        let limit = self.live.state().drain;
        self.drain(limit);
        limit
    }

    /// Begins the drain and returns at once: no further connection is accepted, idle ones get
    /// close_notify, requests in flight are finished; what is not finished within `limit` is cut.
    pub fn drain(&self, limit: Duration) {
        for inbox in self.inboxes.iter() {
            inbox.send(Command::Drain(limit));
        }
    }

    /// Opens the access log's file anew, if there is one, so that it can be rotated: rename it,
    /// then call this.
    pub fn reopen_access_log(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// Reads certificates, keys, the authorities of clients and ticket keys again, here and now, and
    /// puts to use what is good: for handshakes that begin from then on, never for connections that
    /// there are. Without this call it happens within a few seconds of a change to the files.
    /// Answers how many pairs and files gave something new.
    ///
    /// # Errors
    /// What is wrong with the others. What they held before stays in use.
    pub fn reload(&self) -> Result<usize, ReloadError> {
        self.tls.refresh(true)
    }

    /// The same, but at once and by a thread of the server's own; the outcome goes to the log. Looks at
    /// the path of the served folder as well, which may be another folder by now.
    pub fn request_reload(&self) {
        self.root.call();
        self.tls.call();
    }
}

/// A server that serves. Dropping it drains, for as long as its configuration allows, and waits.
#[derive(Debug)]
pub struct RunningServer {
    pub(super) config: Arc<Config>,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) bound: Vec<Bound>,
    pub(super) tls_path: String,
    pub(super) placement: Placement,
    pub(super) io: Io,
    pub(super) io_path: String,
    pub(super) confinement: Option<Confinement>,
    pub(super) handle: Handle,
    pub(super) sources: Arc<Sources>,
    pub(super) admin: Option<Admin>,
    pub(super) historian: Option<Historian>,
    pub(super) log: Option<AccessLog>,
    pub(super) spans: Option<SpanExporter>,
    pub(super) pool: Pool,
    pub(super) hashing: Pool,
    pub(super) press: Press,
    pub(super) workers: Vec<WorkerThread>,
    /// What applications have of tokio. Ended behind the workers.
    #[cfg(feature = "service")]
    pub(super) runtime: crate::service::Runtime,
    #[cfg(feature = "service")]
    pub(super) watchdog: Option<super::watchdog::Watchdog>,
}

impl RunningServer {
    /// The configuration that it runs with: its limits are those that the host allows.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The addresses that it listens on, with their real ports, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses that it serves without TLS, with their real ports, in the order of the
    /// configuration.
    pub fn plain_addresses(&self) -> Vec<SocketAddr> {
        self.by(Via::Plain)
    }

    /// The addresses at which it redirects to HTTPS, likewise.
    pub fn redirect_addresses(&self) -> Vec<SocketAddr> {
        self.by(Via::Redirect)
    }

    fn by(&self, wanted: Via) -> Vec<SocketAddr> {
        Listening::addresses(&self.bound, wanted)
    }

    /// Its worker threads.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Who seals and opens records, and why, for a person.
    pub fn tls_path(&self) -> &str {
        &self.tls_path
    }

    /// Which CPUs its workers keep, or why they keep none, for a person.
    pub fn placement(&self) -> String {
        self.placement.to_string()
    }

    /// What its workers run on, and why, for a person.
    pub fn io_path(&self) -> &str {
        &self.io_path
    }

    /// What its workers may take of user memory at most.
    pub(crate) fn memory_ceiling(&self) -> MemoryCeiling {
        self.config.memory_ceiling_where(self.workers(), self.io == Io::Poll)
    }

    /// The certificates that it serves at present, in the order of the configuration. The first is
    /// for clients that ask for a name that none of them has.
    pub fn certificates(&self) -> Vec<ServedCertificate> {
        self.handle.tls.certificates()
    }

    /// What the process has given up, for a person; None if that was not asked for.
    pub fn confinement(&self) -> Option<&str> {
        self.confinement.as_ref().map(Confinement::as_str)
    }

    /// Where the admin listener is, with its real port; None if there is none, or if it is a Unix
    /// socket.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(Admin::address)
    }

    /// Where the time of its requests went, and the bytes: what the admin listener reports. Asks
    /// every worker, and waits a second at most.
    pub fn anatomy(&self) -> Anatomy {
        self.sources.anatomy()
    }

    /// What stops it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until every worker has ended, which takes a drain; says what they did.
    ///
    /// # Errors
    /// A worker ended for another reason. The others are drained then.
    pub fn wait(mut self) -> Result<Counts, ServerError> {
        self.join()
    }

    /// Serves until `signal` is done, then drains as [`Config`] says, and waits until every worker has
    /// ended; says what they did. To be awaited within a runtime of tokio.
    ///
    /// # Errors
    /// As [`Self::wait`].
    #[cfg(feature = "tokio")]
    pub async fn shutdown_on(self, signal: impl Future) -> Result<Counts, ServerError> {
        signal.await;
        self.handle.drain_as_configured();
        // The runtime goes on meanwhile: what drains may need it.
        tokio::task::spawn_blocking(move || self.wait()).await.map_err(|_| ServerError::Panicked)?
    }

    fn join(&mut self) -> Result<Counts, ServerError> {
        let mut counts = Counts::default();
        let mut failed = None;
        for (number, worker) in std::mem::take(&mut self.workers).into_iter().enumerate() {
            match worker.join() {
                Ok(report) => {
                    log::debug!("worker {number}: {:?} {:?}", report.counts, report.ring);
                    counts = counts.plus(report.counts);
                    continue;
                }
                Err(error) => failed = Some(error),
            }
            self.handle.drain_as_configured();
        }
        self.pool.close(LAST_JOBS);
        self.hashing.close(LAST_JOBS);
        self.press.close(LAST_JOBS);
        #[cfg(feature = "service")]
        {
            self.runtime.end();
            self.watchdog = None;
        }
        self.admin = None;
        self.handle.live.state().resolver = None;
        self.handle.tls.end();
        self.handle.root.end();
        if let Some(log) = self.log.take() {
            log.finish();
        }
        if let Some(spans) = self.spans.take() {
            spans.finish();
        }
        failed.map_or(Ok(counts), Err)
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        if !self.workers.is_empty() {
            self.handle.drain_as_configured();
            if let Err(error) = self.join() {
                log::error!("{error}");
            }
        }
    }
}
