//! A slow request in a report.

use std::time::SystemTime;

use super::{push_stall, seconds};
use crate::observe::{
    Blame, Delivery, SlowOnWorker, json::Object, log::push_time, request_clock::route_name,
    stage::REQUEST_STAGES,
};

/// Appends a slow request, as seen from `now`.
pub(super) fn push_slow(object: &mut Object<'_>, on: &SlowOnWorker, now: SystemTime) {
    let finished = &on.slow.finished;
    let mut time = String::new();
    push_time(&mut time, now - on.ago);
    let head = on.slow.head.get(..on.slow.head_len).unwrap_or_default();
    let (method, path) = method_and_path(head);
    object.string("time", &time);
    object.float("seconds_ago", seconds(on.ago));
    object.number("worker", on.worker as u64);
    object.string("method", &method);
    object.string("path", &path);
    object.number("status", u64::from(finished.status));
    object.number("bytes", finished.bytes);
    match finished.route {
        None => object.null("taken"),
        Some(_) => object.string("taken", route_name(finished.route)),
    }
    object.boolean("resumed", finished.agreed.resumed);
    object.boolean("complete", finished.complete);
    object.string("connection", &format!("{}-{}", on.worker, finished.connection));
    object.number("number", finished.number);
    object.string("tls", finished.agreed.version);
    object.string("protocol", finished.agreed.protocol);
    object.number("stream", u64::from(finished.stream));
    match &on.slow.trace {
        None => object.null("trace_id"),
        Some(trace) => object.string("trace_id", trace.id()),
    }
    object.string("group", finished.agreed.group);
    match finished.end {
        None => object.null("end"),
        Some(end) => object.string("end", &end.to_string()),
    }
    object.object("blame", |blame| {
        blame.string("who", finished.shares.blame().name());
        for (who, time) in Blame::ALL.into_iter().zip(finished.shares.time) {
            blame.number(&format!("{}_ns", who.name()), time);
        }
        let known = |of: fn(Delivery) -> u64| finished.shares.delivery.map(of);
        blame.number_or_null("window_shut_ns", known(|of| of.window_shut));
        blame.number_or_null("retransmits", known(|of| u64::from(of.retransmits)));
    });
    object.number("total_ns", finished.total);
    object.string("dominant", finished.dominant().name());
    object.array("stages", |stages| {
        let mut start = 0;
        for (stage, time) in REQUEST_STAGES.into_iter().zip(finished.parts) {
            stages.object(|each| {
                each.string("name", stage.name());
                each.number("start_ns", start);
                each.number("ns", time);
            });
            start += time;
        }
    });
    object.object("before", |before| {
        before.number_or_null("accept_queue_ns", finished.accept_queue);
        before.number_or_null("handshake_ns", finished.handshake);
        before.number_or_null("handshake_cpu_ns", finished.handshake_cpu);
        before.number("first_byte_ns", finished.first_byte);
    });
    object.object("beside", |beside| {
        beside.number("requests", finished.beside);
        beside.number("lost_ns", finished.lost);
        beside.number("turns", finished.turns);
        beside.number("connections", on.slow.connections as u64);
        match on.slow.stall {
            None => beside.null("stall"),
            Some(stall) => beside.object("stall", |each| push_stall(each, stall)),
        }
    });
}

/// The first two words of a head, and `…` behind a path that was cut.
fn method_and_path(head: &[u8]) -> (String, String) {
    const PATH: usize = 96;
    let line_end = head.iter().position(|byte| *byte == b'\r' || *byte == b'\n');
    let line = head.get(..line_end.unwrap_or(head.len())).unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let method = String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
    let path = words.next().unwrap_or_default();
    // A path that nothing follows, in a line that does not end, goes on beyond what was kept.
    let cut = path.len() > PATH || (line_end.is_none() && words.next().is_none());
    let path = path.get(..PATH).unwrap_or(path);
    let path = String::from_utf8_lossy(path).into_owned() + if cut { "…" } else { "" };
    (method, path)
}

#[cfg(test)]
mod tests {
    use super::method_and_path;

    #[test]
    fn a_long_path_is_cut_and_says_so() {
        let path = |head: &str| method_and_path(head.as_bytes()).1;
        assert_eq!(path("GET /a HTTP/1.1\r\nHost: b\r\n"), "/a");
        assert_eq!(path("GET /a HTTP"), "/a");
        assert_eq!(path("GET /aaaa"), "/aaaa…");
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(200));
        assert_eq!(path(&long[..112]), format!("/{}…", "x".repeat(95)));
        assert_eq!(method_and_path(b""), (String::new(), "…".to_owned()));
    }
}
