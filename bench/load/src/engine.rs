//! One thread's loop: completions in, requests out, never asleep unless that was asked for.
//!
//! The invariant: after every event of a connection `settle` looks at it once, and that is the
//! only place where it is given requests, armed to receive, or reopened.
//!
//! Here are the engine, its loop and the opening of connections; `events` is what follows a
//! completion, `issue` how requests leave, `watch` what is looked at now and then.

mod events;
mod issue;
mod watch;

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ringway_bench_ring::{Limits, Ring};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::connection::{Asked, Common, Connection, Role};
use crate::mix::Mix;
use crate::observe;
use crate::pace::Pace;
use crate::plan::{Plan, Sessions, share};
use crate::run::{Control, Stage};
use crate::tally::{Failure, Tally, Trouble};

/// Idle connections that are being opened at the same time.
const OPENING: usize = 64;
/// After a failure a connection waits this long.
const RETRY: Duration = Duration::from_millis(10);
/// How often slow readers read, closed connections are retried and progress is reported.
const TICK: Duration = Duration::from_millis(5);
/// How often time-outs are looked for.
const SWEEP: Duration = Duration::from_millis(200);
/// How long a thread that may sleep does so at most before it looks at the time.
const NAP: Duration = Duration::from_millis(1);
/// The receive buffer that a slow connection asks the kernel for, in bytes.
const SLOW_BUFFER: usize = 4096;

/// One thread's engine.
pub(crate) struct Engine<'a> {
    plan: &'a Plan,
    control: &'a Control,
    index: usize,
    ring: Ring,
    common: Common,
    /// Idle ones first, then slow ones, then active ones.
    connections: Vec<Connection>,
    idle: usize,
    slow: usize,
    idle_opened: usize,
    idle_settled: usize,
    mix: Mix,
    pace: Option<Pace>,
    rate: Option<f64>,
    /// Connections with something to write.
    dirty: Vec<u32>,
    /// At a fixed rate: connections that may be given a request.
    free: VecDeque<u32>,
    /// Connections to be reopened, and when.
    retry: Vec<(Instant, u32)>,
    /// Whether each active connection has had an answer.
    warm: bool,
    /// Failures since the last answer.
    fruitless: usize,
    last_trouble: Option<Trouble>,
}

impl<'a> Engine<'a> {
    /// Sets thread `index` up, without a connection yet.
    pub(crate) fn new(
        plan: &'a Plan,
        control: &'a Control,
        common: Common,
        index: usize,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let mine = |count| share(count, plan.threads, index);
        let idle = mine(plan.idle);
        let slow = plan.slow.map_or(0, |slow| mine(slow.connections));
        let roles =
            [(Role::Idle, idle), (Role::Slow, slow), (Role::Active, mine(plan.connections))];
        let connections: Vec<Connection> = roles
            .into_iter()
            .flat_map(|(role, count)| (0..count).map(move |_| Connection::new(role, now)))
            .collect();
        let longest = common.longest();
        let ring = Ring::new(limits(connections.len(), plan.depth * longest), plan.target)?;
        Ok(Self {
            plan,
            control,
            index,
            ring,
            common,
            connections,
            idle,
            slow,
            idle_opened: 0,
            idle_settled: 0,
            mix: Mix::new(plan.paths.iter().map(|(_, weight)| *weight), index as u64),
            pace: None,
            rate: plan.rate.map(|rate| rate / plan.threads as f64),
            dirty: Vec::new(),
            free: VecDeque::new(),
            retry: Vec::new(),
            warm: false,
            fruitless: 0,
            last_trouble: None,
        })
    }

    /// Runs through all stages and answers with what the measured one came to.
    ///
    /// # Errors
    ///
    /// If the ring fails, or nothing but failures comes from the server.
    pub(crate) fn run(mut self) -> Result<Tally, String> {
        let ring_failed = |error: io::Error| format!("io_uring: {error}");
        let mut stage = Stage::Idle;
        let mut before = Instant::now();
        let mut began = before;
        let (mut next_tick, mut next_sweep) = (before, before);
        let (mut idle_time, mut times) = (Duration::ZERO, (0, 0));
        for _ in 0..self.idle.min(OPENING) {
            self.open_next_idle();
        }
        if self.idle == 0 {
            self.control.idle_ready();
        }
        loop {
            self.ring.poll().map_err(ring_failed)?;
            let mut worked = false;
            while let Some(done) = self.ring.completion() {
                self.handle(done);
                worked = true;
            }
            worked |= self.issue(before);
            self.flush();
            if !worked && self.plan.sleep {
                self.ring.wait_at_most(self.nap()).map_err(ring_failed)?;
            }
            let now = Instant::now();
            if !worked {
                idle_time += now - before;
                std::hint::spin_loop();
            }
            before = now;
            if now >= next_tick {
                next_tick = now + TICK;
                self.tick(now);
                if now >= next_sweep {
                    next_sweep = now + SWEEP;
                    self.sweep(now);
                }
                if self.fruitless > 200 + 4 * self.connections.len() {
                    return Err(self.hopeless());
                }
            }
            if self.control.stage() == stage {
                continue;
            }
            // Every stage is gone through, however late this thread comes to it.
            stage = stage.next();
            match stage {
                Stage::Idle => {}
                Stage::WarmUp => self.start(now),
                Stage::Measure => {
                    self.begin(now);
                    idle_time = Duration::ZERO;
                    times = observe::own_times();
                    began = now;
                }
                Stage::Stop => {
                    self.common.tally.measured = now - began;
                    self.common.tally.busy = (now - began).saturating_sub(idle_time);
                    let (ran, waited) = observe::own_times();
                    self.common.tally.ran = Duration::from_nanos(ran.saturating_sub(times.0));
                    self.common.tally.waited = Duration::from_nanos(waited.saturating_sub(times.1));
                    self.unfinished(now);
                    return Ok(self.common.tally);
                }
            }
            self.control.entered(self.index, stage);
        }
    }

    /// How long a thread that sleeps may do so: never beyond the time when a request is due.
    fn nap(&self) -> Duration {
        let due =
            self.pace.as_ref().map(|pace| pace.next().saturating_duration_since(Instant::now()));
        due.map_or(NAP, |due| due.min(NAP))
    }

    /// Opens the slow and the active connections.
    fn start(&mut self, now: Instant) {
        self.pace = self.rate.map(|rate| Pace::new(rate, now));
        for key in self.idle..self.connections.len() {
            let key = key as u32;
            if self.opens_on_demand(key) {
                self.offer(key);
            } else {
                self.open(key);
            }
        }
    }

    /// Whether connection `key` is opened only when a request for it is due.
    fn opens_on_demand(&self, key: u32) -> bool {
        self.plan.sessions != Sessions::KeepAlive
            && self.rate.is_some()
            && self.connections[key as usize].role == Role::Active
    }

    fn open_next_idle(&mut self) {
        let key = self.idle_opened;
        if key < self.idle {
            self.idle_opened += 1;
            self.open(key as u32);
        }
    }

    fn open(&mut self, key: u32) {
        let now = Instant::now();
        let connection = &mut self.connections[key as usize];
        match socket(self.plan, connection.role) {
            Ok(socket) => {
                connection.open(socket, now);
                self.common.tally.opened += 1;
                let due = Asked { path: 0, due: now, sent: now };
                match connection.role {
                    Role::Active => {
                        if self.plan.sessions != Sessions::KeepAlive && self.pace.is_none() {
                            connection.ask(Asked { path: self.mix.draw(), ..due });
                        }
                    }
                    Role::Idle | Role::Slow => connection.ask(due),
                }
                match self.ring.connect(key, connection.socket()) {
                    Ok(()) => connection.connecting = true,
                    Err(error) => self.fail(key, Trouble::new(Failure::Connect, error)),
                }
            }
            Err(error) => {
                self.common.tally.fail(Trouble::new(Failure::Connect, error), 1);
                self.fruitless += 1;
                self.retry.push((now + RETRY, key));
            }
        }
    }
}

/// The memory of a ring for so many connections that write `batch` bytes at once.
fn limits(connections: usize, batch: usize) -> Limits {
    let connections = connections.max(1) as u32;
    Limits {
        entries: (connections * 2).next_power_of_two().clamp(64, 4096),
        recv_buffers: (connections * 2).next_power_of_two().clamp(16, 256) as u16,
        recv_size: 64 << 10,
        send_slots: connections.min(1024) as u16,
        send_size: (batch + 256).next_multiple_of(4096),
    }
}

/// A socket, not connected yet.
fn socket(plan: &Plan, role: Role) -> io::Result<OwnedFd> {
    let family = if plan.target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if role == Role::Slow {
        sockopt::set_socket_recv_buffer_size(&socket, SLOW_BUFFER)?;
    }
    Ok(socket)
}
