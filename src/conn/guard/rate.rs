//! Rates that all workers share: a fixed table of times, one for each key.
//!
//! A key's place is one word, its tag above its time, so that a request reads one cache line and
//! changes one word of it, by compare-and-exchange: no lock, no allocation. The invariant: a key gets
//! no more than its rate, whichever workers it reaches, as long as its place is not taken by another.
//! Where the eight places of a cache line are taken, the key that has recovered furthest is forgotten:
//! it may ask as often again as it had asked since, at most a burst. Two keys with the same tag in one
//! line share a rate: one pair in some 8,000 of those that meet. The hash is keyed at random, so
//! nobody can choose keys that meet.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::gcra::Gcra;
use crate::{
    config::{RateKey, RateOptions},
    monotonic::Monotonic,
    observe::RateFigures,
};

/// Places in a line.
const WAYS: usize = 8;

/// Bits of a time, in microseconds since the table was made: enough for eight years.
const TIME_BITS: u32 = 48;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// Exchanges that are lost to other workers before a request is refused: each of them was another
/// request of the same line within a microsecond or so.
const TRIES: u32 = 64;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; WAYS]);

/// A rate with its table.
#[derive(Debug)]
pub(crate) struct Rate {
    options: RateOptions,
    gcra: Gcra,
    lines: Box<[Line]>,
    hasher: RandomState,
    began: Monotonic,
    refused: AtomicU64,
}

impl Rate {
    /// A rate under which nobody has asked yet.
    pub(crate) fn new(options: &RateOptions) -> Arc<Self> {
        let interval = u64::try_from(options.interval().as_micros()).unwrap_or(TIME);
        let lines = options.table_bytes() / size_of::<Line>();
        Arc::new(Self {
            options: options.clone(),
            gcra: Gcra::new(interval, options.burst()),
            lines: (0..lines.max(1)).map(|_| Line::default()).collect(),
            hasher: RandomState::new(),
            began: Monotonic::now(),
            refused: AtomicU64::new(0),
        })
    }

    /// What it was made of.
    pub(crate) fn options(&self) -> &RateOptions {
        &self.options
    }

    /// The field that is its key, if one is.
    pub(super) fn field(&self) -> Option<&str> {
        match &self.options.key {
            RateKey::Client => None,
            RateKey::Field(name) => Some(name),
        }
    }

    /// The hash of a field's value.
    pub(super) fn of_value(&self, value: &[u8]) -> u64 {
        self.hasher.hash_one((0_u8, value))
    }

    /// The hash of a client's address: of an IPv6 address, its first 64 bits
    /// (RFC 4291 section 2.5.4, RFC 6177).
    pub(super) fn of_client(&self, client: IpAddr) -> u64 {
        match client.to_canonical() {
            IpAddr::V4(address) => self.hasher.hash_one((1_u8, address.to_bits())),
            IpAddr::V6(address) => self.hasher.hash_one((2_u8, address.to_bits() >> 64)),
        }
    }

    /// Admits a request now, by the hash of its key.
    ///
    /// # Errors
    /// It comes too early; so many seconds later it does not, 1 at least.
    pub(super) fn admit(&self, hash: u64) -> Result<(), u64> {
        // 1 and not 0: an empty place has a time of 0.
        let admitted = self.admit_at(hash, self.began.elapsed() / 1_000 + 1);
        admitted.inspect_err(|_| _ = self.refused.fetch_add(1, Relaxed))
    }

    /// What is known of it, under its name.
    pub(crate) fn figures(&self, name: &str) -> RateFigures {
        let RateOptions { requests, per, .. } = self.options;
        RateFigures::new(name, requests, per, self.refused.load(Relaxed))
    }

    fn admit_at(&self, hash: u64, now: u64) -> Result<(), u64> {
        // Not 0, which is the tag of an empty place.
        let tag = (hash >> TIME_BITS).max(1);
        let number = hash as usize % self.lines.len();
        let Some(Line(places)) = self.lines.get(number) else { return Ok(()) };
        for _ in 0..TRIES {
            let mut own = None;
            let mut oldest = None;
            for place in places {
                let word = place.load(Relaxed);
                if word >> TIME_BITS == tag {
                    own = Some((place, word));
                    break;
                }
                if oldest.is_none_or(|(_, other)| word & TIME < other & TIME) {
                    oldest = Some((place, word));
                }
            }
            let arrival = own.map_or(0, |(_, word)| word & TIME);
            let next = self.gcra.admit(arrival, now).map_err(seconds)?;
            let Some((place, before)) = own.or(oldest) else { return Ok(()) };
            let after = tag << TIME_BITS | next & TIME;
            if place.compare_exchange(before, after, Relaxed, Relaxed).is_ok() {
                return Ok(());
            }
        }
        Err(1)
    }
}

/// Whole seconds that cover this many microseconds, at least one.
fn seconds(micros: u64) -> u64 {
    micros.div_ceil(1_000_000).max(1)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use proptest::prelude::*;

    use super::*;

    fn rate(requests: u32, burst: u32, entries: usize) -> Arc<Rate> {
        let per = Duration::from_secs(1);
        Rate::new(&RateOptions {
            requests,
            per,
            burst: Some(burst),
            entries,
            ..RateOptions::default()
        })
    }

    proptest! {
        /// As a map of exact times, as long as keys do not meet.
        #[test]
        fn the_table_is_a_map_of_times(
            asked in prop::collection::vec((0_u64..8, 0_u64..400_000), 1..200),
        ) {
            let rate = rate(5, 3, 65_536);
            let (mut exact, mut now) = (HashMap::new(), 1);
            for (key, pause) in asked {
                now += pause;
                let arrival = exact.get(&key).copied().unwrap_or(0);
                let expected = rate.gcra.admit(arrival, now);
                if let Ok(next) = expected {
                    exact.insert(key, next);
                }
                // All in one line, each with a tag of its own.
                let admitted = rate.admit_at((key + 1) << TIME_BITS | 0x4d, now);
                prop_assert_eq!(admitted.is_ok(), expected.is_ok());
            }
        }
    }

    #[test]
    fn a_full_line_forgets_who_has_recovered_furthest() {
        let rate = rate(1, 4, 8);
        let hash = |key: u64| (key + 1) << TIME_BITS;
        // The first of them asks once, all others three times.
        for key in 0..8 {
            for _ in 0..=(2 * key.min(1)) {
                assert_eq!(rate.admit_at(hash(key), 1), Ok(()));
            }
        }
        assert_eq!(rate.admit_at(hash(100), 1), Ok(()), "a newcomer");
        for key in 1..8 {
            assert_eq!(rate.admit_at(hash(key), 1), Ok(()));
            assert_eq!(rate.admit_at(hash(key), 1), Err(1), "{key} was not forgotten");
        }
    }

    #[test]
    fn threads_together_get_the_burst_and_no_more() {
        let rate = rate(1, 100, 8);
        let admitted: usize = std::thread::scope(|scope| {
            let ask = || (0..1_000).filter(|_| rate.admit_at(7 << TIME_BITS, 5).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 100);
    }

    #[test]
    fn addresses_are_counted_by_their_networks() {
        let rate = rate(1, 1, 1_024);
        let of = |text: &str| rate.of_client(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    }

    #[test]
    fn waits_are_whole_seconds() {
        assert_eq!(seconds(1), 1);
        assert_eq!(seconds(1_000_000), 1);
        assert_eq!(seconds(1_000_001), 2);
    }
}
