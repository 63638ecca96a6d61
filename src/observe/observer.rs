//! What one worker notes of itself.
//!
//! The invariant: it belongs to its worker's thread, so noting takes neither a lock nor an atomic;
//! it allocates nothing per request; and all its memory is bounded ([`OBSERVER_BYTES`], and the
//! store of requests that are not done). Other threads get a copy, by asking the worker for a
//! [`WorkerSnapshot`].

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    time::Instant,
};

use super::{
    Counts, Ledger, RingAccount, Slow, Stage,
    access_log::{BATCHES_BYTES, Feed},
    histograms::{HISTOGRAMS_BYTES, Histograms},
    request::{HEAD_KEPT, HEAD_LOGGED, OPEN_REQUEST_BYTES, OpenRequests, Queue},
    slow::{Finished, STALL, Slowest, Stall},
    stage::REQUEST_STAGES,
};
use crate::config::memory;

/// Memory of one worker's observer, without its requests that are not done.
pub const OBSERVER_BYTES: usize = HISTOGRAMS_BYTES + (64 << 10);

// The memory ceiling has room for all of it.
const _: () = {
    assert!(OBSERVER_BYTES + BATCHES_BYTES <= memory::OBSERVER_BYTES);
    assert!(OPEN_REQUEST_BYTES + HEAD_KEPT <= memory::OPEN_REQUEST_BYTES);
    assert!(HEAD_LOGGED <= memory::LOGGED_HEAD_BYTES);
};

/// The slowest requests of all are those above this quantile of the total.
pub const TAIL: f64 = 0.99;

/// So many requests end before the tail's threshold is worked out anew.
const TAIL_EVERY: u64 = 1024;

/// How the time of the slowest requests divides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tail {
    /// What a request took at least to be one of them, at present, in nanoseconds; 0: there have
    /// not been enough requests to tell.
    pub threshold: u64,
    /// How many there were.
    pub requests: u64,
    /// Their time by stage, in nanoseconds.
    pub parts: [u64; REQUEST_STAGES.len()],
}

impl Tail {
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
#[derive(Clone, Debug)]
pub struct WorkerSnapshot {
    /// Durations by stage.
    pub histograms: Histograms,
    /// The slowest requests.
    pub tail: Tail,
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
    /// Requests that found no clock.
    pub unobserved: u64,
    /// The slowest requests of the last minutes.
    pub slowest: Vec<Slow>,
    /// The longest turn of the loop.
    pub longest_stall: Option<Stall>,
    /// The worker's clock, in nanoseconds.
    pub now: u64,
}

/// What one worker notes of itself.
#[derive(Debug)]
pub struct Observer {
    enabled: bool,
    start: Instant,
    /// What the clock shows, if a script says it.
    #[cfg(any(test, feature = "fuzzing"))]
    scripted: Cell<Option<u64>>,
    turn_began: Cell<u64>,
    turns: Cell<u64>,
    finished: Cell<u64>,
    unobserved: Cell<u64>,
    pub(super) connections: Cell<usize>,
    pub(super) noted: RefCell<Noted>,
}

#[derive(Debug)]
pub(super) struct Noted {
    pub(super) histograms: Histograms,
    pub(super) ledger: Ledger,
    pub(super) open: OpenRequests,
    pub(super) log: Option<Feed>,
    tail: Tail,
    slowest: Slowest,
    /// Time of this turn by what it was spent in.
    spent: [u64; Stage::COUNT],
}

impl Observer {
    /// Begins, with the worker's clock that has run since `start`. At most `requests` are
    /// observed at a time. If not `enabled`, nothing is noted and the clock is not read.
    pub fn new(enabled: bool, start: Instant, requests: usize, log: Option<Feed>) -> Self {
        let mut log = log;
        if let Some(log) = &mut log {
            log.set_start(start);
        }
        let head_bytes = if log.is_some() { HEAD_LOGGED } else { HEAD_KEPT };
        Self {
            enabled,
            start,
            #[cfg(any(test, feature = "fuzzing"))]
            scripted: Cell::new(None),
            turn_began: Cell::new(0),
            turns: Cell::new(0),
            finished: Cell::new(0),
            unobserved: Cell::new(0),
            connections: Cell::new(0),
            noted: RefCell::new(Noted {
                histograms: Histograms::default(),
                ledger: Ledger::default(),
                open: OpenRequests::new(requests, head_bytes),
                log,
                tail: Tail::default(),
                slowest: Slowest::default(),
                spent: [0; Stage::COUNT],
            }),
        }
    }

    /// Whether anything is noted.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether requests are logged, so that peers' addresses are wanted.
    pub fn logs(&self) -> bool {
        self.noted.borrow().log.is_some()
    }

    /// The worker's clock, in nanoseconds; 0 if nothing is noted.
    pub fn now(&self) -> u64 {
        #[cfg(any(test, feature = "fuzzing"))]
        if let Some(now) = self.scripted.get().filter(|_| self.enabled) {
            return now;
        }
        if self.enabled { self.start.elapsed().as_nanos() as u64 } else { 0 }
    }

    /// From now on the clock shows this, in nanoseconds.
    #[cfg(any(test, feature = "fuzzing"))]
    #[doc(hidden)]
    pub fn script_clock(&self, now: u64) {
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

    /// A turn begins. The last one took `busy` nanoseconds and ended just before.
    pub fn turn(&self, began: u64, busy: u64) {
        if !self.enabled {
            return;
        }
        let ended = self.turn_began.replace(began) + busy;
        self.turns.set(self.turns.get() + 1);
        let noted = &mut *self.noted.borrow_mut();
        noted.histograms.record_turn(busy);
        if busy >= STALL {
            let most = Stage::ALL.into_iter().max_by_key(|stage| noted.spent[stage.index()]);
            let stage = most.filter(|stage| noted.spent[stage.index()] * 2 >= busy);
            noted.slowest.stalled(Stall { ended, took: busy, stage });
        }
        noted.spent = [0; Stage::COUNT];
    }

    /// Time of the worker went to `stage`, from `began` until now. Says how much.
    pub fn spend(&self, stage: Stage, began: u64) -> u64 {
        if !self.enabled {
            return 0;
        }
        let passed = self.now().saturating_sub(began);
        self.noted.borrow_mut().spent[stage.index()] += passed;
        passed
    }

    /// A request found no clock.
    pub(super) fn missed(&self) {
        self.unobserved.set(self.unobserved.get() + 1);
    }

    /// Hands what is to be logged to the log's thread.
    pub fn flush_log(&self) {
        if let Some(log) = &mut self.noted.borrow_mut().log {
            log.hand_over();
        }
    }

    /// Enters the end of the oldest request of a connection.
    pub(super) fn finish(
        &self,
        noted: &mut Noted,
        queue: Queue,
        finished: Finished,
        peer: Option<&SocketAddr>,
    ) {
        let count = self.finished.get() + 1;
        self.finished.set(count);
        if finished.complete {
            noted.enter(&finished, count);
        }
        let Noted { open, slowest, log, .. } = noted;
        let Some(request) = open.first(queue) else { return };
        if let Some(log) = log {
            log.push(&finished, peer, &request.head);
        }
        if slowest.wants(finished.total) {
            slowest.keep(finished, &request.head, self.connections.get());
        }
    }

    /// A copy of all that was noted, beside what the worker knows otherwise.
    pub fn snapshot(
        &self,
        counts: Counts,
        ring: RingAccount,
        connections: usize,
    ) -> WorkerSnapshot {
        let noted = &mut *self.noted.borrow_mut();
        let now = self.now();
        noted.slowest.forget(now);
        let mut histograms = noted.histograms.clone();
        histograms.fill_up();
        WorkerSnapshot {
            histograms,
            tail: noted.tail,
            ledger: noted.ledger.clone(),
            counts,
            ring,
            connections,
            open_requests: noted.open.open(),
            unobserved: self.unobserved.get(),
            slowest: noted.slowest.kept().to_vec(),
            longest_stall: noted.slowest.longest_stall(),
            now,
        }
    }
}

impl Noted {
    pub(super) fn spent(&mut self, stage: Stage, nanoseconds: u64) {
        self.spent[stage.index()] += nanoseconds;
    }

    fn enter(&mut self, finished: &Finished, count: u64) {
        let histograms = &mut self.histograms;
        histograms.record(Stage::FirstByte, finished.first_byte);
        histograms.record(Stage::Total, finished.total);
        for (stage, time) in REQUEST_STAGES.into_iter().zip(finished.parts) {
            // What was not passed is filled up when somebody looks.
            if time > 0 {
                histograms.record(stage, time);
            }
        }
        if self.tail.threshold > 0 && finished.total >= self.tail.threshold {
            self.tail.requests += 1;
            for (sum, time) in self.tail.parts.iter_mut().zip(finished.parts) {
                *sum += time;
            }
        }
        if count.is_multiple_of(TAIL_EVERY) {
            self.tail.threshold =
                self.histograms.stage(Stage::Total).value_at_quantile(TAIL).max(1);
            self.slowest.forget(finished.ended);
        }
    }
}
