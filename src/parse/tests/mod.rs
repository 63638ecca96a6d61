//! Every refusal with its status, and what is accepted, each also split at every byte.

mod message;
mod request_line;

use super::*;
use crate::respond::Status;

/// Limits small enough to reach; the head of every other test is well within.
const LIMITS: HeadLimits = HeadLimits { max_head_bytes: 600, max_fields: 6, max_target_bytes: 300 };

/// Parses `bytes` at once and says what the head amounts to, without what borrows from it.
fn parse(bytes: &[u8]) -> Result<Option<String>, HeadError> {
    let mut storage = FieldStorage::new();
    let head = request_head(bytes, &mut storage, &LIMITS)?;
    Ok(head.map(|head| format!("{head:?}")))
}

/// Parses `bytes` as they would come byte by byte, with the scan deciding when.
fn parse_bytewise(bytes: &[u8]) -> Result<Option<String>, HeadError> {
    let mut scan = HeadScan::default();
    for end in 0..=bytes.len() {
        let part = &bytes[..end];
        if scan.worth_parsing(part, &LIMITS)
            && let Some(head) = parse(part)?
        {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

/// Parses every beginning of `bytes` until one is complete or refused.
fn parse_every_beginning(bytes: &[u8]) -> Result<Option<String>, HeadError> {
    for end in 0..=bytes.len() {
        if let Some(head) = parse(&bytes[..end])? {
            assert_eq!(end, bytes.len(), "complete too early");
            return Ok(Some(head));
        }
    }
    Ok(None)
}

/// Runs `check` on the head of a valid request, after showing that splits change nothing.
#[track_caller]
fn accepts(request: &str, check: impl FnOnce(RequestHead<'_, '_>)) {
    let bytes = request.as_bytes();
    let whole = parse(bytes).expect("a valid head");
    assert!(whole.is_some(), "{request:?} is incomplete");
    assert_eq!(parse_every_beginning(bytes), Ok(whole.clone()), "{request:?}");
    assert_eq!(parse_bytewise(bytes), Ok(whole.clone()), "{request:?}");
    // What follows belongs to the content or to the next request.
    let followed = [bytes, b"\r\n\0 \r\n\r\n"].concat();
    assert_eq!(parse(&followed), Ok(whole), "{request:?}");

    let mut storage = FieldStorage::new();
    let head = request_head(bytes, &mut storage, &LIMITS).unwrap().unwrap();
    assert_eq!(head.length, bytes.len());
    check(head);
}

/// The request is refused with this error and status, however it is split.
#[track_caller]
fn refuses(request: impl AsRef<[u8]>, error: HeadError, status: u16) {
    let bytes = request.as_ref();
    let shown = bytes.escape_ascii().to_string();
    assert_eq!(error.status().code(), status);
    assert_eq!(parse(bytes), Err(error), "{shown}");
    assert_eq!(parse_every_beginning(bytes), Err(error), "{shown}");
    // The scan may wait for the end of the head, which a refused one need not have.
    let ended = [bytes, b"\r\n\r\n"].concat();
    assert_eq!(parse_bytewise(&ended), Err(error), "{shown}");
}

fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

fn post(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn a_usual_request() {
    accepts(
        "GET /a/b.html?c=d?e HTTP/1.1\r\nHost: example.org:8443\r\nAccept: */*\r\n\
         X:  \t padded \t \r\nEmpty:\r\nBlank:  \t\r\naccept: text/html\r\n\r\n",
        |head| {
            assert_eq!(head.method, Method::Get);
            assert_eq!(head.target, Target::Origin { path: b"/a/b.html", query: Some(b"c=d?e") });
            assert_eq!(head.version, Version::Http11);
            assert_eq!(head.host, Some(b"example.org:8443".as_slice()));
            assert_eq!(head.body, BodyLength::None);
            assert!(head.persistent && !head.expect_continue);
            assert_eq!(head.fields.len(), 6);
            assert!(!head.fields.is_empty());
            assert_eq!(head.fields.get("x"), Some(b"padded".as_slice()));
            assert_eq!(head.fields.get("EMPTY"), Some(b"".as_slice()));
            assert_eq!(head.fields.get("blank"), Some(b"".as_slice()));
            assert_eq!(head.fields.get("absent"), None);
            let accept: Vec<_> = head.fields.all("Accept").collect();
            assert_eq!(accept, [b"*/*".as_slice(), b"text/html"]);
            assert_eq!(head.fields.iter().next(), Some(("Host", b"example.org:8443".as_slice())));
        },
    );
}

#[test]
fn field_lines_that_are_none() {
    for line in [
        "Name : x\r\n",
        "Name\t: x\r\n",
        " Name: x\r\n",
        "\tName: x\r\n",
        "A: x\r\n folded\r\n",
        "A: x\r\n\tfolded\r\n",
        "Name\r\n",
        ": x\r\n",
        "Na me: x\r\n",
        "N\u{e4}me: x\r\n",
        "N\0: x\r\n",
        "(a): x\r\n",
    ] {
        refuses(get(line), HeadError::FieldName, 400);
    }
    let first = "GET / HTTP/1.1\r\n Host: a\r\n\r\n";
    refuses(first, HeadError::FieldName, 400);
}

#[test]
fn bytes_that_no_value_may_hold() {
    for before in [0, 7, 8, 15, 31, 64] {
        for byte in 0..=u8::MAX {
            let filler = "a".repeat(before);
            let value = [filler.as_bytes(), &[byte], b"b: bbbbbbbbbb"].concat();
            let request = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", value.as_slice(), b"\r\n\r\n"];
            let request = request.concat();
            match byte {
                b'\n' => refuses(request, HeadError::LineEnd, 400),
                b'\t' | b' '..=0x7e | 0x80.. => assert!(parse(&request).unwrap().is_some()),
                _ => refuses(request, HeadError::FieldValue, 400),
            }
        }
    }
}

#[test]
fn only_crlf_ends_a_line() {
    for request in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX:\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \t\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\rX",
    ] {
        refuses(request, HeadError::LineEnd, 400);
    }
    refuses("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", HeadError::FieldValue, 400);
    refuses("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", HeadError::FieldValue, 400);
    refuses("GET / HTTP/1.1\r\nHost:\rX\r\n\r\n", HeadError::FieldValue, 400);
}

#[test]
fn fields_are_bounded_in_number_and_the_head_in_bytes() {
    let fields = |count: usize| get(&"X: y\r\n".repeat(count - 1));
    accepts(&fields(6), |head| assert_eq!(head.fields.len(), 6));
    refuses(fields(7), HeadError::TooManyFields, 431);
    let endless = "X: y\r\n".repeat(30);
    let endless = format!("GET / HTTP/1.1\r\n{endless}");
    assert_eq!(parse_bytewise(endless.as_bytes()), Err(HeadError::TooManyFields));

    let padded = |length: usize| {
        let rest = get("X: \r\n").len();
        get(&format!("X: {}\r\n", "y".repeat(length - rest)))
    };
    accepts(&padded(600), |head| assert_eq!(head.length, 600));
    refuses(padded(601), HeadError::HeadTooLarge, 431);
    refuses(&padded(900)[..600], HeadError::HeadTooLarge, 431);
    assert_eq!(parse(&padded(900).as_bytes()[..599]), Ok(None));
    let endless = get(&format!("X: {}", "y".repeat(900)));
    assert_eq!(parse_bytewise(endless.as_bytes()), Err(HeadError::HeadTooLarge));
}

#[test]
fn a_limit_above_the_storage_means_the_storage() {
    let limits = HeadLimits { max_fields: usize::MAX, ..HeadLimits::default() };
    let parse = |count: usize| {
        let request = get(&"X: y\r\n".repeat(count - 1));
        let mut storage = FieldStorage::default();
        request_head(request.as_bytes(), &mut storage, &limits).map(|head| head.is_some())
    };
    assert_eq!(parse(MAX_FIELDS), Ok(true));
    assert_eq!(parse(MAX_FIELDS + 1), Err(HeadError::TooManyFields));
}

#[test]
fn a_head_that_comes_byte_by_byte_is_parsed_once() {
    let request = get(&"X: y\r\n".repeat(5));
    let times_parsed = |request: &str| {
        let mut scan = HeadScan::default();
        let part = |end: usize| &request.as_bytes()[..end];
        (0..=request.len()).filter(|&end| scan.worth_parsing(part(end), &LIMITS)).count()
    };
    assert_eq!(times_parsed(&request), 1);
    // Empty lines before it look like the end of a head: once for each after the first.
    assert_eq!(times_parsed(&format!("\r\n\r\n\r\n{request}")), 3);
}

#[test]
fn every_error_says_what_is_wrong() {
    let mut storage = FieldStorage::new();
    assert_eq!(format!("{storage:?}"), "FieldStorage { .. }");
    let limits = HeadLimits { max_fields: 0, ..HeadLimits::default() };
    let error = request_head(b"GET / HTTP/1.0\r\nA: b\r\n", &mut storage, &limits).unwrap_err();
    assert_eq!(error.to_string(), "the head has too many field lines");
    assert_eq!(error.status(), Status::RequestHeaderFieldsTooLarge);
}
