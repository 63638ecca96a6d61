//! Starting: everything that can fail is tried before the first connection is accepted.

use std::{
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicBool, mpsc},
    thread,
    time::Instant,
};

#[cfg(feature = "service")]
use super::watchdog::Watchdog;
use super::{
    Confinement, Handle, Prepared, RunningServer, StartError, admin,
    host::ControlGroups,
    ktls,
    listeners::Listening,
    live::{self, Live, State},
    memory,
    observe::{Historian, Sources},
    patience::within,
    placement::Placement,
    root::RootWatch,
    threads::WorkerThread,
    tls::Tls,
};
use crate::{
    accept::{PerAddress, Total},
    config::{Config, HASHING_THREADS, HASHING_WAITING},
    conn::{KtlsPlan, Rates, SitePlan, Via},
    files::{Pool, Press},
    observe::{
        ServerFacts,
        access_log::{AccessLog, Feed, LogFile, Rules},
        admin::Admin,
        spans::{SpanExporter, SpanFeed},
    },
    record,
    ring::{Choice, Io},
    tls::client_config,
    upstream::{self, Resolver, Trust},
    worker::{self, Inbox, Plan, SharedLimits},
};

/// Checks every value of the configuration, and that the folder is one.
pub(crate) fn check(config: &Config) -> Result<(), StartError> {
    let checked = config.clone();
    within(folders_shown(config), move || checked.check())?.map_err(StartError::Config)
}

/// The served folders, for a message that one of them does not answer.
fn folders_shown(config: &Config) -> String {
    let folders = config.folders();
    match folders.as_slice() {
        [only] => only.display().to_string(),
        folders => format!("one of {} folders", folders.len()),
    }
}

/// Everything up to the point where privileges can be given up.
pub(super) fn prepare(mut config: Config) -> Result<Prepared, StartError> {
    check(&config)?;
    let workers = config.worker_count();
    let asked = config.limits.clone();
    fit(&mut config, workers)?;

    let tls = Tls::load(&config)?;
    let trust = trust(&config)?;
    // Root makes the kernel load its TLS by asking for it; others do not.
    let (ktls, tls_path) = ktls::plan(config.ktls)?;
    let listening = Listening::bind(&config, &[], workers).map_err(StartError::Bind)?;
    let admin = admin::bind(&config, &tls)?;
    Ok(Prepared {
        config,
        asked,
        workers,
        tls,
        trust,
        ktls,
        tls_path,
        bound: listening.bound,
        listeners: listening.sockets,
        log: None,
        admin,
        confinement: None,
        io: None,
        #[cfg(feature = "service")]
        applications: crate::service::Applications::default(),
    })
}

/// What the servers of pools are believed by that speak TLS.
pub(super) fn trust(config: &Config) -> Result<Trust, StartError> {
    let secured = config.pools.iter().filter(|(_, pool)| pool.is_secured());
    let each = secured
        .map(|(name, pool)| client_config(pool.ca.as_deref()).map(|config| (name.clone(), config)));
    each.collect::<Result<_, _>>().map_err(StartError::Credentials)
}

/// Lowers the limits to what the process may have of descriptors and memory.
pub(super) fn fit(config: &mut Config, workers: usize) -> Result<(), StartError> {
    let open_files =
        rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    // One of the folders is among what a worker needs.
    let folders = config.folders().len().saturating_sub(1) as u64;
    config.limits = config
        .limits
        .fitted(open_files.saturating_sub(folders), workers, config.listeners())
        .ok_or(StartError::OpenFiles(open_files))?;
    let allowed = ControlGroups::read(Path::new("/")).memory;
    if let Some(said) = memory::fit(config, workers, allowed).map_err(StartError::Memory)? {
        log::warn!("{said}");
    }
    Ok(())
}

/// What a start would do of `config`: fits its limits to the host, then makes the rings and pools of
/// all workers at a time, and gives them back.
///
/// # Errors
/// What would keep the server from starting.
pub(crate) fn rehearse(mut config: Config) -> Result<Config, StartError> {
    let workers = config.worker_count();
    fit(&mut config, workers)?;
    let io = super::prepared::choose(config.io)?.io();
    try_workers(&config, workers, io).map(|()| config)
}

fn try_workers(config: &Config, workers: usize, io: Io) -> Result<(), StartError> {
    let (made, results) = mpsc::channel();
    let mut threads = Vec::new();
    for _ in 0..workers {
        let (made, config) = (made.clone(), config.clone());
        let (release, held) = mpsc::channel::<()>();
        let thread = thread::Builder::new().spawn(move || {
            let ring = worker::ring_of(&config, &KtlsPlan::default(), workers, io);
            let (ring, failed) = match ring {
                Ok(ring) => (Some(ring), None),
                Err(error) => (None, Some(error)),
            };
            let _ = made.send(failed);
            // All are held until all are made.
            let _ = held.recv();
            drop(ring);
        });
        threads.push((release, thread.map_err(StartError::Thread)?));
    }
    drop(made);
    let failed = results.iter().take(threads.len()).flatten().next();
    for (release, thread) in threads {
        drop(release);
        // A panic is a defect that the start would show as well.
        let _ = thread.join();
    }
    failed.map_or(Ok(()), |error| Err(StartError::Worker(error)))
}

/// Everything from there on: threads, and rings on them.
pub(super) fn start(prepared: Prepared, choice: &Choice) -> Result<RunningServer, StartError> {
    let Prepared { config, workers, tls, trust, ktls, tls_path, .. } = prepared;
    let Prepared { asked, bound, listeners, admin, confinement, .. } = prepared;
    #[cfg(feature = "service")]
    let applications = prepared.applications;
    #[cfg(feature = "service")]
    let runtime = applications.runtime().map_err(StartError::Thread)?;
    #[cfg(feature = "service")]
    let mut seen = Vec::new();
    let (io, io_path) = (choice.io(), choice.to_string());
    let placement = Placement::choose(config.pin, workers);
    let root = Arc::new(RootWatch::new());
    let sites = within(folders_shown(&config), {
        let config = config.clone();
        move || SitePlan::open(&config)
    })?;
    let sites =
        sites.map_err(|failed| StartError::Site { folder: failed.path, error: failed.error })?;
    let upstreams = upstream::shared(&config, &trust, &[]);
    let sites =
        sites.with_https_port(live::https_port(&config, &bound)).with_upstreams(upstreams.clone());
    let sites = Arc::new(sites);
    let started = Instant::now();
    let (log, feeds) = access_log(prepared.log, &config, workers)?;
    let (spans, span_feeds) = span_exporter(&config, workers)?;
    let (mut feeds, mut span_feeds) = (feeds.into_iter(), span_feeds.into_iter());
    let shared = SharedLimits {
        total: Total::new(config.limits.connections_in_all),
        per_address: PerAddress::new(config.limits.connections_per_address),
    };
    let config = Arc::new(config);
    let inboxes: Result<Vec<_>, _> = (0..workers).map(|_| Inbox::new().map(Arc::new)).collect();
    let inboxes = inboxes.map_err(StartError::Worker)?;
    let pool = Pool::default();
    let press = Press::default();
    let hashing = Pool::of("passwords", HASHING_THREADS, HASHING_WAITING);
    let listening = Listening { fresh: bound.clone(), bound, sockets: listeners };
    let bound = listening.bound.clone();
    let (listeners, watched) = live::hand_out(listening);
    let mut plans = Vec::new();
    for (number, listeners) in listeners.into_iter().enumerate() {
        #[cfg(feature = "service")]
        let own = Arc::default();
        #[cfg(feature = "service")]
        seen.push(Arc::clone(&own));
        plans.push(Plan {
            config: Arc::clone(&config),
            sites: Arc::clone(&sites),
            tls: tls.config(),
            ktls: ktls.clone(),
            listeners,
            inbox: Arc::clone(&inboxes[number]),
            io,
            cpu: placement.cpu(number),
            log: feeds.next(),
            spans: span_feeds.next(),
            pool: pool.clone(),
            hashing: hashing.clone(),
            press: press.clone(),
            shared: shared.clone(),
            neighbours: behind(number, &inboxes),
            #[cfg(feature = "service")]
            applications: worker::Applied {
                applications: applications.clone(),
                runtime: runtime.handle(),
                worker: crate::service::WorkerInfo { number, count: workers },
                watched: own,
            },
        });
    }
    let log_handle = log.as_ref().map(AccessLog::handle);
    let sources = Arc::new(Sources {
        facts: ServerFacts {
            addresses: Vec::new(),
            tls: tls_path.clone(),
            io: io.name(),
            anatomy: config.observe.anatomy,
            root_missing: false,
            root_replaced: 0,
            certificates: Vec::new(),
            whole_records: config.limits.receive_buffer_bytes >= record::MAX_PLAINTEXT,
            pools: Vec::new(),
            rates: Vec::new(),
        },
        addresses: Mutex::new(Listening::addresses(&bound, Via::Tls)),
        upstreams: Mutex::new(upstreams.clone()),
        rates: Mutex::new(sites.rates_after(&Rates::new())),
        started,
        inboxes: inboxes.clone(),
        listeners: Mutex::new(watched),
        root: Arc::clone(root.figures()),
        log: log_handle.clone(),
        spans: spans.as_ref().map(SpanExporter::handle),
        tls: Arc::clone(&tls),
        history: Mutex::default(),
        leaving: AtomicBool::default(),
    });
    let resolver = Resolver::start(&upstreams).map_err(StartError::Thread)?;
    let live = Arc::new(Live {
        start: Arc::clone(&config),
        asked,
        workers,
        denies_tcp: confinement.as_ref().is_some_and(Confinement::denies_tcp),
        shared: shared.clone(),
        sources: Arc::clone(&sources),
        state: Mutex::new(State {
            bound: bound.clone(),
            upstreams,
            resolver,
            drain: config.timeouts.drain,
            drain_delay: config.timeouts.drain_delay,
        }),
    });
    let addresses = Listening::addresses(&bound, Via::Tls);
    let mut server = RunningServer {
        config,
        addresses,
        bound,
        sources: Arc::clone(&sources),
        admin: None,
        historian: None,
        log,
        spans,
        pool,
        hashing,
        press,
        tls_path,
        placement,
        io,
        io_path,
        confinement,
        handle: Handle::new(inboxes.clone(), log_handle, Arc::clone(&tls), Arc::clone(&root), live),
        workers: Vec::new(),
        #[cfg(feature = "service")]
        runtime,
        #[cfg(feature = "service")]
        watchdog: None,
    };
    #[cfg(feature = "service")]
    if !seen.is_empty() && applications.paths().len() > 0 {
        server.watchdog = Some(Watchdog::start(seen).map_err(StartError::Thread)?);
    }
    // Dropping the server on the way out drains the workers that run already.
    let (ready, set_up) = mpsc::channel();
    for (number, plan) in plans.into_iter().enumerate() {
        let worker =
            WorkerThread::start(number, plan, ready.clone()).map_err(StartError::Thread)?;
        server.workers.push(worker);
    }
    drop(ready);
    for result in set_up {
        result.map_err(StartError::Worker)?;
    }
    if let Some(socket) = admin {
        let historian = Historian::start(Arc::clone(&sources)).map_err(StartError::Thread)?;
        server.historian = Some(historian);
        server.admin = Some(Admin::start(socket, sources).map_err(StartError::Admin)?);
    }
    tls.watch()?;
    root.start(&sites, inboxes)?;
    Ok(server)
}

/// The inboxes of all workers but one, those behind it first, so that not all ask the same.
fn behind(number: usize, inboxes: &[Arc<Inbox>]) -> Vec<Arc<Inbox>> {
    let (before, behind) = (&inboxes[..number], &inboxes[number + 1..]);
    behind.iter().chain(before).map(Arc::clone).collect()
}

/// The access log that is asked for, and a way to it for each worker.
fn access_log(
    file: Option<LogFile>,
    config: &Config,
    workers: usize,
) -> Result<(Option<AccessLog>, Vec<Feed>), StartError> {
    let Some(file) = file else { return Ok((None, Vec::new())) };
    let slow = u64::try_from(config.observe.access_log_slow.as_nanos()).unwrap_or(u64::MAX);
    let rules = Rules { one_in: config.observe.access_log_one_in, slow };
    let (log, feeds) =
        AccessLog::start(file, config.log_format, rules, workers).map_err(StartError::AccessLog)?;
    Ok((Some(log), feeds))
}

/// The thread that sends slow requests to the collector that is configured, and a way to it for each
/// worker.
fn span_exporter(
    config: &Config,
    workers: usize,
) -> Result<(Option<SpanExporter>, Vec<SpanFeed>), StartError> {
    let Some(to) = config.observe.otlp.clone() else { return Ok((None, Vec::new())) };
    let (exporter, feeds) =
        SpanExporter::start(to, config.observe.otlp_slow, workers).map_err(StartError::Thread)?;
    Ok((Some(exporter), feeds))
}
