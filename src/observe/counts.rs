//! What a worker has done, in plain numbers.

/// Counts of one worker since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub accepted: u64,
    /// Handshakes completed.
    pub handshakes: u64,
    /// Of these, resumed from a ticket.
    pub resumed: u64,
    /// Handshakes that failed or ran out of time.
    pub failed_handshakes: u64,
    /// Connections whose sending side the kernel seals.
    pub kernel_transmit: u64,
    /// Connections whose receiving side the kernel opens.
    pub kernel_receive: u64,
    /// Requests answered, refusals included.
    pub requests: u64,
    /// Requests that were refused as malformed or too large.
    pub refused: u64,
    /// Connections that ended by a deadline.
    pub timed_out: u64,
    /// Connections closed as soon as they were accepted, because their address had too many.
    pub refused_by_address: u64,
    /// Idle connections that were closed to make room for others.
    pub evicted: u64,
    /// Connections without a whole ClientHello that were closed to make room for others.
    pub evicted_silent: u64,
    /// Handshakes that were closed to make room for others: their clients did not go on.
    pub evicted_handshakes: u64,
    /// Answers and connections that were given up because an invariant of the server did not hold.
    pub defects: u64,
    /// Requests that came over HTTP/2.
    pub http2_streams: u64,
    /// Streams that were refused with REFUSED_STREAM.
    pub http2_refused: u64,
    /// Streams that their client reset before their answer was complete.
    pub http2_reset_by_client: u64,
    /// Streams that this server reset for a fault of the client or of a file.
    pub http2_reset_by_server: u64,
    /// GOAWAYs without an error: drains and idle connections.
    pub http2_goaway: u64,
    /// GOAWAYs for a breach of the protocol.
    pub http2_goaway_errors: u64,
    /// Connections that used up their patience: GOAWAY(ENHANCE_YOUR_CALM).
    pub http2_floods: u64,
    /// Times that accepting paused for want of descriptors or memory.
    pub accept_pauses: u64,
}

impl Counts {
    /// The sum of two workers' counts.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            handshakes: self.handshakes + other.handshakes,
            resumed: self.resumed + other.resumed,
            failed_handshakes: self.failed_handshakes + other.failed_handshakes,
            kernel_transmit: self.kernel_transmit + other.kernel_transmit,
            kernel_receive: self.kernel_receive + other.kernel_receive,
            requests: self.requests + other.requests,
            refused: self.refused + other.refused,
            timed_out: self.timed_out + other.timed_out,
            refused_by_address: self.refused_by_address + other.refused_by_address,
            evicted: self.evicted + other.evicted,
            evicted_silent: self.evicted_silent + other.evicted_silent,
            evicted_handshakes: self.evicted_handshakes + other.evicted_handshakes,
            defects: self.defects + other.defects,
            http2_streams: self.http2_streams + other.http2_streams,
            http2_refused: self.http2_refused + other.http2_refused,
            http2_reset_by_client: self.http2_reset_by_client + other.http2_reset_by_client,
            http2_reset_by_server: self.http2_reset_by_server + other.http2_reset_by_server,
            http2_goaway: self.http2_goaway + other.http2_goaway,
            http2_goaway_errors: self.http2_goaway_errors + other.http2_goaway_errors,
            http2_floods: self.http2_floods + other.http2_floods,
            accept_pauses: self.accept_pauses + other.accept_pauses,
        }
    }
}
