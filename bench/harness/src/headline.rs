//! The first part of the Markdown report: one sentence, one chart, Ringway's lead over each server, what it
//! lost, and, apart from the servers, how far it is from the bounds.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use crate::format::number;
use crate::peers;
use crate::results::{Entry, PeerResult, Results, WorkloadResult};
use crate::summary::{Range, range};
use crate::table::{about, primary_figure};
use crate::verdict::{Contest, Verdict, contests, ringway};
use crate::workloads::About;

/// Above this load average the machine was not quiet.
const QUIET: f64 = 0.5;

/// The workload of the sentence and the chart.
const FIRST: &str = "1k-64";

/// Columns of the longest bar.
const BAR: f64 = 40.0;

/// The first part of the report.
pub(crate) fn headline(results: &Results) -> String {
    let mut out = "# Ringway beside its peers\n".to_owned();
    if let Some(first) = results.workloads.iter().find(|workload| workload.name == FIRST) {
        sentence(&mut out, first);
        chart(&mut out, first);
    }
    provenance(&mut out, results);
    leads(&mut out, results);
    losses(&mut out, results);
    bounds(&mut out, results);
    out
}

/// The result that most readers came for, in one sentence.
fn sentence(out: &mut String, workload: &WorkloadResult) {
    let mut leads: Vec<(f64, &str)> = rivals(workload)
        .filter_map(|entry| {
            let lead = advantage(workload, &contests(workload)[0], &entry.peer)?.median;
            Some((lead, entry.peer.as_str()))
        })
        .collect();
    leads.sort_by(|a, b| b.0.total_cmp(&a.0));
    let cells: Vec<String> =
        leads.iter().map(|(lead, peer)| format!("{lead:.2} × {peer}")).collect();
    if !cells.is_empty() {
        let _ = writeln!(
            out,
            "\n**{}: for each second of CPU, Ringway answers {} as many requests.**",
            workload.title,
            cells.join(", ")
        );
    }
}

/// The same as bars.
fn chart(out: &mut String, workload: &WorkloadResult) {
    let (figure, _) = primary_figure(about(workload));
    let mut bars: Vec<(f64, &str)> = workload
        .entries
        .iter()
        .filter(|entry| !peers::is_ringway_again(&entry.peer) && !peers::is_bound(&entry.peer))
        .filter_map(|entry| Some((range(entry, figure)?.median, entry.peer.as_str())))
        .collect();
    bars.sort_by(|a, b| b.0.total_cmp(&a.0));
    let Some(&(longest, _)) = bars.first() else { return };
    let _ =
        write!(out, "\n```text\nrequests for each second of server CPU, {}\n\n", workload.title);
    let width = bars.iter().map(|(_, peer)| peer.len()).max().unwrap_or(0);
    for (value, peer) in bars {
        let bar = "█".repeat((value / longest * BAR).round() as usize);
        let _ = writeln!(out, "{peer:width$}  {bar} {}", number(value, 0));
    }
    out.push_str("```\n");
}

fn provenance(out: &mut String, results: &Results) {
    let when = UNIX_EPOCH + Duration::from_secs(results.machine.measured_at);
    let date = httpdate::fmt_http_date(when);
    let _ = write!(
        out,
        "\nAll figures come from one run on one machine, on {}:\n\n\
         ```sh\n{}\n```\n\n\
         The same command with `--markdown FILE` writes this text.\n",
        date.get(5..16).unwrap_or(&date),
        if results.command.is_empty() { "scripts/bench" } else { &results.command }
    );
    for warning in not_quiet(results).into_iter().chain(once(results)) {
        let _ = write!(out, "\n{warning}\n");
    }
}

/// That the machine did something else before the first round.
pub(crate) fn not_quiet(results: &Results) -> Option<String> {
    let load = results.machine.load_before;
    (load > QUIET).then(|| {
        format!(
            "**The machine was not quiet:** its load average was {load:.2} before the first round. \
             Ratios of servers suffer less from that than figures do, but rely on neither."
        )
    })
}

fn once(results: &Results) -> Option<String> {
    (results.rounds == 1).then(|| {
        "**Each server had a single round,** so nothing is known of how far its figures move by \
         chance."
            .into()
    })
}

/// The workloads in which servers are compared.
fn compared(results: &Results) -> Vec<&WorkloadResult> {
    let of_servers = |workload: &&WorkloadResult| {
        about(workload) != About::Workers && workload.skipped.is_none()
    };
    results.workloads.iter().filter(of_servers).collect()
}

/// The entries of other servers, the bounds left out.
fn rivals(workload: &WorkloadResult) -> impl Iterator<Item = &Entry> {
    workload.entries.iter().filter(|entry| {
        !entry.rounds.is_empty()
            && entry.peer != peers::RINGWAY
            && !peers::is_ringway_again(&entry.peer)
            && !peers::is_bound(&entry.peer)
    })
}

/// Ringway's lead over each server in every workload.
fn leads(out: &mut String, results: &Results) {
    let compared = compared(results);
    let took_part = |peer: &&PeerResult| {
        compared.iter().any(|workload| rivals(workload).any(|entry| entry.peer == peer.name))
    };
    let peers: Vec<&PeerResult> = results.peers.iter().filter(took_part).collect();
    if peers.is_empty() {
        return;
    }
    out.push_str(
        "\n## Ringway's lead over each server\n\n\
         1.00 is a draw, above 1 Ringway leads, **bold** is lost beyond noise. The measure is work \
         for each second of CPU; at a fixed rate it is CPU for each request, for idle connections \
         memory. A dash: the server does not serve the workload.\n",
    );
    lead_table(out, &compared, &peers);
}

/// One row for each workload, one column for each of `peers`.
fn lead_table(out: &mut String, workloads: &[&WorkloadResult], peers: &[&PeerResult]) {
    out.push_str("\n| workload |");
    for peer in peers {
        let _ = write!(out, " {} |", peer.name);
    }
    let _ = writeln!(out, "\n|---|{}", "--:|".repeat(peers.len()));
    for workload in workloads {
        let _ = write!(out, "| {} |", workload.title);
        let contests = contests(workload);
        for peer in peers {
            let lead = advantage(workload, &contests[0], &peer.name);
            let cell = lead.map_or("–".into(), |lead| match contests[0].verdict(&lead) {
                Verdict::Lost => format!("**{:.2}**", lead.median),
                Verdict::Won | Verdict::Even => format!("{:.2}", lead.median),
            });
            let _ = write!(out, " {cell} |");
        }
        out.push('\n');
    }
}

/// How far Ringway is from the bounds, which are no servers.
fn bounds(out: &mut String, results: &Results) {
    let compared = compared(results);
    let bounds: Vec<&PeerResult> = results
        .peers
        .iter()
        .filter(|peer| peers::is_bound(&peer.name) && peer.missing.is_none())
        .collect();
    if bounds.is_empty() {
        return;
    }
    out.push_str(
        "\n## The distance to the bounds\n\n\
         A bound parses no request, looks up no file and writes no head: it reads bytes and answers \
         with the same sealed bytes. It shows what TCP, TLS records and the kernel interface cost by \
         themselves. 1.00 would mean that HTTP costs nothing.\n",
    );
    let served: Vec<&WorkloadResult> = compared
        .into_iter()
        .filter(|workload| bounds.iter().any(|bound| entry(workload, &bound.name).is_some()))
        .collect();
    lead_table(out, &served, &bounds);
}

fn entry<'w>(workload: &'w WorkloadResult, peer: &str) -> Option<&'w Entry> {
    workload.entries.iter().find(|entry| entry.peer == peer && !entry.rounds.is_empty())
}

/// How many times as good as `peer` Ringway is.
pub(crate) fn advantage(workload: &WorkloadResult, contest: &Contest, peer: &str) -> Option<Range> {
    contest.advantage(ringway(workload)?, entry(workload, peer)?)
}

/// What Ringway lost, and why as far as that follows from what the servers do.
fn losses(out: &mut String, results: &Results) {
    out.push_str("\n## What Ringway lost, and why\n\n");
    let mut lost = 0;
    let rivals = |peer: &&PeerResult| peer.name != peers::RINGWAY && !peers::is_bound(&peer.name);
    for peer in results.peers.iter().filter(rivals) {
        let contests: Vec<String> = results
            .workloads
            .iter()
            .filter(|workload| about(workload) != About::Workers)
            .flat_map(|workload| contests(workload).into_iter().map(move |by| (workload, by)))
            .filter_map(|(workload, contest)| lost_to(workload, &contest, &peer.name))
            .collect();
        if contests.is_empty() {
            continue;
        }
        lost += 1;
        let why = match peers::spares(&peer.name) {
            "" => "It does the same work for each request, so Ringway has to improve here.".into(),
            spares => format!("Why: {spares}."),
        };
        let _ = writeln!(out, "- To **{}**: {}. {why}", peer.name, contests.join(", "));
    }
    if lost == 0 {
        out.push_str("Nothing beyond noise.\n");
    } else {
        out.push_str(
            "\nA loss is more than 3 %, or 10 % in latency, in three quarters of the rounds. The \
             reasons follow from how those servers work; the run does not prove that they explain \
             the whole difference.\n",
        );
    }
    for workload in &results.workloads {
        if let Some(failure) = ringway(workload).and_then(|entry| entry.failure.as_ref()) {
            let _ = writeln!(out, "\nRingway itself failed in `{}`: {failure}.", workload.name);
        }
    }
}

/// That a contest was lost, if it was.
fn lost_to(workload: &WorkloadResult, contest: &Contest, peer: &str) -> Option<String> {
    let advantage = advantage(workload, contest, peer)?;
    if contest.verdict(&advantage) != Verdict::Lost {
        return None;
    }
    let how = if contest.is_latency {
        let (own, other) = (ringway(workload)?, entry(workload, peer)?);
        let (own, other) = (contest.median(own)?, contest.median(other)?);
        format!("{} us against {}", number(own, 0), number(other, 0))
    } else {
        format!("{:.2}", advantage.median)
    };
    Some(format!("`{}` by {} ({how})", workload.name, contest.by))
}
