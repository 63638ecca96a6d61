//! What was found, as a program reads it: one object on one line. Times are microseconds.

use std::fmt::Write as _;
use std::time::Duration;

use super::exchange::{Ending, Exchange};
use super::records::Count;
use super::report::{Report, Summary};
use super::stages::Stages;
use super::trust::Verdict;
use super::unexplained::Wait;
use crate::observe::json::push_string;

pub(super) fn render(report: &Report<'_>) -> String {
    let mut out = String::from("{\"url\":");
    push_string(&mut out, &report.url);
    out.push_str(",\"method\":");
    push_string(&mut out, report.method);
    let (verified, complaint) = match &report.verdict {
        Verdict::Verified => (true, None),
        Verdict::NotInsisted(complaint) => (complaint.is_none(), complaint.as_deref()),
    };
    let _ = write!(out, ",\"certificate\":{{\"verified\":{verified},\"complaint\":");
    push_optional(&mut out, complaint);
    out.push_str("},\"rounds\":[");
    for (index, round) in report.rounds.iter().enumerate() {
        out.push_str(if index == 0 { "{\"first\":" } else { ",{\"first\":" });
        push_exchange(&mut out, &round.full);
        out.push_str(",\"second\":");
        push_exchange(&mut out, &round.resumed);
        out.push('}');
    }
    out.push_str("],\"medians\":{");
    let (first, second) = report.summaries();
    let both = [("first", first), ("second", second)];
    for (index, (name, summary)) in both.iter().enumerate() {
        let Some(summary) = summary else { continue };
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(out, "{comma}\"{name}\":");
        push_medians(&mut out, summary);
    }
    out.push_str("}}\n");
    out
}

fn push_medians(out: &mut String, summary: &Summary<'_>) {
    out.push_str("{\"stages_us\":");
    push_stages(out, &summary.stages);
    let work = micros(summary.handshake_work);
    let wait = Wait::of(&summary.stages, &summary.metrics);
    let or_null = |time: Option<Duration>| time.map_or_else(|| "null".to_owned(), micros);
    let admitted = or_null(wait.as_ref().and_then(|wait| wait.admitted));
    let unexplained = or_null(wait.as_ref().and_then(Wait::unexplained));
    let _ = write!(
        out,
        ",\"handshake_work_us\":{work},\"admitted_us\":{admitted},\
         \"unexplained_us\":{unexplained}}}"
    );
}

fn push_exchange(out: &mut String, exchange: &Exchange) {
    let agreed = &exchange.agreed;
    let _ = write!(out, "{{\"address\":\"{}\",\"tls\":{{\"version\":", exchange.address);
    push_string(out, &agreed.version);
    out.push_str(",\"suite\":");
    push_string(out, &agreed.suite);
    out.push_str(",\"group\":");
    push_optional(out, agreed.group.as_deref());
    let (resumed, retried) = (agreed.resumed, agreed.retried);
    let _ = write!(out, ",\"resumed\":{resumed},\"retried\":{retried}}},\"stages_us\":");
    push_stages(out, &exchange.stages);
    let head = &exchange.head;
    let _ = write!(
        out,
        ",\"handshake_work_us\":{},\"response\":{{\"status\":{},\"reason\":",
        micros(exchange.handshake_work),
        head.status
    );
    push_string(out, &head.reason);
    out.push_str(",\"server\":");
    push_optional(out, head.server.as_deref());
    let (bytes, content) = (head.bytes, exchange.content);
    let _ = write!(out, ",\"head_bytes\":{bytes},\"content_bytes\":{content}}},\"wire\":{{");
    push_count(out, "sent", exchange.sent);
    out.push(',');
    push_count(out, "received", exchange.received);
    out.push_str("},\"server_timing\":[");
    for (index, metric) in head.metrics.iter().enumerate() {
        out.push_str(if index == 0 { "{\"name\":" } else { ",{\"name\":" });
        push_string(out, &metric.name);
        let duration = metric.duration.map_or("null".to_owned(), micros);
        let _ = write!(out, ",\"duration_us\":{duration},\"description\":");
        push_optional(out, metric.description.as_deref());
        out.push('}');
    }
    let ending = match exchange.ending {
        Ending::Notified => "close_notify",
        Ending::Silent => "silent",
        Ending::Open => "open",
    };
    let _ = write!(out, "],\"ending\":\"{ending}\"}}");
}

fn push_stages(out: &mut String, stages: &Stages) {
    out.push('{');
    for (stage, _, took) in stages.spans() {
        let _ = write!(out, "\"{}\":{},", stage.key(), micros(took));
    }
    let _ = write!(out, "\"total\":{}}}", micros(stages.total()));
}

fn push_count(out: &mut String, name: &str, count: Count) {
    let Count { records, bytes } = count;
    let _ = write!(out, "\"{name}\":{{\"records\":{records},\"bytes\":{bytes}}}");
}

fn push_optional(out: &mut String, text: Option<&str>) {
    match text {
        Some(text) => push_string(out, text),
        None => out.push_str("null"),
    }
}

/// To the nanosecond.
fn micros(duration: Duration) -> String {
    format!("{:.3}", duration.as_nanos() as f64 / 1e3)
}
