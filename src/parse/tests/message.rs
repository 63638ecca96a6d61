//! What the fields say about the message: host, framing, persistence, expectation.

use super::*;

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

/// Fields are known by their names, not by the length of these.
#[test]
fn names_of_the_same_length_mean_nothing() {
    let others = "Abcd: ?\r\nAbcdef: x\r\nX-Own-Abcd: close\r\nX-Content-Size: a\r\n\
                  X-Own-Abcdefghijk: gzip\r\n";
    accepts(&get(others), |head| {
        assert_eq!((head.host, head.body), (Some(&b"a"[..]), BodyLength::None));
        assert!(head.persistent && !head.expect_continue);
    });
}

#[test]
fn persistence() {
    for (version, line, persistent) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "connection: Upgrade, CLOSE\r\n", false),
        ("1.1", "Connection: ,, close ,\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: close\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed, x-close, upgrade\r\n", true),
        ("1.1", "Connection:\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: a,keep-alive\t,b\r\n", true),
        ("1.0", "Connection: keep-alive, keep-alive\r\n", true),
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
