//! A worker in a report: its ring, its loop, its thread.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::{push_stall, rounded, seconds};
use crate::observe::{Stage, ThreadFigures, WorkerSnapshot, json::Object, slow::STALL};

/// Appends what a worker's ring and loop did.
pub(super) fn push_worker(object: &mut Object<'_>, number: usize, worker: Option<&WorkerSnapshot>) {
    object.number("worker", number as u64);
    object.boolean("answered", worker.is_some());
    let ring = worker.map(|worker| worker.ring).unwrap_or_default();
    let requests = worker.map_or(0, |worker| worker.counts.requests);
    let per_request =
        |count: u64| if requests == 0 { f64::NAN } else { rounded(count as f64 / requests as f64) };
    object.number("connections", worker.map_or(0, |worker| worker.connections as u64));
    object.number("requests", requests);
    object.number("open_requests", worker.map_or(0, |worker| u64::from(worker.open_requests)));
    object.number("enters", ring.enters);
    object.number("submissions", ring.submissions);
    object.number("completions", ring.completions);
    object.float("enters_per_request", per_request(ring.enters));
    object.float("submissions_per_request", per_request(ring.submissions));
    object.float("completions_per_request", per_request(ring.completions));
    object.number("full_queue", ring.full_queue);
    object.number("out_of_buffers", ring.out_of_buffers);
    object.number("re_arms", ring.re_arms);
    object.number("overflows", ring.overflows);
    object.number("refused_enters", ring.refused_enters);
    object.number("completion_overflows", ring.completion_overflows);
    object.number("cancels", ring.cancels);
    object.number("operations_in_flight", u64::from(ring.in_flight));
    object.number("receive_buffers", u64::from(ring.receive_buffers));
    object.number("receive_buffers_free", u64::from(ring.receive_buffers_free));
    object.number("receive_buffers_low_water", u64::from(ring.receive_buffers_low_water));
    object.number("write_queue_bytes", ring.write_queue_bytes);
    object.number("accept_pauses", worker.map_or(0, |worker| worker.counts.accept_pauses));
    let turns = worker.map(|worker| worker.histograms.turns());
    let queue = worker.map(|worker| worker.histograms.stage(Stage::RunQueue));
    object.number("turns", turns.map_or(0, Histogram::len));
    let wakes = worker.map(|worker| worker.histograms.wakes());
    object.number("wakes", wakes.map_or(0, Histogram::len));
    object.number("lost_ns", worker.map_or(0, |worker| worker.lost));
    for (name, histogram) in [("turn", turns), ("run_queue", queue), ("wake_delay", wakes)] {
        let histogram = histogram.filter(|histogram| !histogram.is_empty());
        for (quantile, value) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let value = histogram.map(|histogram| histogram.value_at_quantile(value));
            object.number_or_null(&format!("{name}_{quantile}_ns"), value);
        }
    }
    match worker.and_then(|worker| Some((worker.longest_stall?, worker.now))) {
        Some((stall, now)) if stall.took >= STALL => object.object("longest_stall", |each| {
            push_stall(each, stall);
            let ago = Duration::from_nanos(now.saturating_sub(stall.ended));
            each.float("seconds_ago", seconds(ago));
        }),
        _ => object.null("longest_stall"),
    }
}

/// Where a worker's thread was: in its turns, in sendfile(2), in io_uring_enter(2), waiting for a
/// processor. What it ran and did not spend in turns it spent in io_uring_enter(2), there being
/// nothing else in its loop.
pub(super) fn push_thread(
    object: &mut Object<'_>,
    worker: Option<&WorkerSnapshot>,
    thread: Option<ThreadFigures>,
) {
    let turns = worker.map_or(0, |worker| worker.histograms.turns_sum());
    object.number("turn_sum_ns", turns);
    object.number("sendfile_ns", worker.map_or(0, |worker| worker.sendfile));
    object.number_or_null("cpu_ns", thread.map(|thread| thread.ran));
    object.number_or_null("cpu_wait_ns", thread.map(|thread| thread.waited));
    object.number_or_null("enter_cpu_ns", thread.map(|thread| thread.in_enter(turns)));
    object.number_or_null("kernel_workers", thread.map(|thread| thread.kernel_workers as u64));
}
