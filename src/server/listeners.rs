//! The addresses that a server listens on, from one configuration to the next.

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
};

use crate::{
    accept::{self, BindError, Families},
    config::{Config, serves_both_families},
    conn::Via,
};

/// An address that is listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// How its connections are served.
    pub(super) via: Via,
    /// As the configuration has it.
    pub(super) wanted: SocketAddr,
    families: Families,
    /// Where it is, with its real port.
    pub(super) address: SocketAddr,
}

/// The listeners of a configuration.
pub(super) struct Listening {
    /// All of them, in the order of the configuration.
    pub(super) bound: Vec<Bound>,
    /// Those that were not there before.
    pub(super) fresh: Vec<Bound>,
    /// For each worker, the sockets of `fresh`.
    pub(super) sockets: Vec<Vec<OwnedFd>>,
}

impl Listening {
    /// The addresses at which connections are served so.
    pub(super) fn addresses(bound: &[Bound], via: Via) -> Vec<SocketAddr> {
        bound.iter().filter(|one| one.via == via).map(|one| one.address).collect()
    }

    /// Binds the addresses of a configuration that are not among those of `before`, for so many workers.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub(super) fn bind(
        config: &Config,
        before: &[Bound],
        workers: usize,
    ) -> Result<Self, BindError> {
        let mut listening = Self {
            bound: Vec::new(),
            fresh: Vec::new(),
            sockets: (0..workers).map(|_| Vec::new()).collect(),
        };
        let mut before = before.to_vec();
        let all = [
            (Via::Tls, &config.listen),
            (Via::Plain, &config.plain),
            (Via::Redirect, &config.redirect),
        ];
        for (via, wanted) in all {
            for &address in wanted {
                let both = serves_both_families(&address, wanted);
                let families = if both { Families::Both } else { Families::Own };
                let same =
                    |one: &Bound| (one.via, one.wanted, one.families) == (via, address, families);
                if let Some(at) = before.iter().position(same) {
                    listening.bound.push(before.remove(at));
                    continue;
                }
                listening.bind_one(via, address, families, wanted.len() > 1)?;
            }
        }
        Ok(listening)
    }

    fn bind_one(
        &mut self,
        via: Via,
        wanted: SocketAddr,
        families: Families,
        others: bool,
    ) -> Result<(), BindError> {
        let workers = self.sockets.len();
        let (address, sockets) = match accept::bind(wanted, families, workers) {
            Ok(bound) => bound,
            // A host without IPv6 serves on what it has, if that is something.
            Err(error)
                if wanted.is_ipv6() && error.lacks_address() && families == Families::Both =>
            {
                log::warn!("{error}; listening on IPv4 alone");
                let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, wanted.port()));
                accept::bind(address, Families::Own, workers)?
            }
            Err(error) if wanted.is_ipv6() && error.lacks_address() && others => {
                log::warn!("{error}");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let bound = Bound { via, wanted, families, address };
        self.bound.push(bound);
        self.fresh.push(bound);
        for (worker, socket) in self.sockets.iter_mut().zip(sockets) {
            worker.push(socket);
        }
        Ok(())
    }
}
