//! Which server of a pool gets a request. Pure: what is known of the servers comes in as numbers.

/// How a pool chooses among its servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The fewest exchanges in flight for its weight, by the counts of all workers.
    #[default]
    Least,
    /// The least of decayed time to first byte, times exchanges in flight and one.
    Ewma,
    /// The highest random weight of a key, passing over servers above 1.25 times the mean load.
    Hash,
    /// One after the other.
    RoundRobin,
}

/// What is known of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// It may get a request now.
    pub(crate) usable: bool,
    /// Exchanges of all workers that it has not finished.
    pub(crate) outstanding: u32,
    /// Its share of requests, in hundredths; at least 1.
    pub(crate) weight: u32,
    /// Decayed mean of the time from a request's end to its first byte, in microseconds.
    pub(crate) first_byte_us: u32,
    /// A number that belongs to its address.
    pub(crate) identity: u64,
}

/// What one choice goes by besides the loads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    /// Random.
    pub(crate) random: u64,
    /// What [`Policy::Hash`] hashes: the client's address, or a field's value.
    pub(crate) key: u64,
    /// How many choices [`Policy::RoundRobin`] made before.
    pub(crate) turn: u64,
    /// A server that failed this request already: taken only if there is no other.
    pub(crate) except: Option<usize>,
}

/// Up to so many servers, all are compared; above it two random ones.
const COMPARED: usize = 16;

/// Draws that look for two usable servers among many before all are compared.
const DRAWS: u32 = 8;

/// Chooses one of `count` servers. None if none is usable.
pub(crate) fn choose(
    policy: Policy,
    count: usize,
    load: &impl Fn(usize) -> Load,
    draw: &Draw,
) -> Option<usize> {
    let usable = |server: &usize| load(*server).usable && Some(*server) != draw.except;
    let chosen = match policy {
        Policy::Least | Policy::Ewma if count > COMPARED => two_of_many(policy, count, load, draw),
        Policy::Least | Policy::Ewma => None,
        Policy::Hash => by_hash(count, load, draw, &usable),
        Policy::RoundRobin => {
            let first = (draw.turn % count.max(1) as u64) as usize;
            turned(first, count).find(usable)
        }
    };
    chosen
        .or_else(|| best(policy, count, load, draw, &usable))
        .or_else(|| draw.except.filter(|&server| server < count && load(server).usable))
}

/// All servers, from one on.
fn turned(first: usize, count: usize) -> impl Iterator<Item = usize> {
    (first..count).chain(0..first.min(count))
}

/// The cheapest usable server; the first from a random start among equal ones.
fn best(
    policy: Policy,
    count: usize,
    load: &impl Fn(usize) -> Load,
    draw: &Draw,
    usable: &impl Fn(&usize) -> bool,
) -> Option<usize> {
    let first = (draw.random % count.max(1) as u64) as usize;
    turned(first, count).filter(usable).min_by_key(|&server| cost(policy, &load(server)))
}

/// The cheaper of two different random servers.
fn two_of_many(
    policy: Policy,
    count: usize,
    load: &impl Fn(usize) -> Load,
    draw: &Draw,
) -> Option<usize> {
    let mut state = draw.random;
    let mut found: Option<usize> = None;
    for _ in 0..DRAWS {
        state = mix(state);
        let server = (state % count as u64) as usize;
        if !load(server).usable || Some(server) == draw.except || Some(server) == found {
            continue;
        }
        let Some(other) = found.replace(server) else { continue };
        let cheaper = cost(policy, &load(other)) <= cost(policy, &load(server));
        return Some(if cheaper { other } else { server });
    }
    None
}

/// What one more exchange would cost, for comparison only.
fn cost(policy: Policy, load: &Load) -> u128 {
    let waiting = (u128::from(load.outstanding) + 1) * 1_000_000;
    let time = match policy {
        Policy::Ewma => u128::from(load.first_byte_us.max(1)),
        Policy::Least | Policy::Hash | Policy::RoundRobin => 1,
    };
    waiting * time / u128::from(load.weight.max(1))
}

/// The server with the highest score for the key whose load is below 1.25 times the mean.
fn by_hash(
    count: usize,
    load: &impl Fn(usize) -> Load,
    draw: &Draw,
    usable: &impl Fn(&usize) -> bool,
) -> Option<usize> {
    let loads = || (0..count).filter(usable).map(|server| (server, load(server)));
    let all: u64 = loads().map(|(_, load)| u64::from(load.outstanding)).sum::<u64>() + 1;
    let weights: u64 = loads().map(|(_, load)| u64::from(load.weight.max(1))).sum();
    // outstanding + 1 <= 1.25 * all * weight / weights, rounded up so that one always fits.
    let fits = |load: &Load| {
        let most = (5 * all * u64::from(load.weight.max(1))).div_ceil(4 * weights.max(1));
        u64::from(load.outstanding) < most
    };
    let score = |load: &Load| {
        // -weight / ln(u): highest random weight with weights (Schindelhauer and Schomaker, 2005).
        let uniform = (mix(draw.key ^ load.identity) >> 11) as f64 / (1_u64 << 53) as f64;
        -f64::from(load.weight.max(1)) / uniform.max(f64::MIN_POSITIVE).ln()
    };
    loads()
        .filter(|(_, load)| fits(load))
        .map(|(server, load)| (server, score(&load)))
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(server, _)| server)
}

/// Spreads a number over all bits (the finalizer of `SplitMix64`).
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const FREE: Load =
        Load { usable: true, outstanding: 0, weight: 100, first_byte_us: 100, identity: 0 };
    const DRAW: Draw = Draw { random: 0, key: 0, turn: 0, except: None };

    fn servers(count: usize) -> Vec<Load> {
        (0..count).map(|at| Load { identity: mix(at as u64), ..FREE }).collect()
    }

    fn of(policy: Policy, loads: &[Load], draw: Draw) -> Option<usize> {
        choose(policy, loads.len(), &|at| loads[at], &draw)
    }

    #[test]
    fn the_least_loaded_for_its_weight_is_chosen() {
        let mut loads = servers(3);
        (loads[0].outstanding, loads[1].outstanding, loads[2].outstanding) = (3, 2, 5);
        assert_eq!(of(Policy::Least, &loads, DRAW), Some(1));
        loads[2].weight = 300;
        assert_eq!(of(Policy::Least, &loads, DRAW), Some(2));
        loads[0].first_byte_us = 10;
        assert_eq!(of(Policy::Ewma, &loads, DRAW), Some(0));
    }

    #[test]
    fn equals_share_the_requests() {
        let loads = servers(4);
        let mut hits = [0; 4];
        for random in 0..4000 {
            hits[of(Policy::Least, &loads, Draw { random: mix(random), ..DRAW }).unwrap()] += 1;
        }
        assert!(hits.iter().all(|&hits| (900..1100).contains(&hits)), "{hits:?}");
        let turns: Vec<_> =
            (0..5).map(|turn| of(Policy::RoundRobin, &loads, Draw { turn, ..DRAW })).collect();
        assert_eq!(turns, [0, 1, 2, 3, 0].map(Some));
    }

    #[test]
    fn a_key_stays_with_its_server_while_that_one_keeps_up() {
        let mut loads = servers(5);
        let home = of(Policy::Hash, &loads, Draw { key: 7, ..DRAW }).unwrap();
        for _ in 0..20 {
            assert_eq!(of(Policy::Hash, &loads, Draw { key: 7, ..DRAW }), Some(home));
        }
        // Another server gone moves only the keys that it had.
        let other = (home + 1) % 5;
        loads[other].usable = false;
        assert_eq!(of(Policy::Hash, &loads, Draw { key: 7, ..DRAW }), Some(home));
        loads[home].outstanding = 10;
        assert_ne!(of(Policy::Hash, &loads, Draw { key: 7, ..DRAW }), Some(home));
        let mut hits = [0; 5];
        let loads = servers(5);
        for key in 0..5000 {
            hits[of(Policy::Hash, &loads, Draw { key, ..DRAW }).unwrap()] += 1;
        }
        assert!(hits.iter().all(|&hits| (850..1150).contains(&hits)), "{hits:?}");
    }

    #[test]
    fn a_server_that_failed_the_request_is_the_last_resort() {
        let mut loads = servers(2);
        loads[1].outstanding = 100;
        for policy in [Policy::Least, Policy::Ewma, Policy::Hash, Policy::RoundRobin] {
            let draw = Draw { except: Some(0), ..DRAW };
            assert_eq!(of(policy, &loads, draw), Some(1), "{policy:?}");
            assert_eq!(of(policy, &loads[..1], draw), Some(0), "{policy:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_usable(
            loads in vec((any::<bool>(), 0_u32..50, 1_u32..300, any::<u32>()), 0..40),
            (random, key, turn) in any::<(u64, u64, u64)>(),
            except in proptest::option::of(0_usize..40),
        ) {
            let loads: Vec<Load> = loads
                .into_iter()
                .enumerate()
                .map(|(at, (usable, outstanding, weight, first_byte_us))| Load {
                    usable, outstanding, weight, first_byte_us, identity: mix(at as u64),
                })
                .collect();
            for policy in [Policy::Least, Policy::Ewma, Policy::Hash, Policy::RoundRobin] {
                let chosen = of(policy, &loads, Draw { random, key, turn, except });
                prop_assert_eq!(chosen.is_some(), loads.iter().any(|load| load.usable));
                if let Some(chosen) = chosen {
                    prop_assert!(loads[chosen].usable);
                    let others = loads.iter().enumerate().any(|(at, load)| load.usable && at != chosen);
                    prop_assert!(Some(chosen) != except || !others);
                }
            }
        }
    }
}
