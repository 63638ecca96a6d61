//! One thread's loop: completions in, requests out, never asleep.
//!
//! The invariant: after every event of a connection `settle` looks at it once, and that is the
//! only place where it is given requests, armed to receive, or reopened.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ringway_bench_ring::{Done, Lease, Limits, Ring, Slot};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::connection::{Asked, Common, Connection, Role, State};
use crate::mix::Mix;
use crate::pace::Pace;
use crate::plan::{Plan, Sessions, share};
use crate::run::{Control, Stage};
use crate::tally::{Failure, Tally, Trouble};

/// Idle connections that are being opened at the same time.
const OPENING: usize = 64;
/// After a failure a connection waits this long.
const RETRY: Duration = Duration::from_millis(10);
/// How often slow readers read, closed connections are retried and progress is told.
const TICK: Duration = Duration::from_millis(5);
/// How often time-outs are looked for.
const SWEEP: Duration = Duration::from_millis(200);
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
        let longest = common.requests.iter().map(Vec::len).max().unwrap_or(0);
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
        let mut idle_time = Duration::ZERO;
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
            let wanted = self.control.stage();
            if wanted == stage {
                continue;
            }
            stage = wanted;
            match stage {
                Stage::Idle => {}
                Stage::WarmUp => self.start(now),
                Stage::Measure => {
                    self.common.tally.reset();
                    idle_time = Duration::ZERO;
                    began = now;
                }
                Stage::Stop => {
                    self.common.tally.measured = now - began;
                    self.common.tally.busy = (now - began).saturating_sub(idle_time);
                    self.unfinished(now);
                    return Ok(self.common.tally);
                }
            }
        }
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

    fn handle(&mut self, done: Done) {
        match done {
            Done::Accepted { .. } | Done::Closed => {}
            Done::Connected { key, result } => self.connected(key, result),
            Done::Received { key, result, more } => self.received(key, result, more),
            Done::Written { key, slot, result } => self.written(key, slot, result),
        }
    }

    fn connected(&mut self, key: u32, result: io::Result<()>) {
        let connection = &mut self.connections[key as usize];
        connection.connecting = false;
        if !matches!(connection.state, State::Closing) {
            let outcome = result
                .map_err(|error| Trouble::new(Failure::Connect, error))
                .and_then(|()| connection.connected(&mut self.common));
            if let Err(trouble) = outcome {
                self.fail(key, trouble);
            }
        }
        self.settle(key);
    }

    fn received(&mut self, key: u32, result: io::Result<Option<Lease>>, more: bool) {
        const ENOBUFS: i32 = rustix::io::Errno::NOBUFS.raw_os_error();
        let connection = &mut self.connections[key as usize];
        connection.receiving = more;
        if matches!(connection.state, State::Closing) {
            return self.settle(key);
        }
        let outcome = match result {
            Ok(Some(mut bytes)) => {
                connection.allowance -= bytes.len() as f64;
                connection.receive(&mut bytes, &mut self.common)
            }
            Ok(None) => connection.closed().map(|()| connection.shut()),
            // All buffers were leased; they are free again by now.
            Err(error) if error.raw_os_error() == Some(ENOBUFS) => Ok(()),
            Err(error) => Err(Trouble::new(Failure::Closed, error)),
        };
        match outcome {
            Ok(()) => self.settle(key),
            Err(trouble) => {
                self.fail(key, trouble);
                self.settle(key);
            }
        }
    }

    fn written(&mut self, key: u32, slot: Slot, result: io::Result<usize>) {
        let connection = &mut self.connections[key as usize];
        let closing = matches!(connection.state, State::Closing);
        match connection.written(key, slot, result, &mut self.ring) {
            // The requests' answers will settle it, unless more is to be written.
            Ok(()) if matches!(connection.state, State::Open(_)) => self.mark(key),
            Ok(()) => self.settle(key),
            Err(trouble) => {
                if !closing {
                    self.fail(key, trouble);
                }
                self.settle(key);
            }
        }
    }

    /// Counts a failure and shuts the connection.
    fn fail(&mut self, key: u32, trouble: Trouble) {
        let connection = &mut self.connections[key as usize];
        let lost = connection.give_up();
        connection.shut();
        self.fruitless += 1;
        self.last_trouble = Some(trouble.clone());
        // That the server closes a connection that it need not keep is counted as such.
        let may_close = match connection.role {
            Role::Active => false,
            Role::Idle => self.control.stage() != Stage::Idle,
            Role::Slow => true,
        };
        if !(may_close && trouble.failure == Failure::Closed) {
            self.common.tally.fail(trouble, lost.max(1) as u64);
        }
        connection.since = Instant::now() + RETRY;
    }

    /// Looks at a connection after an event.
    fn settle(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        let answered = connection.take_answered();
        if answered > 0 {
            self.fruitless = 0;
        }
        match &connection.state {
            State::Open(_) => self.settle_open(key, answered > 0),
            State::Shaking(_) => {
                self.arm(key);
                self.mark(key);
            }
            State::Ending if connection.is_written() => {
                if connection.close() {
                    self.closed(key, false);
                } else {
                    connection.shut();
                }
            }
            State::Ending => self.mark(key),
            State::Closing => {
                if connection.close() {
                    self.closed(key, true);
                }
            }
            State::Down | State::Connecting => {}
        }
    }

    fn settle_open(&mut self, key: u32, answered: bool) {
        let connection = &mut self.connections[key as usize];
        match connection.role {
            Role::Idle => {
                if answered {
                    self.idle_settled += 1;
                    if self.idle_settled == self.idle {
                        self.control.idle_ready();
                    }
                    self.open_next_idle();
                }
            }
            Role::Slow => {
                if connection.outstanding() == 0 && connection.may_ask() {
                    let now = Instant::now();
                    connection.ask(Asked { path: 0, due: now, sent: now });
                }
            }
            Role::Active if self.plan.sessions != Sessions::KeepAlive => {
                if answered {
                    return self.finish(key);
                }
            }
            Role::Active if self.pace.is_some() => self.offer(key),
            Role::Active => {
                if connection.may_ask() {
                    while connection.outstanding() < self.plan.depth {
                        let now = Instant::now();
                        connection.ask(Asked { path: self.mix.draw(), due: now, sent: now });
                    }
                }
            }
        }
        let connection = &mut self.connections[key as usize];
        if connection.outstanding() == 0 && !connection.may_ask() {
            return self.finish(key);
        }
        if connection.role != Role::Slow {
            self.arm(key);
        }
        self.mark(key);
    }

    /// Ends a connection that is not needed any more.
    fn finish(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        connection.end(Instant::now());
        if connection.is_written() { self.settle(key) } else { self.mark(key) }
    }

    /// The socket of a connection is closed; see what becomes of it.
    fn closed(&mut self, key: u32, shut: bool) {
        let connection = &self.connections[key as usize];
        let now = Instant::now();
        match connection.role {
            // What the server would not keep is not forced upon it.
            Role::Slow => self.common.tally.slow_closed += 1,
            Role::Idle if self.control.stage() != Stage::Idle => {
                self.common.tally.idle_closed += 1;
            }
            _ if self.control.stage() == Stage::Stop => {}
            _ if self.opens_on_demand(key) => self.offer(key),
            _ if shut && connection.since > now => self.retry.push((connection.since, key)),
            _ => self.open(key),
        }
    }

    /// Arms the connection to receive.
    fn arm(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        if connection.receiving {
            return;
        }
        let armed = if self.plan.sessions == Sessions::KeepAlive && connection.role != Role::Slow {
            self.ring.receive_all(key, connection.socket())
        } else {
            self.ring.receive_once(key, connection.socket(), 0)
        };
        match armed {
            Ok(()) => connection.receiving = true,
            Err(error) => self.fail(key, Trouble::new(Failure::Closed, error)),
        }
    }

    /// Puts the connection on the list of those with something to write.
    fn mark(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        if !connection.dirty && connection.wants_write() {
            connection.dirty = true;
            self.dirty.push(key);
        }
    }

    /// At a fixed rate: lets the connection be given a request, if it can take one.
    fn offer(&mut self, key: u32) {
        let on_demand = self.opens_on_demand(key);
        let connection = &mut self.connections[key as usize];
        let can = match connection.state {
            State::Down => on_demand,
            _ => connection.may_ask() && connection.outstanding() < self.plan.depth,
        };
        if can && !connection.listed {
            connection.listed = true;
            self.free.push_back(key);
        }
    }

    /// At a fixed rate: hands what is due to connections that are free.
    fn issue(&mut self, now: Instant) -> bool {
        let on_demand = self.plan.sessions != Sessions::KeepAlive;
        let Some(pace) = &mut self.pace else { return false };
        pace.advance(now);
        let mut issued = false;
        while let Some(&key) = self.free.front() {
            let connection = &mut self.connections[key as usize];
            let down = matches!(connection.state, State::Down);
            let usable = connection.may_ask() || down && on_demand;
            if usable {
                let Some(pace) = &mut self.pace else { break };
                let Some(due) = pace.take() else { break };
                connection.ask(Asked { path: self.mix.draw(), due, sent: now });
                issued = true;
            }
            self.free.pop_front();
            self.connections[key as usize].listed = false;
            if !usable {
                continue;
            }
            if down {
                self.open(key);
            } else {
                self.offer(key);
                self.mark(key);
            }
        }
        issued
    }

    /// Writes to all connections that have something to write and find a slot.
    fn flush(&mut self) {
        while let Some(&key) = self.dirty.last() {
            let connection = &mut self.connections[key as usize];
            if connection.wants_write() {
                let Some(slot) = self.ring.slot() else { return };
                let requests = &self.common.requests;
                if let Err(trouble) = connection.write(key, slot, &mut self.ring, requests) {
                    self.fail(key, trouble);
                }
            }
            self.connections[key as usize].dirty = false;
            self.dirty.pop();
        }
    }

    fn tick(&mut self, now: Instant) {
        let tally = &self.common.tally;
        self.control.progress(self.index, tally.requests, tally.failed());
        let mut index = 0;
        while let Some(&(at, key)) = self.retry.get(index) {
            if at <= now {
                self.retry.swap_remove(index);
                self.open(key);
            } else {
                index += 1;
            }
        }
        let Some(slow) = self.plan.slow else { return };
        for key in self.idle..self.idle + self.slow {
            let connection = &mut self.connections[key];
            let rate = f64::from(slow.rate);
            connection.allowance = (connection.allowance + rate * TICK.as_secs_f64()).min(rate);
            let enough = connection.allowance >= (rate / 20.0).max(1.0);
            if matches!(connection.state, State::Open(_)) && !connection.receiving && enough {
                let limit = connection.allowance as u32;
                match self.ring.receive_once(key as u32, connection.socket(), limit) {
                    Ok(()) => connection.receiving = true,
                    Err(error) => self.fail(key as u32, Trouble::new(Failure::Closed, error)),
                }
            }
        }
    }

    /// Looks for time-outs, and for connections that a failure left to be closed.
    fn sweep(&mut self, now: Instant) {
        for key in 0..self.connections.len() {
            let connection = &self.connections[key];
            let late = connection
                .waits_since()
                .is_some_and(|since| now.saturating_duration_since(since) > self.plan.timeout);
            if late && connection.role != Role::Slow {
                let what = format!("no answer in {:?}", self.plan.timeout);
                self.fail(key as u32, Trouble::new(Failure::Timeout, what));
            }
            if matches!(self.connections[key].state, State::Closing) {
                self.settle(key as u32);
            }
        }
    }

    /// At the end: counts what has no answer yet.
    fn unfinished(&mut self, now: Instant) {
        let tally = &mut self.common.tally;
        let active = &self.connections[self.idle + self.slow..];
        tally.unfinished = active.iter().map(|c| c.outstanding() as u64).sum();
        if let Some(pace) = &self.pace {
            for due in pace.waiting().chain(active.iter().flat_map(Connection::dues)) {
                tally.latency(now.saturating_duration_since(due));
            }
            tally.unfinished += pace.waiting().count() as u64;
            tally.missed = pace.missed();
        }
    }

    fn hopeless(&self) -> String {
        let last = self.last_trouble.as_ref().map_or("", |trouble| &trouble.what);
        format!("{}: nothing but failures; the last: {last}", self.plan.url)
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
