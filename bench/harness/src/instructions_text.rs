//! Counted instructions as text.

use std::fmt::Write as _;

use crate::format::{cell, number};
use crate::instructions::{Counted, CountedLoad, Counts};
use crate::summary::Range;

/// The server that all are compared with.
const BASE: &str = "ringway-off";
/// The one that leaves records to the kernel.
const KERNEL: &str = "ringway-on";

/// How it was counted, and what the figures do not say.
pub(crate) const METHOD: &str = "Counted, not timed: an emulated guest of one CPU, whose clock advances by a \
    nanosecond with each instruction, runs the server and the load generator in turn, so that the \
    server's CPU time, as the scheduler accounts it, is its number of instructions, in user space \
    and kernel together. A repeated string instruction counts once for each repetition. The \
    sender pays for the way through the loopback up to the receiver's socket. An instruction is not \
    a cycle: a round of AES is one, and so counts weigh cryptography about three times as heavily \
    as time does. Kernel and emulated CPU have AES-NI and AVX2, and neither VAES nor AVX-512.";

/// For a terminal.
pub(crate) fn table(counts: &Counts) -> String {
    let mut out = format!(
        "Instructions for each request; Linux {}, {} round(s)\n",
        counts.machine.kernel, counts.rounds
    );
    for server in &counts.servers {
        let state = match &server.missing {
            Some(why) => format!("MISSING: {why}"),
            None => format!("{} - {}", server.version, server.what),
        };
        let _ = writeln!(out, "  {:<13} {state}", server.name);
    }
    for load in &counts.loads {
        let _ = writeln!(
            out,
            "\n{} ({})\n{:<13}{:>14}{:>26}{:>14}  records",
            load.title, load.name, "", "instructions", "min-max", "by ktls off"
        );
        for entry in &load.entries {
            let _ = write!(out, "{:<13}", entry.server);
            if let Some(range) = entry.range() {
                let reach = format!("{}-{}", number(range.min, 0), number(range.max, 0));
                let ratio = ratio(load, entry).map_or(String::new(), |r| format!("{r:.2}"));
                let by = entry.by_whom();
                let _ = write!(out, "{:>14}{reach:>26}{ratio:>14}  {by}", number(range.median, 0));
            }
            let _ = match &entry.failure {
                Some(why) => writeln!(out, "  FAILED: {why}"),
                None => writeln!(out),
            };
        }
    }
    out
}

/// For a text in Markdown.
pub(crate) fn markdown(counts: &Counts) -> String {
    let mut out = format!(
        "\n## Kernel TLS on and off\n\n\
         Instructions for each request on Linux {}, medians of {}, by\n\n\
         ```sh\nscripts/count-instructions\n```\n",
        cell(&counts.machine.kernel),
        if counts.rounds == 1 { "one round".into() } else { format!("{} rounds", counts.rounds) },
    );
    summary(&mut out, counts);
    out.push_str("\n| server | version | how |\n|---|---|---|\n");
    for server in &counts.servers {
        let version = match &server.missing {
            Some(why) => format!("**missing**: {}", cell(why)),
            None => cell(&server.version),
        };
        let _ = writeln!(out, "| {} | {version} | {} |", server.name, cell(&server.what));
    }
    for load in &counts.loads {
        let _ = write!(
            out,
            "\n### Counted: {}\n\n\
             | server | instructions | min–max | by `--ktls off` | records protected by |\n\
             |---|--:|--:|--:|---|\n",
            load.title
        );
        for entry in &load.entries {
            let text = entry.range().map_or("||".into(), |range| {
                format!(
                    "{} | {}–{} | {}",
                    number(range.median, 0),
                    number(range.min, 0),
                    number(range.max, 0),
                    ratio(load, entry).map_or(String::new(), |ratio| format!("{ratio:.2}"))
                )
            });
            let by = match &entry.failure {
                Some(why) => format!("**failed**: {}", cell(why)),
                None => entry.by_whom().to_owned(),
            };
            let _ = writeln!(out, "| {} | {text} | {by} |", entry.server);
        }
    }
    out
}

/// All loads in one table, how to read it, and what kernel TLS comes to.
fn summary(out: &mut String, counts: &Counts) {
    let present: Vec<&str> = counts
        .servers
        .iter()
        .filter(|server| server.missing.is_none())
        .map(|server| server.name.as_str())
        .collect();
    let _ = writeln!(out, "\n| | {} |\n|---|{}", present.join(" | "), "--:|".repeat(present.len()));
    for load in &counts.loads {
        let _ = write!(out, "| {} |", load.title);
        for name in &present {
            let range = load.entries.iter().find(|entry| entry.server == *name).map(Counted::range);
            let text = range.flatten().map_or("failed".into(), |range| number(range.median, 0));
            let _ = write!(out, " {text} |");
        }
        out.push('\n');
    }
    let by = |load: &CountedLoad| {
        let on = load.entries.iter().find(|entry| entry.server == KERNEL)?;
        ratio(load, on)
    };
    if let Some(range) = Range::of(counts.loads.iter().filter_map(by)) {
        let _ = write!(
            out,
            "\nKernel TLS takes {:.2} to {:.2} times the instructions of Ringway's own records.",
            range.min, range.max
        );
    }
    let _ = writeln!(out, " {METHOD}");
}

/// A server's instructions by those of Ringway without the kernel's TLS.
fn ratio(load: &CountedLoad, entry: &Counted) -> Option<f64> {
    let base = load.entries.iter().find(|entry| entry.server == BASE)?.range()?;
    Some(entry.range()?.median / base.median)
}

#[cfg(test)]
mod tests {
    use super::{markdown, table};
    use crate::instructions::{Counted, CountedLoad, CountedServer, Counts};

    fn counts() -> Counts {
        let entry = |server: &str, instructions: &[f64], failure: Option<&str>| Counted {
            server: server.into(),
            instructions: instructions.into(),
            sealed_by_kernel: u64::from(server == "ringway-on"),
            failure: failure.map(Into::into),
            ..Counted::default()
        };
        let server = |name: &str, missing: Option<&str>| CountedServer {
            name: name.into(),
            what: "so | so".into(),
            version: "1".into(),
            missing: missing.map(Into::into),
        };
        Counts {
            rounds: 3,
            servers: vec![server("ringway-off", None), server("nginx", Some("not here"))],
            loads: vec![CountedLoad {
                name: "1k-16".into(),
                title: "1 KB".into(),
                entries: vec![
                    entry("ringway-off", &[40_000.0, 50_000.0, 42_000.0], None),
                    entry("ringway-on", &[63_000.0; 3], None),
                    entry("nginx-ktls", &[], Some("fell over")),
                ],
            }],
            ..Counts::default()
        }
    }

    #[test]
    fn medians_ratios_and_failures_are_told() {
        let text = table(&counts());
        assert!(text.contains("MISSING: not here") && text.contains("FAILED: fell over"), "{text}");
        let on = text.lines().find(|line| line.starts_with("ringway-on")).unwrap();
        assert!(on.contains("63,000") && on.contains("1.50") && on.contains("kernel, sending"));
        let text = markdown(&counts());
        assert!(text.contains("| ringway-off | 42,000 | 40,000–50,000 | 1.00 | user space |"));
        assert!(
            text.contains("| | ringway-off |\n") && text.contains("| 1 KB | 42,000 |"),
            "{text}"
        );
        assert!(text.contains("takes 1.50 to 1.50 times"), "{text}");
        assert!(text.contains("**failed**: fell over") && text.contains("so \\| so"), "{text}");
    }
}
