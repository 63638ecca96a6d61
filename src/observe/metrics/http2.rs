//! What HTTP/2 has beyond requests: streams, and what costs a client its connection.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use super::{count, counter, gauge};
use crate::observe::Counts;

pub(super) fn totals(counts: &Counts, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    counter(to, "http2_requests", "Requests over HTTP/2", counts.http2_streams)?;
    let open = counts.http2_opened.saturating_sub(counts.http2_closed);
    let help = "Streams that are open: an answer within the turn of its request opens none";
    gauge(to, "http2_streams_open", help, open as f64)?;
    let mut ended = to.encode_descriptor(
        "http2_streams_reset",
        "Streams that ended without their whole answer, by whose doing",
        None,
        MetricType::Counter,
    )?;
    count(&mut ended, &[("by", "client")], counts.http2_reset_by_client)?;
    count(&mut ended, &[("by", "server")], counts.http2_reset_by_server)?;
    count(&mut ended, &[("by", "refusal")], counts.http2_refused)?;
    let help = "Time for which streams with content were held back by shut windows";
    let mut shut =
        to.encode_descriptor("http2_window_shut", help, Some(&Unit::Seconds), MetricType::Counter)?;
    let seconds = counts.http2_window_shut_ms as f64 / 1e3;
    shut.encode_counter::<NoLabelSet, _, u64>(&seconds, None)?;
    let mut away = to.encode_descriptor(
        "http2_goaway",
        "GOAWAYs by their error code",
        None,
        MetricType::Counter,
    )?;
    for (code, value) in [
        ("NO_ERROR", counts.http2_goaway),
        ("PROTOCOL_ERROR", counts.http2_goaway_protocol),
        ("INTERNAL_ERROR", counts.http2_goaway_internal),
        ("FLOW_CONTROL_ERROR", counts.http2_goaway_flow_control),
        ("STREAM_CLOSED", counts.http2_goaway_stream_closed),
        ("FRAME_SIZE_ERROR", counts.http2_goaway_frame_size),
        ("COMPRESSION_ERROR", counts.http2_goaway_compression),
        ("ENHANCE_YOUR_CALM", counts.http2_goaway_calm),
    ] {
        count(&mut away, &[("code", code)], value)?;
    }
    let help = "Connections that ended because their patience was used up";
    counter(to, "http2_floods", help, counts.http2_floods)?;
    let mut patience = to.encode_descriptor(
        "http2_patience_spent",
        "Points of patience that clients have spent, by what costs them",
        None,
        MetricType::Counter,
    )?;
    for (cause, value) in [
        ("cancelled", counts.http2_patience_cancelled),
        ("reset", counts.http2_patience_reset),
        ("refused", counts.http2_patience_refused),
        ("empty_data", counts.http2_patience_empty_data),
        ("control", counts.http2_patience_control),
        ("settings", counts.http2_patience_settings),
        ("ping", counts.http2_patience_ping),
        ("window", counts.http2_patience_window),
        ("small_frame", counts.http2_patience_small_frame),
        ("closed", counts.http2_patience_closed),
    ] {
        count(&mut patience, &[("cause", cause)], value)?;
    }
    Ok(())
}
