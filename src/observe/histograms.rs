//! One histogram of nanoseconds for each stage.
//!
//! The invariant: fixed bounds, fixed memory. Each histogram tells values from 1 ns to 2^36 - 1 ns
//! (68.7 s) to two significant digits; what is longer counts as the longest. That takes
//! [`HISTOGRAM_BYTES`] each, allocated when the worker starts; recording neither allocates nor
//! locks.

use hdrhistogram::Histogram;

use super::Stage;

/// The longest time that is told apart, in nanoseconds.
pub const LONGEST: u64 = (1 << 36) - 1;

/// Memory of one histogram: 256 counters for the values below 256 ns, 128 for each of the 28
/// doublings above, 8 bytes each.
pub const HISTOGRAM_BYTES: usize = (256 + 28 * 128) * 8;

/// Memory of the histograms of one worker.
pub const HISTOGRAMS_BYTES: usize = HISTOGRAM_BYTES * (Stage::COUNT + 1);

/// The histograms of one worker, or the sum of several.
#[derive(Clone, Debug)]
pub struct Histograms {
    stages: Vec<Histogram<u64>>,
    /// Sums of what was recorded, exactly.
    sums: [u64; Stage::COUNT],
    /// Durations of turns of the loop.
    turns: Histogram<u64>,
}

/// A histogram with the bounds above.
fn empty() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, LONGEST, 2) {
        Ok(histogram) => histogram,
        Err(_) => unreachable!("these bounds are valid, as the tests show"),
    }
}

impl Default for Histograms {
    fn default() -> Self {
        Self { stages: vec![empty(); Stage::COUNT], sums: [0; Stage::COUNT], turns: empty() }
    }
}

impl Histograms {
    /// Counts one duration.
    pub fn record(&mut self, stage: Stage, nanoseconds: u64) {
        if let Some(histogram) = self.stages.get_mut(stage.index()) {
            histogram.saturating_record(nanoseconds);
            self.sums[stage.index()] = self.sums[stage.index()].wrapping_add(nanoseconds);
        }
    }

    /// Counts the duration of one turn.
    pub fn record_turn(&mut self, nanoseconds: u64) {
        self.turns.saturating_record(nanoseconds);
    }

    /// The durations of a stage.
    pub fn stage(&self, stage: Stage) -> &Histogram<u64> {
        &self.stages[stage.index()]
    }

    /// The sum of the durations of a stage, in nanoseconds.
    pub fn sum(&self, stage: Stage) -> u64 {
        self.sums[stage.index()]
    }

    /// The durations of turns.
    pub fn turns(&self) -> &Histogram<u64> {
        &self.turns
    }

    /// Counts as 0 ns what requests did not pass: afterwards each of their stages has as many
    /// samples as their total. Recording leaves such samples out, because most requests pass few
    /// of the stages.
    pub fn fill_up(&mut self) {
        let requests = self.stage(Stage::Total).len();
        for stage in Stage::ALL.into_iter().filter(|stage| stage.part().is_some()) {
            let missing = requests.saturating_sub(self.stage(stage).len());
            if let Some(histogram) = self.stages.get_mut(stage.index()) {
                histogram.saturating_record_n(0, missing);
            }
        }
    }

    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.stages.iter_mut().zip(&other.stages) {
            // It fails only for values that cannot be counted, and both have the same bounds.
            let _ = sum.add(more);
        }
        for (sum, more) in self.sums.iter_mut().zip(other.sums) {
            *sum = sum.wrapping_add(more);
        }
        let _ = self.turns.add(&other.turns);
    }
}

/// Samples by upper bound (inclusive), empty buckets left out. Bounds are four to a doubling.
pub(super) fn buckets(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    let mut buckets: Vec<(u64, u64)> = Vec::new();
    for step in histogram.iter_recorded() {
        let bound = bound_of(step.value_iterated_to());
        let count = step.count_since_last_iteration();
        match buckets.last_mut() {
            Some((last, sum)) if *last == bound => *sum += count,
            _ => buckets.push((bound, count)),
        }
    }
    buckets
}

/// The least bound that is not below a value.
fn bound_of(value: u64) -> u64 {
    if value < 4 {
        return value;
    }
    let shift = value.ilog2() - 2;
    (((value >> shift) + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_memory_are_what_they_are_said_to_be() {
        let mut histograms = Histograms::default();
        for nanoseconds in [0, 1, 999, 1_000_000, LONGEST, u64::MAX] {
            histograms.record(Stage::Total, nanoseconds);
        }
        let total = histograms.stage(Stage::Total);
        assert_eq!(total.len(), 6);
        assert_eq!(total.max(), LONGEST);
        assert_eq!(total.distinct_values() * size_of::<u64>(), HISTOGRAM_BYTES);
        let middle = total.value_at_quantile(0.5) as f64;
        assert!((middle - 999.0).abs() / 999.0 < 0.01, "{middle}");
    }

    #[test]
    fn recording_does_not_allocate_more() {
        let mut histograms = Histograms::default();
        let before = histograms.stage(Stage::Close).distinct_values();
        histograms.record(Stage::Close, u64::MAX);
        assert_eq!(histograms.stage(Stage::Close).distinct_values(), before);
    }

    #[test]
    fn stages_that_were_not_passed_count_as_nothing() {
        let mut histograms = Histograms::default();
        for _ in 0..10 {
            histograms.record(Stage::Total, 5_000);
        }
        histograms.record(Stage::Head, 1_000);
        histograms.fill_up();
        assert_eq!(histograms.stage(Stage::Head).len(), 10);
        assert_eq!(histograms.stage(Stage::Head).value_at_quantile(0.5), 0);
        assert_eq!(histograms.stage(Stage::FirstByte).len(), 0);
    }

    #[test]
    fn workers_add_up() {
        let (mut one, mut two) = (Histograms::default(), Histograms::default());
        one.record(Stage::Close, 10);
        two.record(Stage::Close, 30);
        two.record_turn(7);
        one.add(&two);
        assert_eq!((one.stage(Stage::Close).len(), one.turns().len()), (2, 1));
        assert_eq!(one.sum(Stage::Close), 40);
    }

    #[test]
    fn buckets_hold_every_sample_under_its_bound() {
        let mut histograms = Histograms::default();
        let values = [0, 1, 3, 4, 5, 7, 8, 9, 1_000, 1_001, 123_456_789];
        for value in values {
            histograms.record(Stage::Close, value);
        }
        let buckets = buckets(histograms.stage(Stage::Close));
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), values.len() as u64);
        assert!(buckets.windows(2).all(|pair| pair[0].0 < pair[1].0), "{buckets:?}");
        for value in values {
            let bound = bound_of(value);
            assert!(value <= bound && bound <= value + value / 4 + 1, "{value} {bound}");
        }
    }
}
