//! Slow and failed requests as spans of OpenTelemetry, sent to a collector by a thread of their own.
//!
//! The invariant: sending spans never holds up serving. A worker puts a request into a queue with a
//! bound, and only requests that were slow or failed come this far; what finds the queue full is
//! dropped and counted. Spans are made and sent by the thread.

mod exporter;
mod messages;
mod post;
mod request_spans;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::SyncSender,
    },
};

pub use exporter::SpanTotals;
pub(crate) use exporter::{SpanExporter, SpanHandle};

use super::{request::HEAD_KEPT, slow::Finished, trace::Trace};
use crate::{config::memory, monotonic::Monotonic};

/// Requests on their way to the thread, at most.
const QUEUE: usize = 256;

// The memory ceiling has room for the queue, and for the spans that wait for the collector.
const _: () =
    assert!(QUEUE * size_of::<Recorded>() + exporter::PENDING_BYTES <= memory::SPANS_BYTES);

/// A request that was slow or failed.
#[derive(Clone, Debug)]
struct Recorded {
    worker: usize,
    /// When the worker's clock began to run.
    start: Monotonic,
    finished: Finished,
    peer: Option<SocketAddr>,
    head: [u8; HEAD_KEPT],
    head_len: usize,
    trace: Option<Trace>,
}

impl Recorded {
    fn head(&self) -> &[u8] {
        self.head.get(..self.head_len).unwrap_or(&self.head)
    }
}

/// A worker's way to the thread.
#[derive(Debug)]
pub(crate) struct SpanFeed {
    /// From so many nanoseconds on a request is slow.
    slow: u64,
    worker: usize,
    start: Monotonic,
    queue: SyncSender<Recorded>,
    dropped: Arc<AtomicU64>,
}

impl SpanFeed {
    /// The times to come are of a clock that has run since `start`.
    pub(super) fn set_start(&mut self, start: Monotonic) {
        self.start = start;
    }

    /// From so many nanoseconds on a request is slow.
    pub(super) fn slow(&self) -> u64 {
        self.slow
    }

    /// Whether a request becomes a span: it was slow, was answered with a fault of the server, or
    /// ended without its whole answer.
    pub(super) fn wants(&self, finished: &Finished) -> bool {
        !finished.complete || finished.status >= 500 || finished.waited() >= self.slow
    }

    /// Hands a request to the thread, or counts it as dropped. Never waits.
    pub(super) fn push(&self, finished: &Finished, peer: Option<&SocketAddr>, head: &[u8]) {
        let mut recorded = Recorded {
            worker: self.worker,
            start: self.start,
            finished: *finished,
            peer: peer.copied(),
            head: [0; HEAD_KEPT],
            head_len: head.len().min(HEAD_KEPT),
            trace: Trace::of_head(head),
        };
        recorded.head.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
        if self.queue.try_send(recorded).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
