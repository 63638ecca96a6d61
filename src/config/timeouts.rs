//! Bounds on time: every wait of a connection has one of these.

use std::time::Duration;

/// Deadlines, each from 1 millisecond to 1 day, and minimum rates. A connection that misses one
/// is closed; each documents what the peer gets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From accept to the end of the TLS handshake. Default 10 s. Beyond: closed without a word.
    /// Less where [`Limits`](super::Limits) `connections` or `handshakes` are used up.
    pub handshake: Duration,
    /// From a request's first byte to the end of its head; for the first request, from the end of
    /// the handshake. Default 10 s. Beyond: 408, or close_notify if no byte came. A server that is
    /// told to stop waits half a second for the end of a head. Beyond: 503.
    pub head: Duration,
    /// From a response's end to the next request's first byte. Default 60 s. Beyond: close_notify.
    pub idle: Duration,
    /// Between two pieces of a request body. Default 10 s. Beyond: 408.
    pub body_progress: Duration,
    /// Bytes per second below which a request body is given up, averaged from its start, after a
    /// first `body_progress` of grace. Default 500; 0 switches it off. Beyond: 408.
    pub body_min_rate: u64,
    /// Between two pieces of content, in either direction, of an HTTP/2 stream on which both sides
    /// speak: its answer has begun before its request has ended, or its Content-Type is that of gRPC. Such
    /// a stream may be silent for longer than `body_progress` and slower than
    /// `body_min_rate`. Default 5 min. Beyond: RST_STREAM(CANCEL). Streams that a pool's server answers
    /// go by the pool's `between` instead.
    pub stream_idle: Duration,
    /// For silence on both sides of a tunnel: a connection of HTTP/1.1 that has switched protocols, or the
    /// stream of an extended CONNECT. Default 1 h. Beyond: closed, or RST_STREAM(CANCEL). Tunnels to a
    /// pool's server go by the pool's `tunnel_idle` instead.
    pub tunnel_idle: Duration,
    /// For opening a file, with its siblings, and reading it into the cache; likewise for listing a
    /// folder, and for a page that stands in for a file that is missing. Default 10 s. Beyond: 503.
    pub process: Duration,
    /// Between two acknowledged advances of a response. Default 30 s. Beyond: reset.
    pub response_stall: Duration,
    /// Bytes per second below which a response is given up, averaged from its start, after a first
    /// `response_stall` of grace. Default 500; 0 switches it off. Beyond: reset.
    pub response_min_rate: u64,
    /// For close_notify to leave, and for the peer's own end after it: what it still sends
    /// meanwhile is dropped, up to 64 MiB, so that no reset overtakes the answer. Default 2 s.
    /// Beyond: closed, which resets a peer that still sends.
    pub close: Duration,
    /// How long a server that has to stop serves on as before, from 0 to 1 hour, while its readiness
    /// says 503, so that balancers which learn late send nothing to a closed address. Default 0.
    pub drain_delay: Duration,
    /// For the requests in flight when the server stops. Default 30 s. Beyond: reset.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body_progress: Duration::from_secs(10),
            body_min_rate: 500,
            stream_idle: Duration::from_secs(300),
            tunnel_idle: Duration::from_secs(3_600),
            process: Duration::from_secs(10),
            response_stall: Duration::from_secs(30),
            response_min_rate: 500,
            close: Duration::from_secs(2),
            drain_delay: Duration::ZERO,
            drain: Duration::from_secs(30),
        }
    }
}
