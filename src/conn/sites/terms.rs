//! The bounds that a configuration sets to connections and requests.
//!
//! A request takes those of the configuration that its head met; what belongs to a connection (its
//! handshake, its idle time, its close) goes by the configuration of the moment at which it begins.

use std::time::Duration;

use crate::{
    config::{Config, ForwardedOptions, Limits, ProxyProtocol, Redirect, Timeouts},
    parse::HeadLimits,
    write::SendBounds,
};

/// Bounds on time and size, and what else of a configuration concerns every request.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Bounds on time.
    pub(crate) timeouts: Timeouts,
    /// Bounds on counts and sizes, as far as a reload changes them.
    pub(crate) limits: Limits,
    /// Balancers that announce the client of a connection.
    pub(crate) proxy_protocol: Vec<ProxyProtocol>,
    /// Proxies that name the client of a request.
    pub(in crate::conn) forwarded: Option<ForwardedOptions>,
    /// Bounds of a request head, which are among the limits.
    pub(in crate::conn) head_limits: HeadLimits,
    /// Bounds on the time of a response, which are among the timeouts.
    pub(in crate::conn) sending: SendBounds,
    /// What of the timeouts and limits every request of HTTP/1 looks at.
    pub(in crate::conn) waits: Waits,
    /// Clients are sent the stages of their requests.
    pub(in crate::conn) server_timing: bool,
    /// Where listeners that redirect lead.
    pub(in crate::conn) to_https: Redirect,
}

/// How long connections of HTTP/1 are waited for, in milliseconds, and how often: what each request looks
/// at, in the form in which it does.
#[derive(Clone, Copy, Debug)]
pub(in crate::conn) struct Waits {
    /// For the first bytes of a first head.
    pub(in crate::conn) head: u64,
    /// For a further request.
    pub(in crate::conn) idle: u64,
    /// Requests of a connection, at most.
    pub(in crate::conn) requests: u64,
}

impl Waits {
    fn of(timeouts: &Timeouts, limits: &Limits) -> Self {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            head: milliseconds(timeouts.head),
            idle: milliseconds(timeouts.idle),
            requests: limits.requests_per_connection,
        }
    }
}

impl Terms {
    /// The terms of a configuration, which has been checked.
    pub(super) fn of(config: &Config) -> Self {
        let limits = &config.limits;
        Self {
            timeouts: config.timeouts.clone(),
            limits: limits.clone(),
            proxy_protocol: config.proxy_protocol.clone(),
            forwarded: config.forwarded.clone(),
            head_limits: HeadLimits {
                max_head_bytes: limits.head_bytes,
                max_fields: limits.head_fields,
                max_target_bytes: limits.target_bytes,
            },
            sending: SendBounds::of(&config.timeouts),
            waits: Waits::of(&config.timeouts, limits),
            server_timing: config.observe.server_timing,
            to_https: Redirect::to_https(
                config.listen.first().map_or(443, std::net::SocketAddr::port),
            ),
        }
    }
}

#[cfg(test)]
impl Default for Terms {
    fn default() -> Self {
        Self::of(&Config::default())
    }
}
