//! Whether servers do equal work: what each sends for a request, as the load generator received it.

use std::fmt::Write as _;

use crate::format::number;
use crate::peers::is_ringway_again;
use crate::results::{Results, WorkloadResult};
use crate::summary::{Figure, HEAD, TICKETS, WIRE, range};
use crate::workloads::H2;

/// The workloads whose figures stand in the table: the head, then both kinds of handshake.
const SMALL: &str = "1k-64";
const FULL: &str = "full-handshakes";
const RESUMED: &str = "resumed-handshakes";

/// A column: its heading, its workload, its figure, decimals.
const COLUMNS: [(&str, &str, Figure, usize); 8] = [
    ("head", SMALL, HEAD, 0),
    ("1 KB on the wire", SMALL, WIRE, 0),
    ("full handshake and 1 KB", FULL, WIRE, 0),
    ("tickets", FULL, TICKETS, 1),
    ("resumed and 1 KB", RESUMED, WIRE, 0),
    ("tickets", RESUMED, TICKETS, 1),
    ("HTTP/2 head", H2, HEAD, 0),
    ("1 KB over HTTP/2", H2, WIRE, 0),
];

/// A section of the text in Markdown; nothing if those workloads were not measured.
pub(crate) fn markdown(results: &Results) -> String {
    let of = |name: &str| results.workloads.iter().find(|workload| workload.name == name);
    let shown: Vec<_> = COLUMNS.iter().filter(|(_, name, ..)| of(name).is_some()).collect();
    if shown.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "\n## Whether they do equal work\n\nBytes that each server sends for a request, in the \
         middle of its rounds, and the session tickets that it sends in a handshake. A resumption \
         always includes an exchange of keys. `bench/README.md` lists the other differences.\n\n\
         | server |",
    );
    for (heading, ..) in &shown {
        let _ = write!(out, " {heading} |");
    }
    let _ = writeln!(out, "\n|---|{}", "--:|".repeat(shown.len()));
    let figure = |workload: Option<&WorkloadResult>, peer: &str, figure, decimals| {
        let entry = workload?.entries.iter().find(|entry| entry.peer == peer)?;
        range(entry, figure).map(|range| number(range.median, decimals))
    };
    for peer in results.peers.iter().filter(|peer| peer.missing.is_none()) {
        if is_ringway_again(&peer.name) {
            continue;
        }
        let _ = write!(out, "| {} |", peer.name);
        for (_, name, by, decimals) in &shown {
            let value = figure(of(name), &peer.name, *by, *decimals);
            let _ = write!(out, " {} |", value.as_deref().unwrap_or("–"));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::markdown;
    use crate::tests::results;

    #[test]
    fn what_each_sends_is_told_of_the_workloads_that_were_measured() {
        let mut results = results(&[1.0, 1.0, 1.0], &[1.0, 1.0]);
        for (round, head) in results.workloads[0].entries[0].rounds.iter_mut().zip([230.0, 232.0]) {
            round.came.head_bytes = head;
            round.came.wire_bytes = 1280.0;
        }
        let shown = markdown(&results);
        assert!(shown.contains("| server | head | 1 KB on the wire |\n"), "{shown}");
        assert!(shown.contains("| ringway | 231 | 1,280 |\n"), "{shown}");
        assert!(shown.contains("| nginx | – | – |\n") && !shown.contains("caddy"), "{shown}");
        results.workloads.clear();
        assert_eq!(markdown(&results), "");
    }
}
