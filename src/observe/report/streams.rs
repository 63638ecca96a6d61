//! The open streams of a connection in a report.

use serde_json::{Value, json};

use super::each;
use crate::observe::{StreamNow, StreamsOnWorker};

pub(super) fn value(on: &StreamsOnWorker) -> Value {
    let streams = &on.streams;
    json!({
        "connection": format!("{}-{}", on.worker, streams.connection),
        "open": streams.open,
        "window_bytes": streams.window,
        "streams": each(&streams.streams, |open| stream(open, on.now)),
    })
}

/// A stream as it was at `now` on its worker's clock.
pub(super) fn stream(open: &StreamNow, now: u64) -> Value {
    json!({
        "stream": open.stream,
        "stage": open.stage.name(),
        "stage_ns": now.saturating_sub(open.entered),
        "open_ns": now.saturating_sub(open.arrived),
        "bytes": open.bytes,
        "window_bytes": open.window,
    })
}
