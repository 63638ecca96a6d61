//! The pools of upstream servers and their servers.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use crate::observe::{Anatomy, PoolFigures, UpstreamFigures};

/// Metrics of a pool: name, help and value.
type OfPool<T> = (&'static str, &'static str, fn(&PoolFigures) -> T);
type OfServer = (&'static str, &'static str, fn(&UpstreamFigures) -> f64);

const COUNTERS: [OfPool<u64>; 9] = [
    ("pool_requests", "Requests that were passed on", |pool| pool.requests),
    ("pool_second_tries", "Second tries of requests", |pool| pool.second_tries),
    ("pool_connections_opened", "Connections that were opened", |pool| pool.opened),
    ("pool_connections_reused", "Exchanges on a connection that had one before", |pool| {
        pool.reused
    }),
    ("pool_closed_while_unused", "Unused connections that a server closed", |pool| {
        pool.closed_while_unused
    }),
    ("pool_desync", "Connections with bytes that nobody had asked for", |pool| pool.desync),
    ("pool_refused", "Requests that found the line full, or waited too long", |pool| pool.refused),
    ("pool_tunnels_refused", "Requests to switch protocols that found no place", |pool| {
        pool.tunnels_refused
    }),
    ("pool_underscores_dropped", "Field lines dropped for a _ in their names", |pool| {
        pool.underscores
    }),
];

const GAUGES: [OfPool<u32>; 4] = [
    ("pool_tunnels", "Connections that have switched protocols, or ask to", |pool| {
        pool.tunnels as u32
    }),
    ("pool_waiting", "Requests in line", |pool| pool.waiting),
    ("pool_waiting_limit", "Requests that may be in line", |pool| pool.waiting_limit),
    ("pool_second_tries_left", "Second tries that the budget has left", |pool| pool.budget as u32),
];

const OF_SERVERS: [OfServer; 6] = [
    ("upstream_connections", "Connections to a server", |server| f64::from(server.open)),
    ("upstream_connections_unused", "Unused connections to a server", |server| {
        f64::from(server.unused)
    }),
    ("upstream_outstanding", "Exchanges that a server has not finished", |server| {
        f64::from(server.outstanding)
    }),
    ("upstream_healthy", "1 if a server gets requests", |server| {
        f64::from(u8::from(server.healthy))
    }),
    (
        "upstream_learned_idle_seconds",
        "After which a server closes an unused connection, as far as learned",
        |server| server.learned_idle_ms as f64 / 1e3,
    ),
    (
        "upstream_first_byte_seconds",
        "Decayed mean of the time to a server's first byte",
        |server| f64::from(server.first_byte_us) / 1e6,
    ),
];

pub(super) fn pools(anatomy: &Anatomy, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let pools = &anatomy.server.pools;
    if pools.is_empty() {
        return Ok(());
    }
    for (name, help, of) in COUNTERS {
        let mut metric = to.encode_descriptor(name, help, None, MetricType::Counter)?;
        for pool in pools {
            let labels = [("pool", pool.name.as_str())];
            let mut family = metric.encode_family(&labels)?;
            family.encode_counter::<NoLabelSet, _, u64>(&of(pool), None)?;
        }
    }
    for (name, help, of) in GAUGES {
        let mut metric = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for pool in pools {
            let labels = [("pool", pool.name.as_str())];
            metric.encode_family(&labels)?.encode_gauge(&i64::from(of(pool)))?;
        }
    }
    for (name, help, of) in OF_SERVERS {
        let mut metric = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (pool, server) in
            pools.iter().flat_map(|pool| pool.servers.iter().map(move |s| (pool, s)))
        {
            let labels = [("pool", pool.name.as_str()), ("server", server.address.as_str())];
            metric.encode_family(&labels)?.encode_gauge(&of(server))?;
        }
    }
    Ok(())
}
