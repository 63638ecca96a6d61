//! What one worker notes of itself.
//!
//! The invariant: it belongs to its worker's thread, so noting takes neither a lock nor an atomic;
//! it allocates nothing per request; and all its memory is bounded ([`OBSERVER_BYTES`], and the
//! store of requests that are not done). Other threads get a copy, by asking the worker for a
//! [`WorkerSnapshot`].

mod turns;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::{
    Coarse, Counts, End, Endpoints, Ends, Ledger, PassedOn, RingAccount, Slow, Stage, Statuses,
    Taken, Work,
    access_log::{BATCHES_BYTES, Feed},
    defect,
    histograms::{HISTOGRAMS_BYTES, Histograms, Recorder},
    lateness::Lateness,
    open_requests::{OPEN_REQUEST_BYTES, OpenRequests},
    processor::Processor,
    request::{HEAD_LOGGED, OpenRequest, Parts},
    slow::{Slowest, Stall},
    spans::SpanFeed,
    stage::REQUEST_STAGES,
    streams::{ConnectionStreams, Multiplexing},
};
use crate::{config::memory, tick_clock::TickClock};

/// Memory of one worker's observer, without its requests that are not done.
pub(crate) const OBSERVER_BYTES: usize = HISTOGRAMS_BYTES
    + Ends::BYTES
    + Statuses::BYTES
    + Endpoints::BYTES
    + 2 * Coarse::BYTES
    + (96 << 10);

// The memory ceiling has room for all of it.
const _: () = {
    assert!(OBSERVER_BYTES + BATCHES_BYTES <= memory::OBSERVER_BYTES);
    assert!(OPEN_REQUEST_BYTES <= memory::OPEN_REQUEST_BYTES);
    assert!(HEAD_LOGGED <= memory::LOGGED_HEAD_BYTES);
};

/// The slowest requests of all are those above this quantile of the total.
pub(crate) const TAIL: f64 = 0.99;

/// So many requests end before the tail's threshold is worked out anew, and what is too old is
/// forgotten.
pub(super) const LOOK_BACK_EVERY: u64 = 1024;

/// How the time of the slowest requests divides.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Tail {
    /// What a request took at least to be one of them, at present, in nanoseconds; 0: there have
    /// not been enough requests.
    pub threshold: u64,
    /// How many there were.
    pub requests: u64,
    /// Their time by stage, in nanoseconds.
    pub parts: [u64; REQUEST_STAGES.len()],
}

impl Tail {
    /// Enters a request, if it is one of the slowest; says whether it is.
    #[inline]
    fn enter(&mut self, parts: &Parts, total: u64) -> bool {
        let is_in = total >= self.threshold && self.threshold > 0;
        if is_in {
            self.hold(parts);
        }
        is_in
    }

    #[cold]
    fn hold(&mut self, parts: &Parts) {
        self.requests += 1;
        for (sum, time) in self.parts.iter_mut().zip(parts) {
            *sum += time;
        }
    }

    /// What was added since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let mut since = *self;
        since.requests = since.requests.saturating_sub(earlier.requests);
        for (part, before) in since.parts.iter_mut().zip(earlier.parts) {
            *part = part.saturating_sub(before);
        }
        since
    }

    /// Adds another worker's. The threshold is then the higher one.
    pub fn add(&mut self, other: &Self) {
        self.threshold = self.threshold.max(other.threshold);
        self.requests += other.requests;
        for (sum, more) in self.parts.iter_mut().zip(other.parts) {
            *sum += more;
        }
    }
}

/// A copy of what one worker has noted.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WorkerSnapshot {
    /// Durations by stage.
    pub histograms: Histograms,
    /// The slowest requests.
    pub tail: Tail,
    /// What the requests of each endpoint of an application took.
    pub endpoints: Endpoints,
    /// Which bytes went through which hands.
    pub ledger: Ledger,
    /// What the worker has done.
    pub counts: Counts,
    /// What its ring has done.
    pub ring: RingAccount,
    /// Connections that are open.
    pub connections: usize,
    /// Requests that are not done.
    pub open_requests: u32,
    /// The open streams of connections that have most of them, over HTTP/2.
    pub streams: Vec<ConnectionStreams>,
    /// Requests that found no clock.
    pub unobserved: u64,
    /// The slowest requests of the last minutes, of those that have not been collected.
    pub slowest: Vec<Slow>,
    /// How often connections and requests ended otherwise than by a complete answer.
    pub ends: Ends,
    /// Complete answers by status.
    pub statuses: Statuses,
    /// Durations of what was aborted.
    pub aborted: Coarse,
    /// Durations of what a deadline ended.
    pub timed_out: Coarse,
    /// The longest turn of the loop.
    pub longest_stall: Option<Stall>,
    /// The longest one since the slowest requests were collected.
    pub recent_stall: Option<Stall>,
    /// Nanoseconds in sendfile(2).
    pub sendfile: u64,
    /// Nanoseconds in which the worker did not run although it had something to do.
    pub lost: u64,
    /// The worker's thread, as the kernel names it.
    pub thread: u32,
    /// The worker's clock, in nanoseconds.
    pub now: u64,
}

/// What one worker notes of itself.
#[derive(Debug)]
pub(crate) struct Observer {
    enabled: bool,
    time: Rc<TickClock>,
    /// What the clock shows, if a script says it.
    #[cfg(any(test, feature = "fuzzing"))]
    scripted: Cell<Option<u64>>,
    turn_began: Cell<u64>,
    turns: Cell<u64>,
    finished: Cell<u64>,
    unobserved: Cell<u64>,
    sendfile: Cell<u64>,
    processor: Processor,
    late: Lateness,
    /// Time in which the worker did not run although it had something to do, as far as is known.
    lost: Cell<u64>,
    /// When the worker wakes at the latest; 0: not known.
    due: Cell<u64>,
    pub(super) connections: Cell<usize>,
    /// The connections that have open streams, over HTTP/2.
    pub(super) multiplexing: Multiplexing,
    /// Connections that were accepted.
    accepted: Cell<u64>,
    /// Tasks are dropped, because the worker ends.
    ending: Cell<bool>,
    /// Bytes of each head that are kept to be logged.
    pub(super) logged: usize,
    /// Time of this turn by what it was spent in.
    spent: [Cell<u64>; Work::COUNT],
    pub(super) noted: RefCell<Noted>,
}

#[derive(Debug)]
pub(super) struct Noted {
    pub(super) recorder: Recorder,
    pub(super) ledger: Ledger,
    pub(super) open: OpenRequests,
    pub(super) log: Option<Feed>,
    pub(super) spans: Option<SpanFeed>,
    pub(super) tail: Tail,
    pub(super) endpoints: Endpoints,
    pub(super) slowest: Slowest,
    pub(super) ends: Ends,
    pub(super) statuses: Statuses,
    /// Requests and handshakes that did not complete: the client or the network ended them, or a
    /// deadline did.
    pub(super) aborted: Coarse,
    pub(super) timed_out: Coarse,
}

impl Observer {
    /// Begins on the worker's thread, with its clock. At most `requests` are observed at a time. If not
    /// `enabled`, nothing is noted and the clock is not read.
    pub(crate) fn new(
        enabled: bool,
        time: Rc<TickClock>,
        requests: usize,
        log: Option<Feed>,
    ) -> Self {
        let mut log = log;
        if let Some(log) = &mut log {
            log.set_start(time.start());
        }
        let logged = if log.is_some() { HEAD_LOGGED } else { 0 };
        Self {
            enabled,
            time,
            #[cfg(any(test, feature = "fuzzing"))]
            scripted: Cell::new(None),
            turn_began: Cell::new(0),
            turns: Cell::new(0),
            finished: Cell::new(0),
            unobserved: Cell::new(0),
            sendfile: Cell::new(0),
            processor: Processor::of_this_thread(),
            late: Lateness::new(),
            lost: Cell::new(0),
            due: Cell::new(0),
            connections: Cell::new(0),
            multiplexing: Multiplexing::default(),
            accepted: Cell::new(0),
            ending: Cell::new(false),
            logged,
            spent: [const { Cell::new(0) }; Work::COUNT],
            noted: RefCell::new(Noted {
                recorder: Recorder::default(),
                ledger: Ledger::default(),
                open: OpenRequests::new(requests),
                log,
                spans: None,
                tail: Tail::default(),
                endpoints: Endpoints::default(),
                slowest: Slowest::default(),
                ends: Ends::default(),
                statuses: Statuses::default(),
                aborted: Coarse::default(),
                timed_out: Coarse::default(),
            }),
        }
    }

    /// Slow and failed requests become spans.
    #[must_use]
    pub(crate) fn with_spans(mut self, spans: Option<SpanFeed>) -> Self {
        let start = self.time.start();
        let noted = self.noted.get_mut();
        if let Some(mut spans) = spans {
            spans.set_start(start);
            noted.slowest.look_at(spans.slow());
            noted.spans = Some(spans);
            // The trace that a request is a part of stands anywhere in its head.
            self.logged = HEAD_LOGGED;
        }
        self
    }

    /// Whether anything is noted.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether requests are logged or become spans, so that peers' addresses are wanted.
    pub(crate) fn logs(&self) -> bool {
        let noted = self.noted.borrow();
        noted.log.is_some() || noted.spans.is_some()
    }

    /// The worker's clock, in nanoseconds; 0 if nothing is noted.
    pub(crate) fn now(&self) -> u64 {
        #[cfg(any(test, feature = "fuzzing"))]
        if let Some(now) = self.scripted.get().filter(|_| self.enabled) {
            return now;
        }
        if self.enabled { self.time.now() } else { 0 }
    }

    /// What the worker's clock showed when it was last read, in this turn; 0 if nothing is noted. For
    /// moments that follow a reading at once.
    #[inline]
    pub(super) fn just_now(&self) -> u64 {
        #[cfg(any(test, feature = "fuzzing"))]
        if let Some(now) = self.scripted.get().filter(|_| self.enabled) {
            return now;
        }
        if self.enabled { self.time.latest() } else { 0 }
    }

    /// From now on the clock shows this, in nanoseconds.
    #[cfg(any(test, feature = "fuzzing"))]
    #[doc(hidden)]
    pub(crate) fn script_clock(&self, now: u64) {
        self.scripted.set(Some(now));
    }

    /// When the present turn began.
    pub(super) fn turn_began(&self) -> u64 {
        self.turn_began.get()
    }

    /// Requests that have ended, and turns so far.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.finished.get(), self.turns.get())
    }

    /// Time of the worker went to `work`, from `began` until now. Says how much.
    pub(crate) fn spend(&self, work: Work, began: u64) -> u64 {
        if !self.enabled {
            return 0;
        }
        let passed = self.now().saturating_sub(began);
        self.spent(work, passed);
        passed
    }

    /// Content of a request was handed to an application: so many bytes where they lie, and so many by a
    /// copy.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(crate) fn handed_over(&self, lent: u64, copied: u64) {
        if self.enabled {
            let taken = Taken { lent, copied_for_application: copied, ..Taken::default() };
            self.noted.borrow_mut().ledger.received(taken);
        }
    }

    /// Request content was passed on to servers of pools.
    pub(crate) fn passed_on(&self, more: PassedOn) {
        if self.enabled && more != PassedOn::default() {
            self.noted.borrow_mut().ledger.passed_on(more);
        }
    }

    /// An encoder has read so many bytes of an answer's content, and written so many.
    pub(crate) fn compressed(&self, read: u64, written: u64) {
        if self.enabled {
            self.noted.borrow_mut().ledger.compressed(read, written);
        }
    }

    /// So much time went to `work`.
    #[inline]
    pub(super) fn spent(&self, work: Work, nanoseconds: u64) {
        match work.place() {
            Some(place) => self.spent[place].set(self.spent[place].get() + nanoseconds),
            None => defect("the time of a turn was booked to what is not measured by turn"),
        }
    }

    /// One more connection was accepted. Returns its number, from 1.
    pub(super) fn next_connection(&self) -> u64 {
        let number = self.accepted.get() + 1;
        self.accepted.set(number);
        number
    }

    /// From now on tasks are dropped, because the worker ends.
    pub(crate) fn ends(&self) {
        self.ending.set(true);
    }

    /// Whether tasks are dropped because the worker ends.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// A request found no clock.
    pub(super) fn missed(&self) {
        self.unobserved.set(self.unobserved.get() + 1);
    }

    /// Hands gathered lines to the log's thread.
    pub(crate) fn flush_log(&self) {
        if let Some(log) = &mut self.noted.borrow_mut().log {
            log.hand_over();
        }
    }

    /// One more request has ended. Says how many.
    pub(super) fn count_end(&self) -> u64 {
        let count = self.finished.get() + 1;
        self.finished.set(count);
        count
    }

    /// The slowest requests have been collected from a snapshot: those to come are compared anew.
    pub(crate) fn collected(&self) {
        self.noted.borrow_mut().slowest.collected();
    }

    /// A copy of all that was noted, beside what the worker knows otherwise.
    pub(crate) fn snapshot(
        &self,
        counts: &Counts,
        ring: RingAccount,
        connections: usize,
    ) -> WorkerSnapshot {
        let now = self.now();
        let noted = &mut *self.noted.borrow_mut();
        noted.slowest.forget(now);
        let snapshot = WorkerSnapshot {
            histograms: noted.recorder.histograms(),
            tail: noted.tail,
            endpoints: noted.endpoints.clone(),
            ledger: noted.ledger.clone(),
            counts: *counts,
            ring,
            connections,
            open_requests: noted.open.open() as u32,
            streams: self.multiplexing.report(),
            unobserved: self.unobserved.get(),
            slowest: noted.slowest.kept().copied().collect(),
            ends: noted.ends.clone(),
            statuses: noted.statuses.clone(),
            aborted: noted.aborted.clone(),
            timed_out: noted.timed_out.clone(),
            longest_stall: noted.slowest.longest_stall(),
            recent_stall: noted.slowest.recent_stall(),
            sendfile: self.sendfile.get(),
            lost: self.lost(),
            thread: rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs(),
            now,
        };
        self.spent(Work::Snapshot, self.now().saturating_sub(now));
        snapshot
    }
}

impl Noted {
    /// Enters the durations of a request whose answer has left.
    #[inline]
    pub(super) fn enter(&mut self, request: &OpenRequest, total: u64) {
        let Self { recorder, tail, .. } = self;
        let parts = request.parts();
        recorder.record_request(request.first_byte, total, parts);
        // What was not passed is filled up when somebody looks: most requests pass few stages.
        if request.has_seldom_parts() {
            recorder.record_seldom(request);
        }
        let in_tail = tail.enter(parts, total);
        if let Some(endpoint) = request.has_particulars().map(|particulars| particulars.endpoint)
            && endpoint.is_named()
        {
            self.endpoints.enter(endpoint, parts, total, in_tail);
        }
    }

    /// Enters the durations of a request that ended without its answer, or with a part of it.
    #[cold]
    pub(super) fn enter_incomplete(&mut self, end: End, parts: &Parts, total: u64) {
        let into = if end.why.is_deadline() { &mut self.timed_out } else { &mut self.aborted };
        into.record(Stage::Total, total);
        for (stage, time) in REQUEST_STAGES.into_iter().zip(parts) {
            into.record(stage, *time);
        }
        self.tail.enter(parts, total);
    }

    /// Enters the duration of a handshake that failed.
    #[cold]
    pub(super) fn enter_failed_handshake(&mut self, end: End, lasted: u64) {
        let into = if end.why.is_deadline() { &mut self.timed_out } else { &mut self.aborted };
        into.record(Stage::HandshakeFull, lasted);
    }

    /// So many have ended.
    #[cold]
    pub(super) fn look_back(&mut self, ended: u64) {
        self.slowest.forget(ended);
        self.tail.threshold = self.recorder.above(Stage::Total, 1.0 - TAIL).max(1);
    }
}
