//! Upstream: pools of application servers, and the connections to them.
//!
//! An [`Exchange`] takes a connection of its [`Pool`], sends a request, and reads the response as fast
//! as the client takes it. Numbers, health and the line of a pool are [`Shared`] by all workers; its
//! connections stay on their worker, unless another one waits for them. What decides is pure: which
//! server gets a request, whether a server is healthy, how many second tries there may be.
//!
//! Invariant: all workers together never have more connections to a server than its `max`; a request
//! that must not run twice is sent once; a connection is used again only after an entirely ordinary
//! exchange.

#![forbid(unsafe_code)]

mod ahead;
mod attempt;
mod balance;
mod budget;
mod connection;
mod exchange;
mod failure;
mod figures;
mod health;
mod held;
mod holding;
mod learned;
mod line;
mod names;
mod outstanding;
mod pool;
mod prober;
mod relay;
mod secured;
mod securing;
mod sender;
mod server;
mod shared;
mod talk;

pub(crate) use exchange::{Answer, Exchange, Request, RequestContent, Waits};
pub(crate) use failure::Reason;
pub(crate) use names::Resolver;
pub(crate) use pool::{Pool, PoolMap, Pools};
pub(crate) use shared::Shared;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use crate::config::Config;

/// What the servers of pools are believed by that speak TLS, by the names of the pools.
pub(crate) type Trust = BTreeMap<String, Arc<rustls::ClientConfig>>;

/// The pools of a configuration, for all workers. Of those `before`, one with the same name and settings
/// is kept as it is; one with other settings hands on its counts, and what is known of its servers.
pub(crate) fn shared(config: &Config, trust: &Trust, before: &[Arc<Shared>]) -> Vec<Arc<Shared>> {
    // Of this process alone: a request that names it in `Via` has been here.
    let pseudonym = match before.first() {
        Some(pool) => pool.pseudonym.to_string(),
        None => format!("ringway-{:08x}", RandomState::new().hash_one(0_u8) as u32),
    };
    let pools = config.pools.iter().map(|(name, options)| {
        let before = before.iter().find(|pool| *pool.name == **name);
        if let Some(same) = before.filter(|pool| pool.options == *options) {
            return Arc::clone(same);
        }
        let tls = trust.get(name).cloned();
        let pool =
            Shared::new(name, &pseudonym, options.clone(), tls, before.map(|before| &**before));
        pool.resolve_names();
        pool
    });
    pools.collect()
}
