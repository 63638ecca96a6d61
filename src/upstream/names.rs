//! The names of servers, resolved again and again by a thread: getaddrinfo(3) may take seconds.

use std::{
    io,
    net::ToSocketAddrs,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use super::{Shared, shared::lock};
use crate::config::UpstreamAddress;

/// How often names are resolved.
const EVERY: Duration = Duration::from_secs(10);

/// The thread that resolves names. Dropping it ends it, if it is not resolving: then it ends behind that.
#[derive(Debug)]
pub(crate) struct Resolver {
    _stop: mpsc::Sender<()>,
}

impl Resolver {
    /// Starts it, if a server of these pools has a name.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(pools: &[Arc<Shared>]) -> io::Result<Option<Self>> {
        let named: Vec<_> = pools.iter().filter(|pool| pool.options.is_named()).cloned().collect();
        if named.is_empty() {
            return Ok(None);
        }
        let (stop, stopped) = mpsc::channel();
        thread::Builder::new().name("names".to_owned()).spawn(move || {
            while stopped.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                for pool in &named {
                    pool.resolve_names();
                }
            }
        })?;
        Ok(Some(Self { _stop: stop }))
    }
}

impl Shared {
    /// Resolves the names of its servers; a failure keeps the last answer. It may take seconds.
    pub(super) fn resolve_names(&self) {
        for server in &self.servers {
            let UpstreamAddress::Tcp(host, port) = &server.address else { continue };
            if server.address.literal().is_some() {
                continue;
            }
            match (host.as_str(), *port).to_socket_addrs().map(|mut found| found.next()) {
                Ok(Some(address)) => *lock(&server.resolved) = Some(address),
                Ok(None) => log::warn!("pool {}: {host} has no address", self.name),
                Err(error) => log::warn!("pool {}: {host}: {error}", self.name),
            }
        }
    }
}
