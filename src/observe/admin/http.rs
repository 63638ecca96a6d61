//! As much of HTTP/1.1 as the admin listener needs: one GET, one answer, close.

use std::{
    io::{self, Read, Write},
    net::IpAddr,
    time::Duration,
};

use super::Door;
use crate::observe::{Exposition, Span};

/// Bytes of a request head, at most.
const HEAD: usize = 8 << 10;

/// Field lines of a head, at most.
const FIELDS: usize = 64;

/// What was asked for, or why it is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// GET or HEAD of a path.
    Path {
        /// Without its query.
        path: String,
        /// The query, without its question mark.
        query: String,
        /// Only the head is wanted.
        head_only: bool,
        /// How metrics are wanted.
        exposition: Exposition,
    },
    /// Something that is answered with this status.
    Refused(u16),
    /// The client went away.
    Gone,
}

/// Reads a request head. `local_names`: its host must be one of this machine's own, because a page
/// from elsewhere may make a browser connect here under a name of its choice. A request that the door
/// does not admit is refused, whatever it asks for.
pub(super) fn ask(
    stream: &mut (impl Read + ?Sized),
    local_names: bool,
    door: Option<&Door>,
) -> io::Result<Asked> {
    let mut bytes = Vec::with_capacity(1024);
    let mut piece = [0; 1024];
    loop {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(Asked::Gone);
        }
        bytes.extend_from_slice(&piece[..count]);
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(&bytes) {
            Ok(httparse::Status::Partial) if bytes.len() < HEAD => {}
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Ok(Asked::Refused(431));
            }
            Err(_) => return Ok(Asked::Refused(400)),
            Ok(httparse::Status::Complete(_)) => return Ok(judge(&request, local_names, door)),
        }
    }
}

fn judge(request: &httparse::Request<'_, '_>, local_names: bool, door: Option<&Door>) -> Asked {
    let credentials =
        request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("authorization"));
    if door.is_some_and(|door| !door.admits(credentials.map(|field| field.value))) {
        return Asked::Refused(401);
    }
    let host = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case("host"));
    if local_names && !host.is_some_and(|host| is_local(host.value)) {
        return Asked::Refused(421);
    }
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Asked::Refused(405),
    };
    let target = request.path.unwrap_or("");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let accept = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case("accept"));
    let exposition = Exposition::wanted(accept.map_or(&b""[..], |field| field.value));
    Asked::Path { path, query, head_only, exposition }
}

/// The time that a query asks for: `since` and `until`, in seconds before the present. None without
/// either.
///
/// # Errors
/// One of them is no number of seconds, or the time ends before it begins.
pub(super) fn span(query: &str) -> Result<Option<Span>, &'static str> {
    let mut span = None;
    for (name, value) in query.split('&').filter_map(|member| member.split_once('=')) {
        if !matches!(name, "since" | "until") {
            continue;
        }
        let seconds =
            value.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let Some(seconds) = seconds else {
            return Err("since and until are seconds ago: ?since=60\n");
        };
        let span = span.get_or_insert_with(Span::default);
        *(if name == "since" { &mut span.since } else { &mut span.until }) = seconds;
    }
    if span.is_some_and(|span: Span| span.since <= span.until) {
        return Err("since is longer ago than until: ?since=120&until=60\n");
    }
    Ok(span)
}

/// Whether `host[:port]` names this machine by itself.
fn is_local(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Sends an answer.
pub(super) fn answer(
    stream: &mut (impl Write + ?Sized),
    status: u16,
    media_type: &str,
    body: &str,
    head_only: bool,
) -> io::Result<()> {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    };
    let length = body.len();
    let more = match status {
        401 => "WWW-Authenticate: Bearer realm=\"ringway\"\r\n",
        405 => "Allow: GET, HEAD\r\n",
        _ => "",
    };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\
         {more}Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    if !head_only {
        stream.write_all(body.as_bytes())?;
    }
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(head: &str) -> Asked {
        ask(&mut head.as_bytes(), true, None).unwrap()
    }

    #[test]
    fn a_get_of_a_path() {
        let path = |path: &str, head_only| Asked::Path {
            path: path.to_owned(),
            query: String::new(),
            head_only,
            exposition: Exposition::Prometheus,
        };
        assert_eq!(asked("GET / HTTP/1.1\r\nHost: localhost:9\r\n\r\n"), path("/", false));
        assert_eq!(asked("HEAD /m HTTP/1.1\r\nhost: [::1]:9\r\n\r\n"), path("/m", true));
        assert_eq!(asked("GET /m HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"), path("/m", false));
        let mut unix = &b"GET /m HTTP/1.1\r\nHost: anything\r\n\r\n"[..];
        assert_eq!(ask(&mut unix, false, None).unwrap(), path("/m", false));
        let accept = "Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1";
        let asked = asked(&format!("GET /m HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n\r\n"));
        let exposition = Exposition::OpenMetrics;
        let (path, query) = ("/m".to_owned(), String::new());
        assert_eq!(asked, Asked::Path { path, query, head_only: false, exposition });
    }

    #[test]
    fn a_query_names_a_time() {
        let ago = |since, until| {
            Ok(Some(Span {
                since: Duration::from_millis(since),
                until: Duration::from_millis(until),
            }))
        };
        assert_eq!(span(""), Ok(None));
        assert_eq!(span("x&y=1"), Ok(None));
        assert_eq!(span("since=60"), ago(60_000, 0));
        assert_eq!(span("since=90.5&until=30&x=y"), ago(90_500, 30_000));
        for bad in
            ["since=", "since=-1", "since=x", "since=1e300", "until=5", "since=0", "since=NaN"]
        {
            assert!(span(bad).is_err(), "{bad}");
        }
        let Asked::Path { path, query, .. } =
            asked("GET /a?since=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        else {
            panic!("it is a request");
        };
        assert_eq!((path.as_str(), query.as_str()), ("/a", "since=1"));
    }

    #[test]
    fn what_else_comes_is_refused() {
        for (head, status) in [
            ("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 405),
            ("GET / HTTP/1.1\r\nHost: rebound.example\r\n\r\n".to_owned(), 421),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), 421),
            ("\x16\x03\x01\x02".to_owned(), 400),
            (format!("GET /{} HTTP/1.1\r\n", "x".repeat(HEAD)), 431),
            (format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(FIELDS + 1)), 431),
        ] {
            assert_eq!(asked(&head), Asked::Refused(status), "{head:.60}");
        }
        assert_eq!(asked("GET / HT"), Asked::Gone);
    }
}
