//! What a worker has done, in plain numbers.

/// Declares [`Counts`]: a counter for each row.
macro_rules! counts {
    ($($(#[doc = $meaning:literal])+ $name:ident,)*) => {
        /// Counts of one worker since its start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[doc = $meaning])+ pub $name: u64,)*
        }

        impl Counts {
            /// The sum of two workers' counts.
            #[must_use]
            pub fn plus(self, other: Self) -> Self {
                Self { $($name: self.$name + other.$name,)* }
            }

            /// What was added since `earlier`, a copy of the same worker's counts.
            #[must_use]
            pub fn since(self, earlier: Self) -> Self {
                Self { $($name: self.$name.saturating_sub(earlier.$name),)* }
            }
        }
    };
}

counts! {
    /// Connections accepted.
    accepted,
    /// Handshakes completed.
    handshakes,
    /// Of these, resumed from a ticket.
    resumed,
    /// Handshakes that failed or ran out of time.
    failed_handshakes,
    /// Connections whose sending side the kernel seals.
    kernel_transmit,
    /// Connections whose receiving side the kernel opens.
    kernel_receive,
    /// Requests answered, refusals included.
    requests,
    /// Requests that were refused as malformed or too large.
    refused,
    /// Requests that came more often than a rate allows.
    rate_limited,
    /// Requests without a name and password that their route accepts.
    unauthorized,
    /// Answers that were compressed with zstd, a compressed file's among them.
    zstd_answers,
    /// Bytes of their content before that.
    zstd_in,
    /// Bytes of their content after that.
    zstd_out,
    /// The same with br.
    br_answers,
    /// Bytes before.
    br_in,
    /// Bytes after.
    br_out,
    /// The same with gzip.
    gzip_answers,
    /// Bytes before.
    gzip_in,
    /// Bytes after.
    gzip_out,
    /// Answers that were not compressed because the worker, or the thread for files, had enough to do.
    compress_shed,
    /// Contents of files that were compressed once and kept.
    compress_cached,
    /// Bytes of these.
    compress_cached_bytes,
    /// Connections that ended by a deadline.
    timed_out,
    /// Connections closed as soon as they were accepted, because their address had too many.
    refused_by_address,
    /// Connections whose client a balancer announced by a PROXY header.
    announced,
    /// Connections refused for a PROXY header: missing, malformed, or from a peer that is not trusted.
    refused_announcements,
    /// Idle connections that were closed to make room for others.
    evicted,
    /// Connections without a whole ClientHello that were closed to make room for others.
    evicted_silent,
    /// Handshakes that were closed to make room for others: their clients did not go on.
    evicted_handshakes,
    /// Answers and connections that were given up because an invariant of the server did not hold.
    defects,
    /// Requests that came over HTTP/2.
    http2_streams,
    /// Streams that took a place, since their answer did not leave in the turn of their request.
    http2_opened,
    /// Of these, streams whose place is free again.
    http2_closed,
    /// Milliseconds for which content was held back by a window that its client had not opened.
    http2_window_shut_ms,
    /// Points of patience spent on requests that their client cancelled.
    http2_patience_cancelled,
    /// On streams that had to be reset for a fault of their client.
    http2_patience_reset,
    /// On streams beyond the limit.
    http2_patience_refused,
    /// On DATA without content.
    http2_patience_empty_data,
    /// On PRIORITY, PRIORITY_UPDATE, GOAWAY and unknown frames.
    http2_patience_control,
    /// On SETTINGS.
    http2_patience_settings,
    /// On PINGs.
    http2_patience_ping,
    /// On WINDOW_UPDATEs that open little or nothing.
    http2_patience_window,
    /// On DATA that a window has cut short.
    http2_patience_small_frame,
    /// On frames for streams that have ended.
    http2_patience_closed,
    /// Streams that were refused with REFUSED_STREAM.
    http2_refused,
    /// Streams that their client reset before their answer was complete.
    http2_reset_by_client,
    /// Streams that this server reset for a fault of the client or of a file.
    http2_reset_by_server,
    /// GOAWAYs without an error: drains and idle connections.
    http2_goaway,
    /// GOAWAYs with PROTOCOL_ERROR, and with codes that have no count of their own.
    http2_goaway_protocol,
    /// GOAWAYs with INTERNAL_ERROR: defects of this server.
    http2_goaway_internal,
    /// GOAWAYs with FLOW_CONTROL_ERROR.
    http2_goaway_flow_control,
    /// GOAWAYs with STREAM_CLOSED.
    http2_goaway_stream_closed,
    /// GOAWAYs with FRAME_SIZE_ERROR.
    http2_goaway_frame_size,
    /// GOAWAYs with COMPRESSION_ERROR.
    http2_goaway_compression,
    /// GOAWAYs with ENHANCE_YOUR_CALM: patience used up, or a bound on heads or on time.
    http2_goaway_calm,
    /// Connections that used up their patience: GOAWAY(ENHANCE_YOUR_CALM).
    http2_floods,
    /// Times that accepting paused for want of descriptors or memory.
    accept_pauses,
}
