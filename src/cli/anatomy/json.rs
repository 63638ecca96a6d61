//! What was found, as a program reads it: one object on one line. Times are microseconds.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::exchange::{Ending, Exchange};
use super::http2::Stream;
use super::records::Count;
use super::report::{Report, Summary};
use super::response::Head;
use super::stages::Stages;
use super::trust::Verdict;
use super::unexplained::Wait;

pub(super) fn render(report: &Report<'_>) -> String {
    let (verified, complaint) = match &report.verdict {
        Verdict::Verified => (true, None),
        Verdict::NotInsisted(complaint) => (complaint.is_none(), complaint.as_deref()),
    };
    let rounds = report
        .rounds
        .iter()
        .map(|round| json!({ "first": exchange(&round.full), "second": exchange(&round.resumed) }));
    let rounds: Vec<Value> = rounds.collect();
    let (first, second) = report.summaries();
    let both = [("first", first), ("second", second)];
    let medians: Map<String, Value> = both
        .into_iter()
        .filter_map(|(name, summary)| Some((name.to_owned(), medians(&summary?))))
        .collect();
    let value = json!({
        "url": report.url,
        "method": report.method,
        "certificate": { "verified": verified, "complaint": complaint },
        "rounds": rounds,
        "medians": medians,
    });
    format!("{value}\n")
}

fn medians(summary: &Summary<'_>) -> Value {
    let wait = Wait::of(&summary.stages, &summary.metrics);
    json!({
        "stages_us": stages(&summary.stages),
        "handshake_work_us": micros(summary.handshake_work),
        "admitted_us": wait.as_ref().and_then(|wait| wait.admitted).map(micros),
        "unexplained_us": wait.as_ref().and_then(Wait::unexplained).map(micros),
    })
}

fn exchange(exchange: &Exchange) -> Value {
    let (agreed, head) = (&exchange.agreed, &exchange.head);
    json!({
        "address": exchange.address.to_string(),
        "protocol": if exchange.streams.is_empty() { "http/1.1" } else { "h2" },
        "tls": {
            "version": agreed.version,
            "suite": agreed.suite,
            "group": agreed.group,
            "resumed": agreed.resumed,
            "retried": agreed.retried,
        },
        "stages_us": stages(&exchange.stages),
        "handshake_work_us": micros(exchange.handshake_work),
        "response": {
            "status": head.status,
            "reason": head.reason,
            "server": head.server,
            "head_bytes": head.bytes,
            "content_bytes": exchange.content,
        },
        "wire": { "sent": count(exchange.sent), "received": count(exchange.received) },
        "server_timing": timing(head),
        "streams": exchange.streams.iter().map(stream).collect::<Vec<_>>(),
        "ending": match exchange.ending {
            Ending::Notified => "close_notify",
            Ending::Silent => "silent",
            Ending::Open => "open",
        },
    })
}

/// One request of an HTTP/2 connection. Its times count from when the client began to send.
fn stream(stream: &Stream) -> Value {
    let head = stream.head.as_ref();
    json!({
        "stream": stream.id,
        "outcome": stream.outcome.name(),
        "code": stream.outcome.code(),
        "status": head.map(|head| head.status),
        "head_bytes": head.map(|head| head.bytes),
        "content_bytes": stream.content,
        "first_byte_us": stream.first.map(micros),
        "last_byte_us": stream.last.map(micros),
        "server_timing": head.map(timing),
    })
}

fn timing(head: &Head) -> Vec<Value> {
    let metrics = head.metrics.iter().map(|metric| {
        json!({
            "name": metric.name,
            "duration_us": metric.duration.map(micros),
            "description": metric.description,
        })
    });
    metrics.collect()
}

fn stages(stages: &Stages) -> Map<String, Value> {
    let spans = stages.spans();
    let spans = spans.into_iter().map(|(stage, _, took)| (stage.key().to_owned(), took));
    let all = spans.chain([("total".to_owned(), stages.total())]);
    all.map(|(name, took)| (name, micros(took).into())).collect()
}

fn count(count: Count) -> Value {
    json!({ "records": count.records, "bytes": count.bytes })
}

/// To the nanosecond.
fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}
