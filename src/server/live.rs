//! What a running server has from its start, and what a reload changes of it besides its workers.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use super::{
    StartError,
    listeners::{Bound, Listening},
    observe::{self, Sources, locked},
    prepared::ports_of_pools,
    start,
};
use crate::{
    accept::BindError,
    config::{Config, Limits},
    conn::{SitePlan, Via},
    upstream::{Resolver, Shared as Upstream},
    worker::{self, Listener, SharedLimits},
};

/// What a reload goes by and changes.
#[derive(Debug)]
pub(super) struct Live {
    /// What the server was started with, its limits fitted to the host.
    pub(super) start: Arc<Config>,
    /// Those limits before they were fitted.
    pub(super) asked: Limits,
    pub(super) workers: usize,
    /// Landlock denies ports that were not named at the start.
    pub(super) denies_tcp: bool,
    pub(super) shared: SharedLimits,
    pub(super) sources: Arc<Sources>,
    pub(super) state: Mutex<State>,
}

/// What changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) bound: Vec<Bound>,
    pub(super) upstreams: Vec<Arc<Upstream>>,
    /// Resolves the names of their servers.
    pub(super) resolver: Option<Resolver>,
    /// For the requests in flight when the server stops.
    pub(super) drain: Duration,
    /// For which it serves on before that.
    pub(super) drain_delay: Duration,
}

impl Live {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// What `new` needs that the start did not leave to this process, with the remedy for each.
    pub(super) fn lacks(&self, before: &Config, new: &Config) -> Vec<String> {
        let mut lacks = Vec::new();
        // The caller's may have been lowered to the descriptors that the process may have.
        if new.limits.connections > self.asked.connections.max(before.limits.connections) {
            lacks.push(format!(
                "limits.connections: the start made room for {}, and a reload can only ask for fewer; \
                 restart ringway",
                self.asked.connections
            ));
        }
        if new.pools.is_empty() {
            return lacks;
        }
        if !worker::connects(&self.start) {
            lacks.push(
                "pool: the server was started without pools, and its rings open no connection; \
                 restart ringway"
                    .to_owned(),
            );
        } else if self.denies_tcp {
            let allowed: Vec<_> = ports_of_pools(&self.start).collect();
            let mut missing: Vec<_> =
                ports_of_pools(new).filter(|port| !allowed.contains(port)).collect();
            missing.sort_unstable();
            missing.dedup();
            lacks.extend(missing.iter().map(|port| {
                format!(
                    "pool: Landlock leaves to ringway the ports that the configuration of its start \
                     names, and {port} is none of them; restart ringway, or name the port there by \
                     allow_connect in [process]"
                )
            }));
        }
        lacks
    }

    /// A configuration whose limits are fitted to the host. What made memory at the start is as it was
    /// then.
    ///
    /// # Errors
    /// The host has not enough for it.
    pub(super) fn fitted(&self, new: &Config) -> Result<Config, StartError> {
        let mut fitted = new.clone();
        start::fit(&mut fitted, self.workers)?;
        let (start, limits) = (&self.start.limits, &mut fitted.limits);
        limits.connections = limits.connections.min(start.connections);
        limits.handshakes = limits.handshakes.min(limits.connections);
        limits.receive_buffers = start.receive_buffers;
        limits.receive_buffer_bytes = start.receive_buffer_bytes;
        limits.leases_per_connection = start.leases_per_connection;
        limits.send_memory_bytes = start.send_memory_bytes;
        Ok(fitted)
    }

    /// Why an address cannot be had while the server runs, and the remedy.
    pub(super) fn cannot_bind(&self, error: &BindError) -> String {
        if error.kind() != io::ErrorKind::PermissionDenied {
            return error.to_string();
        }
        if self.denies_tcp {
            return format!(
                "{error}; or Landlock, which leaves to ringway no address but those of its start: \
                 restart ringway, or name the port there by allow_bind in [process]"
            );
        }
        format!("{error}; a restart of ringway binds before it gives up rights")
    }

    /// Another configuration is in force.
    pub(super) fn switched(&self, new: &Config, state: State) {
        if let Some(total) = &self.shared.total {
            total.set_limit(new.limits.connections_in_all);
        }
        if let Some(table) = &self.shared.per_address {
            table.set_limit(new.limits.connections_per_address);
        }
        *locked(&self.sources.addresses) = Listening::addresses(&state.bound, Via::Tls);
        locked(&self.sources.upstreams).clone_from(&state.upstreams);
        *self.state() = state;
    }

    /// Has reports show the rates of a plan, which all workers take from here on.
    pub(super) fn take_rates(&self, plan: &SitePlan) {
        let mut rates = locked(&self.sources.rates);
        *rates = plan.rates_after(&rates);
    }

    /// Has reports look at these listeners too.
    pub(super) fn watch(&self, fresh: Vec<observe::Listening>) {
        let mut listeners = locked(&self.sources.listeners);
        listeners.retain(|one| one.listener.strong_count() > 0);
        listeners.extend(fresh);
    }
}

/// The sockets of each worker as it gets them, and as reports look at them.
pub(super) fn hand_out(listening: Listening) -> (Vec<Vec<Listener>>, Vec<observe::Listening>) {
    let mut watched = Vec::new();
    let fresh = listening.fresh;
    let mut workers = Vec::new();
    for (number, sockets) in listening.sockets.into_iter().enumerate() {
        let mut own = Vec::new();
        for (bound, socket) in fresh.iter().zip(sockets) {
            let (via, address, socket) = (bound.via, bound.address, Arc::new(socket));
            if via == Via::Tls {
                watched.push(observe::Listening {
                    address,
                    worker: number,
                    listener: Arc::downgrade(&socket),
                });
            }
            own.push(Listener { via, wanted: bound.wanted, address, socket });
        }
        workers.push(own);
    }
    (workers, watched)
}

/// The port that listeners which redirect lead to.
pub(super) fn https_port(config: &Config, bound: &[Bound]) -> u16 {
    let first = || Listening::addresses(bound, Via::Tls).first().map_or(443, SocketAddr::port);
    config.redirect_port.unwrap_or_else(first)
}
