//! Rounds become figures: medians and ranges.

use ringway_load::report::{Report, Spent};

use crate::results::Entry;

/// The middle of some values and how far they reach.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Range {
    pub(crate) median: f64,
    /// The quartiles: half of the values lie between them. Of fewer than four values, the least and
    /// the most.
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// The value at a share of the way through sorted `values`, between two of them where it must be.
fn at(values: &[f64], share: f64) -> f64 {
    let place = share * (values.len() - 1) as f64;
    let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

impl Range {
    /// Of `values`; nothing if there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let few = values.len() < 4;
        let [low, high] = [(0.25, min), (0.75, max)]
            .map(|(share, end)| if few { end } else { at(&values, share) });
        Some(Self { median: at(&values, 0.5), low, high, min, max })
    }
}

/// A figure of a round.
pub(crate) type Figure = fn(&Report) -> Option<f64>;

/// A figure of what the server spent.
fn spent(report: &Report, figure: impl Fn(&Spent) -> f64) -> Option<f64> {
    report.server.as_ref().map(figure)
}

pub(crate) const REQUESTS: Figure = |report| Some(report.requests_per_second);
pub(crate) const BYTES: Figure = |report| Some(report.body_bytes_per_second);
pub(crate) const REQUESTS_PER_CPU: Figure = |report| spent(report, |s| s.requests_per_cpu_second);
pub(crate) const BYTES_PER_CPU: Figure = |report| spent(report, |s| s.body_bytes_per_cpu_second);
pub(crate) const CPU_PER_REQUEST: Figure = |report| spent(report, |s| s.cpu_us_per_request);
pub(crate) const USER_SHARE: Figure = |report| spent(report, |s| s.user_share);
pub(crate) const PEAK: Figure = |report| spent(report, |s| s.resident_peak as f64);
pub(crate) const CLIENT_BUSY: Figure = |report| Some(report.client.busy);
pub(crate) const P50: Figure = |report| Some(report.latency_at(50.0));
pub(crate) const P99: Figure = |report| Some(report.latency_at(99.0));
pub(crate) const P999: Figure = |report| Some(report.latency_at(99.9));
pub(crate) const MAX: Figure = |report| Some(report.latency_at(100.0));
/// Requests of the connection that was served least by those of the one in the middle.
pub(crate) const FAIRNESS: Figure = |report| {
    let served = report.served;
    (served.median > 0).then(|| served.least as f64 / served.median as f64)
};
pub(crate) const HEAD: Figure = |report| Some(report.came.head_bytes).filter(|bytes| *bytes > 0.0);
pub(crate) const WIRE: Figure = |report| Some(report.came.wire_bytes).filter(|bytes| *bytes > 0.0);
pub(crate) const TICKETS: Figure = |report| Some(report.came.tickets);
pub(crate) const IDLE_USER: Figure =
    |report| report.server.as_ref()?.idle_connection.map(|idle| idle.user);
pub(crate) const IDLE_KERNEL: Figure =
    |report| report.server.as_ref()?.idle_connection.map(|idle| idle.kernel_slab + idle.kernel_tcp);

/// The range of a figure over an entry's rounds.
pub(crate) fn range(entry: &Entry, figure: Figure) -> Option<Range> {
    Range::of(entry.rounds.iter().filter_map(figure))
}

/// `one`'s figure divided by `other`'s in the same round, over the rounds.
pub(crate) fn ratio(one: &Entry, other: &Entry, figure: Figure) -> Option<Range> {
    let pairs = one.rounds.iter().zip(&other.rounds);
    Range::of(pairs.filter_map(|(one, other)| Some(figure(one)? / figure(other)?)))
}

#[cfg(test)]
mod tests {
    use super::Range;

    #[test]
    fn medians_and_ranges() {
        let range = |values: &[f64]| {
            Range::of(values.iter().copied()).map(|r| [r.median, r.low, r.high, r.min, r.max])
        };
        assert_eq!(range(&[]), None);
        assert_eq!(range(&[3.0, 1.0, 2.0]), Some([2.0, 1.0, 3.0, 1.0, 3.0]));
        assert_eq!(range(&[4.0, 1.0]), Some([2.5, 1.0, 4.0, 1.0, 4.0]));
        assert_eq!(range(&[5.0, 1.0, 3.0, 2.0, 90.0]), Some([3.0, 2.0, 5.0, 1.0, 90.0]));
        assert_eq!(range(&[4.0, 1.0, 2.0, 3.0]), Some([2.5, 1.75, 3.25, 1.0, 4.0]));
        assert_eq!(range(&[f64::NAN, f64::INFINITY]), None);
    }
}
