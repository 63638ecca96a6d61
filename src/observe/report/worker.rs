//! A worker in a report: its ring, its loop, its thread.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::{rounded, seconds, stall};
use crate::observe::{RingAccount, Stage, ThreadFigures, WorkerSnapshot, slow::STALL};

/// What a worker's ring and loop did, and where its thread was: in its turns, in sendfile(2), in
/// io_uring_enter(2), waiting for a processor. What the thread ran and did not spend in turns it
/// spent in io_uring_enter(2), there being nothing else in its loop. A worker that did not answer
/// has zeros.
pub(super) fn value(
    number: usize,
    worker: Option<&WorkerSnapshot>,
    thread: Option<ThreadFigures>,
) -> Value {
    let silent = RingAccount::default();
    let ring = worker.map_or(silent, |worker| worker.ring);
    let requests = worker.map_or(0, |worker| worker.counts.requests);
    let per_request = |count: u64| (requests > 0).then(|| rounded(count as f64 / requests as f64));
    let turns = worker.map(|worker| worker.histograms.turns());
    let queue = worker.map(|worker| worker.histograms.stage(Stage::RunQueue));
    let wakes = worker.map(|worker| worker.histograms.wakes());
    let at = |histogram: Option<&Histogram<u64>>, quantile| {
        let histogram = histogram.filter(|histogram| !histogram.is_empty());
        histogram.map(|histogram| histogram.value_at_quantile(quantile))
    };
    let longest = worker.and_then(|worker| Some((worker.longest_stall?, worker.now)));
    let named = ring.calls().map(|(name, count)| (name.to_owned(), count.into()));
    let calls: serde_json::Map<_, _> = named.collect();
    let in_turns = worker.map_or(0, |worker| worker.histograms.turns_sum());
    json!({
        "worker": number,
        "answered": worker.is_some(),
        "connections": worker.map_or(0, |worker| worker.connections),
        "requests": requests,
        "open_requests": worker.map_or(0, |worker| worker.open_requests),
        "enters": ring.enters,
        "submissions": ring.submissions,
        "completions": ring.completions,
        "calls": calls,
        "enters_per_request": per_request(ring.enters),
        "submissions_per_request": per_request(ring.submissions),
        "completions_per_request": per_request(ring.completions),
        "full_queue": ring.full_queue,
        "out_of_buffers": ring.out_of_buffers,
        "re_arms": ring.re_arms,
        "overflows": ring.overflows,
        "refused_enters": ring.refused_enters,
        "completion_overflows": ring.completion_overflows,
        "cancels": ring.cancels,
        "operations_in_flight": ring.in_flight,
        "receive_buffers": ring.receive_buffers,
        "receive_buffers_free": ring.receive_buffers_free,
        "receive_buffers_low_water": ring.receive_buffers_low_water,
        "write_queue_bytes": ring.write_queue_bytes,
        "accept_pauses": worker.map_or(0, |worker| worker.counts.accept_pauses),
        "turns": turns.map_or(0, Histogram::len),
        "wakes": wakes.map_or(0, Histogram::len),
        "lost_ns": worker.map_or(0, |worker| worker.lost),
        "turn_p50_ns": at(turns, 0.5),
        "turn_p99_ns": at(turns, 0.99),
        "turn_max_ns": at(turns, 1.0),
        "run_queue_p50_ns": at(queue, 0.5),
        "run_queue_p99_ns": at(queue, 0.99),
        "run_queue_max_ns": at(queue, 1.0),
        "wake_delay_p50_ns": at(wakes, 0.5),
        "wake_delay_p99_ns": at(wakes, 0.99),
        "wake_delay_max_ns": at(wakes, 1.0),
        "longest_stall": longest.filter(|(stalled, _)| stalled.took >= STALL).map(
            |(stalled, now)| {
                let mut value = stall(stalled);
                let ago = Duration::from_nanos(now.saturating_sub(stalled.ended));
                value["seconds_ago"] = seconds(ago).into();
                value
            },
        ),
        "turn_sum_ns": in_turns,
        "sendfile_ns": worker.map_or(0, |worker| worker.sendfile),
        "cpu_ns": thread.map(|thread| thread.ran),
        "cpu_wait_ns": thread.map(|thread| thread.waited),
        "enter_cpu_ns": thread.map(|thread| thread.in_enter(in_turns)),
        "kernel_workers": thread.map(|thread| thread.kernel_workers),
    })
}
