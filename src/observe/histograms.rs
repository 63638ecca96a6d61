//! One histogram of nanoseconds for each stage.
//!
//! The invariant: fixed bounds, fixed memory. Each histogram resolves values from 1 ns to 2^36 - 1 ns
//! (68.7 s) to two significant digits; what is longer counts as the longest. That takes
//! [`HISTOGRAM_BYTES`] each, allocated when the worker starts; recording neither allocates nor
//! locks. A worker records into the bare counters of [`Recorder`], which is a few instructions;
//! a reader gets [`Histograms`] with the same buckets.

use hdrhistogram::Histogram;

use super::{Stage, coarse, defect};

/// The longest time that is resolved, in nanoseconds.
pub(crate) const LONGEST: u64 = (1 << 36) - 1;

/// Memory of one histogram: 256 counters for the values below 256 ns, 128 for each of the 28
/// doublings above, 8 bytes each.
pub(crate) const HISTOGRAM_BYTES: usize = (256 + 28 * 128) * 8;

/// Memory of the histograms of one worker.
pub(crate) const HISTOGRAMS_BYTES: usize = HISTOGRAM_BYTES * HISTOGRAMS;

/// The histograms of one worker, or the sum of several.
#[derive(Clone, Debug)]
pub struct Histograms {
    stages: Vec<Histogram<u64>>,
    /// Sums of what was recorded, exactly.
    sums: [u64; Stage::COUNT],
    /// Durations of turns of the loop.
    turns: Histogram<u64>,
    /// Their sum.
    turns_sum: u64,
    /// Delays of wakes.
    wakes: Histogram<u64>,
    /// Their sum.
    wakes_sum: u64,
}

/// Counters of one histogram.
const BUCKETS: usize = HISTOGRAM_BYTES / size_of::<u64>();

/// Histograms of one worker.
pub(super) const HISTOGRAMS: usize = Stage::COUNT + 2;

/// The place among them of the durations of turns.
const TURNS: usize = Stage::COUNT;

/// The place of the delays of wakes.
const WAKES: usize = Stage::COUNT + 1;

/// The counters of one worker's histograms.
#[derive(Debug)]
pub(super) struct Recorder {
    /// One histogram behind the other.
    counts: Box<[u64]>,
    /// Sums of what was recorded, exactly.
    sums: [u64; HISTOGRAMS],
}

impl Default for Recorder {
    fn default() -> Self {
        let counts = vec![0; BUCKETS * HISTOGRAMS].into_boxed_slice();
        Self { counts, sums: [0; HISTOGRAMS] }
    }
}

impl Recorder {
    /// Counts one duration.
    #[inline]
    pub(super) fn record(&mut self, stage: Stage, nanoseconds: u64) {
        self.count(stage.index(), nanoseconds);
    }

    /// Counts the duration of one turn.
    pub(super) fn record_turn(&mut self, nanoseconds: u64) {
        self.count(TURNS, nanoseconds);
    }

    /// Counts how late the worker woke.
    pub(super) fn record_wake(&mut self, nanoseconds: u64) {
        self.count(WAKES, nanoseconds);
    }

    #[inline]
    fn count(&mut self, of: usize, nanoseconds: u64) {
        if let Some(count) = self.counts.get_mut(of * BUCKETS + bucket_of(nanoseconds)) {
            *count += 1;
        }
        self.sums[of] = self.sums[of].wrapping_add(nanoseconds);
    }

    /// What all but a `share` of the durations of a stage did not exceed, to two significant
    /// digits; 0 without durations.
    pub(super) fn above(&self, stage: Stage, share: f64) -> u64 {
        let counts = &self.counts[stage.index() * BUCKETS..][..BUCKETS];
        let all: u64 = counts.iter().sum();
        let (most, mut beyond) = ((all as f64 * share) as u64, 0);
        for (bucket, count) in counts.iter().enumerate().rev() {
            beyond += count;
            if beyond > most {
                return value_of(bucket + 1) - 1;
            }
        }
        0
    }

    /// The same as histograms. Requests that did not pass a stage count there as 0 ns: recording
    /// leaves such samples out, because most requests pass few of the stages.
    pub(super) fn histograms(&self) -> Histograms {
        let mut histograms = Histograms::default();
        let into =
            histograms.stages.iter_mut().chain([&mut histograms.turns, &mut histograms.wakes]);
        for (counts, histogram) in self.counts.chunks_exact(BUCKETS).zip(into) {
            for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                histogram.saturating_record_n(value_of(bucket), *count);
            }
        }
        histograms.sums.copy_from_slice(&self.sums[..Stage::COUNT]);
        histograms.turns_sum = self.sums[TURNS];
        histograms.wakes_sum = self.sums[WAKES];
        histograms.fill_up();
        histograms
    }
}

/// The counter of a duration: as `hdrhistogram` lays them out for these bounds.
#[inline]
fn bucket_of(nanoseconds: u64) -> usize {
    let nanoseconds = nanoseconds.min(LONGEST);
    let shift = (nanoseconds | 0xff).ilog2() - 7;
    shift as usize * 128 + (nanoseconds >> shift) as usize
}

/// The shortest duration of a counter.
fn value_of(bucket: usize) -> u64 {
    if bucket < 256 {
        return bucket as u64;
    }
    (128 + bucket as u64 % 128) << (bucket / 128 - 1)
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
        Self {
            stages: vec![empty(); Stage::COUNT],
            sums: [0; Stage::COUNT],
            turns: empty(),
            turns_sum: 0,
            wakes: empty(),
            wakes_sum: 0,
        }
    }
}

impl Histograms {
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

    /// The sum of the durations of turns, in nanoseconds.
    pub fn turns_sum(&self) -> u64 {
        self.turns_sum
    }

    /// How late the worker woke: of sleeps that lasted a tick of the kernel or more, for how long it
    /// did not run although something had come.
    pub fn wakes(&self) -> &Histogram<u64> {
        &self.wakes
    }

    /// The sum of these delays, in nanoseconds.
    pub fn wakes_sum(&self) -> u64 {
        self.wakes_sum
    }

    /// Counts as 0 ns what requests did not pass: afterwards each of their stages has as many
    /// samples as their total.
    fn fill_up(&mut self) {
        let requests = self.stage(Stage::Total).len();
        for stage in Stage::ALL.into_iter().filter(|stage| stage.part().is_some()) {
            let missing = requests.saturating_sub(self.stage(stage).len());
            if let Some(histogram) = self.stages.get_mut(stage.index()) {
                histogram.saturating_record_n(0, missing);
            }
        }
    }

    /// All of them with their sums: the stages', then turns, then wakes.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Histogram<u64>, u64)> {
        let stages = self.stages.iter().zip(self.sums);
        stages.chain([(&self.turns, self.turns_sum), (&self.wakes, self.wakes_sum)])
    }

    /// Of coarse counts, in the order of [`Self::all`].
    pub(super) fn of_coarse(counts: &[u64], sums: &[u64; HISTOGRAMS]) -> Self {
        let mut histograms = Self::default();
        let into =
            histograms.stages.iter_mut().chain([&mut histograms.turns, &mut histograms.wakes]);
        for (counts, histogram) in counts.chunks_exact(coarse::BUCKETS).zip(into) {
            for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                histogram.saturating_record_n(coarse::middle_of(bucket), *count);
            }
        }
        histograms.sums.copy_from_slice(&sums[..Stage::COUNT]);
        (histograms.turns_sum, histograms.wakes_sum) = (sums[TURNS], sums[WAKES]);
        histograms
    }

    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.stages.iter_mut().zip(&other.stages) {
            add(sum, more);
        }
        for (sum, more) in self.sums.iter_mut().zip(other.sums) {
            *sum = sum.wrapping_add(more);
        }
        add(&mut self.turns, &other.turns);
        self.turns_sum = self.turns_sum.wrapping_add(other.turns_sum);
        add(&mut self.wakes, &other.wakes);
        self.wakes_sum = self.wakes_sum.wrapping_add(other.wakes_sum);
    }
}

/// Adds another histogram to one with the same bounds.
fn add(sum: &mut Histogram<u64>, more: &Histogram<u64>) {
    if sum.add(more).is_err() {
        defect("histograms of different bounds were added");
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
pub(super) fn bound_of(value: u64) -> u64 {
    if value < 4 {
        return value;
    }
    let shift = value.ilog2() - 2;
    (((value >> shift) + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_and_memory_are_what_they_are_said_to_be() {
        let mut recorder = Recorder::default();
        for nanoseconds in [0, 1, 999, 1_000_000, LONGEST, u64::MAX] {
            recorder.record(Stage::Total, nanoseconds);
        }
        let histograms = recorder.histograms();
        let total = histograms.stage(Stage::Total);
        assert_eq!(total.len(), 6);
        assert_eq!(total.max(), LONGEST);
        assert_eq!(total.distinct_values() * size_of::<u64>(), HISTOGRAM_BYTES);
        assert_eq!(size_of_val(&*recorder.counts), HISTOGRAMS_BYTES);
        let middle = total.value_at_quantile(0.5) as f64;
        assert!((middle - 999.0).abs() / 999.0 < 0.01, "{middle}");
    }

    #[test]
    fn stages_that_were_not_passed_count_as_nothing() {
        let mut recorder = Recorder::default();
        for _ in 0..10 {
            recorder.record(Stage::Total, 5_000);
        }
        recorder.record(Stage::Head, 1_000);
        let histograms = recorder.histograms();
        assert_eq!(histograms.stage(Stage::Head).len(), 10);
        assert_eq!(histograms.stage(Stage::Head).value_at_quantile(0.5), 0);
        assert_eq!(histograms.stage(Stage::FirstByte).len(), 0);
    }

    #[test]
    fn workers_add_up() {
        let (mut one, mut two) = (Recorder::default(), Recorder::default());
        one.record(Stage::Close, 10);
        two.record(Stage::Close, 30);
        two.record_turn(7);
        let mut sum = one.histograms();
        sum.add(&two.histograms());
        assert_eq!((sum.stage(Stage::Close).len(), sum.turns().len()), (2, 1));
        assert_eq!((sum.sum(Stage::Close), sum.turns_sum()), (40, 7));
    }

    #[test]
    fn the_slowest_hundredth_lies_above_its_threshold() {
        let mut recorder = Recorder::default();
        assert_eq!(recorder.above(Stage::Total, 0.01), 0);
        for microseconds in 1..=1_000 {
            recorder.record(Stage::Total, microseconds * 1_000);
        }
        let threshold = recorder.above(Stage::Total, 0.01);
        assert!((980_000..=1_000_000).contains(&threshold), "{threshold}");
    }

    #[test]
    fn buckets_hold_every_sample_under_its_bound() {
        let mut recorder = Recorder::default();
        let values = [0, 1, 3, 4, 5, 7, 8, 9, 1_000, 1_001, 123_456_789];
        for value in values {
            recorder.record(Stage::Close, value);
        }
        let buckets = buckets(recorder.histograms().stage(Stage::Close));
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), values.len() as u64);
        assert!(buckets.windows(2).all(|pair| pair[0].0 < pair[1].0), "{buckets:?}");
        for value in values {
            let bound = bound_of(value);
            assert!(value <= bound && bound <= value + value / 4 + 1, "{value} {bound}");
        }
    }

    proptest! {
        /// Neither the counters nor folding them moves a duration to another bucket than the one
        /// that a histogram has for it.
        #[test]
        fn the_counters_are_those_of_a_histogram(
            values in proptest::collection::vec((any::<u64>(), 0_u32..64), 1..20),
        ) {
            let mut recorder = Recorder::default();
            let mut expected = empty();
            for (value, shift) in values {
                recorder.record(Stage::Close, value >> shift);
                expected.saturating_record(value >> shift);
            }
            let histograms = recorder.histograms();
            prop_assert_eq!(histograms.stage(Stage::Close), &expected);
        }

        #[test]
        fn a_bucket_begins_with_its_value(bucket in 0..BUCKETS) {
            prop_assert_eq!(bucket_of(value_of(bucket)), bucket);
            prop_assert!(bucket == 0 || bucket_of(value_of(bucket) - 1) == bucket - 1);
        }
    }
}
