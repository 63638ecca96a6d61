//! The spans of one request: one of the kind SERVER for the request, and one for each stage that took
//! time. Names of attributes are those of the semantic conventions for HTTP (OpenTelemetry 1.x)
//! where these have one, and `ringway.*` for the rest.
//!
//! A request's clock knows how long each stage took, and not when: a request may be in a stage more
//! than once. The spans of stages therefore stand in the order of the journey, each as long as all of
//! its stage took, and fill the request's span without a gap.

use std::time::SystemTime;

use super::{
    Recorded,
    messages::{Code, IS_REMOTE, KNOWS_REMOTE, KeyValue, Kind, SAMPLED, Span, Status},
};
use crate::{
    observe::{request_clock::route_name, slow::Finished, stage::REQUEST_STAGES},
    wall_clock::since_1970_at,
};

/// Where ids come from: bytes that nobody can guess.
pub(super) type Random = fn(&mut [u8]) -> Result<(), NoRandom>;

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRandom;

/// The spans of a request, of which there are at most one for each stage and one more.
///
/// # Errors
/// The system gives no random bytes.
pub(super) fn spans_of(
    recorded: &Recorded,
    now: SystemTime,
    elapsed: u64,
    random: Random,
) -> Result<Vec<Span>, NoRandom> {
    let finished = &recorded.finished;
    let ago = elapsed.saturating_sub(finished.ended);
    let wall = u64::try_from(since_1970_at(now).as_nanos()).unwrap_or(u64::MAX);
    let ended = wall.saturating_sub(ago);
    let began = ended.saturating_sub(finished.total);
    let (trace_id, parent, caller) = match &recorded.trace {
        Some(trace) => (trace.id_bytes().to_vec(), trace.parent_bytes().to_vec(), IS_REMOTE),
        None => (fresh::<16>(random)?, Vec::new(), 0),
    };
    let sampled = recorded.trace.is_none_or(|trace| trace.sampled);
    let flags = KNOWS_REMOTE | if sampled { SAMPLED } else { 0 };
    let id = fresh::<8>(random)?;
    let asked = Asked::of(recorded.head());
    let mut spans = vec![Span {
        trace_id: trace_id.clone(),
        id: id.clone(),
        parent_id: parent,
        name: asked.method.clone(),
        kind: Kind::Server.into(),
        start_time_unix_nano: began,
        end_time_unix_nano: ended,
        attributes: attributes(recorded, &asked),
        status: status(finished),
        flags: flags | caller,
    }];
    let mut at = began;
    for (stage, time) in REQUEST_STAGES.into_iter().zip(finished.parts) {
        if time == 0 {
            continue;
        }
        spans.push(Span {
            trace_id: trace_id.clone(),
            id: fresh::<8>(random)?,
            parent_id: id.clone(),
            name: stage.name().to_owned(),
            kind: Kind::Internal.into(),
            start_time_unix_nano: at,
            end_time_unix_nano: at + time,
            attributes: Vec::new(),
            status: None,
            flags,
        });
        at += time;
    }
    Ok(spans)
}

fn fresh<const LENGTH: usize>(random: Random) -> Result<Vec<u8>, NoRandom> {
    let mut id = vec![0; LENGTH];
    random(&mut id)?;
    // An id of zeros is none (W3C Trace Context, section 3.2.2).
    if let Some(last) = id.last_mut() {
        *last |= 1;
    }
    Ok(id)
}

/// What of a request's first line is reported.
struct Asked {
    method: String,
    path: String,
    query: Option<String>,
}

impl Asked {
    /// A first line that was cut yields what is there.
    fn of(head: &[u8]) -> Self {
        let line = head.split(|byte| *byte == b'\r' || *byte == b'\n').next();
        let line = String::from_utf8_lossy(line.unwrap_or(b"")).into_owned();
        let mut words = line.split(' ');
        let method = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_uppercase()));
        let target = words.next().unwrap_or("");
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        // What the conventions want where a method is none.
        let method = method.filter(|word| !word.is_empty()).unwrap_or("_OTHER");
        Self { method: method.to_owned(), path: path.to_owned(), query }
    }
}

/// A refused or cancelled request is no error of the server's (semantic conventions for HTTP spans,
/// "Status").
fn status(finished: &Finished) -> Option<Status> {
    let failed = finished.status >= 500 || !finished.complete;
    let message = finished.end.map_or_else(String::new, |end| end.to_string());
    failed.then(|| Status { message, code: Code::Error.into() })
}

fn attributes(recorded: &Recorded, asked: &Asked) -> Vec<KeyValue> {
    let finished = &recorded.finished;
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let micros = |nanoseconds: u64| number(nanoseconds / 1_000);
    let agreed = finished.agreed;
    let version = if agreed.protocol == "h2" { "2" } else { "1.1" };
    let mut all = vec![
        KeyValue::of("http.request.method", asked.method.as_str()),
        KeyValue::of("url.path", asked.path.as_str()),
        KeyValue::of("url.scheme", if agreed.version == "none" { "http" } else { "https" }),
        KeyValue::of("network.protocol.name", "http"),
        KeyValue::of("network.protocol.version", version),
        KeyValue::of("ringway.blame", finished.shares.blame().name()),
        KeyValue::of("ringway.dominant", finished.dominant().name()),
        KeyValue::of("ringway.connection", format!("{}-{}", recorded.worker, finished.connection)),
        KeyValue::of("ringway.number", number(finished.number)),
        KeyValue::of("ringway.bytes", number(finished.bytes)),
        KeyValue::of("ringway.path", route_name(finished.route)),
        KeyValue::of("ringway.first_byte_us", micros(finished.first_byte)),
        KeyValue::of("ringway.lost_us", micros(finished.lost)),
    ];
    all.extend(asked.query.as_deref().map(|query| KeyValue::of("url.query", query)));
    all.extend(recorded.peer.map(|peer| KeyValue::of("client.address", peer.ip().to_string())));
    if finished.status > 0 {
        all.push(KeyValue::of("http.response.status_code", i64::from(finished.status)));
    }
    if finished.stream > 0 {
        all.push(KeyValue::of("ringway.stream", i64::from(finished.stream)));
    }
    if !matches!(agreed.version, "" | "none") {
        all.push(KeyValue::of("tls.protocol.version", agreed.version.trim_start_matches("TLSv")));
    }
    for (name, time) in [
        ("ringway.accept_queue_us", finished.accept_queue),
        ("ringway.handshake_us", finished.handshake),
        ("ringway.handshake_cpu_us", finished.handshake_cpu),
    ] {
        all.extend(time.map(|time| KeyValue::of(name, micros(time))));
    }
    if let Some(end) = finished.end {
        all.push(KeyValue::of("ringway.end", end.to_string()));
    }
    let error = match finished.end {
        Some(end) if !finished.complete => Some(end.to_string()),
        _ => (finished.status >= 500).then(|| finished.status.to_string()),
    };
    all.extend(error.map(|error| KeyValue::of("error.type", error)));
    all
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::{
        monotonic::Monotonic,
        observe::{
            End, Phase, Stage, Why,
            request::{HEAD_KEPT, place},
            spans::messages::Value,
            trace::Trace,
        },
    };

    #[allow(clippy::unnecessary_wraps, reason = "it takes the place of one that may fail")]
    fn counting(bytes: &mut [u8]) -> Result<(), NoRandom> {
        bytes.fill(6);
        Ok(())
    }

    fn recorded(head: &[u8]) -> Recorded {
        let mut finished = Finished {
            ended: 9_000,
            total: 500,
            status: 200,
            complete: true,
            ..Finished::default()
        };
        finished.parts[place(Stage::Head)] = 400;
        finished.parts[place(Stage::LastWrite)] = 100;
        let mut kept = [0; HEAD_KEPT];
        kept[..head.len()].copy_from_slice(head);
        Recorded {
            worker: 1,
            start: Monotonic::now(),
            finished,
            peer: None,
            head: kept,
            head_len: head.len(),
            trace: Trace::of_head(head),
        }
    }

    fn spans(recorded: &Recorded) -> Vec<Span> {
        let now = UNIX_EPOCH + Duration::from_millis(1);
        spans_of(recorded, now, 10_000, counting).unwrap()
    }

    fn attribute(span: &Span, key: &str) -> Option<Value> {
        let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
        found.value.clone()?.value
    }

    #[test]
    fn stages_fill_the_request_without_a_gap() {
        let spans = spans(&recorded(b"GET /a?b=c HTTP/1.1\r\n\r\n"));
        let [request, head, last] = spans.as_slice() else { panic!("{spans:?}") };
        // It ended 1,000 ns before now.
        assert_eq!((request.start_time_unix_nano, request.end_time_unix_nano), (998_500, 999_000));
        assert_eq!((head.start_time_unix_nano, head.end_time_unix_nano), (998_500, 998_900));
        assert_eq!((last.start_time_unix_nano, last.end_time_unix_nano), (998_900, 999_000));
        assert_eq!((head.name.as_str(), last.name.as_str()), ("head", "last_write"));
        assert_eq!((request.trace_id.len(), request.id.len()), (16, 8));
        assert!(request.parent_id.is_empty());
        assert_eq!((&head.trace_id, &head.parent_id), (&request.trace_id, &request.id));
        assert_eq!(request.name, "GET");
        assert_eq!(attribute(request, "url.path"), Some("/a".into()));
        assert_eq!(attribute(request, "url.query"), Some("b=c".into()));
        assert_eq!(attribute(request, "http.response.status_code"), Some(200.into()));
        assert_eq!(request.status, None);
    }

    #[test]
    fn a_request_is_a_part_of_its_callers_trace() {
        let head = b"GET / HTTP/1.1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n";
        let spans = spans(&recorded(head));
        assert_eq!(spans[0].trace_id[..3], [0x0a, 0xf7, 0x65]);
        assert_eq!(spans[0].parent_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
        assert_eq!(spans[0].flags, KNOWS_REMOTE | IS_REMOTE);
        assert_eq!(spans[1].flags, KNOWS_REMOTE);
    }

    #[test]
    fn a_failure_is_an_error_with_its_end_code() {
        let mut recorded = recorded(b"no request");
        recorded.finished.complete = false;
        recorded.finished.end =
            Some(End { why: Why::ClientReset, phase: Phase::Request(Stage::LastWrite) });
        let spans = spans(&recorded);
        assert_eq!(spans[0].name, "_OTHER");
        let status = spans[0].status.clone().unwrap();
        assert_eq!(
            (status.code(), status.message.as_str()),
            (Code::Error, "client.reset.last_write")
        );
        assert_eq!(attribute(&spans[0], "error.type"), Some("client.reset.last_write".into()));
    }

    #[test]
    fn without_random_bytes_there_is_no_span() {
        let now = SystemTime::now();
        assert_eq!(spans_of(&recorded(b""), now, 0, |_| Err(NoRandom)), Err(NoRandom));
    }
}
