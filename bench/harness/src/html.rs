//! The results as one page that needs nothing else: figures drawn as SVG, in light and dark.

use std::fmt::Write as _;

use crate::instructions::Counts;
use crate::instructions_text::METHOD;
use crate::page::{Bar, Line, bars, escape, lines};
use crate::peers::{RINGWAY, TWO_WORKERS};
use crate::results::{PeerResult, Results, WorkloadResult};
use crate::summary::{
    BYTES, BYTES_PER_CPU, CPU_PER_REQUEST, Figure, IDLE_USER, REQUESTS, REQUESTS_PER_CPU,
    USER_SHARE, range, ratio,
};
use crate::table::{about, telling};
use crate::workloads::About;

const STYLE: &str = "
:root{--page:#fff;color-scheme:light dark;--ink:#1c2330;--dim:#6b7484;--line:#d8dde6;--own:#c2410c;--other:#5b7fb4;--soft:#a9bddb}
@media(prefers-color-scheme:dark){:root{--page:#14171d;--ink:#e6e9ef;--dim:#98a1b0;--line:#353c48;--own:#fb923c;--other:#7ea2d8;--soft:#465a7a}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:60rem;margin:2rem auto;padding:0 1rem}
svg{width:100%;height:auto;font:12px system-ui,sans-serif;fill:var(--ink)}
table{border-collapse:collapse;font-size:13px}td,th{padding:.2rem .6rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}td:first-child{white-space:nowrap}
h2{margin-top:3rem}figcaption,small{color:var(--dim)}figure{margin:1rem 0}
";

/// The whole page.
pub(crate) fn tell(results: &Results, counts: Option<&Counts>) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\">\
         <title>Ringway beside its peers</title><style>{STYLE}</style>\
         <h1>Ringway beside its peers</h1>"
    );
    method(&mut out, results);
    passes(&mut out, results);
    for workload in &results.workloads {
        section(&mut out, workload);
    }
    if let Some(counts) = counts {
        instructions(&mut out, counts);
    }
    out.push_str("</html>\n");
    out
}

fn method(out: &mut String, results: &Results) {
    let machine = &results.machine;
    let _ = write!(
        out,
        "<p>{}, {} CPUs, {} MiB; Linux {}; congestion control {}; kernel TLS {}. \
         Load average before the first round: {:.2}.</p>\
         <p>{} interleaved round(s) of {} s. Each server is started anew for each turn and pinned \
         to one core with one worker; the load generator polls on another core and compares every \
         byte of every body. TLS 1.3, AES-128-GCM, X25519, ECDSA P-256. The comparison is by what \
         a second of the server's CPU does, softirqs included: it does not depend on whether the \
         server was saturated. Bars show medians, whiskers the rounds' range.</p>",
        escape(&machine.cpu),
        machine.cpus,
        machine.memory_mib,
        escape(&machine.kernel),
        escape(&machine.congestion_control),
        if machine.kernel_tls { "available" } else { "not available" },
        machine.load_before,
        results.rounds,
        results.seconds
    );
    out.push_str("<table><tr><th>peer<th>version<th>what it does<th>passes over a body's byte");
    for peer in &results.peers {
        let version = match &peer.missing {
            Some(why) => format!("<b>missing</b>: {}", escape(why)),
            None => escape(&peer.version),
        };
        let _ = write!(
            out,
            "<tr><td>{}<td>{version}<td>{}<td>{}",
            escape(&peer.name),
            escape(&peer.what),
            escape(&peer.passes)
        );
    }
    out.push_str("</table>");
    if !machine.mitigations.is_empty() {
        let _ = write!(out, "<p><small>{}</small></p>", escape(&machine.mitigations.join("; ")));
    }
}

fn section(out: &mut String, workload: &WorkloadResult) {
    let rate = workload.rate.map_or(String::new(), |rate| format!(", {rate} requests/s due"));
    let _ = write!(out, "<h2>{}{rate}</h2>", escape(&workload.title));
    if let Some(why) = &workload.skipped {
        let _ = write!(out, "<p>Skipped: {}.</p>", escape(why));
        return;
    }
    match about(workload) {
        About::Requests => {
            chart(
                out,
                workload,
                "Requests for each second of the server's CPU",
                REQUESTS_PER_CPU,
                1.0,
            );
            chart(out, workload, "Requests per second", REQUESTS, 1.0);
            split(out, workload);
            latencies(out, workload);
        }
        About::Bytes => {
            chart(out, workload, "MB for each second of the server's CPU", BYTES_PER_CPU, 1e6);
            chart(out, workload, "MB per second", BYTES, 1e6);
            split(out, workload);
        }
        About::Rate { .. } | About::Workers => {
            split(out, workload);
            latencies(out, workload);
        }
        About::Idle => {
            chart(out, workload, "User memory of each idle connection, KiB", IDLE_USER, 1024.0);
        }
    }
    pairs(out, workload);
}

/// Passes over a byte: Ringway's by its ledger, the others' as many as what is known of them names.
fn passes(out: &mut String, results: &Results) {
    let ledger = results
        .workloads
        .iter()
        .filter(|workload| about(workload) == About::Bytes)
        .flat_map(|workload| &workload.entries)
        .filter(|entry| entry.peer == RINGWAY)
        .find_map(|entry| entry.calls?.moved_per_byte);
    let of = |peer: &PeerResult| {
        let own = peer.name == RINGWAY;
        let named = peer.passes.split(", ").count() as f64;
        let value = if own { ledger? } else { named };
        Some(Bar { name: peer.name.clone(), own, value, split: None, reach: (value, value) })
    };
    let present = results.peers.iter().filter(|peer| peer.missing.is_none());
    let values: Vec<Bar> = present.filter(|peer| peer.name != TWO_WORKERS).filter_map(of).collect();
    bars(
        out,
        "Passes over a byte of a large body on its way into the socket's buffer: Ringway's by its \
         ledger, the others' as many as the table above names",
        &values,
    );
}

/// Instructions with the kernel's TLS and without.
fn instructions(out: &mut String, counts: &Counts) {
    let _ = write!(
        out,
        "<h2>Kernel TLS on and off</h2><p>Linux {}. {}</p>",
        escape(&counts.machine.kernel),
        escape(METHOD)
    );
    for load in &counts.loads {
        let counted = load.entries.iter().filter_map(|entry| {
            let range = entry.range()?;
            Some(Bar {
                name: entry.server.clone(),
                own: entry.server.starts_with(RINGWAY),
                value: range.median,
                split: None,
                reach: (range.min, range.max),
            })
        });
        let caption = format!("Instructions for each request: {}", load.title);
        bars(out, &caption, &counted.collect::<Vec<_>>());
        for entry in load.entries.iter().filter(|entry| entry.failure.is_some()) {
            let why = escape(entry.failure.as_deref().unwrap_or_default());
            let _ = write!(out, "<p>{} failed: {why}</p>", escape(&entry.server));
        }
    }
}

fn chart(out: &mut String, workload: &WorkloadResult, caption: &str, figure: Figure, unit: f64) {
    let values: Vec<Bar> = workload
        .entries
        .iter()
        .filter_map(|entry| {
            let range = range(entry, figure)?;
            Some(Bar {
                name: entry.peer.clone(),
                own: entry.peer == RINGWAY,
                value: range.median / unit,
                split: None,
                reach: (range.min / unit, range.max / unit),
            })
        })
        .collect();
    bars(out, caption, &values);
}

/// CPU for each request, in user mode and in the kernel.
fn split(out: &mut String, workload: &WorkloadResult) {
    let values: Vec<Bar> = workload
        .entries
        .iter()
        .filter_map(|entry| {
            let cpu = range(entry, CPU_PER_REQUEST)?;
            Some(Bar {
                name: entry.peer.clone(),
                own: entry.peer == RINGWAY,
                value: cpu.median,
                split: Some(cpu.median * range(entry, USER_SHARE)?.median),
                reach: (cpu.min, cpu.max),
            })
        })
        .collect();
    bars(
        out,
        "CPU microseconds for each request; the full colour: in user mode, the pale: in the kernel",
        &values,
    );
}

/// Latency over percentiles, of each peer's middle round.
fn latencies(out: &mut String, workload: &WorkloadResult) {
    let curves: Vec<Line> = workload
        .entries
        .iter()
        .filter_map(|entry| {
            let mut rounds: Vec<_> = entry.rounds.iter().collect();
            rounds.sort_by(|a, b| a.latency_at(99.0).total_cmp(&b.latency_at(99.0)));
            let middle = rounds.get(rounds.len() / 2)?;
            let points = middle.latency_us.iter().map(|point| (point.percentile, point.us));
            Some(Line {
                name: entry.peer.clone(),
                own: entry.peer == RINGWAY,
                points: points.collect(),
            })
        })
        .collect();
    lines(out, "Latency in microseconds over percentiles", &curves);
}

/// Ringway against each, and what failed.
fn pairs(out: &mut String, workload: &WorkloadResult) {
    let (figure, more_is_better) = telling(about(workload));
    let ringway = workload.entries.iter().find(|entry| entry.peer == RINGWAY);
    out.push_str("<table><tr><th>peer<th>Ringway's figure by its<th>range<th>calls/request<th>");
    for entry in &workload.entries {
        let ratio = ringway.and_then(|ringway| ratio(ringway, entry, figure));
        let (ratio, reach) = ratio.map_or_else(Default::default, |ratio| {
            (format!("{:.2}", ratio.median), format!("{:.2}-{:.2}", ratio.min, ratio.max))
        });
        let calls = entry.calls.map_or(String::new(), |calls| {
            format!(
                "{:.2}, {:.2} of them enter a ring",
                calls.per_request, calls.enters_per_request
            )
        });
        let failure = entry.failure.as_deref().map(escape).unwrap_or_default();
        let name = escape(&entry.peer);
        let _ = write!(out, "<tr><td>{name}<td>{ratio}<td>{reach}<td>{calls}<td>{failure}");
    }
    let better = if more_is_better { "above" } else { "below" };
    let _ =
        write!(out, "</table><p><small>Ringway wins where the ratio is {better} 1.</small></p>");
}
