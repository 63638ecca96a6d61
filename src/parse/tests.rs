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
fn methods_are_case_sensitive_tokens() {
    let methods = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE"];
    for name in methods {
        accepts(&format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n"), |head| {
            assert_eq!(head.method.as_bytes(), name.as_bytes());
            assert!(!matches!(head.method, Method::Other(_)));
        });
    }
    accepts("get / HTTP/1.1\r\nHost: a\r\n\r\n", |head| {
        assert_eq!(head.method, Method::Other(b"get"));
    });
    accepts("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", |head| {
        assert_eq!(head.method, Method::Connect);
        assert_eq!(head.method.as_bytes(), b"CONNECT");
    });
    let longest = "X".repeat(32);
    accepts(&format!("{longest} / HTTP/1.1\r\nHost: a\r\n\r\n"), |head| {
        assert_eq!(head.method, Method::Other(longest.as_bytes()));
    });
    refuses(format!("{longest}X / HTTP/1.1\r\n"), HeadError::MethodTooLong, 501);
    refuses("X".repeat(400), HeadError::MethodTooLong, 501);
    for line in [" / HTTP/1.1", "G:T / HTTP/1.1", "G\tT / HTTP/1.1", "\0", "{} / HTTP/1.1"] {
        refuses(format!("{line}\r\n"), HeadError::RequestLine, 400);
    }
}

#[test]
fn request_lines_that_are_none() {
    for line in [
        "GET\r\n",
        "GET /\r\n",
        "GET  / HTTP/1.1\r\n",
        "GET /  HTTP/1.1\r\n",
        "GET\t/\tHTTP/1.1\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET / HTTP/1.1\t\r\n",
        "GET / HTTP/1.1x\r\n",
        "GET / http/1.1\r\n",
        "GET / HTTP/11\r\n",
        "GET / HTTP/1\r\n",
        "GET / HTTP/a.b\r\n",
        "GET / x HTTP/1.1\r\n",
        "GET / HTTPS/1.1\r\n",
    ] {
        let error = parse(line.as_bytes()).unwrap_err();
        assert!(matches!(error, HeadError::RequestLine | HeadError::LineEnd), "{line:?}");
        refuses(line, error, 400);
    }
}

#[test]
fn versions() {
    accepts("GET / HTTP/1.0\r\n\r\n", |head| {
        assert_eq!(head.version, Version::Http10);
        assert_eq!(head.host, None);
        assert!(!head.persistent);
    });
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3.0", "HTTP/9.9"] {
        refuses(format!("GET / {version}\r\n"), HeadError::VersionUnsupported, 505);
    }
    refuses("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HeadError::VersionUnsupported, 505);
}

#[test]
fn a_few_empty_lines_may_come_first() {
    let request = get("");
    for lines in 0..=4 {
        accepts(&format!("{}{request}", "\r\n".repeat(lines)), |head| {
            assert_eq!(head.fields.len(), 1);
        });
    }
    refuses(format!("{}{request}", "\r\n".repeat(5)), HeadError::EmptyLines, 400);
    refuses(format!("\n{request}"), HeadError::LineEnd, 400);
    refuses(format!("\r\n\n{request}"), HeadError::LineEnd, 400);
    refuses(format!("\r{request}"), HeadError::LineEnd, 400);
}

#[test]
fn origin_form() {
    let long = format!("/{}", "a".repeat(299));
    for (text, path, query) in [
        ("/", "/", None),
        ("//", "//", None),
        ("/?", "/", Some("")),
        ("/%00%2f%zz", "/%00%2f%zz", None),
        ("/a|b\"<>\\^`{}[]?a|b", "/a|b\"<>\\^`{}[]", Some("a|b")),
        (&long, &long, None),
    ] {
        accepts(&format!("GET {text} HTTP/1.1\r\nHost: a\r\n\r\n"), |head| {
            let query = query.map(str::as_bytes);
            assert_eq!(head.target, Target::Origin { path: path.as_bytes(), query });
            assert_eq!(head.target.path(), Some(path.as_bytes()));
            assert_eq!(head.target.query(), query);
        });
    }
}

#[test]
fn absolute_form_names_the_host_itself() {
    for (text, scheme, authority, path, query) in [
        ("https://b.org/p?q", "https", "b.org", "/p", Some("q")),
        ("http://b.org", "http", "b.org", "/", None),
        ("HTTPS://b.org:?q", "HTTPS", "b.org:", "/", Some("q")),
        ("https://[::1]:443/", "https", "[::1]:443", "/", None),
    ] {
        for method in ["GET", "OPTIONS"] {
            accepts(&format!("{method} {text} HTTP/1.1\r\nHost: a\r\n\r\n"), |head| {
                let (scheme, path) = (scheme.as_bytes(), path.as_bytes());
                let (authority, query) = (authority.as_bytes(), query.map(str::as_bytes));
                assert_eq!(head.target, Target::Absolute { scheme, authority, path, query });
                assert_eq!(head.host, Some(authority));
                assert_eq!((head.target.path(), head.target.query()), (Some(path), query));
            });
        }
        // RFC 9112 section 3.2.2: a Host must be there and valid nevertheless.
        refuses(format!("GET {text} HTTP/1.1\r\n\r\n"), HeadError::HostMissing, 400);
        let invalid = format!("GET {text} HTTP/1.1\r\nHost: a b\r\n\r\n");
        refuses(invalid, HeadError::HostInvalid, 400);
    }
    for text in [
        "ftp://a/",
        "https:/a",
        "https:a",
        "https://",
        "https:///p",
        "https://u@a/",
        "https://a:b/",
        "https://[::1/",
        "https://a:65536/",
        "://a/",
        "a",
        "a/b",
        "?q",
        "https",
        "https://:443/",
    ] {
        let request = format!("GET {text} HTTP/1.1\r\nHost: a\r\n\r\n");
        refuses(request, HeadError::TargetForm, 400);
    }
}

#[test]
fn the_other_forms_belong_to_their_methods() {
    accepts("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", |head| {
        assert_eq!(head.target, Target::Asterisk);
        assert_eq!((head.target.path(), head.target.query()), (None, None));
        assert_eq!(head.host, Some(b"a".as_slice()));
    });
    accepts("CONNECT b.org:443 HTTP/1.1\r\nHost: a\r\n\r\n", |head| {
        assert_eq!(head.target, Target::Authority(b"b.org:443"));
        assert_eq!(head.host, Some(b"b.org:443".as_slice()));
    });
    for line in [
        "GET *",
        "POST *",
        "OPTIONS **",
        "OPTIONS *?",
        "GET a:443",
        "CONNECT /",
        "CONNECT a",
        "CONNECT a:",
        "CONNECT :443",
        "CONNECT https://a/",
        "CONNECT *",
        "CONNECT a:443/",
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
        refuses(request, HeadError::TargetForm, 400);
    }
}

#[test]
fn bytes_that_no_target_may_hold() {
    refuses("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::TargetByte, 400);
    refuses("GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::TargetByte, 400);
    refuses("GET /é HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::TargetByte, 400);
    // Every byte, at places that the vector code treats differently.
    for before in [0, 7, 8, 15, 31, 64] {
        for byte in (0..=u8::MAX).filter(|&byte| byte != b' ') {
            let start = [b"GET /", "a".repeat(before).as_bytes(), &[byte]].concat();
            let request =
                [&start, b"bbbbbbbbbbbbb HTTP/1.1\r\nHost: a\r\n\r\n".as_slice()].concat();
            let allowed = (0x21..0x7f).contains(&byte) && byte != b'#';
            assert_eq!(parse(&request).is_ok(), allowed, "{byte:#04x} after {before}");
        }
    }
}

#[test]
fn a_long_target_is_refused_as_soon_as_it_is_too_long() {
    let longest = format!("GET /{}", "a".repeat(299));
    assert_eq!(parse(longest.as_bytes()), Ok(None));
    assert_eq!(parse(format!("{longest}a").as_bytes()), Err(HeadError::TargetTooLong));
    refuses(format!("{longest}a HTTP/1.1\r\nHost: a\r\n\r\n"), HeadError::TargetTooLong, 414);
    // The scan must not wait for a line end that never comes.
    let endless = format!("GET /{}", "a".repeat(400));
    assert_eq!(parse_bytewise(endless.as_bytes()), Err(HeadError::TargetTooLong));
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
fn hosts() {
    for host in [
        "",
        "a",
        "a.b",
        "a:",
        "a:0",
        "a:65535",
        "127.0.0.1",
        "[::1]",
        "[::1]:8443",
        "[::ffff:1.2.3.4]",
        "a_b-c~d",
        "%41",
        "a%2Fb",
        "x!$&'()*+,;=y",
    ] {
        accepts(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), |head| {
            assert_eq!(head.host, Some(host.as_bytes()));
        });
    }
    for host in [
        ":",
        ":80",
        "a:65536",
        "a:99999999999",
        "a:b",
        "a:-1",
        "a:1:2",
        "u@a",
        "a/b",
        "a?b",
        "a#b",
        "a b",
        "a\tb",
        "[::1",
        "::1",
        "[]",
        "[:::]",
        "[::1]a",
        "[::1%25eth0]",
        "[v1.a]",
        "%",
        "%4",
        "%zz",
        "\"a\"",
        "a\\b",
        "é",
        "<a>",
        "[1.2.3.4]",
        "[::1]:x",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        refuses(request, HeadError::HostInvalid, 400);
        let request = format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n");
        refuses(request, HeadError::HostInvalid, 400);
    }
    refuses("GET / HTTP/1.1\r\n\r\n", HeadError::HostMissing, 400);
    refuses(get("Host: a\r\n"), HeadError::HostRepeated, 400);
    refuses(get("hOST: b\r\n"), HeadError::HostRepeated, 400);
    refuses("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", HeadError::HostRepeated, 400);
}

#[test]
fn content_lengths() {
    for (text, number) in [("0", 0), ("1", 1), ("007", 7), ("18446744073709551615", u64::MAX)] {
        accepts(&post(&format!("Content-Length: {text}\r\n")), |head| {
            assert_eq!(head.body, BodyLength::Length(number));
        });
    }
    for text in [
        "",
        "+1",
        "-1",
        "1.0",
        "0x1",
        "1 2",
        "1,1",
        "1, 1",
        "a",
        "18446744073709551616",
        "1a",
        "99999999999999999999999999",
        "\u{661}",
        "1;",
        "\"1\"",
    ] {
        refuses(post(&format!("Content-Length: {text}\r\n")), HeadError::ContentLengthInvalid, 400);
    }
    for lines in
        ["content-length: 1\r\nContent-Length: 1\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n"]
    {
        refuses(post(lines), HeadError::ContentLengthRepeated, 400);
    }
}

#[test]
fn transfer_codings() {
    for text in ["chunked", "Chunked", "\tCHUNKED \t"] {
        accepts(&post(&format!("Transfer-Encoding: {text}\r\n")), |head| {
            assert_eq!(head.body, BodyLength::Chunked);
        });
    }
    for text in [
        "",
        ",",
        "chunked,",
        ",chunked",
        "chunked, chunked",
        "chunked, gzip",
        "gzip",
        "identity",
        "xchunked",
        "chunked;a=b",
        "chunked x",
        "chun ked",
        "\"chunked\"",
        "gzip,,chunked",
        "chunked\u{a0}",
        "gzip, chunked, chunked",
        "[gzip], chunked",
        ";a, chunked",
    ] {
        refuses(post(&format!("Transfer-Encoding: {text}\r\n")), HeadError::CodingInvalid, 400);
    }
    for text in ["gzip, chunked", "gzip;q=1,chunked", "identity, chunked", "a, b, chunked"] {
        refuses(post(&format!("Transfer-Encoding: {text}\r\n")), HeadError::CodingUnsupported, 501);
    }
    let two_lines = "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n";
    refuses(post(two_lines), HeadError::CodingUnsupported, 501);
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
    refuses(post(twice), HeadError::CodingInvalid, 400);
    let not_last = "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n";
    refuses(post(not_last), HeadError::CodingInvalid, 400);
}

#[test]
fn two_framings_are_one_too_many() {
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: gzip, chunked\r\nContent-Length: 0\r\n",
    ] {
        refuses(post(lines), HeadError::LengthBesideCoding, 400);
    }
    for coding in ["chunked", "gzip", "gzip, chunked"] {
        let request = format!("POST / HTTP/1.0\r\nTransfer-Encoding: {coding}\r\n\r\n");
        refuses(request, HeadError::CodingInHttp10, 400);
    }
}

#[test]
fn persistence() {
    for (version, line, persistent) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "connection: Upgrade, CLOSE\r\n", false),
        ("1.1", "Connection: ,, close ,\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed, x-close, upgrade\r\n", true),
        ("1.1", "Connection:\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: a,keep-alive\t,b\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Keep-Alive: timeout=5\r\n", false),
    ] {
        accepts(&format!("GET / HTTP/{version}\r\nHost: a\r\n{line}\r\n"), |head| {
            assert_eq!(head.persistent, persistent, "{version} {line:?}");
        });
    }
}

#[test]
fn expectations() {
    for (version, lines, waits) in [
        ("1.1", "Expect: 100-continue\r\nContent-Length: 1\r\n", true),
        ("1.1", "expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", true),
        ("1.1", "Expect: 100-continue, 100-continue\r\nContent-Length: 1\r\n", true),
        ("1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n", false),
        ("1.1", "Expect: 100-continue\r\n", false),
        ("1.1", "Expect:\r\nContent-Length: 1\r\n", false),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n", false),
    ] {
        accepts(&format!("POST / HTTP/{version}\r\nHost: a\r\n{lines}\r\n"), |head| {
            assert_eq!(head.expect_continue, waits, "{version} {lines:?}");
        });
    }
    for value in ["200-ok", "100-continue, x", "x,100-continue", "100-continue;a", "100"] {
        refuses(post(&format!("Expect: {value}\r\n")), HeadError::ExpectationUnknown, 417);
    }
    // An error of framing outweighs it.
    let both = "Expect: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n";
    refuses(post(both), HeadError::LengthBesideCoding, 400);
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
