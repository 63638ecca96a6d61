//! Upper bounds of the buckets of durations, and samples by them.

use hdrhistogram::Histogram;

use super::seconds;

/// Upper bounds of the buckets of durations, in nanoseconds: 1, 2.5 and 5 of each power of ten,
/// from a microsecond to ten seconds, and a minute.
pub(super) const BOUNDS: [u64; 23] = {
    let mut bounds = [60_000_000_000; 23];
    let (mut power, mut at) = (1_000, 0);
    while at < 21 {
        bounds[at] = power;
        bounds[at + 1] = power * 5 / 2;
        bounds[at + 2] = power * 5;
        power *= 10;
        at += 3;
    }
    bounds[21] = power;
    bounds
};

/// Doublings of the bounds of a request's total: from 16 us to 67 s.
const DOUBLINGS: usize = 22;

/// Bounds of a request's total, eight to a doubling, so that a quantile of it is known to 10 %.
/// The other histograms have few bounds, since there are many of them.
pub(super) const FINE: [u64; DOUBLINGS * 8 + 1] = {
    /// Powers of the eighth root of two, times 16,000.
    const STEPS: [u64; 8] = [16_000, 17_448, 19_027, 20_749, 22_627, 24_675, 26_909, 29_344];
    let mut bounds = [STEPS[0] << DOUBLINGS; DOUBLINGS * 8 + 1];
    let mut at = 0;
    while at < DOUBLINGS * 8 {
        bounds[at] = STEPS[at % 8] << (at / 8);
        at += 1;
    }
    bounds
};

/// Samples in each bucket, not cumulated; the last one is without bound.
pub(super) fn buckets(histogram: &Histogram<u64>, bounds: &[u64]) -> Vec<(f64, u64)> {
    let mut buckets: Vec<_> = bounds.iter().map(|bound| (seconds(*bound), 0)).collect();
    buckets.push((f64::INFINITY, 0));
    for step in histogram.iter_recorded() {
        let value = step.value_iterated_to();
        let place = bounds.partition_point(|bound| *bound < value);
        if let Some((_, count)) = buckets.get_mut(place) {
            *count += step.count_since_last_iteration();
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_of_the_total_are_a_tenth_apart() {
        assert!(FINE.windows(2).all(|two| two[0] < two[1] && two[1] * 10 <= two[0] * 11));
        assert!(BOUNDS.is_sorted());
    }

    proptest! {
        /// As `histogram_quantile` of Prometheus works it out: between the bounds of its bucket.
        #[test]
        fn a_quantile_of_the_total_is_known_to_a_tenth(
            values in proptest::collection::vec(16_001_u64..60_000_000_000, 1..300),
        ) {
            let mut histogram = Histogram::<u64>::new_with_bounds(1, (1 << 36) - 1, 2).unwrap();
            for value in &values {
                histogram.saturating_record(*value);
            }
            let mut sorted = values;
            sorted.sort_unstable();
            let rank = (sorted.len() as f64 * 0.99).ceil() as usize;
            let exact = sorted[rank - 1] as f64 / 1e9;
            let mut seen = 0;
            let mut lower = 0.0;
            for (bound, count) in buckets(&histogram, &FINE) {
                seen += count as usize;
                if seen >= rank {
                    // A sample is counted under the next bound if its own counter, which is a
                    // hundredth wide, reaches beyond.
                    prop_assert!(lower <= exact * 1.01 && exact <= bound, "{lower} {exact} {bound}");
                    prop_assert!(bound <= lower * 1.1 || lower == 0.0);
                    break;
                }
                lower = bound;
            }
        }
    }
}
