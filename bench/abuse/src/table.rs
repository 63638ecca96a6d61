//! The results as a table for a terminal.

use std::fmt::Write;

use crate::results::{Attacked, Results, median};

pub(crate) const MIB: f64 = 1_048_576.0;

pub(crate) fn table(results: &Results) -> String {
    let mut text = String::new();
    let undisturbed = |of: &dyn Fn(&crate::results::Seen) -> f64| {
        median(results.undisturbed.iter().map(of).collect())
    };
    if results.undisturbed.is_empty() {
        return text;
    }
    let _ = writeln!(
        text,
        "{:16}{:>9}{:>9}{:>10}{:>8}{:>9}{:>10}{:>8}{:>12}",
        "", "p50 us", "p99 us", "max us", "ratio", "server", "memory", "failed", "attack/s"
    );
    let _ = writeln!(
        text,
        "{:16}{:>9.0}{:>9.0}{:>10.0}{:>8}{:>8.0}%{:>10.1}{:>8}",
        "undisturbed",
        undisturbed(&|seen| seen.p50_us),
        undisturbed(&|seen| seen.p99_us),
        undisturbed(&|seen| seen.max_us),
        "1",
        undisturbed(&|seen| seen.server_cpu * 100.0),
        undisturbed(&|seen| seen.memory as f64 / MIB),
        results.undisturbed.iter().map(|seen| seen.failed).sum::<u64>(),
    );
    for attacked in &results.attacks {
        let _ = writeln!(
            text,
            "{:16}{:>9.0}{:>9.0}{:>10.0}{:>8.2}{:>8.0}%{:>10.1}{:>8}{:>12.0}",
            attacked.name,
            attacked.median(|round| round.during.p50_us),
            attacked.median(|round| round.during.p99_us),
            attacked.median(|round| round.during.max_us),
            attacked.median(crate::results::Round::ratio),
            attacked.median(|round| round.during.server_cpu * 100.0),
            attacked.memory() as f64 / MIB,
            attacked.failed(),
            attacked.median(|round| round.done),
        );
    }
    let _ = writeln!(
        text,
        "memory: {:.1} MiB at most, of {:.0} MiB that it promised at its start; {} requests failed",
        results.most_memory as f64 / MIB,
        results.ceiling as f64 / MIB,
        results.failed(),
    );
    text
}

/// Those beside which the slowest hundredth waited more than twice as long.
pub(crate) fn over(results: &Results) -> Vec<&Attacked> {
    let over = |attacked: &&Attacked| attacked.median(crate::results::Round::ratio) > 2.0;
    results.attacks.iter().filter(over).collect()
}
