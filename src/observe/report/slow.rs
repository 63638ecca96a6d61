//! A slow request in a report.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::{each, seconds, stall, streams, time};
use crate::observe::{
    Blame, SlowOnWorker, request_clock::route_name, slow::Finished, stage::REQUEST_STAGES,
};

/// A slow request, as seen from `now`.
pub(super) fn value(on: &SlowOnWorker, now: SystemTime) -> Value {
    let finished = &on.slow.finished;
    let (method, path) = method_and_path(&on.slow.head[..on.slow.head_len]);
    let mut start = 0;
    json!({
        "time": time(now - on.ago),
        "seconds_ago": seconds(on.ago),
        "worker": on.worker,
        "method": method,
        "path": path,
        "status": finished.status,
        "bytes": finished.bytes,
        "taken": finished.route.map(|_| route_name(finished.route)),
        "endpoint": finished.endpoint.is_named().then(|| finished.endpoint.name()),
        "resumed": finished.agreed.resumed,
        "complete": finished.complete,
        "connection": format!("{}-{}", on.worker, finished.connection),
        "number": finished.number,
        "tls": finished.agreed.version,
        "protocol": finished.agreed.protocol,
        "stream": finished.stream,
        "trace_id": on.slow.trace.as_ref().map(|trace| trace.id().to_string()),
        "group": finished.agreed.group,
        "end": finished.end.map(|end| end.to_string()),
        "blame": blame(finished),
        "total_ns": finished.total,
        "dominant": finished.dominant().name(),
        "stages": each(REQUEST_STAGES.into_iter().zip(finished.parts), |(stage, time)| {
            let value = json!({ "name": stage.name(), "start_ns": start, "ns": time });
            start += time;
            value
        }),
        "before": {
            "accept_queue_ns": finished.accept_queue,
            "handshake_ns": finished.handshake,
            "handshake_cpu_ns": finished.handshake_cpu,
            "first_byte_ns": finished.first_byte,
        },
        "beside": {
            "requests": finished.beside,
            "lost_ns": finished.lost,
            "turns": finished.turns,
            "connections": on.slow.connections,
            "stall": on.slow.stall.map(stall),
            "siblings": on.slow.siblings.as_ref().map(|siblings| json!({
                "open": siblings.open,
                "ended": siblings.ended,
                "furthest": each(siblings.streams(), |stream| streams::stream(stream, finished.ended)),
            })),
        },
    })
}

fn blame(finished: &Finished) -> Value {
    let shares = &finished.shares;
    let mut blame = Map::new();
    blame.insert("who".to_owned(), shares.blame().name().into());
    for (who, time) in Blame::ALL.into_iter().zip(shares.time) {
        blame.insert(format!("{}_ns", who.name()), time.into());
    }
    let delivery = shares.delivery;
    blame.insert("window_shut_ns".to_owned(), delivery.map(|known| known.window_shut).into());
    blame.insert("retransmits".to_owned(), delivery.map(|known| known.retransmits).into());
    blame.into()
}

/// The first two words of a head, and `…` behind a path that was cut.
fn method_and_path(head: &[u8]) -> (String, String) {
    const PATH: usize = 96;
    let line_end = head.iter().position(|byte| *byte == b'\r' || *byte == b'\n');
    let line = &head[..line_end.unwrap_or(head.len())];
    let mut words = line.split(|byte| *byte == b' ');
    let method = String::from_utf8_lossy(words.next().unwrap_or(b"")).into_owned();
    let path = words.next().unwrap_or(b"");
    // A path that nothing follows, in a line that does not end, goes on beyond what was kept.
    let cut = path.len() > PATH || (line_end.is_none() && words.next().is_none());
    let path = path.get(..PATH).unwrap_or(path);
    let path = String::from_utf8_lossy(path).into_owned() + if cut { "…" } else { "" };
    (method, path)
}

#[cfg(test)]
mod tests {
    use super::method_and_path;
    use crate::observe::request::HEAD_KEPT;

    #[test]
    fn a_long_path_is_cut_and_says_so() {
        let path = |head: &str| method_and_path(head.as_bytes()).1;
        assert_eq!(path("GET /a HTTP/1.1\r\nHost: b\r\n"), "/a");
        assert_eq!(path("GET /a HTTP"), "/a");
        assert_eq!(path("GET /aaaa"), "/aaaa…");
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(200));
        assert_eq!(path(&long[..HEAD_KEPT]), format!("/{}…", "x".repeat(95)));
        assert_eq!(method_and_path(b""), (String::new(), "…".to_owned()));
    }
}
