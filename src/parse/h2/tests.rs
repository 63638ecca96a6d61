use super::*;
use crate::{
    hpack::{Decoder, Field, FieldName, FieldVisitor},
    parse::{HeadLimits, Method, Target},
    respond::Status,
};

pub(super) const LIMITS: HeadLimits =
    HeadLimits { max_head_bytes: 4096, max_fields: 20, max_target_bytes: 512 };

/// Notes fields as they would come from a block.
pub(super) fn note(draft: &mut Draft<'_>, name: &[u8], value: &[u8]) -> bool {
    let token = FieldName::of(name);
    draft.field(Field { token, name, value, checked: false, never_indexed: false })
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":path", "/a?b"), (":authority", "example.com")];

/// What the fields of a GET amount to with others in their place or behind them.
fn outcome(changed: &[(&str, &str)], added: &[(&str, &str)], end: bool) -> Outcome {
    let mut room = [0; 4096];
    let mut draft = Draft::new(&mut room, LIMITS);
    for (name, value) in GET {
        let change = changed.iter().find(|(changed, _)| *changed == name);
        let value = change.map_or(value, |(_, value)| value);
        if value != ABSENT {
            note(&mut draft, name.as_bytes(), value.as_bytes());
        }
    }
    for (name, value) in added {
        note(&mut draft, name.as_bytes(), value.as_bytes());
    }
    match draft.finish(end) {
        HeadOutcome::Head(_) => Outcome::Accepted,
        HeadOutcome::Refused { status, .. } => Outcome::Refused(status),
        HeadOutcome::Malformed(_) => Outcome::Malformed,
    }
}

const ABSENT: &str = "(absent)";

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Accepted,
    Refused(Status),
    Malformed,
}
use Outcome::{Accepted, Malformed, Refused};

#[test]
fn a_request_comes_out_as_it_was_sent() {
    let mut room = [0; 4096];
    let mut draft = Draft::new(&mut room, LIMITS);
    for (name, value) in GET {
        assert!(note(&mut draft, name.as_bytes(), value.as_bytes()));
    }
    for (name, value) in [
        ("accept-encoding", "gzip"),
        ("x-other", "1"),
        ("range", "bytes=0-1"),
        ("range", "bytes=2-3"),
        ("cookie", "a=b"),
        ("user-agent", "curl"),
        ("priority", "u=1, i"),
        ("content-length", "12"),
        ("expect", "100-continue"),
        ("te", "trailers"),
        ("host", "EXAMPLE.com:443"),
    ] {
        assert!(note(&mut draft, name.as_bytes(), value.as_bytes()), "{name}");
    }
    let HeadOutcome::Head(head) = draft.finish(false) else { panic!("a request") };
    assert_eq!(head.method, Method::Get);
    assert_eq!(head.target, Target::Origin { path: b"/a", query: Some(b"b") });
    assert_eq!(head.authority, b"example.com");
    assert_eq!((head.content_length, head.expect_continue), (Some(12), true));
    assert_eq!(head.priority, Priority { urgency: 1, incremental: true });
    let kept: Vec<_> = head.fields().collect();
    assert_eq!(
        kept,
        [
            (FieldName::AcceptEncoding, &b"gzip"[..]),
            (FieldName::Range, b"bytes=0-1"),
            (FieldName::Range, b"bytes=2-3"),
            (FieldName::UserAgent, b"curl"),
        ]
    );
    assert_eq!(head.field(FieldName::UserAgent), Some(&b"curl"[..]));
    assert_eq!(head.field(FieldName::Referer), None);
}

#[test]
fn pseudo_fields_are_as_the_rfc_demands() {
    fn changed(name: &str, value: &str) -> Outcome {
        outcome(&[(name, value)], &[], true)
    }
    assert_eq!(outcome(&[], &[], true), Accepted);
    for name in [":method", ":scheme", ":path"] {
        assert_eq!(changed(name, ABSENT), Malformed, "{name}");
        assert_eq!(outcome(&[], &[(name, "GET")], true), Malformed, "{name} twice");
    }
    assert_eq!(changed(":authority", ABSENT), Refused(Status::BadRequest));
    assert_eq!(outcome(&[(":authority", ABSENT)], &[("host", "a")], true), Accepted);
    assert_eq!(
        outcome(&[(":authority", ABSENT)], &[("host", "")], true),
        Refused(Status::BadRequest)
    );
    for (name, value) in [
        (":method", ""),
        (":method", "G T"),
        (":path", ""),
        (":path", "a"),
        (":path", "*"),
        (":path", "/a#b"),
        (":path", "/a##b"),
        (":path", "/a b"),
        (":path", "/\u{e9}"),
        (":path", "https://example.com/"),
        (":authority", ""),
        (":authority", "user@example.com"),
        (":authority", "example.com:"),
        (":authority", "example.com:99999"),
        (":authority", ":443"),
    ] {
        let expected = if value == "example.com:" { Accepted } else { Malformed };
        assert_eq!(changed(name, value), expected, "{name} {value:?}");
    }
    assert_eq!(changed(":scheme", "http"), Accepted);
    assert_eq!(changed(":scheme", "ftp"), Refused(Status::BadRequest));
    assert_eq!(changed(":method", &"M".repeat(33)), Refused(Status::NotImplemented));
    assert_eq!(changed(":method", &"M".repeat(32)), Accepted);
    assert_eq!(changed(":path", &format!("/{}", "a".repeat(512))), Refused(Status::UriTooLong));
    for added in [":status", ":protocol", ":unknown", ":"] {
        assert_eq!(outcome(&[], &[(added, "200")], true), Malformed, "{added}");
    }
    assert_eq!(outcome(&[(":method", "OPTIONS"), (":path", "*")], &[], true), Accepted);
    // Behind another field.
    let late = [(":authority", ABSENT)];
    assert_eq!(outcome(&late, &[("a", "b"), (":authority", "a")], true), Malformed);
}

#[test]
fn connect_names_a_host_and_a_port_and_nothing_else() {
    let connect = [(":method", "CONNECT"), (":scheme", ABSENT), (":path", ABSENT)];
    let with = |authority| {
        let [method, scheme, path] = connect;
        outcome(&[method, scheme, path, (":authority", authority)], &[], true)
    };
    assert_eq!(with("example.com:443"), Accepted);
    assert_eq!(with("example.com"), Malformed);
    assert_eq!(with(ABSENT), Malformed);
    assert_eq!(outcome(&[(":method", "CONNECT")], &[], true), Malformed);
}

#[test]
fn fields_are_as_the_rfc_demands() {
    let added = |name, value| outcome(&[], &[(name, value)], true);
    for name in ["", "A", "x y", "x\u{e9}", "x:", "x\0"] {
        assert_eq!(added(name, "1"), Malformed, "{name:?}");
    }
    for value in ["\0", "\0\0", "\r\n", "a\r", "a\nb", "\x7f", "\x1b", " a", "a ", "\ta", "a\t"] {
        assert_eq!(added("x", value), Malformed, "{value:?}");
        assert_eq!(added("user-agent", value), Malformed, "{value:?}");
    }
    for value in ["", "a b", "a\tb", "\u{e9}"] {
        assert_eq!(added("x", value), Accepted, "{value:?}");
    }
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        assert_eq!(added(name, "a"), Malformed, "{name}");
    }
    assert_eq!([added("te", "Trailers"), added("te", "gzip")], [Accepted, Malformed]);
    assert_eq!(added("host", "example.com"), Accepted);
    for host in ["other.com", "example.com:80", "", "a b", "user@example.com"] {
        assert_eq!(added("host", host), Malformed, "{host:?}");
    }
    let twice = [("host", "example.com"), ("host", "example.com")];
    assert_eq!(outcome(&[], &twice, true), Malformed);
    assert_eq!(added("expect", "100-continue"), Accepted);
    for value in ["something", "a, b", "100-continue, a"] {
        assert_eq!(added("expect", value), Refused(Status::ExpectationFailed), "{value}");
    }
    assert_eq!(added("expect", "100-continue,,"), Accepted);
}

#[test]
fn content_length_is_one_plain_number_that_is_kept_to() {
    let length = |value: &str, end| outcome(&[], &[("content-length", value)], end);
    assert_eq!([length("0", true), length("7", false)], [Accepted, Accepted]);
    assert_eq!(length("7", true), Malformed);
    for value in ["", "-1", "+1", "1,1", "0x1", "18446744073709551616"] {
        assert_eq!(length(value, false), Malformed, "{value:?}");
    }
    assert_eq!(outcome(&[], &[("content-length", "1"), ("content-length", "1")], false), Malformed);
}

#[test]
fn bounds_are_met_by_431_whatever_comes_behind() {
    let fields = |count| vec![("x", "1"); count];
    assert_eq!(outcome(&[], &fields(20), true), Accepted);
    assert_eq!(outcome(&[], &fields(21), true), Refused(Status::RequestHeaderFieldsTooLarge));
    let mut more = fields(21);
    more.push((":status", "\0"));
    assert_eq!(outcome(&[], &more, true), Refused(Status::RequestHeaderFieldsTooLarge));
    assert_eq!(outcome(&[], &vec![("cookie", "a=b"); 256], true), Accepted);
    let crumbs = vec![("cookie", ""); 257];
    assert_eq!(outcome(&[], &crumbs, true), Refused(Status::RequestHeaderFieldsTooLarge));
    let used: usize = GET.iter().map(|(name, value)| name.len() + value.len()).sum();
    let long = "v".repeat(4096 - used - 1);
    assert_eq!(outcome(&[], &[("x", &long)], true), Accepted);
    assert_eq!(outcome(&[], &[("xy", &long)], true), Refused(Status::RequestHeaderFieldsTooLarge));
    let mut room = [0; 4096];
    let mut draft = Draft::new(&mut room, LIMITS);
    note(&mut draft, b":method", b"HEAD");
    draft.oversized(5000);
    assert!(draft.is_too_large());
    assert!(matches!(draft.finish(true), HeadOutcome::Refused { head: true, .. }));
}

#[test]
fn a_field_that_stands_twice_is_not_the_only_one() {
    let mut room = [0; 4096];
    let mut draft = Draft::new(&mut room, LIMITS);
    for (name, value) in GET {
        note(&mut draft, name.as_bytes(), value.as_bytes());
    }
    for (name, value) in
        [("if-range", "a"), ("range", "b"), ("range", "c"), ("host", "example.com")]
    {
        note(&mut draft, name.as_bytes(), value.as_bytes());
    }
    assert!(!draft.is_too_large());
    let HeadOutcome::Head(head) = draft.finish(true) else { panic!("a request") };
    assert_eq!(head.only_field(FieldName::IfRange), Some(&b"a"[..]));
    assert_eq!((head.only_field(FieldName::Range), head.only_field(FieldName::Host)), (None, None));
}

/// RFC 9113 section 8.3.1: `Host`, where both are sent, names what `:authority` names. 443 is the port that a
/// URI of https leaves out.
#[test]
fn host_and_authority_may_differ_in_case_and_in_the_usual_port() {
    for (authority, host, expected) in [
        ("a", "A", Accepted),
        ("a", "a:", Accepted),
        ("a:443", "a", Accepted),
        ("a:443", "a:", Accepted),
        ("a:80", "a:80", Accepted),
        ("a:80", "a", Malformed),
        ("a", "b", Malformed),
        ("a:8443", "a:443", Malformed),
    ] {
        let with = outcome(&[(":authority", authority)], &[("host", host)], true);
        assert_eq!(with, expected, "{authority} {host}");
    }
}

#[test]
fn lines_of_one_name_are_bounded_and_crowd_out_no_other() {
    let mut room = [0; 4096];
    let mut draft = Draft::new(&mut room, LIMITS);
    for (name, value) in GET {
        note(&mut draft, name.as_bytes(), value.as_bytes());
    }
    for _ in 0..15 {
        note(&mut draft, b"if-match", b"x");
    }
    note(&mut draft, b"range", b"y");
    let HeadOutcome::Head(head) = draft.finish(true) else { panic!("a request") };
    assert_eq!(head.fields().count(), 5);
    assert_eq!(head.field(FieldName::Range), Some(&b"y"[..]));
}

/// What the table remembers as checked is what was checked.
#[test]
fn a_malformed_field_is_malformed_again_when_it_is_referred_to() {
    let mut decoder = Decoder::default();
    let mut scratch = [0; Decoder::MIN_SCRATCH];
    let mut decode = |block: &[u8]| {
        let mut room = [0; 4096];
        let mut draft = Draft::new(&mut room, LIMITS);
        decoder.decode(block, &mut scratch, &mut draft).unwrap();
        match draft.finish(true) {
            HeadOutcome::Head(_) => Accepted,
            HeadOutcome::Refused { status, .. } => Refused(status),
            HeadOutcome::Malformed(_) => Malformed,
        }
    };
    let get = [0x82, 0x87, 0x84, 0x41, 1, b'a'];
    assert_eq!(decode(&[&get[..], &[0x40, 1, b'X', 1, b'1']].concat()), Malformed);
    assert_eq!(decode(&[0x82, 0x87, 0x84, 0xbf, 0xbe]), Malformed);
    assert_eq!(decode(&[0x82, 0x87, 0x84, 0xbf]), Accepted);
}

fn frame(kind: u8, flags: u8, length: u32, stream: u32) -> FrameHead {
    let bytes = [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    FrameHead::parse(&bytes).unwrap()
}

/// Every type with every length and on both kinds of stream.
#[test]
fn lengths_and_streams_belong_to_their_types() {
    let right = |kind: u8, length: u32| match kind {
        2 => length == 5,
        3 | 8 => length == 4,
        4 => length.is_multiple_of(6),
        6 => length == 8,
        7 => length >= 8,
        0x10 => length >= 4,
        _ => true,
    };
    for kind in 0..=0x12 {
        for length in (0..40).chain([16_383, 16_384, 16_385, 0x00ff_ffff]) {
            for stream in [0, 1, 2, 0x7fff_ffff] {
                let head = frame(kind, 0, length, stream);
                let of_stream = matches!(kind, 0 | 1 | 2 | 3 | 9);
                let of_connection = matches!(kind, 4 | 6 | 7 | 0x10);
                let allowed =
                    kind != 5 && !(of_stream && stream == 0) && !(of_connection && stream != 0);
                let code = head.check().err().map(Fault::code);
                let expected = if length > 16_384 {
                    Some(ErrorCode::FrameSizeError)
                } else if !allowed {
                    Some(ErrorCode::ProtocolError)
                } else {
                    (!right(kind, length)).then_some(ErrorCode::FrameSizeError)
                };
                assert_eq!(code, expected, "type {kind}, length {length}, stream {stream}");
                assert_eq!(FrameHead::parse(&head.bytes()), Some(head));
            }
        }
    }
    assert_eq!(frame(4, 1, 6, 0).check().unwrap_err().code(), ErrorCode::FrameSizeError);
    assert_eq!(frame(0, 0, 0, 0x8000_0001).stream, 1, "the reserved bit is ignored");
    assert_eq!(FrameHead::parse(&[0; 8]), None);
}

#[test]
fn the_block_lies_between_priority_and_padding() {
    let block =
        |flags, payload: &[u8]| header_block(&frame(1, flags, payload.len() as u32, 3), payload);
    assert_eq!(block(0, b"abc"), Ok(0..3));
    assert_eq!(block(8, b"\x02abpp"), Ok(1..3));
    assert_eq!(block(8, b"\x02pp"), Ok(1..1));
    assert_eq!(block(8, b"\x03pp").unwrap_err().code(), ErrorCode::ProtocolError);
    assert_eq!(block(8, b"").unwrap_err().code(), ErrorCode::FrameSizeError);
    assert_eq!(block(0x20, b"\0\0\0\x01\xffab"), Ok(5..7));
    assert_eq!(block(0x20, b"\0\0\0\x03\xffab").unwrap_err().code(), ErrorCode::ProtocolError);
    assert_eq!(block(0x20, b"\0\0\0").unwrap_err().code(), ErrorCode::FrameSizeError);
    assert_eq!(block(0x28, b"\x01\0\0\0\x01\xffap"), Ok(6..7));
    assert_eq!(block(0x28, b"\x04\0\0\0\x01\xffap").unwrap_err().code(), ErrorCode::FrameSizeError);
    assert!(priority_frame(3, &[0, 0, 0, 1, 0]).is_ok());
    assert!(priority_frame(3, &[0x80, 0, 0, 3, 0]).is_err());
}

#[test]
fn payloads_are_read() {
    assert_eq!(reset_code(&[0, 0, 0, 8]), 8);
    assert_eq!(go_away_code(&[0, 0, 0, 1, 0, 0, 0, 11, 1]), 11);
    assert_eq!(window_increment(0, &[0x80, 0, 0, 5]), Ok(5));
    assert!(matches!(window_increment(0, &[0; 4]), Err(Fault::Connection(..))));
    assert!(matches!(window_increment(1, &[0x80, 0, 0, 0]), Err(Fault::Stream(..))));
    assert_eq!(priority_update(&[0, 0, 0, 5, b'u']), Ok((5, &b"u"[..])));
    assert!(priority_update(&[0, 0, 0, 0]).is_err() && priority_update(&[0, 0, 0, 2]).is_err());
}

#[test]
fn settings_are_applied_in_order_or_refused() {
    let mut settings = PeerSettings::default();
    let set = |name: u16, value: u32| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    let several = [set(1, 100), set(1, 8192), set(4, 70_000), set(0xfe, 9), set(2, 1), set(9, 1)];
    let applied = settings.apply(&several.concat());
    assert_eq!(applied, Ok(settings::Applied { window_change: 4465, table_lowered: true }));
    assert_eq!((settings.header_table_size, settings.initial_window), (8192, 70_000));
    let applied = settings.apply(&[set(4, 0), set(1, 8192), set(5, 0x00ff_ffff)].concat());
    assert_eq!(applied, Ok(settings::Applied { window_change: -70_000, table_lowered: false }));
    assert_eq!(settings.max_frame_size, 0x00ff_ffff);
    assert_eq!(settings.apply(&[]), Ok(settings::Applied::default()));
    for (name, value) in [(2, 0), (4, 0x7fff_ffff), (5, 16_384), (8, 0), (8, 1), (9, 0)] {
        assert!(settings.apply(&set(name, value)).is_ok(), "{name}={value}");
    }
    let lowered = settings.apply(&[set(1, 200), set(1, 100)].concat());
    assert!(lowered.unwrap().table_lowered, "twice is not never");
    for (name, value, code) in [
        (2, 2, ErrorCode::ProtocolError),
        (4, 0x8000_0000, ErrorCode::FlowControlError),
        (5, 16_383, ErrorCode::ProtocolError),
        (5, 0x0100_0000, ErrorCode::ProtocolError),
        (8, 2, ErrorCode::ProtocolError),
        (9, 2, ErrorCode::ProtocolError),
    ] {
        let fault = settings.apply(&set(name, value)).unwrap_err();
        assert!(matches!(fault, Fault::Connection(found, _) if found == code), "{name}={value}");
    }
}

#[test]
fn the_preface_is_expected_in_any_pieces() {
    for length in 0..24 {
        assert_eq!(expect_preface(&PREFACE[..length]), Ok(false));
        let mut wrong = PREFACE[..=length].to_vec();
        wrong[length] ^= 1;
        assert_eq!(expect_preface(&wrong).unwrap_err().code(), ErrorCode::ProtocolError);
    }
    assert_eq!(expect_preface(&[&PREFACE[..], b"more"].concat()), Ok(true));
}

#[test]
fn codes_have_the_numbers_of_the_rfc() {
    for (number, code) in ErrorCode::ALL.iter().enumerate() {
        assert_eq!(code.number() as usize, number);
    }
    let names = "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED \
                 FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM \
                 INADEQUATE_SECURITY HTTP_1_1_REQUIRED";
    assert!(ErrorCode::ALL.iter().map(ToString::to_string).eq(names.split(' ')));
    assert_eq!((ErrorCode::of(13), ErrorCode::of(14)), (Some(ErrorCode::Http11Required), None));
    let fault = Fault::Stream(ErrorCode::Cancel, "why");
    assert_eq!((fault.to_string(), fault.why()), ("stream error CANCEL: why".into(), "why"));
    assert_eq!(Fault::size("why").to_string(), "connection error FRAME_SIZE_ERROR: why");
}
