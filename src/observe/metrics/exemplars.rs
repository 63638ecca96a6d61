//! Exemplars: beside the buckets of the total, the trace of the slowest request in each that has one
//! (OpenMetrics 1.0, "Exemplars").

use std::{collections::BTreeMap, fmt::Write as _};

use super::{bounds::FINE, seconds};
use crate::observe::{Anatomy, Stage};

/// Adds them to a text in OpenMetrics.
pub(super) fn add(text: String, anatomy: &Anatomy) -> String {
    let mut of_bucket = BTreeMap::new();
    for slow in anatomy.slowest.iter().rev().map(|on| &on.slow) {
        let total = slow.finished.total;
        if let Some(trace) = &slow.trace {
            let bound = FINE.get(FINE.partition_point(|bound| *bound < total));
            let le = bound.map_or("+Inf".to_owned(), |bound| format!("{:?}", seconds(*bound)));
            // Slower ones come later, and take the place of those before.
            of_bucket.insert(le, (trace.id().to_string(), seconds(total)));
        }
    }
    if of_bucket.is_empty() {
        return text;
    }
    let begin = "ringway_stage_duration_seconds_bucket{";
    let stage = format!("stage=\"{}\"", Stage::Total.name());
    let mut with = String::with_capacity(text.len() + 128 * of_bucket.len());
    for line in text.lines() {
        with.push_str(line);
        let labels = line.strip_prefix(begin).filter(|labels| labels.contains(&stage));
        let le = labels.and_then(|labels| labels.split("le=\"").nth(1)?.split('"').next());
        if let Some((trace, value)) = le.and_then(|le| of_bucket.get(le)) {
            // Writing to a string does not fail.
            let _ = write!(with, " # {{trace_id=\"{trace}\"}} {value:?}");
        }
        with.push('\n');
    }
    with
}
