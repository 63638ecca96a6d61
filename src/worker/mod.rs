//! A worker: one thread, one ring, its listeners and its connections.
//!
//! The loop gathers all that is ready, does it, submits and waits once. The invariant: a worker
//! shares nothing that changes with another but the TLS configuration, which is replaced as a whole,
//! and, where the connections of all workers are limited, their number and the table of addresses;
//! commands of other threads come through its inbox. When it ends, nothing is in flight in its
//! ring.

#![forbid(unsafe_code)]

mod door;
mod executor;
mod inbox;
mod listeners;
mod neighbours;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub(crate) mod sim;

use std::{cell::Cell, io, ops::ControlFlow, pin::pin, rc::Rc, sync::Arc, time::Duration};

pub(crate) use door::SharedLimits;
pub(crate) use inbox::{Command, Inbox};
pub(crate) use listeners::{Change, Listener};

#[cfg(feature = "tokio")]
use crate::service::LocalTasks;
#[cfg(feature = "service")]
use crate::service::{Applications, RuntimeHandle, Watched, WorkerInfo};
use crate::{
    accept,
    config::Config,
    conn::{self, Context, Generation, KtlsPlan, SitePlan},
    files::{Pool, Press, Stores},
    observe::{
        Counts, Observer, RingAccount, Turn, WorkerSnapshot, access_log::Feed, spans::SpanFeed,
    },
    ring::{Counts as RingCounts, Io, Ring, RingConfig, RingOptions},
    tls::SharedConfig,
    upstream::Pools,
};
use door::Door;
use executor::Executor;
use listeners::Listeners;
use neighbours::Neighbours;

/// While draining, every task is woken so often, in milliseconds, to see whether it may go on.
const DRAIN_CALL: u64 = 100;

/// Idle connections end in time for clients that wait for a place.
const _: () = assert!(accept::LAST_GRACE > conn::DRAIN_GRACE + 2 * DRAIN_CALL);

/// How long a line of the access log waits for others, at most.
const LOG_EVERY: Duration = Duration::from_millis(100);

/// How long a worker that is observed sleeps at most: how late it wakes shows that it was kept from
/// its processor. Twenty wakes a second are some 0.1 % of one.
const WATCH_EVERY: Duration = Duration::from_millis(50);

/// How long the ring may take to let go of what was cancelled at the end.
const LAST_TURNS: Duration = Duration::from_secs(5);

/// What a worker is made of, apart from its thread.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: Arc<Config>,
    pub(crate) sites: Arc<SitePlan>,
    pub(crate) tls: Arc<SharedConfig>,
    pub(crate) ktls: KtlsPlan,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) inbox: Arc<Inbox>,
    /// What its ring runs on.
    pub(crate) io: Io,
    pub(crate) cpu: Option<usize>,
    pub(crate) log: Option<Feed>,
    /// Where its slow requests go as spans.
    pub(crate) spans: Option<SpanFeed>,
    /// Threads for what would block, shared with the other workers.
    pub(crate) pool: Pool,
    /// Threads that compute hashes of passwords, shared likewise.
    pub(crate) hashing: Pool,
    /// The thread that compresses files, shared likewise.
    pub(crate) press: Press,
    /// Shared with the other workers.
    pub(crate) shared: SharedLimits,
    /// Theirs, beginning with the one to ask first.
    pub(crate) neighbours: Vec<Arc<Inbox>>,
    /// What answers beside the folder.
    #[cfg(feature = "service")]
    pub(crate) applications: Applied,
}

/// The applications of a worker, before they are made.
#[cfg(feature = "service")]
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) applications: Applications,
    pub(crate) runtime: RuntimeHandle,
    pub(crate) worker: WorkerInfo,
    /// What the watchdog sees of this worker.
    pub(crate) watched: Arc<Watched>,
}

/// What a worker has done when it ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) counts: Counts,
    pub(crate) ring: RingCounts,
    /// Operations that the kernel has not ended: those of a disk that does not answer.
    pub(crate) in_flight: u32,
}

/// A worker that has been set up on its thread and can run.
pub(crate) struct Worker {
    ring: Rc<Ring>,
    context: Rc<Context>,
    executor: Executor,
    drain_until: Rc<Cell<Option<u64>>>,
    /// When all tasks are woken next, while draining.
    next_call: u64,
    /// Applications can spawn tasks on this thread.
    #[cfg(feature = "tokio")]
    _local: Option<tokio::task::LocalEnterGuard>,
}

/// Whether a worker may connect to servers: those of its pools, or those that a reload may bring.
pub(crate) fn connects(config: &Config) -> bool {
    !config.pools.is_empty() || !config.process.allow_connect.is_empty()
}

/// The size of a worker's ring and pools under these limits.
fn ring_config(config: &Config, ktls: &KtlsPlan, rings: usize, io: Io) -> RingConfig {
    let limits = &config.limits;
    let connects = connects(config);
    RingConfig {
        queues: RingOptions::default(),
        // A receive and a send for each connection, a read ahead, and as much again for what is
        // being cancelled; a few for the listeners and the inbox. As many again for a connection to a
        // server, but for what is read ahead.
        operations: u32::try_from(limits.connections_of(1) * if connects { 10 } else { 6 } + 256)
            .unwrap_or(u32::MAX),
        receive_buffers: u16::try_from(limits.receive_buffers).unwrap_or(1 << 15),
        receive_buffer_len: u32::try_from(ktls.receive_buffer_len(limits.receive_buffer_bytes))
            .unwrap_or(1 << 17),
        leases: limits.leases_per_connection,
        send_memory: limits.send_memory_bytes,
        rings,
        connects,
        io,
    }
}

/// Makes a worker's ring and pools, on the thread that will use them. `rings` is how many the process
/// has in all.
///
/// # Errors
/// What [`Ring::new`] says.
pub(crate) fn ring_of(
    config: &Config,
    ktls: &KtlsPlan,
    rings: usize,
    io: Io,
) -> io::Result<Rc<Ring>> {
    Ring::new(&ring_config(config, ktls, rings, io))
}

/// What notes the worker's doings, as configured.
fn observer(
    ring: &Ring,
    config: &Config,
    log: Option<Feed>,
    spans: Option<SpanFeed>,
) -> Rc<Observer> {
    let enabled = config.observe.anatomy;
    ring.set_timed(enabled);
    // One request for each connection, and some that are pipelined.
    let requests = config.limits.open_requests();
    let observer = Observer::new(enabled, Rc::clone(ring.time()), requests, log);
    Rc::new(observer.with_spans(spans))
}

impl Worker {
    /// Sets a worker up on the thread that will run it.
    ///
    /// # Errors
    /// No ring, or no memory.
    pub(crate) fn set_up(plan: Plan) -> io::Result<Self> {
        if let Some(cpu) = plan.cpu {
            pin(cpu);
        }
        let ring = ring_of(&plan.config, &plan.ktls, plan.config.worker_count(), plan.io)?;
        Ok(Self::over(ring, plan))
    }

    /// A worker over a ring that is there.
    fn over(ring: Rc<Ring>, plan: Plan) -> Self {
        let config = plan.config;
        let stores = Stores::new(&ring, plan.pool, plan.press, &config);
        let pools = Rc::new(Pools::new(&ring, (config.limits.connections / 2).max(1)));
        let generation = Generation::new(&plan.sites, &stores, &pools, None);
        let observer = observer(&ring, &config, plan.log, plan.spans);
        let context = Context::new(
            &ring,
            plan.tls,
            plan.ktls,
            stores,
            generation,
            Rc::clone(&pools),
            observer,
        );
        let context = context.with_hashing(plan.hashing);
        #[cfg(feature = "service")]
        let context = {
            let Applied { applications, runtime, worker, watched } = plan.applications;
            watched.of_this_thread();
            context.with_applications(applications.make(worker, &runtime).watched_by(watched))
        };
        let context = Rc::new(context);
        // What wakes a task from another thread wakes the worker by its inbox.
        ring.ring_at(plan.inbox.event());
        let executor = Executor::new(&ring);
        let drain_until = Rc::new(Cell::new(None));
        let spawner = executor.spawner();
        let neighbours = Neighbours::new(plan.neighbours);
        let door = Rc::new(Door::new(&context, spawner, plan.shared, neighbours));
        let listeners = Listeners::new(&ring, &door, spawner);
        for listener in plan.listeners {
            listeners.open(listener);
        }
        if connects(&config) {
            let context = Rc::clone(&context);
            spawner
                .spawn(pools.keep(move || context.is_draining() && context.occupancy.live() == 0));
        }
        if context.observer.logs() {
            spawner.spawn(feed_log(Rc::clone(&context)));
        }
        if context.observer.is_enabled() {
            spawner.spawn(watch(Rc::clone(&context)));
        }
        #[cfg(feature = "tokio")]
        let local = (!context.has_no_applications()).then(|| {
            let local = RuntimeHandle::local_tasks();
            let entered = local.enter();
            spawner.spawn(drive(local, Rc::clone(&context)));
            entered
        });
        let doors = (door, listeners);
        spawner.spawn(listen_to(plan.inbox, Rc::clone(&context), doors, Rc::clone(&drain_until)));
        Self {
            #[cfg(feature = "tokio")]
            _local: local,
            ring,
            context,
            executor,
            drain_until,
            next_call: 0,
        }
    }

    /// Serves until told to drain, and until that is done.
    ///
    /// # Errors
    /// The ring failed for good.
    pub(crate) fn run(mut self) -> io::Result<Report> {
        while self.step()?.is_continue() {}
        self.settle()?;
        Ok(Report {
            counts: self.context.counts(),
            ring: self.ring.counts(),
            in_flight: self.ring.in_flight(),
        })
    }

    /// Runs what is ready and turns once. Breaks when the worker has ended.
    fn step(&mut self) -> io::Result<ControlFlow<()>> {
        self.executor.run_ready();
        self.context.occupancy.next_handshake();
        if self.context.is_draining() && self.ring.now() >= self.next_call {
            self.next_call = self.ring.now() + DRAIN_CALL;
            self.executor.wake_all();
            return Ok(ControlFlow::Continue(()));
        }
        if self.executor.live() == 0 {
            return Ok(ControlFlow::Break(()));
        }
        if self.drain_until.get().is_some_and(|until| self.ring.now() >= until) {
            log::warn!("drain: {} connections did not end in time", self.context.occupancy.live());
            self.context.observer.ends();
            self.executor.abandon();
            return Ok(ControlFlow::Break(()));
        }
        self.ring.turn()?;
        self.context.encoders.turn(self.ring.turn_began(), self.ring.slept());
        self.context.observer.turn(Turn {
            next: self.ring.turn_began(),
            busy: self.ring.busy(),
            sendfile: self.ring.take_sendfile(),
            entered: self.ring.entered(),
        });
        self.context.time.tick();
        Ok(ControlFlow::Continue(()))
    }

    /// Turns until nothing is in flight any more.
    fn settle(&mut self) -> io::Result<()> {
        let until = self.ring.now() + LAST_TURNS.as_millis() as u64;
        while self.ring.in_flight() > 0 && self.ring.now() < until {
            let ring = Rc::clone(&self.ring);
            // So that the turns do not wait for long if the kernel lets go of nothing.
            self.executor.spawner().spawn(async move { ring.sleep(LAST_TURNS / 50).await });
            self.executor.run_ready();
            self.ring.turn()?;
        }
        Ok(())
    }
}

/// Carries out commands from outside, and sees to the deadline of its end.
async fn listen_to(
    inbox: Arc<Inbox>,
    context: Rc<Context>,
    (door, listeners): (Rc<Door>, Listeners),
    drain_until: Rc<Cell<Option<u64>>>,
) {
    loop {
        while let Some(command) = inbox.take() {
            match command {
                Command::Drain(limit) => {
                    let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
                    drain_until.set(Some(context.ring.now().saturating_add(limit)));
                    context.begin_drain();
                }
                Command::Leave => context.leave(),
                Command::Folder(path, folder) => {
                    context.generation().move_folder(&path, &folder);
                }
                Command::Prepare(plan, change, ready) => {
                    context.prepare(&plan);
                    listeners.prepare(change);
                    // The asker may have given up, and says so by another command.
                    let _ = ready.try_send(());
                }
                Command::Switch => {
                    context.switch();
                    listeners.switch();
                }
                Command::Forget => {
                    context.forget();
                    listeners.forget();
                }
                // The asker may have given up.
                Command::Snapshot(reply) => _ = reply.try_send(Box::new(snapshot(&context))),
                Command::Collect(reply) => {
                    if reply.try_send(Box::new(snapshot(&context))).is_ok() {
                        context.observer.collected();
                    }
                }
            }
        }
        accept::make_room(&context.ring, &door, inbox.take_room()).await;
        if let Some(until) = drain_until.get() {
            if context.occupancy.live() == 0 || context.ring.now() >= until {
                return;
            }
            // So that the wheel wakes the loop when the time is over.
            context.ring.sleep(Duration::from_millis(50)).await;
        } else if let Err(error) = context.ring.read_counter(inbox.event()).await {
            log::error!("worker: its inbox failed: {error}");
            context.ring.sleep(Duration::from_secs(1)).await;
        }
    }
}

fn snapshot(context: &Context) -> WorkerSnapshot {
    let (ring, pool) = (&context.ring, context.ring.receive_pool());
    let (counts, calls) = (ring.counts(), ring.calls());
    let account = RingAccount {
        enters: counts.enters,
        submissions: counts.submissions,
        completions: counts.completions,
        cancels: counts.cancels,
        out_of_buffers: counts.out_of_buffers,
        full_queue: counts.full_queue,
        re_arms: counts.re_arms,
        overflows: counts.overflows,
        refused_enters: counts.refused_enters,
        completion_overflows: counts.completion_overflows,
        call_names: calls.names,
        calls: calls.counts,
        in_flight: ring.in_flight(),
        receive_buffers: pool.count(),
        receive_buffers_free: pool.available(),
        receive_buffers_low_water: pool.low_water(),
        write_queue_bytes: ring.send_pool().taken() as u64,
    };
    context.observer.snapshot(&context.counts(), account, context.occupancy.live())
}

/// Drives the tasks that applications spawn on this thread.
#[cfg(feature = "tokio")]
async fn drive(mut local: LocalTasks, context: Rc<Context>) {
    let waker = context.ring.waker();
    std::future::poll_fn(|_| {
        local.poll(&waker);
        let ended = context.is_draining() && context.occupancy.live() == 0;
        if ended { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Hands gathered lines to the log now and then, so that it does not wait for more.
async fn feed_log(context: Rc<Context>) {
    while !(context.is_draining() && context.occupancy.live() == 0) {
        context.ring.sleep(LOG_EVERY).await;
        context.observer.flush_log();
    }
}

/// Wakes the worker now and then, so that it notices how late that is.
async fn watch(context: Rc<Context>) {
    loop {
        let now = context.ring.now();
        context.observer.expect(now + WATCH_EVERY.as_millis() as u64);
        let sleep = pin!(context.ring.sleep(WATCH_EVERY));
        if context.unless_draining(sleep, now, 0).await.is_none() {
            return;
        }
    }
}

/// Keeps the calling thread on one CPU (sched_setaffinity(2)); not being allowed to is no reason
/// not to serve.
fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        log::warn!("worker: cannot be pinned to CPU {cpu}: {error}");
    }
}
