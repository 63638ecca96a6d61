//! One histogram of nanoseconds for each stage.
//!
//! The invariant: fixed bounds, fixed memory. Each histogram resolves values from 1 ns to 2^36 - 1 ns
//! (68.7 s) to two significant digits; what is longer counts as the longest. That takes
//! [`HISTOGRAM_BYTES`] each, allocated when the worker starts; recording neither allocates nor
//! locks. A worker records into the bare counters of [`Recorder`], which is a few instructions;
//! a reader gets [`Histograms`] with the same buckets.

use hdrhistogram::Histogram;

use super::{
    Stage, coarse, defect,
    request::{ALWAYS_PLACES, OpenRequest, Parts},
    stage::ALWAYS,
};

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

/// Counters of a doubling.
const DOUBLING: usize = 128;

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
    counts: Box<[u64; BUCKETS * HISTOGRAMS]>,
    /// Sums of what was recorded, exactly.
    sums: [u64; HISTOGRAMS],
}

impl Default for Recorder {
    fn default() -> Self {
        match vec![0; BUCKETS * HISTOGRAMS].into_boxed_slice().try_into() {
            Ok(counts) => Self { counts, sums: [0; HISTOGRAMS] },
            Err(_) => unreachable!("it was made of this length"),
        }
    }
}

impl Recorder {
    /// Counts one duration.
    #[inline]
    pub(super) fn record(&mut self, stage: Stage, nanoseconds: u64) {
        self.count(stage.index(), nanoseconds);
    }

    /// Counts what each request has: the wait for its first byte, its total, and the parts of that which each
    /// request passes.
    #[inline]
    pub(super) fn record_request(&mut self, first_byte: u64, total: u64, parts: &Parts) {
        // No part is longer than the total.
        if first_byte.max(total) > LONGEST {
            self.record_long(first_byte, total, parts);
            return;
        }
        self.count_short(Stage::FirstByte.index(), first_byte);
        self.count_short(Stage::Total.index(), total);
        for (stage, place) in ALWAYS.into_iter().zip(ALWAYS_PLACES) {
            self.count_short(stage.index(), parts[place]);
        }
    }

    #[cold]
    fn record_long(&mut self, first_byte: u64, total: u64, parts: &Parts) {
        self.record(Stage::FirstByte, first_byte);
        self.record(Stage::Total, total);
        for (stage, place) in ALWAYS.into_iter().zip(ALWAYS_PLACES) {
            self.record(stage, parts[place]);
        }
    }

    /// Counts the parts that few requests pass, as far as this one did. Apart, so that what each request has
    /// lies together.
    #[inline(never)]
    pub(super) fn record_seldom(&mut self, request: &OpenRequest) {
        for (stage, time) in request.seldom_parts().filter(|(_, time)| *time > 0) {
            self.record(stage, time);
        }
    }

    /// Counts the duration of one turn.
    #[inline]
    pub(super) fn record_turn(&mut self, nanoseconds: u64) {
        self.count(TURNS, nanoseconds);
    }

    /// Counts how late the worker woke.
    pub(super) fn record_wake(&mut self, nanoseconds: u64) {
        self.count(WAKES, nanoseconds);
    }

    #[inline]
    fn count(&mut self, of: usize, nanoseconds: u64) {
        self.enter(of, bucket_of(nanoseconds.min(LONGEST)), nanoseconds);
    }

    /// The same of what is not longer than [`LONGEST`].
    #[inline]
    fn count_short(&mut self, of: usize, nanoseconds: u64) {
        self.enter(of, bucket_of(nanoseconds), nanoseconds);
    }

    #[inline]
    fn enter(&mut self, of: usize, bucket: usize, nanoseconds: u64) {
        match self.counts.as_chunks_mut::<BUCKETS>().0[of].get_mut(bucket) {
            Some(count) => *count += 1,
            None => defect("a duration has no counter"),
        }
        self.sums[of] = self.sums[of].wrapping_add(nanoseconds);
    }

    /// What all but a `share` of the durations of a stage did not exceed, to two significant
    /// digits; 0 without durations.
    pub(super) fn above(&self, stage: Stage, share: f64) -> u64 {
        let counts = &self.counts.as_chunks::<BUCKETS>().0[stage.index()];
        let all: u64 = counts.iter().sum();
        let (most, mut beyond) = ((all as f64 * share) as u64, 0);
        // Most counters are empty: of a doubling the sum is looked at first.
        for (doubling, counts) in counts.chunks_exact(DOUBLING).enumerate().rev() {
            let within: u64 = counts.iter().sum();
            if beyond + within <= most {
                beyond += within;
                continue;
            }
            for (place, count) in counts.iter().enumerate().rev() {
                beyond += count;
                if beyond > most {
                    return value_of(doubling * DOUBLING + place + 1) - 1;
                }
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

/// The counter of a duration that is not longer than [`LONGEST`]: as `hdrhistogram` lays them out for these
/// bounds.
#[inline]
fn bucket_of(nanoseconds: u64) -> usize {
    let shift = (nanoseconds | 0xff).ilog2() - 7;
    shift as usize * DOUBLING + (nanoseconds >> shift) as usize
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
#[path = "histograms_tests.rs"]
mod tests;
