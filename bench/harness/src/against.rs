//! What has moved since an earlier run: the guard against regressions.

use std::fmt::Write as _;

use crate::results::Results;
use crate::summary::range;
use crate::table::{about, telling};

/// Changes below this share are noise even if the rounds' ranges do not meet.
const NOISE: f64 = 0.05;

/// Says of every peer and workload in both runs whether its telling figure has moved: by more than
/// [`NOISE`], and so that no round of one run reaches the range of the other.
pub(crate) fn tell(before: &Results, now: &Results) -> String {
    let mut out = String::from("\nAgainst the earlier run:\n");
    let mut moved = 0;
    for workload in &now.workloads {
        let (figure, more_is_better) = telling(about(workload));
        let Some(earlier) = before.workloads.iter().find(|w| w.name == workload.name) else {
            continue;
        };
        for entry in &workload.entries {
            let Some(old) = earlier.entries.iter().find(|e| e.peer == entry.peer) else { continue };
            let (Some(old), Some(new)) = (range(old, figure), range(entry, figure)) else {
                continue;
            };
            let change = new.median / old.median - 1.0;
            if change.abs() > NOISE && !old.meets(&new) {
                moved += 1;
                let verdict = if (change > 0.0) == more_is_better { "better" } else { "WORSE" };
                let _ = writeln!(
                    out,
                    "  {:<20} {:<12} {:+.1} %  {verdict}",
                    workload.name,
                    entry.peer,
                    change * 100.0
                );
            }
        }
    }
    if moved == 0 {
        out.push_str("  nothing has moved beyond noise\n");
    }
    out
}
