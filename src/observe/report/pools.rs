//! A pool of upstream servers in a report.

use serde_json::{Value, json};

use super::each;
use crate::observe::{PoolFigures, UpstreamFigures};

/// What is known of a pool: counts since the start, and what is so now.
pub(super) fn value(pool: &PoolFigures) -> Value {
    json!({
        "name": pool.name,
        "waiting": pool.waiting,
        "waiting_limit": pool.waiting_limit,
        "max": pool.max,
        "requests": pool.requests,
        "second_tries": pool.second_tries,
        "opened": pool.opened,
        "reused": pool.reused,
        "closed_while_unused": pool.closed_while_unused,
        "desync": pool.desync,
        "refused": pool.refused,
        "underscores": pool.underscores,
        "servers": each(&pool.servers, server),
    })
}

fn server(server: &UpstreamFigures) -> Value {
    json!({
        "address": server.address,
        "open": server.open,
        "unused": server.unused,
        "outstanding": server.outstanding,
        "healthy": server.healthy,
        "learned_idle_ms": (server.learned_idle_ms > 0).then_some(server.learned_idle_ms),
        "first_byte_us": (server.first_byte_us > 0).then_some(server.first_byte_us),
    })
}
