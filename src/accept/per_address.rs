//! How many connections each address has open, when that is limited.
//!
//! The kernel spreads the connections of one address over all workers, so a worker alone cannot
//! count them all: the table is shared. It is cut into shards with a lock each, and
//! touched once when a connection is accepted and once when it has ended, never in between.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Locks of the table. Far more than threads that could want one at a time.
const SHARDS: usize = 64;

/// What counts as one address: an IPv4 address, or the first 64 bits of an IPv6 address, since a client that
/// has one of these mostly has all that begin with them (RFC 4291 section 2.5.4, RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Prefix {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

type Shard = HashMap<Prefix, usize>;

/// The connections of each address, of all workers together. An address is in it for as long as
/// it has one open, so it holds no more addresses than there are connections; its memory is in
/// the ceiling ([`crate::config::MemoryCeiling`]). The hash is keyed at random, so nobody can
/// choose addresses that meet in one place.
#[derive(Debug)]
pub(crate) struct PerAddress {
    limit: AtomicUsize,
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

impl PerAddress {
    /// A table that allows so many connections to each address; None for 0, which is no limit.
    pub(crate) fn new(limit: usize) -> Option<Arc<Self>> {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        (limit > 0)
            .then(|| Arc::new(Self { limit: limit.into(), shards, hasher: RandomState::new() }))
    }

    /// Counts a connection of this address for as long as the result lives. None if it has as many
    /// as it may have.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<AddressPlace> {
        let prefix = Prefix::from(address);
        let mut shard = self.shard(prefix);
        let open = shard.entry(prefix).or_insert(0);
        // An address without connections is not in the table, and the limit is at least 1.
        if *open >= self.limit() {
            return None;
        }
        *open += 1;
        Some(AddressPlace { table: Arc::clone(self), prefix })
    }

    /// Changes the limit. Connections beyond a lower one stay.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    /// The connections that one address may have.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    fn shard(&self, prefix: Prefix) -> MutexGuard<'_, Shard> {
        let place = self.hasher.hash_one(prefix) as usize % SHARDS;
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection among those of its address.
#[derive(Debug)]
pub(crate) struct AddressPlace {
    table: Arc<PerAddress>,
    prefix: Prefix,
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut shard = self.table.shard(self.prefix);
        if let Some(open) = shard.get_mut(&self.prefix) {
            *open -= 1;
            if *open == 0 {
                shard.remove(&self.prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::memory::ADDRESS_BYTES;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn entries(table: &PerAddress) -> usize {
        table.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    #[test]
    fn each_address_has_its_own_places_and_gets_them_back() {
        let table = PerAddress::new(2).unwrap();
        let (one, two) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let held: Vec<_> = (0..2).map(|_| table.admit(one).unwrap()).collect();
        assert!(table.admit(one).is_none());
        assert!(table.admit(ip("::ffff:192.0.2.1")).is_none(), "the same address, mapped");
        let other = table.admit(two).unwrap();
        drop(held);
        assert_eq!(entries(&table), 1);
        assert!(table.admit(one).is_some());
        drop(other);
        assert_eq!(entries(&table), 0, "who has no connection takes no memory");
    }

    #[test]
    fn ipv6_is_counted_by_its_first_half() {
        let table = PerAddress::new(1).unwrap();
        let _held = table.admit(ip("2001:db8:0:1::1")).unwrap();
        assert!(table.admit(ip("2001:db8:0:1:ffff::2")).is_none());
        assert!(table.admit(ip("2001:db8:0:2::1")).is_some());
    }

    #[test]
    fn zero_is_no_limit() {
        assert!(PerAddress::new(0).is_none());
    }

    #[test]
    fn threads_together_never_pass_the_limit() {
        let table = PerAddress::new(10).unwrap();
        let held: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let table = &table;
                    scope.spawn(move || {
                        (0..1_000)
                            .filter_map(|_| table.admit(ip("198.51.100.7")))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(held.len(), 10);
    }

    /// hashbrown keeps a byte beside each bucket, fills seven eighths of a power of two of them,
    /// and holds the old ones while it moves to twice as many.
    #[test]
    fn the_ceiling_covers_an_entry() {
        let bucket = size_of::<(Prefix, usize)>() + 1;
        let worst = bucket * 2 * 8 / 7 + bucket * 8 / 7;
        assert!(worst <= ADDRESS_BYTES, "{worst}");
    }
}
