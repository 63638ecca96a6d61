//! The access log: a line for each request, written by a thread of its own.
//!
//! The invariant: logging never holds up serving. A worker puts a request's times and the
//! beginning of its head into a batch; batches travel to the log's thread and come back empty, a
//! fixed number of them for each worker. While none is free, which is so when the disk is full
//! or slow, lines are dropped and counted. Heads are taken apart and lines are formatted by the
//! log's thread.

mod format;
mod writer;

use std::{
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender},
    },
};

pub(crate) use writer::{AccessLog, LogFile, LogHandle};
pub use writer::{AccessLogError, Totals};

use super::slow::Finished;
use crate::monotonic::Monotonic;

/// Batches that each worker has.
const BATCHES: usize = 4;

/// Lines of a batch, at most.
const BATCH_LINES: usize = 512;

/// Bytes of heads in a batch, at most. One more head may stand behind them.
const BATCH_BYTES: usize = 64 << 10;

/// Memory of one worker's batches, at most.
pub(crate) const BATCHES_BYTES: usize =
    BATCHES * (BATCH_LINES * size_of::<Line>() + 2 * BATCH_BYTES);

/// One request.
#[derive(Clone, Debug)]
struct Line {
    finished: Finished,
    peer: Option<SocketAddr>,
    /// It stands for so many that are like it.
    one_in: u32,
    head: Range<usize>,
}

/// Requests on their way to the log's thread.
#[derive(Debug)]
struct Batch {
    worker: usize,
    /// When the worker's clock began to run.
    start: Monotonic,
    lines: Vec<Line>,
    heads: Vec<u8>,
}

impl Batch {
    fn new(worker: usize) -> Self {
        let start = Monotonic::now();
        Self { worker, start, lines: Vec::with_capacity(BATCH_LINES), heads: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= BATCH_LINES || self.heads.len() >= BATCH_BYTES
    }
}

/// Commands to the log's thread.
#[derive(Debug)]
enum Message {
    Batch(Batch),
    Reopen,
    End,
}

/// Which requests are logged: all that were slow or failed, and one in so many of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Of requests that were neither slow nor failed, one in so many; at least 1.
    pub one_in: u32,
    /// Nanoseconds from which a request is slow.
    pub slow: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { one_in: 1, slow: 0 }
    }
}

/// A worker's way to the log.
#[derive(Debug)]
pub(crate) struct Feed {
    rules: Rules,
    /// Requests that were passed over since the last one that stands for them.
    passed_over: u32,
    start: Monotonic,
    filling: Option<Batch>,
    empty: Receiver<Batch>,
    full: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Feed {
    /// The times to come are of a clock that has run since `start`.
    pub(super) fn set_start(&mut self, start: Monotonic) {
        self.start = start;
    }

    /// Whether a request is logged whose answer left, with this status and after so many
    /// nanoseconds. `ended` says that it was refused.
    #[inline]
    pub(super) fn wants(&mut self, status: u16, total: u64, ended: bool) -> bool {
        if self.rules.one_in == 1 || self.always(status, total, ended) {
            return true;
        }
        self.passed_over += 1;
        if self.passed_over < self.rules.one_in {
            return false;
        }
        self.passed_over = 0;
        true
    }

    fn always(&self, status: u16, total: u64, ended: bool) -> bool {
        ended || status >= 500 || total >= self.rules.slow
    }

    /// Takes a request down, or counts it as dropped.
    pub(super) fn push(&mut self, finished: &Finished, peer: Option<&SocketAddr>, head: &[u8]) {
        let all = !finished.complete
            || self.always(finished.status, finished.total, finished.end.is_some());
        let one_in = if all { 1 } else { self.rules.one_in };
        if self.filling.is_none() {
            self.filling = self.empty.try_recv().ok();
            if let Some(batch) = &mut self.filling {
                batch.start = self.start;
            }
        }
        let Some(batch) = &mut self.filling else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let from = batch.heads.len();
        batch.heads.extend_from_slice(head);
        let head = from..batch.heads.len();
        batch.lines.push(Line { finished: *finished, peer: peer.copied(), one_in, head });
        if batch.is_full() {
            self.hand_over();
        }
    }

    /// Sends what was taken down to the log's thread. Never waits: the queue has room for every
    /// batch that there is.
    pub(super) fn hand_over(&mut self) {
        let Some(batch) = self.filling.take_if(|batch| !batch.lines.is_empty()) else { return };
        let lines = batch.lines.len() as u64;
        if self.full.try_send(Message::Batch(batch)).is_err() {
            self.dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.hand_over();
    }
}
