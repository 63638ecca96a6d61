//! What all workers share of a pool: numbers, health, the line.
//!
//! The invariant: `open` of a server is the number of [`Place`]s that exist for it, so it is never
//! above `max`; while requests wait in line, no place is free. Who gives back a place looks at the
//! line after that, and who joins it looks for a free place after that, so one of them sees the other.

use std::{
    fmt,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::Waker,
};

use super::{
    balance::{Draw, Policy, choose},
    budget::Budget,
    figures::PoolCounts,
    health::Fitness,
    line::{Full, Line, Ticket},
    secured::Secured,
    server::{Server, servers},
};
use crate::{
    config::{Balance, PoolOptions},
    monotonic::Monotonic,
};

/// Milliseconds for which a connection may have been unused to be taken for a request that must not run twice,
/// while nothing is known of its server: few close so early, and a further connection costs little.
const UNLEARNED_REST_MS: u64 = 500;

/// A connection that ends as it is used, after fewer milliseconds than this, says nothing of how long its server
/// keeps one: clients whose requests make servers fail leave a pool its kept connections.
const TELLING_REST_MS: u64 = 500;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pool, as all workers share it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: Box<str>,
    pub(crate) options: PoolOptions,
    /// What this process is called in `Via`.
    pub(super) pseudonym: Box<str>,
    pub(crate) counts: Arc<PoolCounts>,
    pub(super) servers: Box<[Server]>,
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    pub(super) line: Arc<Line<Grant>>,
    /// The keepers of the workers, woken when somebody waits while there are unused connections.
    pub(super) keepers: Mutex<Vec<Waker>>,
    pub(super) budget: Mutex<Budget>,
    pub(super) turn: AtomicU64,
    /// Decayed mean of the time that a place is used for an exchange, in microseconds.
    pub(super) service_us: AtomicU32,
    pub(super) epoch: Monotonic,
}

/// A place among the `max` connections of a server.
pub(super) struct Place {
    shared: Arc<Shared>,
    server: usize,
}

/// An unused connection on its way to another worker.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) socket: OwnedFd,
    pub(super) place: Place,
    /// Milliseconds since it was connected, and since its last exchange.
    pub(super) age: u64,
    pub(super) unused: u64,
    pub(super) exchanges: u32,
    /// Milliseconds for which the server said that it keeps an unused connection; 0: it did not.
    pub(super) stated: u64,
    pub(super) tls: Option<Box<Secured>>,
}

/// What the head of the line gets.
#[derive(Debug)]
pub(super) enum Grant {
    /// A connection.
    Unused(Parcel),
    /// The place for one.
    Room(Place),
}

/// A place in line.
pub(super) type LineTicket = Ticket<Grant>;

/// Why a request gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// The line is full, or too long for the time that requests may wait.
    LineFull,
}

/// What a request got at once.
#[derive(Debug)]
pub(super) enum Taken {
    Room(Place),
    Wait(LineTicket),
}

/// What a request goes by in choosing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish {
    pub(super) random: u64,
    pub(super) key: u64,
    /// The server that failed it before.
    pub(super) except: Option<usize>,
}

impl Shared {
    /// A pool with these options, which were checked. It goes on with the counts of the pool `before`,
    /// and with what that knows of the servers that stay. `tls`: what its servers are believed by, if
    /// they speak TLS.
    pub(super) fn new(
        name: &str,
        pseudonym: &str,
        options: PoolOptions,
        tls: Option<Arc<rustls::ClientConfig>>,
        before: Option<&Self>,
    ) -> Arc<Self> {
        Arc::new(Self {
            servers: servers(name, &options, before.map_or(&[][..], |before| &before.servers)),
            tls,
            name: name.into(),
            pseudonym: pseudonym.into(),
            counts: before.map_or_else(Arc::default, |before| Arc::clone(&before.counts)),
            line: Arc::new(Line::new(options.waiting)),
            keepers: Mutex::default(),
            budget: Mutex::new(Budget::new(0)),
            turn: AtomicU64::new(0),
            service_us: AtomicU32::new(0),
            epoch: before.map_or_else(Monotonic::now, |before| before.epoch),
            options,
        })
    }

    /// Milliseconds since the pool was made, for all workers.
    pub(super) fn now(&self) -> u64 {
        self.epoch.elapsed() / 1_000_000
    }

    pub(super) fn servers(&self) -> &[Server] {
        &self.servers
    }

    fn server(&self, at: usize) -> Option<&Server> {
        self.servers.get(at)
    }

    fn policy(&self) -> Policy {
        match self.options.balance {
            Balance::Least => Policy::Least,
            Balance::Ewma => Policy::Ewma,
            Balance::HashClient | Balance::HashPath => Policy::Hash,
            Balance::RoundRobin => Policy::RoundRobin,
        }
    }

    /// Chooses a server. If all are out, the one that is due first: a wrong sign of failure must not
    /// be an outage.
    pub(super) fn choose(&self, wish: &Wish) -> usize {
        let count = self.servers.len();
        if count == 1 {
            return 0;
        }
        let now = self.now();
        let load = |at: usize| self.servers[at].load(now);
        let turn = match self.options.balance {
            Balance::RoundRobin => self.turn.fetch_add(1, Relaxed),
            _ => 0,
        };
        let draw = Draw { random: wish.random, key: wish.key, turn, except: wish.except };
        let chosen = choose(self.policy(), count, &load, &draw).unwrap_or_else(|| {
            let due = |at: &usize| lock(&self.servers[*at].health).due();
            let first = |first: usize, at: usize| {
                let earlier = self.servers[at].present.load(Relaxed) && due(&at) < due(&first);
                if earlier || !self.servers[first].present.load(Relaxed) { at } else { first }
            };
            (1..count).fold(0, first)
        });
        let server = &self.servers[chosen];
        if server.fitness(now) == Fitness::Due {
            lock(&server.health).begin_trial(now);
        }
        chosen
    }

    /// Takes a place of a server, if it has one left.
    fn reserve(self: &Arc<Self>, at: usize) -> Option<Place> {
        let server = self.server(at).filter(|server| server.present.load(Relaxed))?;
        let most = self.options.max;
        let more = |open: u32| (open < most).then_some(open + 1);
        server.open.fetch_update(SeqCst, SeqCst, more).ok()?;
        Some(Place { shared: Arc::clone(self), server: at })
    }

    /// A place of this server or, if it has none left, of another; else a place in line.
    ///
    /// # Errors
    /// The line is full, or would take too long.
    pub(super) fn take(
        self: &Arc<Self>,
        first: usize,
        waker: impl FnOnce() -> Waker,
    ) -> Result<Taken, NoPlace> {
        if self.line.len() == 0
            && let Some(place) = self.any_place(first)
        {
            return Ok(Taken::Room(place));
        }
        // One that is unused elsewhere is lent at once.
        if !self.has_unused() && self.is_hopeless() {
            return Err(NoPlace::LineFull);
        }
        let ticket = self.line.join(waker()).map_err(|Full| NoPlace::LineFull)?;
        // What was given back before we stood in line was offered to nobody.
        self.serve_line();
        if self.has_unused() {
            lock(&self.keepers).iter().for_each(Waker::wake_by_ref);
        }
        Ok(Taken::Wait(ticket))
    }

    fn has_unused(&self) -> bool {
        self.servers.iter().any(|server| server.unused.load(SeqCst) > 0)
    }

    fn any_place(self: &Arc<Self>, first: usize) -> Option<Place> {
        self.reserve(first).or_else(|| {
            let now = self.now();
            let others = (0..self.servers.len()).filter(|at| *at != first);
            let mut fit = others.filter(|at| self.servers[*at].fitness(now) == Fitness::In);
            fit.find_map(|at| self.reserve(at))
        })
    }

    /// A place of a server that is fit, or of any, if none is.
    fn any_fit_place(self: &Arc<Self>) -> Option<Place> {
        let (now, mut any_fit) = (self.now(), false);
        for at in 0..self.servers.len() {
            if self.servers[at].fitness(now) == Fitness::In {
                any_fit = true;
                if let Some(place) = self.reserve(at) {
                    return Some(place);
                }
            }
        }
        let mut rest = (0..self.servers.len()).filter(|_| !any_fit);
        rest.find_map(|at| self.reserve(at))
    }

    /// Whether a request that joins the line now would wait longer than it may.
    fn is_hopeless(&self) -> bool {
        let present = self.servers.iter().filter(|server| server.present.load(Relaxed)).count();
        let places = u64::from(self.options.max) * present as u64;
        let ahead = u64::from(self.line.len()) + 1;
        let wait_us = ahead * u64::from(self.service_us.load(Relaxed)) / places.max(1);
        u128::from(wait_us) > self.options.wait.as_micros()
    }

    /// Grants free places to those in line.
    pub(super) fn serve_line(self: &Arc<Self>) {
        while self.line.grant(|| self.any_fit_place().map(Grant::Room)) {}
    }

    /// Whether requests wait in line.
    pub(super) fn is_waited_for(&self) -> bool {
        self.line.len() > 0
    }

    /// Offers an unused connection to the head of the line. It comes back if nobody waits.
    pub(super) fn offer(&self, parcel: Parcel) -> Option<Parcel> {
        let mut parcel = Some(parcel);
        self.line.grant(|| parcel.take().map(Grant::Unused));
        parcel
    }

    /// A request found the line full, or waited too long.
    pub(super) fn count_refused(&self) {
        self.counts.refused.fetch_add(1, Relaxed);
    }

    /// An exchange begins on a connection, a fresh one or one that was kept.
    pub(super) fn count_used(&self, fresh: bool) {
        let counts = &self.counts;
        (if fresh { &counts.opened } else { &counts.reused }).fetch_add(1, Relaxed);
    }

    /// A worker's keeper of unused connections, to be woken when they are wanted elsewhere.
    pub(super) fn add_keeper(&self, waker: Waker) {
        lock(&self.keepers).push(waker);
    }

    /// A worker keeps an unused connection, or does not any more.
    pub(super) fn note_unused(&self, server: usize, is: bool) {
        let Some(server) = self.server(server) else { return };
        if is {
            server.unused.fetch_add(1, SeqCst);
        } else {
            server.unused.fetch_sub(1, SeqCst);
        }
    }

    /// An exchange with a server begins.
    pub(super) fn exchange_begins(&self, server: usize) {
        if let Some(server) = self.server(server) {
            server.outstanding.fetch_add(1, Relaxed);
        }
    }

    /// It is over, so many microseconds later.
    pub(super) fn exchange_ends(&self, server: usize, took_us: u64) {
        decay(&self.service_us, took_us);
        if let Some(server) = self.server(server) {
            server.outstanding.fetch_sub(1, Relaxed);
        }
    }

    /// A server answered, so many microseconds after it had the request.
    pub(super) fn served(&self, at: usize, first_byte_us: u64) {
        let Some(server) = self.server(at) else { return };
        decay(&server.first_byte_us, first_byte_us);
        if server.blemished.load(Relaxed) {
            let mut health = lock(&server.health);
            if health.served() {
                server.begin_ramp(self.now());
                log::info!("pool {}: {} serves again", self.name, server.shown());
            }
            server.blemished.store(health.is_blemished(), Relaxed);
        }
    }

    /// A server was not connected, ended before a head, or sent no byte in time.
    pub(super) fn failed(&self, at: usize, random: u64) {
        let Some(server) = self.server(at) else { return };
        let now = self.now();
        let present = || self.servers.iter().filter(|other| other.present.load(Relaxed));
        let others = present().filter(|other| !std::ptr::eq(*other, server));
        let out = others.filter(|other| other.fitness(now) != Fitness::In).count();
        let may_leave = (out + 1) * 2 <= present().count();
        let mut health = lock(&server.health);
        server.blemished.store(true, Relaxed);
        if health.failed(now, random, may_leave) {
            log::warn!(
                "pool {}: {} fails and gets no requests for a while",
                self.name,
                server.shown()
            );
        }
    }

    /// Whether the pool's budget allows a second try now.
    pub(super) fn may_try_again(&self) -> bool {
        let tries = self.counts.tries.load(Relaxed);
        let may = lock(&self.budget).take(self.now(), tries);
        if may {
            self.counts.second_tries.fetch_add(1, Relaxed);
        }
        may
    }

    /// A server closed a connection that had been unused for so many milliseconds.
    pub(super) fn closed_unused(&self, at: usize, age: u64) {
        self.counts.closed_while_unused.fetch_add(1, Relaxed);
        self.learn(at, age);
    }

    /// A connection that had been unused for so many milliseconds ended as a request came, before any byte of
    /// a response: its server was just closing it, or the request was too much for the server.
    pub(super) fn closed_as_it_was_used(&self, at: usize, age: u64) {
        if age >= TELLING_REST_MS {
            self.learn(at, age);
        }
    }

    fn learn(&self, at: usize, age: u64) {
        let Some(server) = self.server(at) else { return };
        // 0 stands for not learned; a server that closes at once does so within a millisecond.
        let learned = lock(&server.learned).closed(self.now(), age).map_or(0, |idle| idle.max(1));
        let before = server.learned_ms.swap(learned, Relaxed);
        if learned > 0 && before == 0 {
            let seconds = learned as f64 / 1_000.0;
            log::info!(
                "pool {}: {} closes unused connections after about {seconds:.1} s",
                self.name,
                server.shown()
            );
        }
    }

    /// Milliseconds for which an unused connection may be kept, if its server stated `stated` (0: it
    /// did not).
    pub(super) fn keep_idle(&self, at: usize, stated: u64) -> u64 {
        if self.server(at).is_some_and(|server| !server.present.load(Relaxed)) {
            return 0;
        }
        let setting = u64::try_from(self.options.keep_idle.as_millis()).unwrap_or(u64::MAX);
        let learned = self.server(at).map_or(0, |server| server.learned_ms.load(Relaxed));
        let learned = if learned == 0 { u64::MAX } else { learned * 4 / 5 };
        let stated = if stated == 0 { u64::MAX } else { stated.saturating_sub(1_000) };
        setting.min(learned).min(stated)
    }

    /// Milliseconds for which a connection may have been unused to be taken. A request that must not run twice
    /// takes one only if its server is unlikely to be closing it just now.
    pub(super) fn longest_unused(&self, at: usize, is_idempotent: bool) -> u64 {
        let most = self.keep_idle(at, 0);
        match self.server(at).map(|server| server.learned_ms.load(Relaxed)) {
            _ if is_idempotent => most,
            None | Some(0) => (most / 2).min(UNLEARNED_REST_MS),
            Some(_) => most / 2,
        }
    }

    /// The address to connect to, if it is known.
    pub(super) fn address(&self, at: usize) -> Option<SocketAddr> {
        self.server(at).and_then(|server| *lock(&server.resolved))
    }
}

/// Moves a decayed mean an eighth of the way to a value.
fn decay(mean: &AtomicU32, value: u64) {
    let value = u32::try_from(value).unwrap_or(u32::MAX);
    let before = mean.load(Relaxed);
    let after = if before == 0 { value } else { before - before / 8 + value / 8 };
    // A value that another worker stores meanwhile is as good.
    mean.store(after.max(1), Relaxed);
}

impl Place {
    pub(super) fn server(&self) -> usize {
        self.server
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(server) = self.shared.server(self.server) {
            server.open.fetch_sub(1, SeqCst);
        }
        if self.shared.is_waited_for() {
            self.shared.serve_line();
        }
    }
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
