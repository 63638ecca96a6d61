//! What all connections of a worker share.

use std::{
    cell::{Cell, Ref, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
};

use super::{
    idle::{Idle, Waiting},
    places::Places,
    sites::{Generation, Served},
    steps::Steps,
};
use crate::{
    config::Config,
    files::Stores,
    observe::{Counts, Observer},
    parse::HeadLimits,
    record::{Suite, TlsVersion},
    respond::DateCache,
    ring::Ring,
    tls::{
        SharedConfig,
        kernel::{Direction, KtlsSupport},
    },
    wall_clock::since_1970,
};

/// What the kernel does for TLS on this host, as decided at start.
#[derive(Clone, Debug, Default)]
pub struct KtlsPlan {
    /// None: user-space TLS throughout.
    pub support: Option<Arc<KtlsSupport>>,
    /// The kernel receives as well as it sends.
    pub receives: bool,
}

impl KtlsPlan {
    /// Whether the kernel takes a connection's sending side, and whether its receiving side too.
    pub fn directions(&self, version: TlsVersion, suite: Suite) -> (bool, bool) {
        let Some(support) = &self.support else { return (false, false) };
        let covers = |direction| support.covers(version, suite, direction);
        let transmit = covers(Direction::Transmit);
        (transmit, transmit && self.receives && covers(Direction::Receive))
    }

    /// Whether the kernel takes new keys in place of old ones (Linux 6.14).
    pub fn may_rekey(&self) -> bool {
        self.support.as_ref().is_some_and(|support| support.rekey.is_ok())
    }
}

/// How long an idle connection is spared when there is no room for another, in milliseconds.
const SPARED: u64 = 1000;

/// How long a connection without a whole ClientHello is spared then, in milliseconds. A client sends
/// its ClientHello right behind the last segment of TCP's handshake, however long the way is.
const SPARED_SILENT: u64 = 500;

/// How long a stopping worker waits, in milliseconds: for a ClientHello, for the first request of a
/// connection, for the end of a head that has begun, and after an answer for the next request.
pub(crate) const DRAIN_GRACE: u64 = 500;

/// What all connections of a worker share.
#[derive(Debug)]
pub struct Context {
    /// The worker's ring.
    pub ring: Rc<Ring>,
    /// The configuration, checked.
    pub config: Arc<Config>,
    /// Certificates, suites and ticket keys, which may be replaced at any time.
    pub tls: Arc<SharedConfig>,
    /// What the kernel does for TLS.
    pub ktls: KtlsPlan,
    /// What the stores of folders share.
    pub(crate) stores: Rc<Stores>,
    /// What is served at present.
    generation: RefCell<Rc<Generation>>,
    /// Where the time goes, and the bytes.
    pub observer: Rc<Observer>,
    /// Bounds of a request head.
    pub head_limits: HeadLimits,
    /// What answers in place of the folder.
    #[cfg(feature = "service")]
    pub(super) applications: crate::service::Mounted,
    /// What connections of HTTP/2 share.
    pub(super) h2: super::h2::Shared,
    date: RefCell<DateCache>,
    unix_seconds: Cell<u64>,
    /// When the worker began to stop, in milliseconds on its clock.
    draining: Cell<Option<u64>>,
    idle: Idle,
    /// Connections without a whole ClientHello.
    silent: Idle,
    live: Cell<usize>,
    handshakes: Places,
    steps: Steps,
    counts: Cell<Counts>,
    told: Telling,
}

impl Context {
    /// Gathers what was set up; serving begins at once.
    pub(crate) fn new(
        ring: &Rc<Ring>,
        config: Arc<Config>,
        tls: Arc<SharedConfig>,
        ktls: KtlsPlan,
        stores: Rc<Stores>,
        generation: Generation,
        observer: Rc<Observer>,
    ) -> Self {
        let limits = &config.limits;
        let head_limits = HeadLimits {
            max_head_bytes: limits.head_bytes,
            max_fields: limits.head_fields,
            max_target_bytes: limits.target_bytes,
        };
        let context = Self {
            ring: Rc::clone(ring),
            tls,
            ktls,
            stores,
            generation: RefCell::new(Rc::new(generation)),
            observer,
            head_limits,
            #[cfg(feature = "service")]
            applications: crate::service::Mounted::default(),
            h2: super::h2::Shared::new(limits.head_bytes),
            date: RefCell::new(DateCache::new()),
            unix_seconds: Cell::new(0),
            draining: Cell::new(None),
            idle: Idle::default(),
            silent: Idle::default(),
            live: Cell::new(0),
            handshakes: Places::new(limits.handshakes),
            steps: Steps::default(),
            told: Telling::default(),
            counts: Cell::default(),
            config,
        };
        context.tick();
        context
    }

    /// Whether nothing but files, redirects and the like is served.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_no_applications(&self) -> bool {
        self.applications.is_empty()
    }

    /// Has applications answer beside the folder.
    #[cfg(feature = "service")]
    #[must_use]
    pub(crate) fn with_applications(mut self, applications: crate::service::Mounted) -> Self {
        self.applications = applications;
        self
    }

    /// Reads the wall clock; called once in each turn of the loop.
    pub fn tick(&self) {
        let now = since_1970().as_secs();
        if self.unix_seconds.replace(now) != now {
            self.date.borrow_mut().update(now);
        }
    }

    /// Seconds since the epoch, as of this turn.
    pub fn unix_seconds(&self) -> u64 {
        self.unix_seconds.get()
    }

    /// The `Date` of this second.
    pub fn date(&self) -> Ref<'_, DateCache> {
        self.date.borrow()
    }

    /// From now on, requests in flight are finished and nothing new begins. The caller wakes every
    /// task, so that it notices.
    pub fn begin_drain(&self) {
        self.draining.set(Some(self.ring.now()));
        #[cfg(feature = "service")]
        self.applications.drain.set();
    }

    /// Whether the worker is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.get().is_some()
    }

    /// Awaits a future, or None once the worker is stopping, but not before `grace` milliseconds
    /// have passed since that and since `began`, on the worker's clock; or None once the connection
    /// is idle and was evicted.
    pub fn unless_draining<F: Future>(
        &self,
        future: F,
        began: u64,
        grace: u64,
    ) -> impl Future<Output = Option<F::Output>> {
        self.unless_drained(future, move |since| since.max(began).saturating_add(grace))
    }

    /// Awaits a future, or None once the worker is stopping and its clock shows what `until` makes of
    /// the time at which that began; or None once the connection is idle and evicted.
    pub async fn unless_drained<F: Future>(
        &self,
        future: F,
        until: impl Fn(u64) -> u64,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        let is_over = || {
            let draining = self.draining.get();
            draining.is_some_and(|since| self.ring.now() >= until(since))
                || self.idle.is_evicted(self.ring.current())
        };
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if is_over() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// What is served at present. A request that has begun keeps what it took.
    pub(crate) fn generation(&self) -> Rc<Generation> {
        Rc::clone(&self.generation.borrow())
    }

    /// The route that a request takes for its host and path.
    pub(super) fn choose(&self, host: Option<&[u8]>, path: &[u8]) -> Rc<Served> {
        self.generation.borrow().choose(host, path)
    }

    /// What a request gets whose head is not understood.
    pub(super) fn refusing(&self) -> Rc<Served> {
        self.generation.borrow().refusing()
    }

    /// The current task's connection waits for a request that may come or not, for as long as the
    /// result lives; it may be evicted for another.
    pub(super) fn idles(&self) -> Waiting<'_> {
        self.idle.join(self.ring.current(), self.ring.now())
    }

    /// The current task's connection has sent no whole ClientHello, for as long as the result
    /// lives; it may be evicted for another.
    pub(super) fn awaits_hello(&self) -> Waiting<'_> {
        self.silent.join(self.ring.current(), self.ring.now())
    }

    /// Closes the connection that has gone longest without a whole ClientHello, if that is longer
    /// than a client needs to send one after it has connected. False if there is none.
    pub fn evict_silent(&self) -> bool {
        let before = self.ring.now().checked_sub(SPARED_SILENT);
        let Some(task) = before.and_then(|before| self.silent.evict(before)) else { return false };
        self.ring.wake(task);
        self.count(|counts| counts.evicted_silent += 1);
        true
    }

    /// Closes a silent connection ([`Self::evict_silent`]) or, if there is none, the one that has
    /// waited longest for a request, if that is longer than a client takes between two clicks in a
    /// page that is loading. False if there is neither.
    pub fn evict(&self) -> bool {
        if self.evict_silent() {
            return true;
        }
        let before = self.ring.now().checked_sub(SPARED);
        let Some(task) = before.and_then(|before| self.idle.evict(before)) else { return false };
        self.ring.wake(task);
        self.count(|counts| counts.evicted += 1);
        true
    }

    /// Connections that are open.
    pub fn live(&self) -> usize {
        self.live.get()
    }

    /// Counts a connection for as long as the result lives.
    pub fn admit(&self) -> Admitted<'_> {
        Admitted::count(&self.live)
    }

    /// Handshakes in flight.
    pub fn handshakes(&self) -> usize {
        self.handshakes.taken()
    }

    /// The places of handshakes.
    pub(super) fn handshake_places(&self) -> &Places {
        &self.handshakes
    }

    /// A connection asks for more than its first request: handshakes leave it more room.
    pub(super) fn asked_again(&self) {
        self.steps.spare();
    }

    /// Waits until the handshake that is being polled may take a step.
    pub async fn handshake_turn(&self) {
        self.steps.turn(&self.ring).await;
    }

    /// Lets the next handshake take a step; called before each turn of the loop.
    pub fn next_handshake(&self) {
        self.steps.next(&self.ring);
    }

    /// Whether one more line of the log, of a kind that clients can bring about at will, may be
    /// written in this second.
    pub fn may_tell(&self) -> bool {
        self.told.may(self.unix_seconds.get())
    }

    /// Warns of what kept a request from its answer, unless that was said too often this second.
    pub fn warn(&self, what: &dyn std::fmt::Display) {
        if self.may_tell() {
            log::warn!("conn: {what}");
        }
    }

    /// Reports that an invariant does not hold, which cost one connection or one answer.
    pub fn defect(&self, what: &dyn std::fmt::Display) {
        self.count(|counts| counts.defects += 1);
        if self.may_tell() {
            log::error!("conn: a defect of this server, please report it: {what}");
        }
    }

    /// Changes the counts.
    pub fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    /// What the worker has done.
    pub fn counts(&self) -> Counts {
        self.counts.get()
    }
}

/// A second, and how many lines clients have brought about in it.
#[derive(Debug, Default)]
struct Telling(Cell<(u64, u32)>);

impl Telling {
    /// Most lines in a second, for each worker.
    const MOST: u32 = 10;

    fn may(&self, second: u64) -> bool {
        let (then, told) = self.0.get();
        let told = if then == second { told } else { 0 };
        self.0.set((second, told.saturating_add(1)));
        told < Self::MOST
    }
}

/// One among a limited number.
#[derive(Debug)]
pub struct Admitted<'c>(&'c Cell<usize>);

impl<'c> Admitted<'c> {
    fn count(cell: &'c Cell<usize>) -> Self {
        cell.set(cell.get() + 1);
        Self(cell)
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::Telling;

    #[test]
    fn clients_cannot_fill_the_log() {
        let telling = Telling::default();
        let told = |second| (0..100).filter(|_| telling.may(second)).count();
        assert_eq!([told(1), told(1), told(2)], [10, 0, 10]);
    }
}
