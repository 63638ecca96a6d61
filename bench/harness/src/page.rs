//! The results as one page that needs nothing else: figures drawn as SVG, in light and dark, for
//! screens of any width.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use crate::charts::{Bar, Line, Whose, bars, escape, lines};
use crate::format::number;
use crate::headline;
use crate::instructions::Counts;
use crate::instructions_text::METHOD;
use crate::markdown;
use crate::peers::{self, RINGWAY};
use crate::results::{Entry, PeerResult, Results, WorkloadResult};
use crate::summary::{
    BYTES, BYTES_PER_CPU, CPU_PER_REQUEST, Figure, IDLE_KERNEL, IDLE_USER, REQUESTS,
    REQUESTS_PER_CPU, USER_SHARE, range,
};
use crate::table::{about, columns, throughput};
use crate::verdict::{Verdict, contests, ringway};
use crate::workloads::About;

/// The whole page.
pub(crate) fn render(results: &Results, counts: Option<&Counts>) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>Ringway beside its peers</title><style>{}</style><main>",
        include_str!("page.css")
    );
    top(&mut out, results, counts);
    overview(&mut out, results);
    passes(&mut out, results);
    for workload in &results.workloads {
        section(&mut out, results, workload);
    }
    if let Some(counts) = counts {
        instructions(&mut out, counts);
    }
    method(&mut out, results);
    out.push_str("</main></html>\n");
    out
}

fn top(out: &mut String, results: &Results, counts: Option<&Counts>) {
    let machine = &results.machine;
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(machine.measured_at));
    let _ = write!(
        out,
        "<h1><b>Ringway</b> beside its peers</h1>\
         <p class=lead>One run on one machine, {}: {}, {} CPUs, Linux {}. One worker on one CPU each, \
         HTTPS with TLS 1.3 and AES-128-GCM, the same files, in {} interleaved rounds.",
        date.get(5..16).unwrap_or(&date),
        escape(&machine.cpu),
        machine.cpus,
        escape(&machine.kernel),
        results.rounds
    );
    if let Some(warning) = headline::not_quiet(results) {
        let _ = write!(out, "<p class=warn>{}", prose(&warning));
    }
    out.push_str("<nav aria-label=Workloads>");
    for workload in &results.workloads {
        let _ = write!(out, "<a href=\"#{0}\">{0}</a>", escape(&workload.name));
    }
    if counts.is_some() {
        out.push_str("<a href=\"#kernel-tls\">kernel TLS</a>");
    }
    out.push_str("<a href=\"#method\">method</a></nav>");
}

/// Ringway's advantage over everyone in every workload, as a coloured table.
fn overview(out: &mut String, results: &Results) {
    let compared: Vec<&WorkloadResult> =
        results.workloads.iter().filter(|w| about(w) != About::Workers).collect();
    let takes_part =
        |name: &str| compared.iter().any(|w| w.entries.iter().any(|entry| entry.peer == name));
    let peers: Vec<&str> = results
        .peers
        .iter()
        .map(|peer| peer.name.as_str())
        .filter(|name| *name != RINGWAY && takes_part(name))
        .collect();
    if peers.is_empty() {
        return;
    }
    out.push_str(
        "<h2 id=short>In short</h2><p>How many times as good as each server Ringway is: how much more \
         it does with a second of CPU or, at a fixed rate and for idle connections, how much less CPU \
         or memory it needs. Above 1 Ringway is ahead. The bounds do no HTTP and show what nobody can \
         save.</p><div class=scroll tabindex=0><table class=grid><tr><th>workload",
    );
    for name in &peers {
        let _ = write!(out, "<th>{}", escape(name));
    }
    for workload in compared {
        let (id, title) = (escape(&workload.name), escape(&workload.title));
        let _ = write!(out, "<tr><td><a href=\"#{id}\">{title}</a>");
        let contest = contests(workload)[0];
        for name in &peers {
            let other = workload.entries.iter().find(|entry| entry.peer == *name);
            let advantage = ringway(workload).zip(other);
            let advantage = advantage.and_then(|(own, other)| contest.advantage(own, other));
            let Some(advantage) = advantage else {
                out.push_str("<td class=dim>–");
                continue;
            };
            let class = match contest.verdict(&advantage) {
                Verdict::Won => "won",
                Verdict::Even => "even",
                Verdict::Lost => "lost",
            };
            // The colour is full where one is twice as good as the other.
            let much = (advantage.median.log2().abs() * 0.42).clamp(0.06, 0.42);
            let _ = write!(
                out,
                "<td class={class} style=\"--much:{much:.2}\" title=\"{:.2} to {:.2}\">{:.2}",
                advantage.low, advantage.high, advantage.median
            );
        }
    }
    out.push_str("</table></div>");
}

/// A heading that can be linked to.
fn heading(out: &mut String, id: &str, title: &str) {
    let (id, title) = (escape(id), escape(title));
    let _ = write!(out, "<h2 id=\"{id}\"><a href=\"#{id}\">{title}</a></h2>");
}

fn section(out: &mut String, results: &Results, workload: &WorkloadResult) {
    let rate =
        workload.rate.map_or(String::new(), |rate| format!(": {} requests/s due", number(rate, 0)));
    heading(out, &workload.name, &format!("{}{rate}", workload.title));
    if let Some(why) = &workload.skipped {
        let _ = write!(out, "<p>Skipped: {}.</p>", escape(why));
        return;
    }
    out.push_str("<div class=plots>");
    let mut chart = |caption, figure, unit, more| chart(out, workload, caption, figure, unit, more);
    match about(workload) {
        About::Requests => {
            chart("Requests for each second of the server's CPU", REQUESTS_PER_CPU, 1.0, true);
            chart("Requests per second", REQUESTS, 1.0, true);
        }
        About::Bytes => {
            chart("MB for each second of the server's CPU", BYTES_PER_CPU, 1e6, true);
            chart("MB per second", BYTES, 1e6, true);
        }
        About::Rate { .. } | About::Workers => {}
        About::Idle => {
            chart("User memory of each idle connection, KiB", IDLE_USER, 1024.0, false);
            let caption = "Kernel memory of each idle connection, both of its ends, KiB";
            chart(caption, IDLE_KERNEL, 1024.0, false);
        }
    }
    if about(workload) != About::Idle {
        split(out, workload);
        latencies(out, results, workload);
    }
    out.push_str("</div>");
    table(out, workload);
    for remark in markdown::remarks(workload) {
        let _ = write!(out, "<p><small>{}</small></p>", prose(&remark));
    }
}

/// Passes over a byte: Ringway's by its ledger, the others' as many as what is known of them names.
fn passes(out: &mut String, results: &Results) {
    let ledger = results
        .workloads
        .iter()
        .filter(|workload| about(workload) == About::Bytes)
        .filter_map(ringway)
        .find_map(|entry| entry.calls?.moved_per_byte);
    let of = |peer: &PeerResult| {
        let own = peer.name == RINGWAY;
        let named = peer.passes.split(", ").count() as f64;
        let value = if own { ledger? } else { named };
        Some(bar(&peer.name, value, (value, value)))
    };
    let present: Vec<&PeerResult> = results
        .peers
        .iter()
        .filter(|peer| peer.missing.is_none() && !peers::is_ringway_again(&peer.name))
        .collect();
    let values: Vec<Bar> = present.iter().filter_map(|peer| of(peer)).collect();
    heading(out, "passes", "Passes over a byte");
    out.push_str(
        "<p>How often user space and kernel pass over a byte of a large body, from the page cache or \
         memory to the socket's buffer: each copy, and the cipher. Ringway's figure is that of its \
         ledger, the others' follow from how they work; kernel TLS apart.</p><div class=plots>",
    );
    bars(out, "Passes over a byte of a large body", "Passes over a byte of a large body", &values);
    out.push_str("<div class=scroll style=margin:0><table><tr><th>server<th class=words>passes");
    for peer in present {
        let own = if peer.name == RINGWAY { " class=own" } else { "" };
        let (name, passes) = (escape(&peer.name), escape(&peer.passes));
        let _ = write!(out, "<tr{own}><td>{name}<td class=words>{passes}");
    }
    out.push_str("</table></div></div>");
}

/// Instructions with the kernel's TLS and without.
fn instructions(out: &mut String, counts: &Counts) {
    heading(out, "kernel-tls", "Kernel TLS on and off");
    let _ = write!(
        out,
        "<p>Instructions for each request on Linux {}.</p><p><small>{}</small></p><div class=plots>",
        escape(&counts.machine.kernel),
        escape(METHOD)
    );
    for load in &counts.loads {
        let counted = load.entries.iter().filter_map(|entry| {
            let range = entry.range()?;
            Some(bar(&entry.server, range.median, (range.min, range.max)))
        });
        let caption = format!("Instructions for each request: {}", load.title);
        bars(out, &escape(&caption), &caption, &counted.collect::<Vec<_>>());
    }
    out.push_str("</div>");
    for load in &counts.loads {
        for entry in load.entries.iter().filter(|entry| entry.failure.is_some()) {
            let why = escape(entry.failure.as_deref().unwrap_or_default());
            let _ = write!(out, "<p>{} failed in {}: {why}</p>", entry.server, load.name);
        }
    }
}

fn whose(name: &str) -> Whose {
    if name.starts_with(RINGWAY) {
        Whose::Ringway
    } else if name.starts_with("bound-") {
        Whose::Bound
    } else {
        Whose::Peer
    }
}

fn bar(name: &str, value: f64, reach: (f64, f64)) -> Bar {
    Bar { name: name.into(), whose: whose(name), value, split: None, reach }
}

/// The best stands first.
fn chart(
    out: &mut String,
    workload: &WorkloadResult,
    caption: &str,
    figure: Figure,
    unit: f64,
    more_is_better: bool,
) {
    let of = |entry: &Entry| {
        let range = range(entry, figure)?;
        Some(bar(&entry.peer, range.median / unit, (range.min / unit, range.max / unit)))
    };
    let mut values: Vec<Bar> = workload.entries.iter().filter_map(of).collect();
    values.sort_by(|a, b| a.value.total_cmp(&b.value));
    if more_is_better {
        values.reverse();
    }
    bars(out, caption, caption, &values);
}

/// CPU for each request, in user mode and in the kernel.
fn split(out: &mut String, workload: &WorkloadResult) {
    let of = |entry: &Entry| {
        let cpu = range(entry, CPU_PER_REQUEST)?;
        let split = cpu.median * range(entry, USER_SHARE)?.median;
        Some(Bar { split: Some(split), ..bar(&entry.peer, cpu.median, (cpu.min, cpu.max)) })
    };
    let mut values: Vec<Bar> = workload.entries.iter().filter_map(of).collect();
    values.sort_by(|a, b| a.value.total_cmp(&b.value));
    let caption = "CPU for each request, µs: <span class=key></span>user mode \
                   <span class=\"key pale\"></span>kernel";
    bars(
        out,
        caption,
        "CPU microseconds for each request, in user mode and in the kernel",
        &values,
    );
}

/// Latency over percentiles, of each peer's middle round.
fn latencies(out: &mut String, results: &Results, workload: &WorkloadResult) {
    let hue = |name: &str| {
        let place = results.peers.iter().position(|peer| peer.name == name).unwrap_or(0);
        place as f64 / results.peers.len().max(1) as f64
    };
    let of = |entry: &Entry| {
        let mut rounds: Vec<_> = entry.rounds.iter().collect();
        rounds.sort_by(|a, b| a.latency_at(99.0).total_cmp(&b.latency_at(99.0)));
        let middle = rounds.get(rounds.len() / 2)?;
        let points = middle.latency_us.iter().map(|point| (point.percentile, point.us));
        let (name, whose) = (entry.peer.clone(), whose(&entry.peer));
        Some(Line { hue: hue(&name), name, whose, points: points.collect() })
    };
    let curves: Vec<Line> = workload.entries.iter().filter_map(of).collect();
    let caption = "Latency over percentiles";
    lines(out, caption, caption, &curves);
}

/// All figures of a workload.
fn table(out: &mut String, workload: &WorkloadResult) {
    let about = about(workload);
    let (columns, contest) = (columns(about), contests(workload)[0]);
    let (figure, name, unit) = throughput(about);
    let _ = write!(
        out,
        "<details><summary>All figures</summary><div class=scroll tabindex=0><table>\
         <tr><th>server<th>Ringway is<th>half of the pairs<th>{name}<th>min–max"
    );
    for (heading, ..) in &columns {
        let _ = write!(out, "<th>{heading}");
    }
    out.push_str("<th>calls/req<th>enters");
    for entry in &workload.entries {
        let own = if entry.peer == RINGWAY { " class=own" } else { "" };
        let _ = write!(out, "<tr{own}><td>{}", escape(&entry.peer));
        let other = ringway(workload).filter(|_| own.is_empty());
        let _ = match other.and_then(|ringway| contest.advantage(ringway, entry)) {
            Some(is) => write!(out, "<td>{:.2}<td>{:.2}–{:.2}", is.median, is.low, is.high),
            None => write!(out, "<td><td>"),
        };
        let _ = match range(entry, figure) {
            Some(range) => write!(
                out,
                "<td>{}<td>{}–{}",
                number(range.median / unit, 0),
                number(range.min / unit, 0),
                number(range.max / unit, 0)
            ),
            None => write!(out, "<td><td>"),
        };
        for (_, figure, unit, decimals) in &columns {
            let value = range(entry, *figure);
            let value = value.map_or(String::new(), |range| number(range.median / unit, *decimals));
            let _ = write!(out, "<td>{value}");
        }
        let _ = match entry.calls {
            Some(calls) => {
                write!(out, "<td>{:.2}<td>{:.2}", calls.per_request, calls.enters_per_request)
            }
            None => write!(out, "<td><td>"),
        };
    }
    out.push_str("</table></div></details>");
}

fn method(out: &mut String, results: &Results) {
    heading(out, "method", "Method");
    for paragraph in markdown::method_paragraphs(results) {
        let _ = write!(out, "<p>{}</p>", prose(&paragraph));
    }
    heading(out, "machine", "Machine");
    out.push_str("<div class=scroll tabindex=0><table>");
    for (what, value) in markdown::machine_rows(results) {
        let _ = write!(out, "<tr><td>{what}<td class=words>{}", escape(&value));
    }
    out.push_str("</table></div>");
    heading(out, "peers", "Who took part");
    out.push_str(
        "<div class=scroll tabindex=0><table><tr><th>server<th class=words>version\
         <th class=words>what it does",
    );
    for peer in &results.peers {
        let version = match &peer.missing {
            Some(why) => format!("<b>missing</b>: {}", escape(why)),
            None => escape(&peer.version),
        };
        let own = if peer.name == RINGWAY { " class=own" } else { "" };
        let (name, what) = (escape(&peer.name), escape(&peer.what));
        let _ = write!(out, "<tr{own}><td>{name}<td class=words>{version}<td class=words>{what}");
    }
    out.push_str("</table></div>");
    let _ = write!(
        out,
        "<p><small>By <code>{}</code>. The rates are shares of what the slowest of {} manages.</small>",
        escape(&results.command),
        escape(&peers::serious_in(results).join(", "))
    );
}

/// Prose in Markdown as HTML: code and bold words.
fn prose(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        let part = escape(part);
        if index % 2 == 1 {
            let _ = write!(out, "<code>{part}</code>");
        } else {
            for (index, part) in part.split("**").enumerate() {
                let _ = if index % 2 == 1 {
                    write!(out, "<b>{part}</b>")
                } else {
                    write!(out, "{part}")
                };
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::prose;

    #[test]
    fn prose_becomes_html() {
        assert_eq!(prose("**a** `b<c` d"), "<b>a</b> <code>b&lt;c</code> d");
    }
}
