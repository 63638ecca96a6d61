use proptest::{collection::vec, prelude::*};

use super::*;
use crate::parse::{
    BodyLength, FieldStorage, HeadLimits, request_head,
    response::{Answered, response_head},
};

const PEER: &str = "192.0.2.7:4000";

fn rules() -> Forward {
    Forward { pseudonym: "ringway-1".into(), ..Forward::default() }
}

fn origin() -> Origin {
    Origin::new(PEER.parse().unwrap(), ([192, 0, 2, 1], 443).into(), true)
}

/// The head that goes upstream for one that came.
fn forwarded(text: &[u8], rules: &Forward, trusted: bool) -> Result<(String, u32), ForwardError> {
    let mut storage = FieldStorage::new();
    let head = request_head(text, &mut storage, &HeadLimits::default()).unwrap().unwrap();
    let mut target = head.target.path().unwrap_or(b"*").to_vec();
    if let Some(query) = head.target.query() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    let fields = |visit: &mut dyn FnMut(&str, &[u8])| {
        head.fields.iter().for_each(|(name, value)| visit(name, value));
    };
    let outgoing = Outgoing {
        method: head.method.as_bytes(),
        target: &target,
        authority: head.host,
        spoken: Spoken::Http11,
        fields: &fields,
        origin: &origin(),
        trusted,
    };
    let mut out = Vec::new();
    let underscores = request(&mut out, &outgoing, rules)?;
    end_of_request(&mut out, head.body, Hop::Persists, false);
    Ok((String::from_utf8(out).unwrap(), underscores))
}

fn get(lines: &str) -> Result<(String, u32), ForwardError> {
    forwarded(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes(), &rules(), false)
}

const OURS: &str = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\
                    X-Forwarded-Port: 443\r\nX-Forwarded-Host: a\r\nVia: 1.1 ringway-1\r\n\r\n";

#[test]
fn the_head_is_written_anew() {
    let (head, _) = get("accept:  x \r\nCookie: a=1\r\nX-B: c\r\nCookie: d=2\r\n").unwrap();
    let own = "GET / HTTP/1.1\r\nHost: a\r\naccept: x\r\nX-B: c\r\nCookie: a=1; d=2\r\n";
    assert_eq!(head, format!("{own}{OURS}"));
    let absolute = b"POST http://b:8/x?y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n";
    let (head, _) = forwarded(absolute, &rules(), false).unwrap();
    assert!(head.starts_with("POST /x?y HTTP/1.1\r\nHost: b:8\r\nX-Forwarded-For:"));
    assert!(head.ends_with("\r\nTransfer-Encoding: chunked\r\n\r\n"));
    let (head, _) = get("Content-Length: 007\r\n").unwrap();
    assert!(head.contains("\r\nContent-Length: 7\r\n"), "{head}");
}

#[test]
fn what_concerns_one_connection_ends_here() {
    let lines = "Connection: keep-alive, X-Gone\r\nX-Gone: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n\
                 Proxy-Connection: x\r\nUpgrade: h2c\r\nHTTP2-Settings: y\r\nTrailer: z\r\n\
                 Proxy-Authorization: q\r\nExpect: 100-continue\r\n";
    assert_eq!(get(lines).unwrap().0, format!("GET / HTTP/1.1\r\nHost: a\r\n{OURS}"));
    for named in ["Host", "content-length", "Authorization", "x-forwarded-for", "Via", "cookie"] {
        let refused = get(&format!("Connection: close, {named}\r\n"));
        assert_eq!(refused, Err(ForwardError::ConnectionNames), "{named}");
    }
}

#[test]
fn one_protocol_can_be_asked_for() {
    for (lines, expected) in [
        (&[("Upgrade", "WebSocket"), ("Connection", "keep-alive, Upgrade")][..], Some("websocket")),
        (&[("upgrade", "h2c"), ("connection", "upgrade")], Some("h2c")),
        (&[("Upgrade", "websocket")], None),
        (&[("Connection", "Upgrade")], None),
        (&[("Upgrade", "websocket, h2c"), ("Connection", "Upgrade")], None),
        (&[("Upgrade", "a"), ("Upgrade", "b"), ("Connection", "Upgrade")], None),
    ] {
        let fields = |visit: &mut dyn FnMut(&str, &[u8])| {
            for (name, value) in lines {
                visit(name, value.as_bytes());
            }
        };
        assert_eq!(asks_to_switch(&fields).as_deref(), expected, "{lines:?}");
    }
    let mut out = Vec::new();
    end_of_request(&mut out, BodyLength::None, Hop::Switches("websocket"), false);
    assert_eq!(out, b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
}

/// RFC 9110 section 10.1.4: `TE: trailers` concerns one connection, so `Connection` names it.
#[test]
fn trailers_are_asked_for_where_the_client_takes_them() {
    for (lines, expected) in [
        (&[("TE", "trailers")][..], true),
        (&[("te", "gzip;q=0.5, Trailers")], true),
        (&[("TE", "gzip"), ("TE", "trailers")], true),
        (&[("TE", "trailers"), ("TE", "gzip")], true),
        (&[("TE", "gzip")], false),
        (&[("Trailer", "trailers")], false),
        (&[], false),
    ] {
        let fields = |visit: &mut dyn FnMut(&str, &[u8])| {
            for (name, value) in lines {
                visit(name, value.as_bytes());
            }
        };
        assert_eq!(accepts_trailers(&fields), expected, "{lines:?}");
    }
    for (hop, trailers, expected) in [
        (Hop::Persists, false, "\r\n"),
        (Hop::Persists, true, "TE: trailers\r\nConnection: TE\r\n\r\n"),
        (Hop::Closes, false, "Connection: close\r\n\r\n"),
        (Hop::Closes, true, "TE: trailers\r\nConnection: close, TE\r\n\r\n"),
    ] {
        let mut out = Vec::new();
        end_of_request(&mut out, BodyLength::None, hop, trailers);
        assert_eq!(out, expected.as_bytes(), "{hop:?} {trailers}");
    }
}

/// RFC 7239 section 4: each proxy appends an element, and only to what a trusted one said.
#[test]
fn the_standard_field_grows_by_one_element() {
    let rules = Forward { forwarding: Forwarding::Standard, ..rules() };
    let text =
        b"GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=x\r\nForwarded:\r\nForwarded: for=y\r\n\r\n";
    for (trusted, before) in [(true, "for=x, for=y, "), (false, "")] {
        let (head, _) = forwarded(text, &rules, trusted).unwrap();
        let ours = "for=192.0.2.7;proto=https;host=\"a\"";
        assert!(head.contains(&format!("\r\nForwarded: {before}{ours}\r\n")), "{head}");
    }
    let fields = |_: &mut dyn FnMut(&str, &[u8])| ();
    let outgoing = Outgoing {
        method: b"GET",
        target: b"/",
        authority: Some(b""),
        spoken: Spoken::Http2,
        fields: &fields,
        origin: &Origin::new(
            "[2001:db8::1]:1".parse().unwrap(),
            "[::1]:80".parse().unwrap(),
            false,
        ),
        trusted: false,
    };
    let mut out = Vec::new();
    request(&mut out, &outgoing, &rules).unwrap();
    let expected = "GET / HTTP/1.1\r\nHost: \r\nForwarded: for=\"[2001:db8::1]\";proto=http\r\n\
                    Via: 2 ringway-1\r\n";
    assert_eq!(out, expected.as_bytes(), "{}", out.escape_ascii());
}

/// The log says which.
#[test]
fn every_refusal_has_a_text_of_its_own() {
    let all = [
        ForwardError::Method,
        ForwardError::Path,
        ForwardError::ConnectionNames,
        ForwardError::Loop,
        ForwardError::NoHost,
    ];
    let texts = all.map(|error| error.to_string());
    for (at, text) in texts.iter().enumerate() {
        assert!(text.len() > 20 && !texts[..at].contains(text), "{text}");
    }
}

#[test]
fn nobody_forges_where_a_request_came_from() {
    let forged = "X-Forwarded-For: 10.0.0.1\r\nx-forwarded-proto: http\r\nForwarded: for=x\r\n\
                  X-Real-IP: 1\r\nClient-Cert: :x:\r\nX-Forwarded-Anything: 1\r\n\
                  X_Forwarded_For: 10.0.0.1\r\n";
    assert_eq!(get(forged).unwrap(), (format!("GET / HTTP/1.1\r\nHost: a\r\n{OURS}"), 1));
    let lines = "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2, 10.0.0.3\r\n\
                 X-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\nX-Forwarded-Host: b\r\n";
    let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let (head, _) = forwarded(text.as_bytes(), &rules(), true).unwrap();
    assert!(head.contains("X-Forwarded-For: 10.0.0.1, 10.0.0.2, 10.0.0.3, 192.0.2.7\r\n"));
    assert!(head.contains("-Proto: http\r\n") && head.contains("-Port: 80\r\n"));
    assert!(head.contains("X-Forwarded-Host: b\r\n"));
    let rules = Forward { forwarding: Forwarding::Standard, ..rules() };
    let (head, _) = forwarded(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &rules, false).unwrap();
    assert!(head.contains("Forwarded: for=192.0.2.7;proto=https;host=\"a\"\r\n"), "{head}");
}

#[test]
fn requests_that_must_not_go_on_do_not() {
    let with =
        |line: &str| forwarded(format!("{line}\r\nHost: a\r\n\r\n").as_bytes(), &rules(), false);
    assert_eq!(with("TRACE / HTTP/1.1"), Err(ForwardError::Method));
    assert_eq!(get("Via: 1.1 a, 2 ringway-1\r\n"), Err(ForwardError::Loop));
    assert!(get("Via: 1.1 a, 2 ringway-2\r\n").unwrap().0.contains("Via: 1.1 a, 2 ringway-2\r\n"));
    for path in [
        "/a/../b",
        "/a/%2e%2E/b",
        "/.",
        "/a%2fb",
        "/a%5Cb",
        "/a\\b",
        "/a%00",
        "/a/.%2e",
        "/%zz",
        "/%2",
        "/%2e",
        "/a/%2E./b",
        "/./a",
        "/a%2f",
    ] {
        assert_eq!(with(&format!("GET {path} HTTP/1.1")), Err(ForwardError::Path), "{path}");
        let rules = Forward { path: PathRule { as_sent: true, ..PathRule::default() }, ..rules() };
        let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let (head, _) = forwarded(text.as_bytes(), &rules, false).unwrap();
        assert!(head.starts_with(&format!("GET {path} HTTP/1.1\r\n")));
    }
    for path in [
        "/...",
        "/%2e%2e%2e",
        "/%61..",
        "/a/.../b",
        "/a.b/%41",
        "/.well-known/x",
        "/a%2Eb",
        "//a",
        "/?../%2f",
    ] {
        assert!(with(&format!("GET {path} HTTP/1.1")).is_ok(), "{path}");
    }
    let old = forwarded(b"GET / HTTP/1.0\r\n\r\n", &rules(), false);
    assert_eq!(old, Err(ForwardError::NoHost));
}

proptest! {
    #[test]
    fn dot_segments_are_found_wherever_they_stand(path in "(/[a.]{0,3}){1,5}") {
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let refused = forwarded(head.as_bytes(), &rules(), false) == Err(ForwardError::Path);
        let segments = || path.split('/');
        prop_assert_eq!(refused, segments().any(|segment| [".", ".."].contains(&segment)));
    }
}

#[test]
fn routes_strip_and_prefix_whole_segments() {
    for (strip, prefix, path, expected) in [
        (0, "", "/a/b", "/a/b"),
        (1, "", "/a/b?c", "/b?c"),
        (1, "", "/%61/b", "/b"),
        (1, "", "/a", "/"),
        (1, "/x/y", "/a/", "/x/y/"),
        (1, "/x", "/a?q", "/x/?q"),
        (2, "", "//a//b/c", "/c"),
        (3, "", "/a", "/"),
    ] {
        let path_rule = PathRule { strip, prefix: prefix.as_bytes().into(), as_sent: false };
        let rules = Forward { path: path_rule, ..rules() };
        let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let (head, _) = forwarded(text.as_bytes(), &rules, false).unwrap();
        assert!(head.starts_with(&format!("GET {expected} HTTP/1.1\r\n")), "{path}: {head}");
    }
}

#[test]
fn a_response_loses_what_concerns_one_connection() {
    let text = b"HTTP/1.1 200 OK\r\nServer: s\r\nConnection: X-A, close\r\nX-A: 1\r\nContent-Length: 3\r\n\
                 Keep-Alive: timeout=5\r\nSet-Cookie: a\r\nset-cookie: b\r\nUpgrade: h2\r\n\r\n";
    let mut storage = FieldStorage::new();
    let head = response_head(text, &mut storage, &HeadLimits::default(), Answered::default());
    let mut out = Vec::new();
    let present = response_fields(&mut out, head.unwrap().unwrap().fields);
    assert_eq!(present, Present { date: false, server: true });
    assert_eq!(out, b"Server: s\r\nSet-Cookie: a\r\nset-cookie: b\r\n");
}

/// RFC 9110 section 6.6.1: a date that the server sent stays the only one.
#[test]
fn a_response_says_which_fields_it_has() {
    for (lines, present) in [
        ("", Present { date: false, server: false }),
        ("DATE: x\r\nX: y\r\n", Present { date: true, server: false }),
        ("Date: x\r\nDate: y\r\nserver: z\r\nServer: z\r\n", Present { date: true, server: true }),
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        let mut storage = FieldStorage::new();
        let limits = HeadLimits::default();
        let head = response_head(text.as_bytes(), &mut storage, &limits, Answered::default());
        let mut out = Vec::new();
        assert_eq!(response_fields(&mut out, head.unwrap().unwrap().fields), present, "{lines}");
        assert_eq!(out, lines.as_bytes());
    }
}

fn field_line() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "Connection",
        "X-A",
        "x_a",
        "Keep-Alive",
        "TE",
        "Via",
        "Cookie",
        "X-Forwarded-For",
        "Forwarded",
        "Authorization",
        "Transfer-Encodin",
        "Upgrade",
        "Content-Lengthy",
        "Expect",
    ]);
    let value = prop::sample::select(vec![
        "close",
        "x-a, close",
        "100-continue",
        "chunked",
        "1.1 x",
        "\t1 ",
        "\u{e9}",
        "",
        ",,,",
        "a=b",
    ]);
    (name, value).prop_map(|(name, value)| format!("{name}: {value}\r\n"))
}

proptest! {
    /// What goes upstream is read by the strict parser as one message, framed as ours was.
    #[test]
    fn what_goes_upstream_has_one_meaning(
        lines in vec(field_line(), 0..12),
        path in "/[a-z%2e/.\\\\]{0,12}",
        chunked in any::<bool>(),
        trusted in any::<bool>(),
    ) {
        let framing = if chunked { "Transfer-Encoding: chunked\r\n" } else { "Content-Length: 3\r\n" };
        let text = format!("PUT {path} HTTP/1.1\r\nHost: a\r\n{}{framing}\r\n", lines.concat());
        let mut storage = FieldStorage::new();
        prop_assume!(matches!(request_head(text.as_bytes(), &mut storage, &HeadLimits::default()), Ok(Some(_))));
        if let Ok((head, _)) = forwarded(text.as_bytes(), &rules(), trusted) {
            let mut storage = FieldStorage::new();
            let read = request_head(head.as_bytes(), &mut storage, &HeadLimits::default());
            let read = read.unwrap().unwrap();
            prop_assert_eq!(read.length, head.len());
            let expected = if chunked { BodyLength::Chunked } else { BodyLength::Length(3) };
            prop_assert_eq!(read.body, expected);
            prop_assert!(read.persistent && !read.expect_continue);
            for gone in ["connection", "keep-alive", "te", "upgrade", "expect"] {
                prop_assert_eq!(read.fields.get(gone), None);
            }
            let chain = read.fields.all("x-forwarded-for").collect::<Vec<_>>();
            prop_assert!(chain.len() == 1 && chain[0].ends_with(b"192.0.2.7"));
            prop_assert!(trusted || chain[0] == b"192.0.2.7");
            prop_assert!(read.fields.iter().all(|(name, _)| !name.contains('_')));
        }
    }
}
