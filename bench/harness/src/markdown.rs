//! The results as a text in Markdown, fit to be kept beside the code as it is.

use std::fmt::Write as _;

use crate::disturbed;
use crate::equal;
use crate::format::{cell, number};
use crate::headline::{self, advantage};
use crate::instructions::Counts;
use crate::instructions_text;
use crate::peers;
use crate::results::{Results, WorkloadResult};
use crate::summary::{CLIENT_BUSY, Range, range};
use crate::table::{about, columns, throughput};
use crate::verdict::{contests, ringway};
use crate::workloads::{self, About};

/// A load generator that was busy for more than this share was the limit itself.
const SATURATED: f64 = 0.95;

/// The whole text.
pub(crate) fn render(results: &Results, counts: Option<&Counts>) -> String {
    let mut out = String::new();
    out.push_str(&headline::headline(results));
    method(&mut out, results);
    machine(&mut out, results);
    field(&mut out, results);
    out.push_str(&equal::markdown(results));
    out.push_str("\n## Workload by workload\n");
    out.push_str(
        "\nLatencies are in microseconds, and in a closed loop they follow from the throughput: \
         only those at a fixed rate compare servers. `CPU us/req` is the server's CPU time for \
         each request, `user %` the share of it in user mode, `peak` its resident memory, \
         `least/mid` how evenly connections were served: the requests of the one that got the \
         fewest by those of the one in the middle, `client %` how busy the load generator was: at \
         100 it is the limit. \
         `calls/req` counts its system calls for each request, and `enters` those among them that \
         enter a ring, both in a round of their own. `Ringway is` says how many times as good as \
         that server Ringway is: the median over pairs of the same round and, where there are \
         several rounds, where the middle half of them lies.\n",
    );
    for workload in &results.workloads {
        section(&mut out, results, workload);
    }
    out.push_str(&counts.map_or_else(String::new, instructions_text::markdown));
    out
}

fn method(out: &mut String, results: &Results) {
    out.push_str("\n## Method\n");
    for paragraph in method_paragraphs(results) {
        let _ = write!(out, "\n{paragraph}\n");
    }
}

/// How it was measured.
pub(crate) fn method_paragraphs(results: &Results) -> Vec<String> {
    let rounds = match results.rounds {
        1 => "was one round".to_owned(),
        rounds => format!("were {rounds} rounds"),
    };
    vec![
        format!(
            "Each server is started anew for each turn, pinned to one CPU with one worker, and \
             checked to serve the right bytes: the load generator compares every byte of every body \
             with the file. Servers take turns: within a round everybody is measured once, and each \
             round begins with another. There {rounds} of {} s each (of 100 MB three times as long, of \
             idle connections at most three), each after a warm-up; the report gives medians with the least \
             and the most. Ratios are made of pairs of the same round; the report gives their median and \
             where the middle half of them lies.",
            results.seconds
        ),
        disturbed::method(),
        "All use TLS 1.3 with AES-128-GCM, X25519 and the same ECDSA P-256 certificate, and serve the \
         same directory on the loopback, over HTTP/1.1 or, where a workload says so, HTTP/2. Their configurations are those that their own \
         documentation recommends for files; they stand in `bench/harness/src/peers`, and the servers \
         around libraries in `bench/peers`."
            .into(),
        "Servers are compared by what a second of their CPU does, as the scheduler accounts it \
         (`/proc/PID/task/*/schedstat`), what the kernel does for them in softirqs included. That \
         holds whether or not a server was saturated, and so whether or not the load generator could \
         have asked for more."
            .into(),
        format!(
            "The load generator (`bench/load`) runs on a CPU of its own and polls: a client that \
             sleeps makes a fast server pay for waking it. At a fixed rate a request's latency counts \
             from the moment it was due, not from when it could be sent, and what was due but not \
             answered is counted with the age that it reached. The rates are shares of what the \
             slowest serious server (of {}) manages at 1 KB over 64 connections.",
            peers::serious_in(results).join(", ")
        ),
        "All of it is over TLS; `scripts/bench-config` measures the listener without.".into(),
    ]
}

fn machine(out: &mut String, results: &Results) {
    out.push_str("\n## Machine\n\n| | |\n|---|---|\n");
    for (what, value) in machine_rows(results) {
        let _ = writeln!(out, "| {what} | {} |", cell(&value));
    }
}

/// What it was measured on.
pub(crate) fn machine_rows(results: &Results) -> Vec<(&'static str, String)> {
    let machine = &results.machine;
    let ktls =
        if machine.kernel_tls { "available" } else { "not available: all seal in user space" };
    let mut rows = vec![
        ("CPU", format!("{}, {} CPUs", machine.cpu, machine.cpus)),
        ("memory", format!("{} MiB", machine.memory_mib)),
        ("kernel", format!("Linux {}", machine.kernel)),
        ("congestion control", machine.congestion_control.clone()),
        ("kernel TLS", ktls.into()),
        ("load average before", format!("{:.2}", machine.load_before)),
    ];
    if !machine.mitigations.is_empty() {
        rows.push(("mitigations", machine.mitigations.join("; ")));
    }
    rows
}

fn field(out: &mut String, results: &Results) {
    out.push_str(
        "\n## Who took part\n\n\
         The passes over a body's byte, between the page cache or memory and the socket's buffer, \
         follow from how a server works without kernel TLS; they are not measured. `bound-uring` \
         and `bound-epoll` do no HTTP: they read whatever comes and answer with the same sealed \
         bytes, and show what nobody can save.\n\n\
         | server | version | what it does | passes over a body's byte |\n|---|---|---|---|\n",
    );
    for peer in &results.peers {
        let version = match &peer.missing {
            Some(why) => format!("**missing**: {}", cell(why)),
            None => cell(&peer.version),
        };
        let (what, passes) = (cell(&peer.what), cell(&peer.passes));
        let _ = writeln!(out, "| {} | {version} | {what} | {passes} |", peer.name);
    }
}

fn section(out: &mut String, results: &Results, workload: &WorkloadResult) {
    let _ = write!(out, "\n### {}\n\n", workload.title);
    if let Some(why) = &workload.skipped {
        let _ = writeln!(out, "Not measured: {why}.");
        return;
    }
    command(out, results, workload);
    let about = about(workload);
    let columns = columns(about);
    let (figure, name, unit) = throughput(about);
    let _ = write!(out, "| server | {name} | min–max |");
    for (heading, ..) in &columns {
        let _ = write!(out, " {heading} |");
    }
    out.push_str(" calls/req | enters | Ringway is |\n|---|");
    let _ = writeln!(out, "{}", "--:|".repeat(columns.len() + 5));
    let contests = contests(workload);
    for entry in workload.entries.iter().filter(|entry| !entry.rounds.is_empty()) {
        let _ = write!(out, "| {} |", entry.peer);
        let scaled = |range: &Range| [range.median, range.min, range.max].map(|v| v / unit);
        let _ = match range(entry, figure).as_ref().map(scaled) {
            Some([median, min, max]) => {
                write!(out, " {} | {}–{} |", number(median, 0), number(min, 0), number(max, 0))
            }
            None => write!(out, " | |"),
        };
        for (_, figure, unit, decimals) in &columns {
            let value = range(entry, *figure);
            let value = value.map_or(String::new(), |v| number(v.median / unit, *decimals));
            let _ = write!(out, " {value} |");
        }
        let _ = match &entry.calls {
            Some(calls) => {
                write!(out, " {:.2} | {:.2} |", calls.per_request, calls.enters_per_request)
            }
            None => write!(out, " | |"),
        };
        let own = entry.peer == peers::RINGWAY;
        let advantage = advantage(workload, &contests[0], &entry.peer).filter(|_| !own);
        let _ = match advantage {
            Some(Range { median, low, high, .. }) if entry.rounds.len() > 1 => {
                writeln!(out, " {median:.2} ({low:.2}–{high:.2}) |")
            }
            Some(Range { median, .. }) => writeln!(out, " {median:.2} |"),
            None => writeln!(out, " |"),
        };
    }
    for remark in remarks(workload) {
        let _ = writeln!(out, "\n{remark}");
    }
}

/// The load generator's command for a workload.
fn command(out: &mut String, results: &Results, workload: &WorkloadResult) {
    let Some(known) = workloads::ALL.iter().find(|known| known.name == workload.name) else {
        return;
    };
    let file = known.file.unwrap_or_default();
    let options = known.options.join(" ");
    let rate = workload.rate.map_or(String::new(), |rate| format!(" --rate {rate}"));
    let _ = write!(
        out,
        "```sh\nringway-load https://127.0.0.1:PORT/{file} {options}{rate} --duration {}s \\\n  \
         --root www --cert cert.pem --server-pid PID\n```\n\n",
        results.seconds
    );
}

/// What the table of a workload does not show.
pub(crate) fn remarks(workload: &WorkloadResult) -> Vec<String> {
    let mut remarks = Vec::new();
    let saturated: Vec<&str> = workload
        .entries
        .iter()
        .filter(|entry| range(entry, CLIENT_BUSY).is_some_and(|busy| busy.median > SATURATED))
        .map(|entry| entry.peer.as_str())
        .collect();
    if !saturated.is_empty() {
        remarks.push(format!(
            "The load generator was the limit of {}: the throughput there is its own, not the \
             server's.",
            saturated.join(", ")
        ));
    }
    if let Some(moved) = ringway(workload).and_then(|entry| entry.calls?.moved_per_byte) {
        remarks.push(format!(
            "Ringway's ledger: {moved:.2} bytes copied or enciphered for each byte of a body."
        ));
    }
    if about(workload) == About::Workers {
        remarks.extend(two_workers(workload));
    }
    for contest in contests(workload).iter().filter(|contest| contest.is_latency) {
        let best = workload
            .entries
            .iter()
            .filter(|entry| entry.peer != peers::RINGWAY)
            .filter_map(|entry| Some((contest.median(entry)?, &entry.peer)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let own = ringway(workload).and_then(|own| contest.median(own));
        if let (Some((best, peer)), Some(own)) = (best, own) {
            let (by, own, best) = (contest.by, number(own, 0), number(best, 0));
            remarks.push(format!(
                "The least {by} among the others is that of {peer}, {best} us; Ringway's is {own} us."
            ));
        }
    }
    remarks.extend(disturbed::remark(workload));
    for entry in &workload.entries {
        if let Some(failure) = &entry.failure {
            remarks.push(format!("Not or not wholly measured: {}: {failure}.", entry.peer));
        }
        if let Some(why) = &entry.uncounted {
            remarks.push(format!("Calls are not counted: {}: {why}.", entry.peer));
        }
    }
    remarks
}

/// What two workers cost, beside one.
fn two_workers(workload: &WorkloadResult) -> Option<String> {
    let times = |peer| {
        advantage(workload, &contests(workload)[0], peer).map(|range| number(range.median, 2))
    };
    Some(format!(
        "For each request two workers on two CPUs spend {} times the CPU of one, and two on its one CPU \
         {} times. Where there is no third CPU, one of the first two shares its own with the load \
         generator; the second two share nothing with it. The load generator sleeps when it waits, for \
         one worker as for two.",
        times(peers::TWO_WORKERS)?,
        times(peers::TWO_ON_ONE)?
    ))
}
