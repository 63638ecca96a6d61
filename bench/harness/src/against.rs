//! What has moved since an earlier run: the guard against regressions.

use std::fmt::Write as _;

use crate::peers::RINGWAY;
use crate::results::{Entry, Results, WorkloadResult};
use crate::summary::{Range, range};
use crate::table::{about, telling};

/// Changes below this share are noise even if the rounds' ranges do not meet.
const NOISE: f64 = 0.05;

/// Says of every peer and workload in both runs whether its telling figure has moved: by more than
/// [`NOISE`], and so that no round of one run reaches the range of the other.
pub(crate) fn render(before: &Results, now: &Results) -> String {
    let mut out = String::from("\nAgainst the earlier run:\n");
    let (one, other) = (&before.machine, &now.machine);
    if (&one.cpu, one.cpus, &one.kernel) != (&other.cpu, other.cpus, &other.kernel) {
        let _ = writeln!(
            out,
            "  It was on another machine ({}, {} CPUs, Linux {}): what moved may be the machine's.",
            one.cpu, one.cpus, one.kernel
        );
    }
    if before.rounds.min(now.rounds) < 2 {
        out.push_str("  One of the two had a single round, so nothing is known of its noise.\n");
    }
    let mut moved = 0;
    for workload in &now.workloads {
        let (figure, more_is_better) = telling(about(workload));
        let Some(earlier) = before.workloads.iter().find(|w| w.name == workload.name) else {
            continue;
        };
        if let Some(others) = others_moved(earlier, workload) {
            let _ = writeln!(
                out,
                "  {:<20} all but Ringway, in the middle: {:+.1} %",
                workload.name,
                others * 100.0
            );
        }
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
    for workload in &before.workloads {
        if !now.workloads.iter().any(|w| w.name == workload.name) {
            let _ = writeln!(out, "  {:<20} not measured this time", workload.name);
        }
    }
    if moved == 0 {
        out.push_str("  nothing has moved beyond noise\n");
    }
    out
}

/// How far the servers that are not Ringway have moved, if the middle of at least three moved by
/// more than noise: that is the machine, not any of them.
fn others_moved(before: &WorkloadResult, now: &WorkloadResult) -> Option<f64> {
    let (figure, _) = telling(about(now));
    let change = |entry: &Entry| {
        let old = before.entries.iter().find(|e| e.peer == entry.peer)?;
        Some(range(entry, figure)?.median / range(old, figure)?.median - 1.0)
    };
    let others = now.entries.iter().filter(|entry| !entry.peer.starts_with(RINGWAY));
    let changes: Vec<f64> = others.filter_map(change).collect();
    let middle = Range::of(changes.iter().copied()).filter(|_| changes.len() >= 3)?.median;
    (middle.abs() > NOISE).then_some(middle)
}
