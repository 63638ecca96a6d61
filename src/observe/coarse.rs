//! Small histograms: four buckets to a doubling, for what is seldom or kept for long.

use super::{Stage, histograms::bound_of};

/// Buckets of one histogram: 0 to 3 ns, and four for each doubling up to 2^36 ns (68.7 s); what is
/// longer is in the last.
pub(super) const BUCKETS: usize = 4 + 34 * 4;

/// The bucket of a duration.
#[inline]
pub(super) fn bucket_of(nanoseconds: u64) -> usize {
    if nanoseconds < 4 {
        return nanoseconds as usize;
    }
    let shift = nanoseconds.ilog2() - 2;
    let bucket = 4 + shift as usize * 4 + (nanoseconds >> shift) as usize - 4;
    bucket.min(BUCKETS - 1)
}

/// The longest duration of a bucket.
pub(super) fn longest_of(bucket: usize) -> u64 {
    if bucket < 4 {
        return bucket as u64;
    }
    let shift = (bucket - 4) / 4;
    bound_of(((4 + (bucket as u64 - 4) % 4) << shift).max(4))
}

/// The middle of a bucket, which stands for the durations in it: at most an eighth off.
pub(super) fn middle_of(bucket: usize) -> u64 {
    let shortest = bucket.checked_sub(1).map_or(0, |before| longest_of(before) + 1);
    shortest.midpoint(longest_of(bucket))
}

/// How often a duration was seen, by stage.
#[derive(Clone, Debug)]
pub struct Coarse {
    counts: Box<[u64]>,
    sums: [u64; Stage::COUNT],
}

impl Default for Coarse {
    fn default() -> Self {
        let counts = vec![0; BUCKETS * Stage::COUNT].into_boxed_slice();
        Self { counts, sums: [0; Stage::COUNT] }
    }
}

impl Coarse {
    /// Memory of one.
    pub(super) const BYTES: usize = (BUCKETS + 1) * Stage::COUNT * size_of::<u64>();

    /// Of such counts, one histogram behind the other, and sums.
    pub(super) fn of(counts: &[u64], sums: [u64; Stage::COUNT]) -> Self {
        Self { counts: counts.into(), sums }
    }

    /// All counts, one histogram behind the other.
    pub(super) fn all_counts(&self) -> &[u64] {
        &self.counts
    }

    /// The sums of all stages, in nanoseconds.
    pub(super) fn sums(&self) -> &[u64; Stage::COUNT] {
        &self.sums
    }

    /// Counts one duration, in nanoseconds.
    pub(super) fn record(&mut self, stage: Stage, nanoseconds: u64) {
        if let Some(count) = self.counts.get_mut(stage.index() * BUCKETS + bucket_of(nanoseconds)) {
            *count += 1;
        }
        self.sums[stage.index()] = self.sums[stage.index()].wrapping_add(nanoseconds);
    }

    /// The counts of a stage, by bucket.
    fn counts(&self, stage: Stage) -> &[u64] {
        let from = stage.index() * BUCKETS;
        &self.counts[from..from + BUCKETS]
    }

    /// How many durations of a stage there are.
    pub fn len(&self, stage: Stage) -> u64 {
        self.counts(stage).iter().sum()
    }

    /// The sum of the durations of a stage, in nanoseconds.
    pub fn sum(&self, stage: Stage) -> u64 {
        self.sums[stage.index()]
    }

    /// Durations by upper bound (inclusive), empty buckets left out.
    pub fn buckets(&self, stage: Stage) -> impl Iterator<Item = (u64, u64)> {
        let counts = self.counts(stage).iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(bucket, count)| (longest_of(bucket), *count))
    }

    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.counts.iter_mut().zip(&other.counts) {
            *sum += more;
        }
        for (sum, more) in self.sums.iter_mut().zip(other.sums) {
            *sum = sum.wrapping_add(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_duration_lies_in_its_bucket(value in any::<u64>(), shift in 28_u32..64) {
            let value = value >> shift;
            let bucket = bucket_of(value);
            prop_assert!(value <= longest_of(bucket), "{} {}", value, bucket);
            prop_assert!(bucket == 0 || longest_of(bucket - 1) < value, "{} {}", value, bucket);
            let middle = middle_of(bucket);
            prop_assert_eq!(bucket_of(middle), bucket);
            if bucket < BUCKETS - 1 {
                prop_assert!(middle.abs_diff(value) <= value / 8, "{} {}", value, middle);
            }
        }
    }

    #[test]
    fn what_is_longer_than_all_is_in_the_last_bucket() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(longest_of(BUCKETS - 1), (1 << 36) - 1);
    }

    #[test]
    fn workers_add_up() {
        let mut sum = Coarse::default();
        sum.record(Stage::Head, 7);
        let mut other = Coarse::default();
        other.record(Stage::Head, 100);
        sum.add(&other);
        assert_eq!(
            (sum.len(Stage::Head), sum.sum(Stage::Head), sum.len(Stage::Total)),
            (2, 107, 0)
        );
        assert_eq!(sum.buckets(Stage::Head).collect::<Vec<_>>(), [(7, 1), (111, 1)]);
    }
}
