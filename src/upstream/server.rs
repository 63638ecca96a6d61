//! A server of a pool: one address, or one place for an address of a name.
//!
//! A name may have several addresses, and each is a server of its own. Their number is not known before,
//! so each name has [`NAME_ADDRESSES`] places, of which those are present that have an address.

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use rustls::pki_types::ServerName;

use super::{
    balance::{Load, mix},
    health::{Fitness, Health},
    learned::Learned,
    shared::lock,
};
use crate::{
    config::{NAME_ADDRESSES, PoolOptions, UpstreamAddress},
    observe::PassedTo,
};

/// Milliseconds in which a server that is new, or was out, comes to its whole share of requests.
const RAMP: u64 = 10_000;

/// What it gets of its share at first, in hundredths.
const RAMP_FROM: u64 = 10;

/// A server. On cache lines of its own, as its numbers change with every exchange.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Server {
    pub(super) address: UpstreamAddress,
    /// Whose certificate is asked for, where it speaks TLS.
    pub(super) tls_name: Option<ServerName<'static>>,
    pub(super) weight: u32,
    /// How the access log names it.
    pub(super) logged: PassedTo,
    pub(super) identity: AtomicU64,
    /// Places that are taken: connections, and attempts to connect.
    pub(super) open: AtomicU32,
    /// Exchanges that are not over.
    pub(super) outstanding: AtomicU32,
    /// Unused connections of all workers.
    pub(super) unused: AtomicU32,
    /// Decayed mean, in microseconds.
    pub(super) first_byte_us: AtomicU32,
    /// Its health is not that of a server that never failed.
    pub(super) blemished: AtomicBool,
    pub(super) health: Mutex<Health>,
    /// What is connected to, where that is an address of IP.
    pub(super) resolved: Mutex<Option<SocketAddr>>,
    /// It has an address, or is the only place of a name that has none.
    pub(super) present: AtomicBool,
    /// Since when it has been getting more of its share, in milliseconds of the pool; 0: it has it.
    ramp: AtomicU64,
    pub(super) learned: Mutex<Learned>,
    /// Milliseconds after which it closes an unused connection, as far as that is learned; 0: not.
    pub(super) learned_ms: AtomicU64,
}

/// The servers of a pool, in the order of the configuration, with what is known of those that were
/// `before` too.
pub(super) fn servers(pool: &str, options: &PoolOptions, before: &[Server]) -> Box<[Server]> {
    let places = options.servers.iter().flat_map(|server| {
        let count = if server.address.is_name() { NAME_ADDRESSES } else { 1 };
        (0..count).map(move |place| (server, place))
    });
    let tls_name = |address: &UpstreamAddress| match address {
        UpstreamAddress::Tls(host, _) => {
            let name = options.server_name.as_deref().unwrap_or(host);
            ServerName::try_from(name.to_owned()).ok()
        }
        UpstreamAddress::Tcp(..) | UpstreamAddress::Unix(_) => None,
    };
    let made = places.map(|(server, place)| Server {
        resolved: Mutex::new(server.address.literal()),
        identity: AtomicU64::new(identity(&server.address.to_string())),
        tls_name: tls_name(&server.address),
        address: server.address.clone(),
        weight: server.weight,
        logged: PassedTo::named(pool, &server.address.to_string()),
        open: AtomicU32::new(0),
        outstanding: AtomicU32::new(0),
        unused: AtomicU32::new(0),
        first_byte_us: AtomicU32::new(0),
        blemished: AtomicBool::new(false),
        health: Mutex::default(),
        present: AtomicBool::new(place == 0),
        ramp: AtomicU64::new(0),
        learned: Mutex::default(),
        learned_ms: AtomicU64::new(0),
    });
    let made: Box<[Server]> = made.collect();
    for (at, server) in made.iter().enumerate() {
        // Which of the places of its name it is.
        let place = made[..at].iter().filter(|other| other.address == server.address).count();
        let mut known = before.iter().filter(|known| known.address == server.address);
        if let Some(known) = known.nth(place) {
            server.succeed(known);
        }
    }
    made
}

impl Server {
    /// What it may get at this time.
    pub(super) fn fitness(&self, now: u64) -> Fitness {
        if !self.present.load(Relaxed) {
            return Fitness::Out;
        }
        if self.blemished.load(Relaxed) { lock(&self.health).fitness(now) } else { Fitness::In }
    }

    /// What a choice goes by.
    pub(super) fn load(&self, now: u64) -> Load {
        Load {
            usable: self.fitness(now) != Fitness::Out,
            outstanding: self.outstanding.load(Relaxed),
            weight: self.weight_at(now),
            first_byte_us: self.first_byte_us.load(Relaxed),
            identity: self.identity.load(Relaxed),
        }
    }

    /// Its share of requests at this time: less of it while it is new.
    fn weight_at(&self, now: u64) -> u32 {
        let since = self.ramp.load(Relaxed);
        if since == 0 {
            return self.weight;
        }
        let passed = now.saturating_sub(since);
        if passed >= RAMP {
            self.ramp.store(0, Relaxed);
            return self.weight;
        }
        let share = RAMP_FROM + (100 - RAMP_FROM) * passed / RAMP;
        // A hundredth of what fits 32 bits.
        ((u64::from(self.weight) * share / 100) as u32).max(1)
    }

    /// It is the server that `known` was under other settings.
    fn succeed(&self, known: &Self) {
        *lock(&self.resolved) = *lock(&known.resolved);
        *lock(&self.health) = *lock(&known.health);
        *lock(&self.learned) = *lock(&known.learned);
        for (own, known) in [(&self.blemished, &known.blemished), (&self.present, &known.present)] {
            own.store(known.load(Relaxed), Relaxed);
        }
        self.first_byte_us.store(known.first_byte_us.load(Relaxed), Relaxed);
        self.learned_ms.store(known.learned_ms.load(Relaxed), Relaxed);
        self.identity.store(known.identity.load(Relaxed), Relaxed);
    }

    /// It begins to get requests: the emptiest server would be flooded with them.
    pub(super) fn begin_ramp(&self, now: u64) {
        self.ramp.store(now.max(1), Relaxed);
    }

    /// It has this address now; None: none any more.
    pub(super) fn moves_to(&self, address: Option<SocketAddr>) {
        *lock(&self.resolved) = address;
        if let Some(address) = address {
            self.identity.store(identity(&address.to_string()), Relaxed);
            *lock(&self.health) = Health::default();
            self.blemished.store(false, Relaxed);
            *lock(&self.learned) = Learned::default();
            self.learned_ms.store(0, Relaxed);
        }
        self.present.store(address.is_some(), Relaxed);
    }

    /// The address that is connected to, for a person.
    pub(super) fn shown(&self) -> String {
        match *lock(&self.resolved) {
            Some(address) if self.address.is_name() => format!("{} ({address})", self.address),
            _ => self.address.to_string(),
        }
    }
}

/// A number that belongs to an address (FNV-1a, spread).
fn identity(address: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    mix(address.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UpstreamServer;

    #[test]
    fn a_new_server_comes_to_its_share_in_ten_seconds() {
        let options = PoolOptions::of(vec![UpstreamServer::new("127.0.0.1:1".parse().unwrap())]);
        let servers = servers("app", &options, &[]);
        let server = &servers[0];
        assert_eq!(server.load(0).weight, 100);
        server.begin_ramp(1_000);
        for (now, weight) in [(1_000, 10), (6_000, 55), (10_999, 99), (11_000, 100), (2_000, 100)] {
            assert_eq!(server.load(now).weight, weight, "{now}");
        }
    }
}
