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
    /// Connections that ended by a deadline.
    timed_out,
    /// Connections closed as soon as they were accepted, because their address had too many.
    refused_by_address,
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
    /// Streams that were refused with REFUSED_STREAM.
    http2_refused,
    /// Streams that their client reset before their answer was complete.
    http2_reset_by_client,
    /// Streams that this server reset for a fault of the client or of a file.
    http2_reset_by_server,
    /// GOAWAYs without an error: drains and idle connections.
    http2_goaway,
    /// GOAWAYs for a breach of the protocol.
    http2_goaway_errors,
    /// Connections that used up their patience: GOAWAY(ENHANCE_YOUR_CALM).
    http2_floods,
    /// Times that accepting paused for want of descriptors or memory.
    accept_pauses,
}
