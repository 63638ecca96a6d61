use proptest::prelude::*;

use super::*;
use crate::observe::{request::place, stage::REQUEST_STAGES};

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

    /// What is counted of a request at once is what is counted one by one.
    #[test]
    fn a_request_is_counted_as_its_durations_are(
        requests in proptest::collection::vec((any::<[u64; 7]>(), 0_u32..64), 0..30),
    ) {
        let (mut whole, mut singly) = (Recorder::default(), Recorder::default());
        for (durations, shift) in requests {
            // Parts add up to their total.
            let [first_byte, durations @ ..] = durations.map(|one| one >> 3 >> shift);
            let mut parts = [0; REQUEST_STAGES.len()];
            for (stage, duration) in ALWAYS.into_iter().zip(durations) {
                parts[place(stage)] = duration;
                singly.record(stage, duration);
            }
            let total = durations.iter().sum();
            singly.record(Stage::FirstByte, first_byte);
            singly.record(Stage::Total, total);
            whole.record_request(first_byte, total, &parts);
        }
        for (one, other) in whole.histograms().all().zip(singly.histograms().all()) {
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn what_all_but_a_share_did_not_exceed_is_found_from_above(
        totals in proptest::collection::vec(any::<u64>(), 0..100), shift in 0_u32..64, share in 0_f64..1.0,
    ) {
        let mut recorder = Recorder::default();
        for total in &totals {
            recorder.record(Stage::Total, *total >> shift);
        }
        let mut buckets: Vec<_> = totals.iter().map(|total| bucket_of((*total >> shift).min(LONGEST))).collect();
        buckets.sort_unstable_by_key(|bucket| std::cmp::Reverse(*bucket));
        let most = (totals.len() as f64 * share) as usize;
        let expected = buckets.get(most).map_or(0, |bucket| value_of(bucket + 1) - 1);
        prop_assert_eq!(recorder.above(Stage::Total, share), expected);
    }

    #[test]
    fn a_bucket_begins_with_its_value(bucket in 0..BUCKETS) {
        prop_assert_eq!(bucket_of(value_of(bucket)), bucket);
        prop_assert!(bucket == 0 || bucket_of(value_of(bucket) - 1) == bucket - 1);
    }
}
