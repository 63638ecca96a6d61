//! The same answers as over HTTP/1.1: status, every field that is not a connection's, every byte.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::peer::asking;
use crate::site::Site;
use crate::target::Target;

/// A method, a path and fields.
type Question<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>);

/// Fields that may differ: those of an HTTP/1.1 connection, and the time.
const DIFFER: [&str; 4] = ["connection", "keep-alive", "date", "server-timing"];

/// An answer as text, with the boundary of a multipart body replaced: it is random.
fn told(status: u16, fields: &[(String, String)], body: &[u8]) -> String {
    let fields: BTreeMap<String, String> = fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| !DIFFER.contains(&name.as_str()))
        .collect();
    let text = format!("{status} {fields:?} {}", String::from_utf8_lossy(body));
    let boundary = fields.get("content-type").and_then(|kind| kind.split_once("boundary="));
    match boundary {
        Some((_, boundary)) => text.replace(boundary.trim_matches('"'), "BOUNDARY"),
        None => text,
    }
}

#[test]
fn every_kind_of_answer_is_that_of_http1() {
    let site = Site::new();
    site.file("data.json", b"{\"a\": 1}");
    site.file("data.json.gz", b"\x1f\x8b not really");
    site.file("data.json.br", b"brotli? no");
    site.file("empty", b"");
    site.file("folder/index.html", b"<title>folder</title>");
    site.file("bare/file.txt", b"no index here");
    site.noise("some.bin", 100_000);
    for path in ["index.html", "data.json", "data.json.gz", "data.json.br", "empty", "some.bin"] {
        site.age(path);
    }
    site.age("folder/index.html");
    let target = Target::start(
        site,
        &["--header", "X-Operator: Yes, Sir", "--header", "Cache-Control: max-age=60"],
    );
    let server = target.server();
    let mut two = target.connect();
    let tag = two.get("/some.bin").field("etag").unwrap().to_owned();
    let modified = two.get("/some.bin").field("last-modified").unwrap().to_owned();
    let cases: Vec<Question<'_>> = vec![
        ("GET", "/", vec![]),
        ("HEAD", "/", vec![]),
        ("GET", "/hello.txt", vec![]),
        ("HEAD", "/hello.txt", vec![]),
        ("GET", "/some.bin", vec![]),
        ("GET", "/empty", vec![]),
        ("GET", "/folder", vec![]),
        ("GET", "/folder/", vec![]),
        ("GET", "/bare/", vec![]),
        ("GET", "/none", vec![]),
        ("HEAD", "/none", vec![]),
        ("GET", "/hello.txt?with=query", vec![]),
        ("GET", "/%68ello.txt", vec![]),
        ("GET", "/a%00b", vec![]),
        ("GET", "/../secret", vec![]),
        ("POST", "/hello.txt", vec![]),
        ("DELETE", "/none", vec![]),
        ("BREW", "/", vec![]),
        ("OPTIONS", "/", vec![]),
        ("GET", "/some.bin", vec![("range", "bytes=0-99")]),
        ("GET", "/some.bin", vec![("range", "bytes=-10")]),
        ("GET", "/some.bin", vec![("range", "bytes=99990-")]),
        ("GET", "/some.bin", vec![("range", "bytes=100000-")]),
        ("HEAD", "/some.bin", vec![("range", "bytes=0-99")]),
        ("GET", "/some.bin", vec![("range", "bytes=0-9,50-59,90000-")]),
        ("GET", "/some.bin", vec![("range", "bytes=0-9,50-59,90000-90009")]),
        ("GET", "/some.bin", vec![("range", "nonsense")]),
        ("GET", "/some.bin", vec![("range", "bytes=0-9"), ("if-range", &tag)]),
        ("GET", "/some.bin", vec![("range", "bytes=0-9"), ("if-range", "\"other\"")]),
        ("GET", "/some.bin", vec![("if-none-match", &tag)]),
        ("GET", "/some.bin", vec![("if-none-match", "*")]),
        ("GET", "/some.bin", vec![("if-match", "\"other\"")]),
        ("GET", "/some.bin", vec![("if-modified-since", &modified)]),
        ("GET", "/some.bin", vec![("if-unmodified-since", "Sat, 01 Jan 2000 00:00:00 GMT")]),
        ("GET", "/data.json", vec![("accept-encoding", "gzip")]),
        ("GET", "/data.json", vec![("accept-encoding", "br, gzip;q=0.5")]),
        ("HEAD", "/data.json", vec![("accept-encoding", "br")]),
        ("GET", "/data.json", vec![("accept-encoding", "identity")]),
        ("GET", "/data.json", vec![("accept-encoding", "gzip"), ("range", "bytes=1-3")]),
    ];
    for (method, path, fields) in cases {
        let mut lines = String::new();
        for (name, value) in &fields {
            write!(lines, "{name}: {value}\r\n").unwrap();
        }
        let mut one = server.connect();
        let first = one.request(method, path, &lines);
        // The first may wait for a look-up; what the second asks for is known.
        for _ in 0..2 {
            let stream = two.request(&[&asking(method, path)[..], &fields].concat(), true);
            let second = two.answer(stream);
            assert_eq!(
                told(second.status, &second.fields, &second.body),
                told(first.status, first.fields(), &first.body),
                "{method} {path} {fields:?}"
            );
            assert!(second.field("date").is_some());
            assert!(second.fields.iter().all(|(name, _)| *name == name.to_ascii_lowercase()));
        }
    }
}

/// The first answer waits for a look-up, the second does not.
#[test]
fn server_timing_is_sent_with_every_answer() {
    let target = Target::plain(&["--server-timing"]);
    let mut peer = target.connect();
    for path in ["/hello.txt", "/hello.txt", "/nothing", "/nothing"] {
        let answer = peer.get(path);
        let timing = answer.field("server-timing").expect("Server-Timing");
        assert!(timing.contains("dur="), "{path}: {timing}");
    }
}
