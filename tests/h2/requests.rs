//! Requests that are malformed, those that are refused, and those that only look odd.

use std::fmt::Write as _;

use ringway_bench_h2::encode;
use ringway_bench_h2::frame::{code, flag, kind, put};

use crate::peer::{Ended, asking, get};
use crate::site::HELLO;
use crate::target::Target;

#[test]
fn malformed_requests_end_their_stream_and_nothing_else() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let get = get("/hello.txt");
    let with = |name: &'static str, value: &'static str| [&get[..], &[(name, value)]].concat();
    let mut cases: Vec<Vec<(&str, &str)>> = vec![
        with("X-Upper", "v"),
        with("", "v"),
        with("x space", "v"),
        with("x:colon", "v"),
        with("x\u{e9}", "v"),
        with("x-nul", "a\0b"),
        with("x-cr", "a\rb"),
        with("x-lf", "a\nb"),
        with("x-del", "a\x7fb"),
        with("x-control", "a\x01b"),
        with("x-blank", " a"),
        with("x-blank", "a "),
        with("x-tab", "\ta"),
        with("connection", "close"),
        with("keep-alive", "timeout=5"),
        with("proxy-connection", "keep-alive"),
        with("transfer-encoding", "chunked"),
        with("upgrade", "h2c"),
        with("te", "gzip"),
        with("host", "elsewhere"),
        with("content-length", "x"),
        with("content-length", "-1"),
        with("content-length", "1"),
        with(":method", "GET"),
        with(":status", "200"),
        with(":unknown", "x"),
        vec![(":protocol", "websocket"), get[0], get[1], get[2], get[3]],
        vec![get[1], get[2], get[3]],
        vec![get[0], get[2], get[3]],
        vec![get[0], get[1], get[3]],
        vec![get[0], get[1], get[2], ("x", "y"), get[3]],
        [&get[..], &[("content-length", "0"), ("content-length", "1")]].concat(),
        vec![get[0], get[1], get[2], (":authority", "user@localhost")],
        vec![get[0], get[1], get[2], (":authority", ":443")],
    ];
    for path in ["", "hello.txt", "*", "/hello.txt#top", "/hello txt", "/\u{e9}", "/a\tb"] {
        cases.push(asking("GET", path).to_vec());
    }
    for fields in cases {
        eprintln!("{fields:?}");
        let stream = peer.request(&fields, true);
        // RFC 9113 section 8.1.1 allows a 400 as well.
        match (peer.ended(stream), &target.server) {
            (Ended::Reset(code::PROTOCOL_ERROR), _) => {}
            (Ended::Whole, None) => assert_eq!(peer.answers[&stream].status, 400),
            (ended, _) => panic!("{ended:?} {:?}", peer.answers[&stream]),
        }
        if peer.answers.len().is_multiple_of(20) {
            // A new connection before patience ends.
            peer.expect_alive();
            peer = target.connect();
        }
    }
    peer.expect_alive();
}

#[test]
fn requests_that_are_refused_get_an_answer() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let [method, scheme, path, authority] = get("/hello.txt");
    let long = format!("/{}", "p".repeat(9 << 10));
    for (fields, status) in [
        (vec![method, scheme, path], 400),
        (vec![method, (":scheme", "ftp"), path, authority], 400),
        (asking("DELETE", "/hello.txt").to_vec(), 405),
        (asking("BREW", "/hello.txt").to_vec(), 501),
        (asking("GET", "/none").to_vec(), 404),
        (asking("GET", "/../hello.txt").to_vec(), 400),
        (asking("GET", &long).to_vec(), 414),
    ] {
        let stream = peer.request(&fields, true);
        let answer = peer.answer(stream);
        assert_eq!(answer.status, status, "{fields:?}");
        assert!(!answer.body.is_empty());
    }
    peer.expect_alive();
}

#[test]
fn requests_that_only_look_odd_are_served() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let [method, scheme, path, authority] = get("/hello.txt");
    for fields in [
        vec![scheme, authority, path, method],
        vec![method, (":scheme", "http"), path, authority],
        vec![method, scheme, path, authority, ("host", "localhost")],
        vec![method, scheme, path, authority, ("host", "LOCALHOST:443")],
        vec![method, scheme, path, ("host", "localhost")],
        vec![method, scheme, path, (":authority", "LocalHost:443")],
        vec![method, scheme, path, authority, ("te", "trailers")],
        vec![method, scheme, path, authority, ("content-length", "0")],
        vec![method, scheme, path, authority, ("content-length", "0"), ("content-length", "0")],
        vec![
            method,
            scheme,
            path,
            authority,
            ("x-tab", "a\tb"),
            ("x-empty", ""),
            ("x-text", "\u{e9}"),
        ],
        vec![method, scheme, (":path", "/hello.txt?a=b&c"), authority],
        vec![method, scheme, (":path", "/%68ello.txt"), authority],
        vec![method, scheme, path, authority, ("priority", "nonsense ;;; u=99")],
        vec![method, scheme, path, authority, ("http2-settings", "AAMAAABkAAQAAP__")],
        vec![method, scheme, path, authority, ("expect", "100-continue")],
    ] {
        // A Content-Length twice is malformed here, however it is written.
        let twice = fields.iter().filter(|(name, _)| *name == "content-length").count() > 1;
        let stream = peer.request(&fields, true);
        if twice {
            peer.expect_reset(stream, code::PROTOCOL_ERROR);
        } else {
            assert_eq!(peer.answer(stream).body, HELLO, "{fields:?}");
        }
    }
    let stream = peer.request(&asking("OPTIONS", "*"), true);
    assert!(peer.answer(stream).status < 300);
}

#[test]
fn bodies_must_be_as_long_as_they_say() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let head =
        |length: &'static str| [&asking("POST", "/"), &[("content-length", length)][..]].concat();
    for (what, length, pieces, malformed) in [
        ("whole", "6", &["abc", "def"][..], false),
        ("with an empty end", "3", &["abc", ""], false),
        ("without a length", "", &["abc"], false),
        ("too short", "7", &["abc", "def"], true),
        ("too long", "2", &["abc", "def"], true),
        ("none", "1", &[""], true),
    ] {
        eprintln!("{what}");
        let fields = if length.is_empty() { asking("POST", "/").to_vec() } else { head(length) };
        let stream = peer.number();
        peer.expect(stream, "POST");
        // In one piece, so that the server has all of it before it answers.
        let mut out = Vec::new();
        put(&mut out, kind::HEADERS, flag::END_HEADERS, stream, &encode::block(fields));
        for (place, piece) in pieces.iter().enumerate() {
            let end = if place == pieces.len() - 1 { flag::END_STREAM } else { 0 };
            put(&mut out, kind::DATA, end, stream, piece.as_bytes());
        }
        peer.send(&out);
        match peer.ended(stream) {
            Ended::Whole => assert_eq!(peer.answers[&stream].status, 405, "{what}"),
            Ended::Reset(code) => {
                assert!(malformed && code == code::PROTOCOL_ERROR, "{what}: {code}");
            }
        }
    }
    peer.expect_alive();
}

#[test]
fn trailers_end_a_request_or_are_malformed() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let trailers = |fields: &[(&'static str, &'static str)]| encode::block(fields.to_vec());
    for (what, block, flags, good) in [
        ("trailers", trailers(&[("x-sum", "1")]), flag::END_STREAM, true),
        ("no END_STREAM", trailers(&[("x-sum", "1")]), 0, false),
        ("a pseudo-field", trailers(&[(":path", "/")]), flag::END_STREAM, false),
        ("an uppercase name", trailers(&[("X-Sum", "1")]), flag::END_STREAM, false),
        ("a connection's field", trailers(&[("connection", "close")]), flag::END_STREAM, false),
    ] {
        eprintln!("{what}");
        let stream = peer.number();
        peer.expect(stream, "POST");
        let mut out = Vec::new();
        put(
            &mut out,
            kind::HEADERS,
            flag::END_HEADERS,
            stream,
            &encode::block(asking("POST", "/")),
        );
        put(&mut out, kind::DATA, 0, stream, b"body");
        put(&mut out, kind::HEADERS, flags | flag::END_HEADERS, stream, &block);
        peer.send(&out);
        match peer.ended(stream) {
            // An answer may have left before the trailers were seen.
            Ended::Whole => assert_eq!(peer.answers[&stream].status, 405, "{what}"),
            Ended::Reset(code) => assert!(!good && code == code::PROTOCOL_ERROR, "{what}: {code}"),
        }
    }
    peer.expect_alive();
}

#[test]
fn what_a_body_does_not_wait_for_is_answered_early() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    // A body that is announced and never comes.
    let fields = [&asking("POST", "/"), &[("content-length", "1000000000")][..]].concat();
    let stream = peer.request(&fields, false);
    peer.until(|peer| peer.answers[&stream].whole);
    assert!([405, 413].contains(&peer.answers[&stream].status));
    peer.until(|peer| peer.answers[&stream].reset.is_some());
    assert_eq!(peer.answers[&stream].reset, Some(code::NO_ERROR));
    // A little body is taken and dropped, and nothing is reset.
    let fields = [&asking("POST", "/"), &[("content-length", "1000")][..]].concat();
    let stream = peer.request(&fields, false);
    peer.until(|peer| peer.answers[&stream].whole);
    peer.frame(kind::DATA, flag::END_STREAM, stream, &[0; 1000]);
    peer.expect_alive();
    assert_eq!(peer.answers[&stream].reset, None);
    // A GET with a body is a GET.
    let fields = [&get("/hello.txt"), &[("content-length", "4")][..]].concat();
    let stream = peer.request(&fields, false);
    peer.frame(kind::DATA, flag::END_STREAM, stream, b"body");
    assert_eq!(peer.answer(stream).body, HELLO);
    // 100-continue gets the final answer and no interim one, which the client here would refuse.
    let fields =
        [&asking("POST", "/"), &[("content-length", "4"), ("expect", "100-continue")][..]].concat();
    let stream = peer.request(&fields, false);
    peer.until(|peer| peer.answers[&stream].whole);
    assert_eq!(peer.answers[&stream].status, 405);
}

#[test]
fn priorities_of_any_form_do_no_harm() {
    let target = Target::plain(&[]);
    let mut peer = target.connect();
    let mut value = String::new();
    for urgency in 0..9 {
        value.clear();
        let _ = write!(value, "u={urgency}, i=?{}", urgency % 3);
        let stream = peer.ask_with("/hello.txt", &[("priority", &value)]);
        assert_eq!(peer.answer(stream).body, HELLO);
    }
    for field in
        ["", "u", "i", "i=?1", "u=-1", "u=3.5", "u=\"7\"", "u=7;x=y, i;q", "(a b)", "\"", ",,"]
    {
        let stream = peer.ask_with("/hello.txt", &[("priority", field)]);
        assert_eq!(peer.answer(stream).body, HELLO, "{field}");
    }
}
