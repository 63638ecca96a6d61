//! How much plaintext goes into the next record.
//!
//! A peer can use a record only when all of it has arrived. While the congestion window is small
//! (a new connection, or one that has rested), short records let it begin sooner; in a stream of
//! bytes full records cost least.

use crate::record::MAX_PLAINTEXT;

/// Plaintext of a record while the window is small: about three segments of an Ethernet path.
const SHORT: usize = 4096;

/// Bytes after which the window is taken to be open: past the initial ten segments (RFC 6928)
/// and their first doubling.
const OPEN_AFTER: usize = 48 * 1024;

/// Rest, in milliseconds, after which the window is taken to have closed again: the kernel's
/// idle restart (`tcp_slow_start_after_idle`) begins after one retransmission timeout.
const REST: u64 = 1000;

/// The record sizes of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordSizing {
    sent: usize,
    last: u64,
}

impl RecordSizing {
    /// Plaintext bytes for the next record, at `now` (milliseconds).
    pub(crate) fn next(&mut self, now: u64) -> usize {
        if now.saturating_sub(self.last) >= REST {
            self.sent = 0;
        }
        self.last = now;
        if self.sent < OPEN_AFTER { SHORT } else { MAX_PLAINTEXT }
    }

    /// Takes note of bytes sealed.
    pub(crate) fn sealed(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_first_then_full_and_short_again_after_a_rest() {
        let mut sizing = RecordSizing::default();
        let mut now = 0;
        let mut lengths = Vec::new();
        for _ in 0..14 {
            let length = sizing.next(now);
            sizing.sealed(length);
            lengths.push(length);
            now += 10;
        }
        assert_eq!(lengths[..12], [SHORT; 12]);
        assert_eq!(lengths[12..], [MAX_PLAINTEXT; 2]);
        assert_eq!(sizing.next(now + REST), SHORT);
    }
}
