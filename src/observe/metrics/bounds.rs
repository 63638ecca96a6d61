//! Upper bounds of the buckets of durations, and samples by them.

use hdrhistogram::Histogram;

use super::seconds;
use crate::observe::Stage;

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

/// Powers of the eighth root of two, times 16,000.
const STEPS: [u64; 8] = [16_000, 17_448, 19_027, 20_749, 22_627, 24_675, 26_909, 29_344];

/// Bounds of a request's total, eight to a doubling, so that a quantile of it is known to 10 %.
pub(super) const FINE: [u64; DOUBLINGS * 8 + 1] = {
    let mut bounds = [STEPS[0] << DOUBLINGS; DOUBLINGS * 8 + 1];
    let mut at = 0;
    while at < DOUBLINGS * 8 {
        bounds[at] = STEPS[at % 8] << (at / 8);
        at += 1;
    }
    bounds
};

/// Of [`BOUNDS`], those below 128 us.
const COARSE: usize = 7;

/// Doublings from 16 us to 128 us: from there on the bounds of most stages are eight to a doubling.
const SKIPPED: usize = 3;

/// Doublings of these, to 16.8 s.
const STAGE_DOUBLINGS: usize = 17;

/// Bounds of a stage that can make a request slow: few below 128 us, which nobody waits for, then as
/// fine as those of the total until 16.8 s, then half a minute and a whole one.
pub(super) const STAGE: [u64; COARSE + STAGE_DOUBLINGS * 8 + 3] = {
    let mut bounds = [0; COARSE + STAGE_DOUBLINGS * 8 + 3];
    let mut at = 0;
    while at < COARSE {
        bounds[at] = BOUNDS[at];
        at += 1;
    }
    while at <= COARSE + STAGE_DOUBLINGS * 8 {
        let step = at - COARSE;
        bounds[at] = STEPS[step % 8] << (SKIPPED + step / 8);
        at += 1;
    }
    bounds[at] = 30_000_000_000;
    bounds[at + 1] = 60_000_000_000;
    bounds
};

/// The bounds of a stage. Few for what takes microseconds, for what the kernel knows in ticks only, and
/// for what is no one's wait.
pub(super) fn of(stage: Stage) -> &'static [u64] {
    match stage {
        Stage::Total => &FINE,
        Stage::AcceptQueue
        | Stage::HandOver
        | Stage::FirstByte
        | Stage::Decrypt
        | Stage::Parse
        | Stage::Decode
        | Stage::Respond
        | Stage::Close => &BOUNDS,
        Stage::HandshakeFull
        | Stage::HandshakeResumed
        | Stage::HandshakeCpu
        | Stage::RunQueue
        | Stage::Turn
        | Stage::Head
        | Stage::Process
        | Stage::Body
        | Stage::Handler
        | Stage::Waiting
        | Stage::Queue
        | Stage::Connect
        | Stage::Upstream
        | Stage::UpstreamBody
        | Stage::Compress
        | Stage::Window
        | Stage::Buffer
        | Stage::FirstWrite
        | Stage::LastWrite
        | Stage::RoundTrip => &STAGE,
    }
}

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
    fn bounds_of_the_total_and_of_stages_are_a_tenth_apart() {
        let fine = |bounds: &[u64]| {
            bounds.windows(2).all(|two| two[0] < two[1] && two[1] * 10 <= two[0] * 11)
        };
        assert!(fine(&FINE) && fine(&STAGE[COARSE..STAGE.len() - 2]));
        assert_eq!((STAGE[COARSE - 1], STAGE[COARSE]), (100_000, 128_000));
        assert_eq!(STAGE[STAGE.len() - 3], 128_000 << STAGE_DOUBLINGS);
        assert!(STAGE.is_sorted());
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
