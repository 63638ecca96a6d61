//! The request line: method, target, version, and what may stand before it.

use super::*;

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
