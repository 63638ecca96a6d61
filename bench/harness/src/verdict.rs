//! Who wins a workload, pair by pair, and by how much.
//!
//! The invariant: a pair is called won or lost only beyond noise; the figures behind the word
//! stand beside it wherever it is printed.

use crate::peers::RINGWAY;
use crate::results::{Entry, WorkloadResult};
use crate::summary::{Figure, P50, P99, Range, range, ratio};
use crate::table::{about, primary_figure};
use crate::workloads::About;

/// An advantage or disadvantage below this share is noise.
const NOISE: f64 = 0.03;
/// The same for latencies, which move more from round to round.
const LATENCY_NOISE: f64 = 0.1;

/// How a pair ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Won,
    /// Within noise, or a quarter of the rounds or more say otherwise.
    Even,
    Lost,
}

/// A figure by which servers are compared in a workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contest {
    /// What is compared, as in "by p99".
    pub(crate) by: &'static str,
    figure: Figure,
    more_is_better: bool,
    /// Whether it is about latency, whose figures say more than their ratio.
    pub(crate) is_latency: bool,
}

/// The contests of a workload, the primary one first.
pub(crate) fn contests(workload: &WorkloadResult) -> Vec<Contest> {
    let about = about(workload);
    let (figure, more_is_better) = primary_figure(about);
    let by = match about {
        About::Requests => "requests for each second of CPU",
        About::Bytes => "bytes for each second of CPU",
        About::Rate { .. } | About::Workers => "CPU for each request",
        About::Idle => "memory of each idle connection",
    };
    let mut contests = vec![Contest { by, figure, more_is_better, is_latency: false }];
    if let About::Rate { .. } = about {
        let latency = |by, figure| Contest { by, figure, more_is_better: false, is_latency: true };
        contests.extend([latency("p50", P50), latency("p99", P99)]);
    }
    contests
}

/// Ringway's entry.
pub(crate) fn ringway(workload: &WorkloadResult) -> Option<&Entry> {
    workload.entries.iter().find(|entry| entry.peer == RINGWAY)
}

impl Contest {
    /// How many times as good as `other` Ringway is: above 1 it is better, whether more of the
    /// figure is better or less. Pairs are made of the same round.
    pub(crate) fn advantage(&self, ringway: &Entry, other: &Entry) -> Option<Range> {
        let (one, other) = if self.more_is_better { (ringway, other) } else { (other, ringway) };
        ratio(one, other, self.figure)
    }

    /// The median of an entry's figure.
    pub(crate) fn median(&self, entry: &Entry) -> Option<f64> {
        range(entry, self.figure).map(|range| range.median)
    }

    /// What an advantage comes to.
    pub(crate) fn verdict(&self, advantage: &Range) -> Verdict {
        let noise = if self.is_latency { LATENCY_NOISE } else { NOISE };
        if advantage.low > 1.0 && advantage.median > 1.0 + noise {
            Verdict::Won
        } else if advantage.high < 1.0 && advantage.median < 1.0 - noise {
            Verdict::Lost
        } else {
            Verdict::Even
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Contest, Verdict};
    use crate::summary::{P99, Range};

    #[test]
    fn noise_is_neither_won_nor_lost() {
        let contest = Contest { by: "p99", figure: P99, more_is_better: false, is_latency: false };
        let verdict = |low, median, high| {
            // A single round far out changes nothing.
            contest.verdict(&Range { median, low, high, min: 0.1, max: 10.0 })
        };
        assert_eq!(verdict(1.1, 1.2, 1.3), Verdict::Won);
        assert_eq!(verdict(0.99, 1.2, 1.3), Verdict::Even);
        assert_eq!(verdict(1.01, 1.02, 1.03), Verdict::Even);
        assert_eq!(verdict(0.97, 0.98, 0.99), Verdict::Even);
        assert_eq!(verdict(0.7, 0.8, 0.9), Verdict::Lost);
    }
}
