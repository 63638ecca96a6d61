//! How much memory a ring may register: the kernel counts it, and since Linux 6.14 the rings too,
//! against the user's limit on locked memory (`RLIMIT_MEMLOCK`, setrlimit(2)), which is 8 MiB on
//! most distributions.
//!
//! The invariant: what one ring registers leaves the others of the process their share, so that a
//! ring that is set up last does not fail for want of it.

use rustix::{
    process::{Resource, getrlimit},
    thread::{CapabilitySet, capabilities},
};

/// Bytes that a ring takes of the limit beside registered memory: queues of the default size, their
/// entries and a ring of receive buffers, rounded up.
const RING: u64 = 512 << 10;

/// Less than this is not worth registering: two bulk buffers.
const LEAST: u64 = 256 << 10;

/// Bytes that each of `rings` rings of this process may register.
pub(super) fn lockable(rings: usize) -> usize {
    let limited =
        !capabilities(None).is_ok_and(|own| own.effective.contains(CapabilitySet::IPC_LOCK));
    let limit = getrlimit(Resource::Memlock).current.filter(|_| limited);
    share(limit, rings)
}

/// The share of one ring in this limit; None is no limit.
fn share(limit: Option<u64>, rings: usize) -> usize {
    let Some(limit) = limit else { return usize::MAX };
    let each = (limit / rings.max(1) as u64).saturating_sub(RING);
    let each = if each < LEAST { 0 } else { each };
    usize::try_from(each).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_shared_and_leaves_room_for_the_rings() {
        const MIB: u64 = 1 << 20;
        assert_eq!(share(None, 64), usize::MAX);
        assert_eq!(share(Some(8 * MIB), 1) as u64, 8 * MIB - RING);
        for rings in [1, 2, 4, 8, 64, 1000] {
            for limit in [0, 64 << 10, 8 * MIB, 9 * MIB, 1 << 40] {
                let each = share(Some(limit), rings) as u64;
                assert!(each == 0 || (each + RING) * rings as u64 <= limit, "{limit} {rings}");
                assert!(each == 0 || each >= LEAST, "{limit} {rings}");
            }
        }
    }
}
