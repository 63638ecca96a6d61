//! What is counted of a pool, and what a report says of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{
    health::Fitness,
    shared::{Shared, lock},
};
use crate::observe::{PoolFigures, UpstreamFigures};

/// What was counted of a pool.
#[derive(Debug, Default)]
pub(crate) struct PoolCounts {
    /// Exchanges that began.
    pub(crate) tries: AtomicU64,
    pub(crate) second_tries: AtomicU64,
    /// Connections that were opened, and exchanges on one that was open.
    pub(crate) opened: AtomicU64,
    pub(crate) reused: AtomicU64,
    /// Unused connections that the server closed.
    pub(crate) closed_while_unused: AtomicU64,
    /// Connections on which bytes came that nobody asked for.
    pub(crate) desync: AtomicU64,
    /// Requests that found the line full, or waited too long.
    pub(crate) refused: AtomicU64,
    /// Connections that have switched protocols, or ask to, and requests that found no place to.
    pub(crate) tunnels: AtomicU64,
    pub(crate) tunnels_refused: AtomicU64,
    /// Field lines of requests that were dropped for a `_` in their names.
    pub(crate) underscores: AtomicU64,
}

impl Shared {
    /// What is known of it now.
    pub(crate) fn figures(&self) -> PoolFigures {
        let (counts, now) = (&self.counts, self.now());
        let count = |of: &AtomicU64| of.load(Relaxed);
        let present = self.servers.iter().filter(|server| server.present.load(Relaxed));
        let servers = present.map(|server| UpstreamFigures {
            address: server.shown(),
            open: server.open.load(Relaxed),
            unused: server.unused.load(Relaxed),
            outstanding: server.outstanding.load(Relaxed),
            healthy: server.fitness(now) == Fitness::In,
            learned_idle_ms: server.learned_ms.load(Relaxed),
            first_byte_us: server.first_byte_us.load(Relaxed),
        });
        PoolFigures {
            name: self.name.to_string(),
            waiting: self.line.len(),
            waiting_limit: self.options.waiting,
            max: self.options.max,
            requests: count(&counts.tries),
            second_tries: count(&counts.second_tries),
            budget: lock(&self.budget).left(),
            opened: count(&counts.opened),
            reused: count(&counts.reused),
            closed_while_unused: count(&counts.closed_while_unused),
            desync: count(&counts.desync),
            refused: count(&counts.refused),
            tunnels: count(&counts.tunnels),
            tunnels_refused: count(&counts.tunnels_refused),
            underscores: count(&counts.underscores),
            servers: servers.collect(),
        }
    }
}
