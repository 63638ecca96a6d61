//! What all connections of a worker share.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
};

use super::{
    encoders::{Encoders, Place},
    ktls_plan::KtlsPlan,
    log_limit::LogLimit,
    occupancy::Occupancy,
    sites::{Generation, Served, SitePlan, Terms, Waits},
    wall_time::WallTime,
};
use crate::{
    config::Demand,
    encode::{Encoder, Progress},
    files::{Pool, Stores},
    observe::{self, Counts, Observer},
    process::negotiate::Coding,
    ring::Ring,
    tls::SharedConfig,
    upstream::Pools,
};
#[cfg(feature = "service")]
use crate::{
    config::{Action, Route, ServiceId},
    process::routes::Paths,
};

/// How long a stopping worker waits, in milliseconds: for a ClientHello, for the first request of a
/// connection, for the end of a head that has begun, and after an answer for the next request.
pub(crate) const DRAIN_GRACE: u64 = 500;

/// What all connections of a worker share.
#[derive(Debug)]
pub(crate) struct Context {
    /// The worker's ring.
    pub ring: Rc<Ring>,
    /// Certificates, suites and ticket keys, which may be replaced at any time.
    pub tls: Arc<SharedConfig>,
    /// What the kernel does for TLS.
    pub ktls: KtlsPlan,
    /// What the stores of folders share.
    pub(crate) stores: Rc<Stores>,
    /// What is served at present.
    generation: RefCell<Rc<Generation>>,
    /// What is served next.
    prepared: RefCell<Option<Rc<Generation>>>,
    /// Where the time goes, and the bytes.
    pub observer: Rc<Observer>,
    /// The connections to servers that requests are passed on to.
    pools: Rc<Pools>,
    /// Threads that compute hashes of passwords.
    pub(super) hashing: Pool,
    /// What answers in place of the folder.
    #[cfg(feature = "service")]
    pub(super) applications: crate::service::Mounted,
    /// The numbers of native handlers by path; None: there are none.
    #[cfg(feature = "service")]
    pub(super) handlers: Option<Paths>,
    /// What connections of HTTP/2 share.
    pub(super) h2: super::h2::Shared,
    /// Who is served, and who makes room.
    pub(crate) occupancy: Occupancy,
    /// Answers that are compressed while they are sent.
    pub(crate) encoders: Encoders,
    /// The wall clock.
    pub(crate) time: WallTime,
    /// When the worker began to stop, in milliseconds on its clock.
    draining: Cell<Option<u64>>,
    counts: RefCell<Counts>,
    /// The server has to stop, and serves on for a while.
    leaving: Cell<bool>,
    log_limit: LogLimit,
}

impl Context {
    /// Gathers what was set up; serving begins at once.
    pub(crate) fn new(
        ring: &Rc<Ring>,
        tls: Arc<SharedConfig>,
        ktls: KtlsPlan,
        stores: Rc<Stores>,
        generation: Generation,
        pools: Rc<Pools>,
        observer: Rc<Observer>,
    ) -> Self {
        let limits = generation.terms().limits.clone();
        pools.switch(generation.pools().clone());
        Self {
            ring: Rc::clone(ring),
            tls,
            ktls,
            stores,
            generation: RefCell::new(Rc::new(generation)),
            prepared: RefCell::default(),
            observer,
            pools,
            hashing: Pool::default(),
            #[cfg(feature = "service")]
            applications: crate::service::Mounted::default(),
            #[cfg(feature = "service")]
            handlers: None,
            h2: super::h2::Shared::new(limits.head_bytes),
            occupancy: Occupancy::new(ring, limits.handshakes),
            encoders: Encoders::default(),
            time: WallTime::new(),
            draining: Cell::new(None),
            counts: RefCell::default(),
            leaving: Cell::new(false),
            log_limit: LogLimit::default(),
        }
    }

    /// Has these threads compute hashes of passwords.
    #[must_use]
    pub(crate) fn with_hashing(mut self, hashing: Pool) -> Self {
        self.hashing = hashing;
        self
    }

    /// Whether nothing but files, redirects and the like is served.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_no_applications(&self) -> bool {
        self.applications.is_empty()
    }

    /// The bounds of what begins now. A request keeps those of its route.
    pub(crate) fn terms(&self) -> Rc<Terms> {
        Rc::clone(self.generation.borrow().terms())
    }

    /// How long connections of HTTP/1 are waited for at present, and how often.
    pub(super) fn waits(&self) -> Waits {
        self.generation.borrow().terms().waits
    }

    /// Has applications answer beside the folder.
    #[cfg(feature = "service")]
    #[must_use]
    pub(crate) fn with_applications(mut self, applications: crate::service::Mounted) -> Self {
        let paths = &applications.handler_paths;
        if !paths.is_empty() {
            let routes = paths.iter().enumerate().filter_map(|(number, path)| {
                let path = path.parse();
                // The builder has let no other pass.
                let path = path.inspect_err(|_| self.defect(&"a handler has no path")).ok()?;
                Some(Route::new(path, Action::Service(ServiceId(number))))
            });
            self.handlers = Some(Paths::new(&routes.collect::<Vec<_>>()));
        }
        self.applications = applications;
        self
    }

    /// From now on, requests in flight are finished and nothing new begins. The caller wakes every
    /// task, so that it notices.
    pub(crate) fn begin_drain(&self) {
        self.draining.set(Some(self.ring.now()));
        #[cfg(feature = "service")]
        self.applications.drain.set();
    }

    /// From now on readiness says no, and everything else is as before.
    pub(crate) fn leave(&self) {
        self.leaving.set(true);
    }

    /// Whether the server wants no further requests.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.get() || self.is_draining()
    }

    /// Whether the worker is stopping.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get().is_some()
    }

    /// Awaits a future, or None once the worker is stopping, but not before `grace` milliseconds
    /// have passed since that and since `began`, on the worker's clock; or None once the connection
    /// is idle and was evicted.
    pub(crate) fn unless_draining<F: Future>(
        &self,
        future: F,
        began: u64,
        grace: u64,
    ) -> impl Future<Output = Option<F::Output>> {
        self.unless_drained(future, move |since| since.max(began).saturating_add(grace))
    }

    /// Awaits a future, or None once the worker is stopping and its clock shows what `until` makes of
    /// the time at which that began; or None once the connection is idle and evicted.
    pub(crate) async fn unless_drained<F: Future>(
        &self,
        future: F,
        until: impl Fn(u64) -> u64,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.is_over(&until) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Whether the worker is stopping and its clock shows what `until` makes of the time at which that
    /// began, or the current task's connection is idle and evicted.
    pub(super) fn is_over(&self, until: impl Fn(u64) -> u64) -> bool {
        let draining = self.draining.get();
        draining.is_some_and(|since| self.ring.now() >= until(since)) || self.occupancy.is_evicted()
    }

    /// Makes what is this worker's own of another plan, to be served from [`Self::switch`] on. What
    /// was prepared before is given up.
    pub(crate) fn prepare(&self, plan: &Arc<SitePlan>) {
        let next =
            Generation::new(plan, &self.stores, &self.pools, Some(&self.generation.borrow()));
        self.prepared.replace(Some(Rc::new(next)));
    }

    /// Serves what was prepared, for requests whose route is not chosen yet.
    pub(crate) fn switch(&self) {
        if let Some(next) = self.prepared.take() {
            let Terms { limits, timeouts, .. } = &**next.terms();
            self.stores.set_limits(limits, timeouts);
            self.occupancy.set_handshakes(limits.handshakes);
            self.h2.set_head_bytes(limits.head_bytes);
            self.pools.switch(next.pools().clone());
            self.generation.replace(next);
        }
    }

    /// Gives up what was prepared.
    pub(crate) fn forget(&self) {
        self.prepared.take();
    }

    /// What is served at present. A request that has begun keeps what it took.
    pub(crate) fn generation(&self) -> Rc<Generation> {
        Rc::clone(&self.generation.borrow())
    }

    /// What a handshake demands of a client's certificate that says this of its names.
    pub(super) fn demand(&self, hello: &[u8]) -> Demand {
        self.generation.borrow().demand(hello)
    }

    /// The route that a request takes for its host and path, on a connection whose handshake demanded this
    /// of the client's certificate.
    pub(super) fn choose(&self, host: Option<&[u8]>, path: &[u8], demand: Demand) -> Rc<Served> {
        self.generation.borrow().choose(host, path, demand)
    }

    /// What a request gets whose head is not understood.
    pub(super) fn refusing(&self) -> Rc<Served> {
        self.generation.borrow().refusing()
    }

    /// Whether responders or handlers, which want all fields of a head, answer some requests.
    pub(super) fn wants_all_fields(&self) -> bool {
        #[cfg(feature = "service")]
        if self.handlers.is_some() {
            return true;
        }
        self.generation.borrow().terms().forwarded.is_some() || self.generation.borrow().streams()
    }

    /// Whether some route can open a tunnel.
    pub(super) fn tunnels(&self) -> bool {
        self.generation.borrow().tunnels()
    }

    /// The route of files for a host and a path, whatever else answers there.
    #[cfg(feature = "service")]
    pub(super) fn choose_files(&self, host: Option<&[u8]>, path: &[u8]) -> Rc<Served> {
        self.generation.borrow().choose_files(host, path)
    }

    /// Whether files are served somewhere.
    #[cfg(feature = "service")]
    pub(super) fn has_files(&self) -> bool {
        self.generation.borrow().has_files()
    }

    /// Closes the connection that has gone longest without a whole ClientHello, if one is to make
    /// room. False if there is none.
    pub(crate) fn evict_silent(&self) -> bool {
        let evicted = self.occupancy.evict_silent();
        self.count(|counts| counts.evicted_silent += u64::from(evicted));
        evicted
    }

    /// Closes a silent connection or, if there is none, the one that has waited longest for a request,
    /// if one is to make room. False if there is neither.
    pub(crate) fn evict(&self) -> bool {
        if self.evict_silent() {
            return true;
        }
        let evicted = self.occupancy.evict_idle();
        self.count(|counts| counts.evicted += u64::from(evicted));
        evicted
    }

    /// Whether one more line of the log, of a kind that clients can provoke, may be
    /// written in this second.
    pub(crate) fn may_log(&self) -> bool {
        self.log_limit.allows(self.time.unix_seconds())
    }

    /// Warns of what kept a request from its answer, unless the limit of this second is reached.
    pub(crate) fn warn(&self, what: &dyn std::fmt::Display) {
        if self.may_log() {
            log::warn!("conn: {what}");
        }
    }

    /// Reports that an invariant does not hold, which cost one connection or one answer.
    pub(crate) fn defect(&self, what: &dyn std::fmt::Display) {
        self.count(|counts| counts.defects += 1);
        if self.may_log() {
            log::error!("conn: a defect of this server, please report it: {what}");
        }
    }

    /// Changes the counts.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.borrow_mut());
    }

    /// Begins to compress an answer while it is sent. None if there is no place, no time or no memory for
    /// that: the plain content is right too.
    pub(super) fn begin_encoding(&self, coding: Coding) -> Option<(Encoder, Place)> {
        let place = match self.encoders.take() {
            Ok(place) => place,
            Err(shed) => {
                self.count(|counts| counts.compress_shed += 1);
                self.warn(&shed);
                return None;
            }
        };
        match Encoder::new(coding) {
            Ok(encoder) => {
                self.count_compressed(coding, 1, 0, 0);
                Some((encoder, place))
            }
            Err(error) => {
                self.warn(&format_args!("an answer is not compressed: {error}"));
                None
            }
        }
    }

    /// Counts what an encoder has read and written of an answer that is sent meanwhile.
    pub(super) fn count_encoded(&self, coding: Coding, progress: Progress) {
        let (read, written) = (progress.read as u64, progress.written as u64);
        self.count_compressed(coding, 0, read, written);
        self.observer.compressed(read, written);
    }

    /// Counts bytes of answers that are compressed, before and after that.
    pub(super) fn count_compressed(&self, coding: Coding, answers: u64, before: u64, after: u64) {
        self.count(|counts| {
            let [all, bytes_in, bytes_out] = match coding {
                Coding::Zstandard => {
                    [&mut counts.zstd_answers, &mut counts.zstd_in, &mut counts.zstd_out]
                }
                Coding::Brotli => [&mut counts.br_answers, &mut counts.br_in, &mut counts.br_out],
                Coding::Gzip => {
                    [&mut counts.gzip_answers, &mut counts.gzip_in, &mut counts.gzip_out]
                }
                Coding::Identity => return,
            };
            *all += answers;
            *bytes_in += before;
            *bytes_out += after;
        });
    }

    /// What the worker has done.
    pub(crate) fn counts(&self) -> Counts {
        let (compress_cached, compress_cached_bytes) = self.stores.made();
        let counts = *self.counts.borrow();
        let defects = counts.defects.saturating_add(observe::defects());
        Counts { compress_cached, compress_cached_bytes, defects, ..counts }
    }
}
