//! Requests and heads of applications.

use super::*;
use crate::parse::{BodyLength, FieldStorage, HeadLimits, request_head};

fn request(bytes: &[u8], authority: Option<&[u8]>) -> Option<Request<Body>> {
    let mut storage = FieldStorage::new();
    let head = request_head(bytes, &mut storage, &HeadLimits::default()).unwrap().unwrap();
    let (path, query) = head.target.path_and_query();
    let incoming = Incoming {
        method: head.method.as_bytes(),
        path,
        query,
        authority,
        version: Some(head.version),
        fields: &head.fields,
        values: bytes,
        body: BodyLength::None,
        here: None,
        secure: true,
        protocol: None,
    };
    let mut request = Request::new(Body::empty());
    fill(&mut request, &incoming).ok().map(|_| request)
}

#[test]
fn a_request_has_all_that_its_head_has() {
    let bytes =
        b"BREW /a%20b/c?d=e HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nx-one: \xff2\r\nEmpty:\r\n\r\n";
    let request = request(bytes, None).unwrap();
    assert_eq!(request.method().as_str(), "BREW");
    assert_eq!(request.uri().to_string(), "/a%20b/c?d=e");
    assert_eq!(request.version(), http::Version::HTTP_11);
    assert_eq!(request.headers().len(), 4);
    let ones: Vec<_> = request.headers().get_all("x-one").iter().collect();
    assert_eq!(ones[0], "1");
    assert_eq!(ones[1].as_bytes(), b"\xff2");
    assert_eq!(request.headers()["empty"], "");
}

#[test]
fn an_authority_in_the_target_stands_in_the_uri() {
    let bytes = b"GET /a%20b/c?d=e HTTP/1.1\r\nHost: h\r\n\r\n";
    let with = request(bytes, Some(b"example.org:8443")).unwrap();
    assert_eq!(with.uri().to_string(), "https://example.org:8443/a%20b/c?d=e");
    let star = request(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", None).unwrap();
    assert_eq!(star.uri().path(), "*");
}

fn head(
    fields: &[(&'static str, &str)],
    length: Option<u64>,
) -> Result<StreamedHead, &'static str> {
    let mut response = http::Response::new(());
    for (name, value) in fields {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    streamed(Head { parts: response.into_parts().0, length })
}

#[test]
fn what_frames_the_message_is_ours() {
    let given = [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "timeout=5"),
        ("x-mine", "1"),
    ];
    let answer = head(&given, Some(3)).unwrap();
    let mut names = Vec::new();
    answer.fields.each(|name, _| names.push(name.to_owned()));
    assert_eq!(names, ["x-mine"]);
    assert_eq!(answer.length, Some(3));
    assert_eq!(head(&[("content-length", "7")], Some(0)).unwrap().length, Some(7));
    assert!(head(&[("content-length", "+7")], None).is_err());
    assert!(head(&[("content-length", "")], None).is_err());
}

#[test]
fn what_is_ours_is_known_and_taken_out() {
    let mut fields = HeaderMap::new();
    for name in OURS {
        assert!(is_ours(name), "{name}");
        fields.insert(name, HeaderValue::from_static("1"));
    }
    fields.insert("x-mine", HeaderValue::from_static("1"));
    assert!(!is_ours("x-mine"));
    remove_ours(&mut fields);
    assert_eq!(fields.len(), 1);
}

/// A request of this path and query with the fields of a head, whose values are looked for in `values`; and
/// whether it may ask for another protocol.
fn filled(
    (path, query): (&[u8], &[u8]),
    head: &[u8],
    values: &[u8],
) -> Result<(Request<Body>, bool), Unfit> {
    let mut storage = FieldStorage::new();
    let head = request_head(head, &mut storage, &HeadLimits::default()).unwrap().unwrap();
    let incoming = Incoming {
        method: b"GET",
        path,
        query: Some(query),
        authority: None,
        version: None,
        fields: &head.fields,
        values,
        body: BodyLength::None,
        here: None,
        secure: true,
        protocol: None,
    };
    let mut request = Request::new(Body::empty());
    fill(&mut request, &incoming).map(|asks| (request, asks))
}

#[test]
fn a_target_that_lies_elsewhere_is_copied_too() {
    let (target, bytes) = ((&b"/a/b"[..], &b"c=d"[..]), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let (request, asks) = filled(target, bytes, bytes).unwrap();
    assert_eq!(request.uri().to_string(), "/a/b?c=d");
    assert_eq!(request.headers()["host"], "h");
    assert!(!asks);
    let elsewhere = filled(target, bytes, b"elsewhere").err();
    assert_eq!(elsewhere, Some(Unfit::Elsewhere), "a value is not where it should be");
}

#[test]
fn a_path_and_a_query_that_lie_apart_are_put_together() {
    let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nX: /a/b, c=d\r\n\r\n";
    let at = bytes.windows(4).position(|part| part == b"/a/b").unwrap();
    let (request, _) = filled((&bytes[at..at + 4], &bytes[at + 6..at + 9]), bytes, bytes).unwrap();
    assert_eq!(request.uri().to_string(), "/a/b?c=d");
}

#[test]
fn a_status_below_200_is_no_answer() {
    let mut response = http::Response::new(());
    *response.status_mut() = http::StatusCode::PROCESSING;
    assert!(streamed(Head { parts: response.into_parts().0, length: None }).is_err());
}
