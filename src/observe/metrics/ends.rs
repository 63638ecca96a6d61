//! Metrics of how things ended: answers by status, what did not complete and why.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use super::{bounds::BOUNDS, count, seconds};
use crate::observe::{Anatomy, Coarse, Stage};

pub(super) fn ends(anatomy: &Anatomy, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Answers that left completely, by status";
    let mut answers = to.encode_descriptor("answers", help, None, MetricType::Counter)?;
    for (status, answers_with_it) in anatomy.statuses.iter() {
        count(&mut answers, &[("status", status.to_string().as_str())], answers_with_it)?;
    }
    let help = "Connections and requests by why and where they ended, but for requests that were \
                answered; docs/anatomy.md has a table";
    let mut ends = to.encode_descriptor("ends", help, None, MetricType::Counter)?;
    for (what, end, times) in anatomy.ends.iter() {
        let (why, phase) = (end.why.name(), end.phase.name());
        count(&mut ends, &[("of", what.name()), ("why", why), ("phase", phase)], times)?;
    }
    let help = "Time by stage of requests and handshakes that did not complete";
    let unit = Some(&Unit::Seconds);
    let mut family =
        to.encode_descriptor("incomplete_duration", help, unit, MetricType::Histogram)?;
    for (end, coarse) in [("aborted", &anatomy.aborted), ("timed_out", &anatomy.timed_out)] {
        for stage in Stage::ALL.into_iter().filter(|stage| coarse.len(*stage) > 0) {
            let labels = [("stage", stage.name()), ("end", end)];
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                seconds(coarse.sum(stage)),
                coarse.len(stage),
                &buckets(coarse, stage),
                None,
            )?;
        }
    }
    Ok(())
}

/// Samples in each bucket, not cumulated; the last one is without bound.
fn buckets(coarse: &Coarse, stage: Stage) -> Vec<(f64, u64)> {
    let mut buckets: Vec<(f64, u64)> = BOUNDS.map(|bound| (seconds(bound), 0)).to_vec();
    buckets.push((f64::INFINITY, 0));
    for (longest, samples) in coarse.buckets(stage) {
        let place = BOUNDS.iter().position(|bound| longest <= *bound).unwrap_or(BOUNDS.len());
        if let Some((_, count)) = buckets.get_mut(place) {
            *count += samples;
        }
    }
    buckets
}
