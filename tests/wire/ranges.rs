//! Range requests (RFC 9110 section 14).

use crate::response::Response;
use crate::server::Server;
use crate::site::Site;

const SIZE: usize = 100_000;

fn server() -> (Server, Vec<u8>) {
    let site = Site::new();
    site.noise("file", SIZE);
    site.age("file");
    site.file("empty", b"");
    let content = std::fs::read(site.root().join("file")).unwrap();
    (Server::start(site, &[]), content)
}

#[test]
fn one_range() {
    let (server, content) = server();
    let mut client = server.connect();
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=99999-", 99_999, 99_999),
        ("bytes=50000-", 50_000, 99_999),
        ("bytes=99990-200000", 99_990, 99_999),
        ("bytes=-1", 99_999, 99_999),
        ("bytes=-20000", 80_000, 99_999),
        ("bytes=-200000", 0, 99_999),
        ("bytes=16383-16385", 16_383, 16_385),
        ("Bytes=0-1", 0, 1),
        ("bytes=0-1 ", 0, 1),
    ] {
        let response = client.request("GET", "/file", &format!("Range: {range}\r\n"));
        assert_eq!(response.status, 206, "{range}");
        assert_eq!(response.need("Content-Range"), format!("bytes {first}-{last}/{SIZE}"));
        assert_eq!(response.body, &content[first..=last], "{range}");
    }
}

#[test]
fn ranges_outside_are_not_satisfiable() {
    let (server, _) = server();
    let mut client = server.connect();
    for range in ["bytes=100000-", "bytes=200000-300000", "bytes=-0"] {
        let response = client.request("GET", "/file", &format!("Range: {range}\r\n"));
        assert_eq!(response.status, 416, "{range}");
        assert_eq!(response.need("Content-Range"), format!("bytes */{SIZE}"));
    }
    let response = client.request("GET", "/empty", "Range: bytes=0-\r\n");
    assert!([200, 416].contains(&response.status), "{}", response.status);
}

#[test]
fn what_is_no_range_is_ignored() {
    let (server, content) = server();
    let mut client = server.connect();
    for range in [
        "lines=0-1",
        "bytes=1-0",
        "bytes=",
        "bytes=a-b",
        "bytes=--1",
        "bytes 0-1",
        "0-1",
        "bytes=0-1;",
        "bytes=0x0-1",
    ] {
        let response = client.request("GET", "/file", &format!("Range: {range}\r\n"));
        assert_eq!(response.status, 200, "{range}");
        assert_eq!(response.body, content);
    }
    let head = client.request("HEAD", "/file", "Range: bytes=0-1\r\n");
    assert_eq!(head.status, 200, "Range is defined for GET only");
}

#[test]
fn several_ranges() {
    let (server, content) = server();
    let mut client = server.connect();
    let response = client.request("GET", "/file", "Range: bytes=0-9, 50000-50009,-10\r\n");
    assert_eq!(response.status, 206);
    assert_eq!(response.field("Content-Range"), None);
    let parts = parts(&response);
    let expected = [(0, 9), (50_000, 50_009), (99_990, 99_999)];
    assert_eq!(parts.len(), expected.len());
    for ((range, body), (first, last)) in parts.iter().zip(expected) {
        assert_eq!(range, &format!("bytes {first}-{last}/{SIZE}"));
        assert_eq!(body, &content[first..=last]);
    }
}

#[test]
fn several_ranges_never_send_more_than_the_file() {
    let (server, content) = server();
    let mut client = server.connect();
    for range in [
        "bytes=0-,0-,0-,0-,0-,0-,0-,0-".to_owned(),
        "bytes=0-60000,40000-".to_owned(),
        format!("bytes={}", vec!["0-"; 1_000].join(",")),
        format!("bytes={}", (0..1_000).map(|i| format!("{i}-{i}")).collect::<Vec<_>>().join(",")),
    ] {
        let response = client.request("GET", "/file", &format!("Range: {range}\r\n"));
        assert_eq!(response.status, 206);
        assert!(response.body.len() <= content.len() + 16 * 300, "{}", response.body.len());
    }
}

/// The whole file would be the costliest answer there is.
#[test]
fn many_ranges_never_bring_the_whole_file() {
    let (server, content) = server();
    let mut client = server.connect();
    let specs: Vec<_> = (0..500).map(|i| format!("{0}-{0}", i * 100)).collect();
    let range = format!("Range: bytes={}\r\n", specs.join(","));
    let response = client.request("GET", "/file", &range);
    assert_eq!(response.status, 206);
    let parts = parts(&response);
    assert_eq!(parts.len(), 16);
    for (index, (range, body)) in parts.iter().enumerate() {
        let at = index * 100;
        assert_eq!(range, &format!("bytes {at}-{at}/{SIZE}"));
        assert_eq!(body, &content[at..=at]);
    }
}

#[test]
fn if_range() {
    let (server, content) = server();
    let mut client = server.connect();
    let whole = client.get("/file");
    let (tag, modified) = (whole.need("ETag"), whole.need("Last-Modified"));
    for (condition, status) in [
        (tag.to_owned(), 206),
        (format!("W/{tag}"), 200),
        ("\"other\"".to_owned(), 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), 200),
        ("nonsense".to_owned(), 200),
    ] {
        let fields = format!("Range: bytes=5-9\r\nIf-Range: {condition}\r\n");
        let response = client.request("GET", "/file", &fields);
        assert_eq!(response.status, status, "{condition}");
        let expected = if status == 206 { &content[5..=9] } else { content.as_slice() };
        assert_eq!(response.body, expected, "{condition}");
    }
    let fields = format!("Range: bytes=5-9\r\nIf-Range: {modified}\r\n");
    assert_eq!(client.request("GET", "/file", &fields).status, 206);
    let fields = format!("Range: bytes=5-9\r\nIf-None-Match: {tag}\r\n");
    assert_eq!(client.request("GET", "/file", &fields).status, 304);
}

/// The parts of a `multipart/byteranges` body (RFC 9110 section 14.6): range and bytes of each.
fn parts(response: &Response) -> Vec<(String, Vec<u8>)> {
    let media_type = response.need("Content-Type");
    let (_, boundary) = media_type.split_once("multipart/byteranges; boundary=").unwrap();
    let delimiter = format!("--{}", boundary.trim_matches('"'));
    let mut parts = Vec::new();
    let mut rest = response.body.as_slice();
    loop {
        let at = find(rest, delimiter.as_bytes()).expect("a delimiter");
        rest = &rest[at + delimiter.len()..];
        if rest.starts_with(b"--") {
            assert!(rest[2..].iter().all(|byte| b"\r\n".contains(byte)), "an epilogue");
            return parts;
        }
        let end = find(rest, b"\r\n\r\n").expect("a part's head");
        let head = String::from_utf8(rest[..end].to_vec()).unwrap();
        let range = head
            .split("\r\n")
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("Content-Range").then(|| value.trim().to_owned())
            })
            .expect("a Content-Range");
        rest = &rest[end + 4..];
        let length = find(rest, format!("\r\n{delimiter}").as_bytes()).expect("a delimiter");
        parts.push((range, rest[..length].to_vec()));
        rest = &rest[length + 2..];
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
