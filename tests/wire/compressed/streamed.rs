//! What servers of pools answer, compressed while it is sent.

use std::{io::Write as _, net::TcpStream, sync::mpsc};

use super::*;
use crate::{
    configured::Configured,
    proxy::upstream::{Then, Upstream},
};

/// A server that compresses what this upstream answers, with more settings.
pub(super) fn in_front_of(upstream: &Upstream, more: &str) -> Configured {
    let text = format!(
        "[[site]]\n[[site.route]]\nproxy = 'app'\ncompress = true\n\
         [pool.app]\nservers = '{}'\nbetween = '10m'\n{more}",
        upstream.address
    );
    Configured::start(&text, |_| {})
}

/// Answers with these lines and this content, of a stated length.
pub(super) fn answer(stream: &mut TcpStream, lines: &str, content: &[u8]) -> Then {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{lines}\r\n", content.len());
    let _ = stream.write_all(&[head.as_bytes(), content].concat());
    Then::Continue
}

pub(super) fn send(stream: &mut TcpStream, bytes: &[u8]) {
    // A proxy that is gone is the test's affair.
    let _ = stream.write_all(bytes);
}

pub(super) const HTML: &str = "Content-Type: text/html\r\n";

#[test]
fn an_answer_is_compressed_by_the_coding_that_the_client_likes_best() {
    let content = page("the answer", 3_000);
    let answered = content.clone();
    let upstream = Upstream::start(move |request, stream| {
        let lines = format!("{HTML}ETag: \"a\"\r\nAccept-Ranges: bytes\r\nVary: Origin\r\n");
        if request.head.starts_with("HEAD") {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{lines}\r\n", answered.len());
            send(stream, head.as_bytes());
            return Then::Continue;
        }
        answer(stream, &lines, &answered)
    });
    let server = in_front_of(&upstream, "");
    let mut client = server.connect();
    for (accept, coding) in [
        ("gzip, br, zstd", "zstd"),
        ("gzip, br", "br"),
        ("gzip", "gzip"),
        ("gzip;q=1.0, br;q=0.5, *;q=0", "gzip"),
    ] {
        let coded = until_coded(&mut client, "/", accept);
        assert_eq!(coded.field("Content-Encoding"), Some(coding), "{accept}");
        assert!(coded.field("Content-Length").is_none() && coded.body.len() < content.len() / 3);
        assert_eq!(decoded(&coded), content, "{accept}");
        assert_eq!((coded.need("ETag"), coded.field("Accept-Ranges")), ("W/\"a\"", None));
        assert_eq!(coded.all("Vary"), ["Origin", "Accept-Encoding"]);
        let head = request(&mut client, "HEAD", "/", &format!("Accept-Encoding: {accept}\r\n"));
        let names = |response: &Response| -> Vec<_> {
            // A HEAD need not say how content would be framed (RFC 9112 section 6.1).
            let own = |name: &str| name == "Date" || name == "Transfer-Encoding";
            let fields = response.fields().iter().filter(|(name, _)| !own(name));
            fields.map(|(name, value)| format!("{name}: {value}")).collect()
        };
        assert_eq!((names(&head), head.body.len()), (names(&coded), 0));
    }
    for accept in ["", "identity", "gzip;q=0", "deflate"] {
        let plain = get(&mut client, "/", accept);
        assert_eq!((plain.field("Content-Encoding"), &plain.body), (None, &content), "{accept}");
        assert_eq!((plain.need("ETag"), plain.field("Accept-Ranges")), ("\"a\"", Some("bytes")));
        assert_eq!(plain.all("Vary"), ["Origin", "Accept-Encoding"], "others get another answer");
    }
}

#[test]
fn what_must_stay_as_it_is_stays() {
    let content = page("the answer", 200);
    let answered = content.clone();
    let upstream = Upstream::start(move |request, stream| match request.path() {
        "/short" => answer(stream, HTML, &answered[..1_000]),
        "/image" => answer(stream, "Content-Type: image/png\r\n", &answered),
        "/untyped" => answer(stream, "", &answered),
        "/coded" => answer(stream, &format!("{HTML}Content-Encoding: x-own\r\n"), &answered),
        "/kept" => answer(stream, &format!("{HTML}Cache-Control: no-transform\r\n"), &answered),
        "/digest" => answer(stream, &format!("{HTML}Repr-Digest: sha-256=:AA==:\r\n"), &answered),
        "/part" => {
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-{}/99999\r\n{HTML}Content-Length: {}\r\n\r\n",
                answered.len() - 1,
                answered.len()
            );
            send(stream, &[head.as_bytes(), &answered].concat());
            Then::Continue
        }
        "/none" => {
            send(stream, b"HTTP/1.1 204 No Content\r\n\r\n");
            Then::Continue
        }
        "/same" => {
            send(stream, b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n");
            Then::Continue
        }
        _ => answer(stream, HTML, &answered),
    });
    let server = in_front_of(&upstream, "");
    let mut client = server.connect();
    for path in ["/short", "/image", "/untyped", "/coded", "/kept", "/digest", "/part", "/none"] {
        let same = get(&mut client, path, "gzip, br, zstd");
        let expected = (path == "/coded").then_some("x-own");
        assert_eq!(
            (same.field("Content-Encoding"), same.field("Vary")),
            (expected, None),
            "{path}"
        );
        let length = match path {
            "/short" => 1_000,
            "/none" => 0,
            _ => content.len(),
        };
        assert_eq!(same.body, content[..length], "{path}");
    }
    let same =
        request(&mut client, "GET", "/same", "Accept-Encoding: gzip\r\nIf-None-Match: W/\"a\"\r\n");
    assert_eq!((same.status, same.need("ETag"), same.body.len()), (304, "W/\"a\"", 0));
    assert!(same.lists("Vary", "Accept-Encoding") && same.field("Content-Encoding").is_none());
    // The upstream is asked with what the client accepts, so that it may compress itself.
    let asked = upstream.requests();
    assert!(asked.iter().take(8).all(|one| one.fields("accept-encoding") == ["gzip, br, zstd"]));
    until_coded(&mut client, "/", "gzip");
    // A client of HTTP/1.0 could not distinguish the end of a coded content from a break.
    let mut old = server.connect();
    old.send(b"GET / HTTP/1.0\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n");
    let plain = old.response("GET");
    assert_eq!((plain.field("Content-Encoding"), &plain.body), (None, &content));
}

/// Reads chunks until what they decode to has so many bytes.
struct Events<'c> {
    client: &'c mut Client,
    coded: Vec<u8>,
}

impl Events<'_> {
    fn until(&mut self, expected: &[u8], coding: &str) {
        while so_far(coding, &self.coded) != expected {
            let mut size = Vec::new();
            while !size.ends_with(b"\r\n") {
                self.exactly(1, &mut size);
            }
            let size = String::from_utf8(size).unwrap();
            let mut chunk = Vec::new();
            self.exactly(usize::from_str_radix(size.trim_end(), 16).unwrap() + 2, &mut chunk);
            assert!(chunk.len() > 2, "the stream has ended");
            self.coded.extend_from_slice(&chunk[..chunk.len() - 2]);
        }
    }

    fn exactly(&mut self, count: usize, into: &mut Vec<u8>) {
        let (start, mut filled) = (into.len(), into.len());
        into.resize(start + count, 0);
        while filled < into.len() {
            let read = self.client.read(&mut into[filled..]).unwrap();
            assert!(read > 0, "the connection has ended");
            filled += read;
        }
    }
}

/// What a decoder makes of the beginning of a coded content.
fn so_far(coding: &str, coded: &[u8]) -> Vec<u8> {
    let plain = Vec::new();
    match coding {
        "gzip" => {
            let mut decoder = flate2::write::GzDecoder::new(plain);
            decoder.write_all(coded).unwrap();
            decoder.flush().unwrap();
            std::mem::take(decoder.get_mut())
        }
        "zstd" => {
            let mut decoder = zstd::stream::write::Decoder::new(plain).unwrap();
            decoder.write_all(coded).unwrap();
            decoder.flush().unwrap();
            decoder.into_inner()
        }
        _ => {
            let mut decoder = brotli::DecompressorWriter::new(plain, 1 << 16);
            decoder.write_all(coded).unwrap();
            decoder.into_inner().unwrap_or_else(|unfinished| unfinished)
        }
    }
}

/// An upstream that sends an event, whole or in chunks, each time that the test says so.
fn of_events() -> (Upstream, mpsc::Sender<Option<String>>) {
    let (go, wait) = mpsc::channel::<Option<String>>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |_, stream| {
        send(stream, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nTrailer: X-Count\r\n\r\n");
        let wait = wait.lock().unwrap();
        while let Ok(Some(event)) = wait.recv() {
            send(stream, format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
        }
        send(stream, b"0\r\nX-Count: 3\r\n\r\n");
        Then::Continue
    });
    (upstream, go)
}

#[test]
fn each_event_of_a_stream_reaches_the_client_at_once() {
    for coding in ["gzip", "br", "zstd"] {
        let (upstream, go) = of_events();
        let server = in_front_of(&upstream, "");
        let mut client = open_stream(&server, coding, &go);
        let mut events = Events { client: &mut client, coded: Vec::new() };
        let mut sent = String::new();
        for number in 0..3 {
            let event = format!("data: event {number}\n\n");
            sent += &event;
            go.send(Some(event)).unwrap();
            events.until(sent.as_bytes(), coding);
        }
        go.send(None).unwrap();
        // The rest: the end of the coding, the last chunk, and the trailers.
        let mut rest = Vec::new();
        while !rest.ends_with(b"\r\n0\r\nX-Count: 3\r\n\r\n") {
            events.exactly(1, &mut rest);
        }
    }
}

/// Opens a stream of events that is compressed. One that the worker had no time to compress is ended.
fn open_stream(server: &Configured, coding: &str, go: &mpsc::Sender<Option<String>>) -> Client {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = server.connect();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nAccept-Encoding: {coding}\r\n\r\n"
        );
        client.send(request.as_bytes());
        let head = client.try_head().unwrap();
        if head.field("Content-Encoding") == Some(coding) {
            return client;
        }
        assert!(Instant::now() < deadline, "a stream is never compressed");
        go.send(None).unwrap();
        sleep(Duration::from_millis(100));
    }
}

/// Content of a stated length that is not all there must not look like the whole.
#[test]
fn an_answer_that_breaks_off_is_cut() {
    let content = page("the answer", 3_000);
    let upstream = Upstream::start(move |request, stream| {
        let framing = match request.path() {
            "/length" => format!("Content-Length: {}\r\n", content.len() + 1),
            _ => "Transfer-Encoding: chunked\r\n".to_owned(),
        };
        send(stream, format!("HTTP/1.1 200 OK\r\n{framing}{HTML}\r\n").as_bytes());
        if request.path() == "/chunked" {
            send(stream, format!("{:x}\r\n", content.len()).as_bytes());
        }
        send(stream, &content);
        Then::Close
    });
    let server = in_front_of(&upstream, "");
    for path in ["/length", "/chunked"] {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut client = server.connect();
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n");
            client.send(request.as_bytes());
            let head = client.try_head().unwrap();
            let (rest, end) = client.end();
            assert!(!rest.ends_with(b"0\r\n\r\n"), "{path}: it looks whole");
            assert!(
                matches!(end, crate::client::End::Truncated | crate::client::End::Reset),
                "{path}"
            );
            if head.field("Content-Encoding") == Some("gzip") {
                break;
            }
            assert!(Instant::now() < deadline);
        }
    }
}

/// The stage of compressing stands in `Server-Timing`, in the access log, and in the ledger.
#[test]
fn compressing_is_a_stage_and_its_bytes_are_in_the_ledger() {
    let content = page("the answer", 20_000);
    let answered = content.clone();
    let upstream = Upstream::start(move |_, stream| answer(stream, HTML, &answered));
    let admin = crate::port::to_listen_at();
    let more = format!("[observe]\nadmin = '127.0.0.1:{admin}'\naccess_log = 'access'\n");
    let server = in_front_of(&upstream, &more);
    let mut client = server.connect();
    let coded = until_coded(&mut client, "/", "zstd");
    assert_eq!(decoded(&coded), content);
    for (name, count) in
        [("in_bytes", content.len()), ("answers", 1), ("out_bytes", coded.body.len())]
    {
        let name = format!("ringway_compressed_{name}_total{{coding=\"zstd\"}}");
        crate::guard::expect_metric(admin, &name, count as u64);
    }
    let report = crate::guard::exchange(
        admin,
        b"GET /anatomy.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    let report = report.replace([' ', '\n'], "");
    let row = format!(
        "\"compression\":{{\"read_bytes\":{0},\"written_bytes\":{1},\"copied_bytes\":{0}}}",
        content.len(),
        coded.body.len()
    );
    assert!(report.contains(&row), "{row} in {report}");
    client.close();
    expect_stage(&server, "GET / HTTP");
}
