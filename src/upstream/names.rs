//! The names of servers, resolved again and again by a thread: getaddrinfo(3) may take seconds.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, atomic::Ordering::Relaxed, mpsc},
    thread,
};

use super::{Shared, prober::Probers, server::Server, shared::lock};
use crate::config::{NAME_ADDRESSES, UpstreamAddress};

/// The thread that resolves names, and those that check health. Dropping it ends them, each behind what
/// it is at.
#[derive(Debug)]
pub(crate) struct Resolver {
    _stop: Option<mpsc::Sender<()>>,
    _probers: Probers,
}

impl Resolver {
    /// Starts them, if a server of these pools has a name, or a pool checks health.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(crate) fn start(pools: &[Arc<Shared>]) -> io::Result<Option<Self>> {
        let named: Vec<_> = pools.iter().filter(|pool| pool.options.is_named()).cloned().collect();
        let probers = Probers::start(pools)?;
        let Some(every) = named.iter().map(|pool| pool.options.resolve_every).min() else {
            return Ok((!probers.is_empty()).then_some(Self { _stop: None, _probers: probers }));
        };
        let (stop, stopped) = mpsc::channel();
        thread::Builder::new().name("names".to_owned()).spawn(move || {
            let mut rounds = 0_u64;
            while stopped.recv_timeout(every) == Err(mpsc::RecvTimeoutError::Timeout) {
                rounds += 1;
                for pool in &named {
                    // The shortest interval is that of the thread; others are whole multiples of it.
                    let each = pool.options.resolve_every.as_millis() / every.as_millis().max(1);
                    if u128::from(rounds) % each.max(1) == 0 {
                        pool.resolve_names();
                    }
                }
            }
        })?;
        Ok(Some(Self { _stop: Some(stop), _probers: probers }))
    }
}

impl Shared {
    /// Resolves the names of its servers; a failure keeps the last answer. It may take seconds.
    pub(super) fn resolve_names(&self) {
        let mut rest: &[Server] = &self.servers;
        while let Some((first, others)) = rest.split_first() {
            let (host, port) = match &first.address {
                UpstreamAddress::Tcp(host, port) | UpstreamAddress::Tls(host, port)
                    if first.address.is_name() =>
                {
                    (host.as_str(), *port)
                }
                _ => {
                    rest = others;
                    continue;
                }
            };
            let (places, behind) = rest.split_at(NAME_ADDRESSES.min(rest.len()));
            rest = behind;
            match (host, port).to_socket_addrs() {
                Ok(found) => self.resolved(host, places, found.collect()),
                Err(error) => log::warn!("pool {}: {host}: {error}", self.name),
            }
        }
    }

    /// A name has these addresses, in the order of getaddrinfo(3) (RFC 6724 section 6).
    pub(super) fn resolved(&self, host: &str, places: &[Server], mut found: Vec<SocketAddr>) {
        found.dedup();
        if found.is_empty() {
            log::warn!("pool {}: {host} has no address", self.name);
            return;
        }
        if found.len() > places.len() {
            log::debug!("pool {}: {host} has more than {} addresses", self.name, places.len());
            found.truncate(places.len());
        }
        let has = |place: &Server| *lock(&place.resolved);
        let first_time = places.iter().all(|place| has(place).is_none());
        for place in places {
            if let Some(address) = has(place).filter(|address| !found.contains(address)) {
                log::info!("pool {}: {host} is no longer {address}", self.name);
                place.moves_to(None);
            }
        }
        for address in found {
            if places.iter().any(|place| has(place) == Some(address)) {
                continue;
            }
            // A place that still has connections to an address that is gone is not used before.
            let is_free = |place: &&Server| has(place).is_none() && place.open.load(Relaxed) == 0;
            let Some(place) = places.iter().find(is_free) else { continue };
            place.moves_to(Some(address));
            if !first_time {
                log::info!("pool {}: {host} is {address} too", self.name);
                place.begin_ramp(self.now());
            }
        }
    }
}
