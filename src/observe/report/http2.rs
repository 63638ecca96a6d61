//! What HTTP/2 has beyond requests, in a report.

use serde_json::{Value, json};

use crate::observe::Counts;

pub(super) fn value(counts: &Counts) -> Value {
    json!({
        "requests": counts.http2_streams,
        "refused": counts.http2_refused,
        "reset_by_client": counts.http2_reset_by_client,
        "reset_by_server": counts.http2_reset_by_server,
        "out_of_patience": counts.http2_floods,
        "window_shut_ms": counts.http2_window_shut_ms,
        "patience": {
            "cancelled": counts.http2_patience_cancelled,
            "reset": counts.http2_patience_reset,
            "refused": counts.http2_patience_refused,
            "empty_data": counts.http2_patience_empty_data,
            "control": counts.http2_patience_control,
            "settings": counts.http2_patience_settings,
            "ping": counts.http2_patience_ping,
            "window": counts.http2_patience_window,
            "small_frame": counts.http2_patience_small_frame,
            "closed": counts.http2_patience_closed,
        },
        "goaway": {
            "NO_ERROR": counts.http2_goaway,
            "PROTOCOL_ERROR": counts.http2_goaway_protocol,
            "INTERNAL_ERROR": counts.http2_goaway_internal,
            "FLOW_CONTROL_ERROR": counts.http2_goaway_flow_control,
            "STREAM_CLOSED": counts.http2_goaway_stream_closed,
            "FRAME_SIZE_ERROR": counts.http2_goaway_frame_size,
            "COMPRESSION_ERROR": counts.http2_goaway_compression,
            "ENHANCE_YOUR_CALM": counts.http2_goaway_calm,
        },
    })
}
