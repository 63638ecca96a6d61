//! What is known of the pools of upstream servers: plain figures, taken when a report is made.

/// A pool, as all workers share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolFigures {
    /// Its name.
    pub name: String,
    /// Requests in line, and how many may be.
    pub waiting: u32,
    /// Requests that may be in line.
    pub waiting_limit: u32,
    /// Connections that each server may have.
    pub max: u32,
    /// Requests that were passed on.
    pub requests: u64,
    /// Second tries among their attempts.
    pub second_tries: u64,
    /// Second tries that its budget has left.
    pub budget: u64,
    /// Connections that were opened.
    pub opened: u64,
    /// Exchanges on a connection that had one before.
    pub reused: u64,
    /// Unused connections that a server closed.
    pub closed_while_unused: u64,
    /// Connections on which bytes came that nobody had asked for.
    pub desync: u64,
    /// Requests that found the line full, or waited too long.
    pub refused: u64,
    /// Connections that have switched protocols, or ask to.
    pub tunnels: u64,
    /// Requests to switch that found no place.
    pub tunnels_refused: u64,
    /// Field lines of requests that were dropped for a `_` in their names.
    pub underscores: u64,
    /// Its servers.
    pub servers: Vec<UpstreamFigures>,
}

/// A server of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamFigures {
    /// Where it listens.
    pub address: String,
    /// Connections to it, attempts to connect among them.
    pub open: u32,
    /// Of these, how many are unused.
    pub unused: u32,
    /// Exchanges that it has not finished.
    pub outstanding: u32,
    /// Whether it gets requests.
    pub healthy: bool,
    /// Milliseconds after which it closes an unused connection, as far as that was learned; 0: not.
    pub learned_idle_ms: u64,
    /// Decayed mean of the time from a request's end to its first byte, in microseconds; 0: unknown.
    pub first_byte_us: u32,
}
