//! Lines of the access log: the combined format with our fields behind it, or JSON.
//!
//! The invariant: one line for each request, whatever its head holds; what came from the peer
//! stands in quotes and cannot end them.

use std::{fmt::Write, time::SystemTime};

use super::Line;
use crate::{
    calendar::Utc,
    config::LogFormat,
    observe::{
        json, log::push_time, request_clock::route_name, slow::Finished, stage::REQUEST_STAGES,
        trace::Trace,
    },
    wall_clock::since_1970_at,
};

/// Bytes of a target that are logged.
const TARGET: usize = 2048;

/// Bytes of another field that are logged.
const FIELD: usize = 512;

/// Bytes of a request's id that are logged.
const REQUEST_ID: usize = 128;

/// Field lines that are looked at.
const FIELDS: usize = crate::config::MAX_HEAD_FIELDS;

/// What of a request's head is logged.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked<'h> {
    method: &'h [u8],
    target: &'h [u8],
    /// `HTTP/1.0` or `HTTP/1.1`; empty if the request line was none.
    version: &'static str,
    referer: &'h [u8],
    user_agent: &'h [u8],
    request_id: &'h [u8],
    trace: Option<Trace>,
}

impl<'h> Asked<'h> {
    /// Takes apart the beginning of a head. What is no request line stands as the target.
    fn of(head: &'h [u8]) -> Self {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        // What is cut or malformed yields what stands before it.
        let _ = request.parse(head);
        let (Some(method), Some(target)) = (request.method, request.path) else {
            let line = head.split(|byte| *byte == b'\r' || *byte == b'\n').find(|l| !l.is_empty());
            return Self { target: line.unwrap_or(b""), ..Self::default() };
        };
        let field = |name: &str| {
            let line = request.headers.iter().find(|line| line.name.eq_ignore_ascii_case(name));
            line.map_or(&b""[..], |line| cut(line.value, FIELD))
        };
        Self {
            method: method.as_bytes(),
            target: cut(target.as_bytes(), TARGET),
            version: match request.version {
                Some(0) => "HTTP/1.0",
                Some(_) => "HTTP/1.1",
                None => "",
            },
            referer: field("referer"),
            user_agent: field("user-agent"),
            request_id: cut(field("x-request-id"), REQUEST_ID),
            trace: Trace::of_head(head),
        }
    }
}

fn cut(bytes: &[u8], most: usize) -> &[u8] {
    bytes.get(..most).unwrap_or(bytes)
}

/// The forms of a line.
pub(super) trait PushLine {
    /// Appends the line of one request of a worker that ended at `time`.
    fn push_line(&self, text: &mut String, line: &Line, head: &[u8], on: (usize, SystemTime));
}

impl PushLine for LogFormat {
    fn push_line(&self, text: &mut String, line: &Line, head: &[u8], on: (usize, SystemTime)) {
        let mut asked = Asked::of(head);
        if line.finished.stream > 0 {
            asked.version = "HTTP/2.0";
        }
        match self {
            Self::Text => push_text(text, line, &asked, on),
            Self::Json => push_json(text, line, &asked, on),
        }
        text.push('\n');
    }
}

fn push_text(
    text: &mut String,
    line: &Line,
    asked: &Asked<'_>,
    (worker, time): (usize, SystemTime),
) {
    let finished = &line.finished;
    match line.peer {
        Some(peer) => _ = write!(text, "{}", peer.ip()),
        None => text.push('-'),
    }
    text.push_str(" - - [");
    push_clf_time(text, time);
    text.push_str("] \"");
    if !asked.method.is_empty() {
        push_escaped(text, asked.method);
        text.push(' ');
    }
    push_escaped(text, asked.target);
    if !asked.version.is_empty() {
        text.push(' ');
        text.push_str(asked.version);
    }
    let _ = write!(text, "\" {} {}", finished.status, finished.bytes);
    for field in [asked.referer, asked.user_agent] {
        text.push_str(" \"");
        push_escaped(text, if field.is_empty() { b"-" } else { field });
        text.push('"');
    }
    let agreed = finished.agreed;
    let _ = write!(
        text,
        " taken={} resumed={} number={} complete={} connection={worker}-{} tls={} protocol={}",
        route_name(finished.route),
        u8::from(agreed.resumed),
        finished.number,
        u8::from(finished.complete),
        finished.connection,
        or_dash(agreed.version),
        or_dash(agreed.protocol),
    );
    if finished.number <= 1 && !agreed.group.is_empty() {
        let _ = write!(text, " group={}", agreed.group);
    }
    if finished.stream > 0 {
        let _ = write!(text, " stream={}", finished.stream);
    }
    if finished.endpoint.is_named() {
        text.push_str(" endpoint=\"");
        push_escaped(text, finished.endpoint.name().as_bytes());
        text.push('"');
    }
    finished.passed.push_text(text);
    if let Some(end) = finished.end {
        let _ = write!(text, " end={end}");
    }
    if let Some(trace) = &asked.trace {
        let sampled = u8::from(trace.sampled);
        let _ = write!(text, " trace={} parent={} sampled={sampled}", trace.id(), trace.parent());
    }
    if !asked.request_id.is_empty() {
        text.push_str(" request_id=\"");
        push_escaped(text, asked.request_id);
        text.push('"');
    }
    if line.one_in > 1 {
        let _ = write!(text, " one_in={}", line.one_in);
    }
    let _ = write!(text, " blame={}", finished.shares.blame().name());
    for (name, time) in of_connection(finished).into_iter().chain([("lost", finished.lost)]) {
        if time > 0 {
            push_micros(text, name, time);
        }
    }
    finished.layers.each(|name, time| {
        text.push_str(" layer=\"");
        push_escaped(text, name.as_bytes());
        let _ = write!(text, ":{}.{}\"", time / 1_000, time / 100 % 10);
    });
    push_micros(text, "total", finished.total);
    push_micros(text, "first_byte", finished.first_byte);
    for (stage, time) in REQUEST_STAGES.into_iter().zip(finished.parts) {
        if time > 0 {
            push_micros(text, stage.name(), time);
        }
    }
}

fn push_json(
    text: &mut String,
    line: &Line,
    asked: &Asked<'_>,
    (worker, time): (usize, SystemTime),
) {
    let finished = &line.finished;
    text.push_str("{\"time\":\"");
    push_time(text, time);
    text.push('"');
    let mut string = |name: &str, value: &[u8]| {
        let _ = write!(text, ",\"{name}\":");
        json::push_string(text, &String::from_utf8_lossy(value));
    };
    let peer = line.peer.map_or_else(String::new, |peer| peer.to_string());
    string("peer", peer.as_bytes());
    string("method", asked.method);
    string("target", asked.target);
    string("version", asked.version.as_bytes());
    string("referer", asked.referer);
    string("user_agent", asked.user_agent);
    string("request_id", asked.request_id);
    let id = asked.trace.as_ref().map_or_else(String::new, |trace| trace.id().to_string());
    let parent = asked.trace.as_ref().map_or_else(String::new, |trace| trace.parent().to_string());
    string("trace_id", id.as_bytes());
    string("parent_id", parent.as_bytes());
    string("group", finished.agreed.group.as_bytes());
    string("taken", route_name(finished.route).as_bytes());
    let endpoint = finished.endpoint.is_named().then(|| finished.endpoint.name());
    string("endpoint", endpoint.unwrap_or_else(String::new).as_bytes());
    let _ = write!(
        text,
        ",\"status\":{},\"bytes\":{},\"resumed\":{},\"number\":{},\"complete\":{},\
         \"connection\":\"{worker}-{}\",\"tls\":\"{}\",\"protocol\":\"{}\",\"stream\":{},\
         \"blame\":\"{}\",\"one_in\":{}",
        finished.status,
        finished.bytes,
        finished.agreed.resumed,
        finished.number,
        finished.complete,
        finished.connection,
        finished.agreed.version,
        finished.agreed.protocol,
        finished.stream,
        finished.shares.blame().name(),
        line.one_in,
    );
    finished.passed.push_json(text);
    match finished.end {
        None => text.push_str(",\"end\":null"),
        Some(end) => _ = write!(text, ",\"end\":\"{end}\""),
    }
    for (name, time) in of_connection(finished) {
        let _ = write!(text, ",\"{name}_ns\":{time}");
    }
    let _ = write!(
        text,
        ",\"lost_ns\":{},\"total_ns\":{},\"first_byte_ns\":{}",
        finished.lost, finished.total, finished.first_byte,
    );
    let mut comma = "";
    text.push_str(",\"layers_ns\":{");
    finished.layers.each(|name, time| {
        text.push_str(comma);
        json::push_string(text, name);
        let _ = write!(text, ":{time}");
        comma = ",";
    });
    text.push('}');
    for (stage, time) in REQUEST_STAGES.into_iter().zip(finished.parts) {
        let _ = write!(text, ",\"{}_ns\":{time}", stage.name());
    }
    text.push('}');
}

/// What came before the first request of a connection; 0 for others, and where it is not known.
fn of_connection(finished: &Finished) -> [(&'static str, u64); 3] {
    [
        ("accept_queue", finished.accept_queue.unwrap_or(0)),
        ("handshake", finished.handshake.unwrap_or(0)),
        ("handshake_cpu", finished.handshake_cpu.unwrap_or(0)),
    ]
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn push_micros(text: &mut String, name: &str, nanoseconds: u64) {
    let _ = write!(text, " {name}_us={}.{}", nanoseconds / 1_000, nanoseconds / 100 % 10);
}

/// What stands between quotes: printable ASCII as it is, every other byte as `\xHH`.
fn push_escaped(text: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            _ => _ = write!(text, "\\x{byte:02x}"),
        }
    }
}

/// The time in UTC as the combined format has it: `21/Nov/2026:05:10:43 +0000`.
fn push_clf_time(text: &mut String, time: SystemTime) {
    let seconds = i64::try_from(since_1970_at(time).as_secs()).unwrap_or(i64::MAX);
    let utc = Utc::from_unix(seconds);
    let (Utc { year, day, hour, minute, second, .. }, month) = (utc, utc.month_name());
    let _ = write!(text, "{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000");
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::observe::{Agreed, End, Phase, Route, Stage, Why, request::place};

    fn line(format: LogFormat, head: &[u8]) -> String {
        let mut finished = Finished {
            status: 200,
            bytes: 1234,
            route: Some(Route::UserCache),
            number: 3,
            complete: true,
            connection: 17,
            agreed: Agreed { resumed: false, version: "TLSv1.3", protocol: "http/1.1", group: "" },
            handshake: Some(2_100_000),
            total: 15_250,
            first_byte: 900,
            ..Finished::default()
        };
        finished.parts[0] = 5_250;
        finished.parts[place(Stage::LastWrite)] = 10_000;
        let peer = Some("127.0.0.1:5000".parse().unwrap());
        let line = Line { finished, peer, one_in: 1, head: 0..0 };
        let mut text = String::new();
        let time = UNIX_EPOCH + Duration::from_millis(1_709_210_096_007);
        format.push_line(&mut text, &line, head, (2, time));
        text
    }

    const HEAD: &[u8] = b"GET /a%20b?c HTTP/1.1\r\nHost: x\r\nReferer: https://x/\"\r\n\
                          User-Agent: t/1 \x07\r\n\r\n";

    #[test]
    fn text_is_the_combined_format_and_more() {
        assert_eq!(
            line(LogFormat::Text, &HEAD.iter().copied().filter(|b| *b != 7).collect::<Vec<_>>()),
            "127.0.0.1 - - [29/Feb/2024:12:34:56 +0000] \"GET /a%20b?c HTTP/1.1\" 200 1234 \
             \"https://x/\\\"\" \"t/1\" taken=user_tls/cache resumed=0 number=3 complete=1 \
             connection=2-17 tls=TLSv1.3 protocol=http/1.1 blame=client handshake_us=2100.0 \
             total_us=15.2 first_byte_us=0.9 run_queue_us=5.2 last_write_us=10.0\n"
        );
    }

    #[test]
    fn a_connection_without_a_request_has_a_line_with_the_reason() {
        let finished = Finished {
            end: Some(End { why: Why::TlsNoSharedCipher, phase: Phase::Handshake }),
            connection: 4,
            total: 1_000,
            ..Finished::default()
        };
        let line = Line { finished, peer: None, one_in: 1, head: 0..0 };
        let mut text = String::new();
        LogFormat::Text.push_line(&mut text, &line, b"", (0, UNIX_EPOCH));
        assert_eq!(
            text,
            "- - - [01/Jan/1970:00:00:00 +0000] \"\" 0 0 \"-\" \"-\" taken=- resumed=0 number=0 \
             complete=0 connection=0-4 tls=- protocol=- end=tls.no_shared_cipher blame=client \
             total_us=1.0 first_byte_us=0.0\n"
        );
    }

    #[test]
    fn ids_of_the_client_are_taken_over() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let head = format!(
            "GET / HTTP/1.1\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01\r\nX-Request-ID: a\"b\r\n\r\n"
        );
        let text = line(LogFormat::Text, head.as_bytes());
        let wanted =
            format!(" trace={trace} parent=b7ad6b7169203331 sampled=1 request_id=\"a\\\"b\" ");
        assert!(text.contains(&wanted), "{text}");
        let text = line(LogFormat::Json, head.as_bytes());
        let wanted =
            format!("\"request_id\":\"a\\\"b\",\"trace_id\":\"{trace}\",\"parent_id\":\"b7ad");
        assert!(text.contains(&wanted), "{text}");
    }

    #[test]
    fn json_is_one_object() {
        let text = line(LogFormat::Json, b"GET / HTTP/1.0\r\nUser-Agent: \xff\"\r\n\r\n");
        assert!(
            text.starts_with("{\"time\":\"2024-02-29T12:34:56.007Z\",\"peer\":\"127.0.0.1:5000\"")
        );
        assert!(text.contains("\"user_agent\":\"\u{fffd}\\\"\",\"request_id\":\"\","), "{text}");
        assert!(text.ends_with("\"last_write_ns\":10000}\n"), "{text}");
    }

    #[test]
    fn whatever_came_is_one_line() {
        for head in [&b""[..], b"\r\n\r\n", b"no request\x1b[2J\nat all", b"GET /half", HEAD] {
            for format in [LogFormat::Text, LogFormat::Json] {
                let text = line(format, head);
                assert_eq!(text.matches('\n').count(), 1, "{text:?}");
                assert!(!text.trim_end().contains(char::is_control), "{text:?}");
            }
        }
        assert!(
            line(LogFormat::Text, b"no request\x1b[2J\nat all").contains("\"no request\\x1b[2J\"")
        );
    }

    #[test]
    fn a_cut_head_yields_what_is_there() {
        let asked = Asked::of(b"GET /x HTTP/1.1\r\nUser-Agent: one\r\nCookie: aaaaaaaa");
        assert_eq!((asked.method, asked.target), (&b"GET"[..], &b"/x"[..]));
        assert_eq!(asked.user_agent, b"one");
    }
}
