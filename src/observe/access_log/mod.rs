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

pub use writer::{AccessLog, AccessLogError, LogFile, LogHandle, Totals};

use super::slow::Finished;
use crate::monotonic::Monotonic;

/// Batches that each worker has.
const BATCHES: usize = 4;

/// Lines of a batch, at most.
const BATCH_LINES: usize = 512;

/// Bytes of heads in a batch, at most. One more head may stand behind them.
const BATCH_BYTES: usize = 64 << 10;

/// Memory of one worker's batches, at most.
pub const BATCHES_BYTES: usize = BATCHES * (BATCH_LINES * size_of::<Line>() + 2 * BATCH_BYTES);

/// One request.
#[derive(Clone, Debug)]
struct Line {
    finished: Finished,
    peer: Option<SocketAddr>,
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

/// A worker's way to the log.
#[derive(Debug)]
pub struct Feed {
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

    /// Takes a request down, or counts it as dropped.
    pub(super) fn push(&mut self, finished: &Finished, peer: Option<&SocketAddr>, head: &[u8]) {
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
        batch.lines.push(Line { finished: *finished, peer: peer.copied(), head });
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
