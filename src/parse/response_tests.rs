use proptest::{collection::vec, prelude::*};

use super::*;
use crate::parse::HeadScan;

const LIMITS: HeadLimits =
    HeadLimits { max_head_bytes: 2048, max_fields: 20, max_target_bytes: 2048 };

fn parsed(
    bytes: &[u8],
    answered: Answered,
) -> Result<Option<(u16, ContentEnd, bool, usize)>, ResponseError> {
    let mut storage = FieldStorage::new();
    let head = response_head(bytes, &mut storage, &LIMITS, answered)?;
    Ok(head.map(|head| (head.status, head.content, head.persistent, head.length)))
}

fn get(text: &str) -> Result<Option<(u16, ContentEnd, bool)>, ResponseError> {
    let bytes = [text.as_bytes(), b"\r\n\r\n"].concat();
    let parsed = parsed(&bytes, Answered::default())?;
    Ok(parsed.map(|(status, content, persistent, length)| {
        assert_eq!(length, bytes.len());
        (status, content, persistent)
    }))
}

#[test]
fn the_end_of_the_content_has_one_meaning() {
    use ContentEnd::{Absent, Chunked, Close, Length};
    for (text, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5", (200, Length(5), true)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0", (200, Length(0), true)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked", (200, Chunked, true)),
        ("HTTP/1.1 200 OK", (200, Close, true)),
        ("HTTP/1.1 200", (200, Close, true)),
        ("HTTP/1.1 200 ", (200, Close, true)),
        ("HTTP/1.1 200 caf\u{e9} \tok", (200, Close, true)),
        ("HTTP/1.0 200 OK\r\nContent-Length: 5", (200, Length(5), false)),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5", (200, Length(5), true)),
        ("HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\nContent-Length: 5", (200, Length(5), false)),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5", (204, Absent, true)),
        ("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked", (304, Absent, true)),
        ("HTTP/1.1 103 Early Hints\r\nLink: x", (103, Absent, true)),
        ("HTTP/1.1 599 x\r\nContent-Length: 1\r\nHost: a\r\nHost: b", (599, Length(1), true)),
    ] {
        assert_eq!(get(text), Ok(Some(expected)), "{text:?}");
    }
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let mut storage = FieldStorage::new();
    let head = response_head(bytes, &mut storage, &LIMITS, Answered { head: true, upgrade: false });
    let head = head.unwrap().unwrap();
    assert_eq!((head.content, head.stated_length), (Absent, Some(5)));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    use ResponseError::{
        Coding, ContentLength, FieldName, FieldValue, LengthBesideCoding, LineEnd, StatusLine,
        UnaskedSwitch,
    };
    for (text, error) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", LengthBesideCoding),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5", ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5", ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: +5", ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length:", ContentLength),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked", Coding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked", Coding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity", Coding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", Coding),
        ("HTTP/1.1 204 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", LengthBesideCoding),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c", FieldName),
        ("HTTP/1.1 200 OK\r\nA : b", FieldName),
        ("HTTP/1.1 200 OK\r\nA: b\0c", FieldValue),
        ("HTTP/1.1 200 OK\nA: b", LineEnd),
        ("HTTP/1.1 200 OK\r\nA: b\nC: d", LineEnd),
        ("HTTP/1.1 200\nA: b", LineEnd),
        ("\r\nHTTP/1.1 200 OK", StatusLine),
        ("HTTP/1.2 200 OK", StatusLine),
        ("HTTP/2.0 200 OK", StatusLine),
        ("HTTP/1.1 099 OK", StatusLine),
        ("HTTP/1.1 600 OK", StatusLine),
        ("HTTP/1.1 20 OK", StatusLine),
        ("HTTP/1.1 2000 OK", StatusLine),
        ("HTTP/1.1  200 OK", StatusLine),
        ("http/1.1 200 OK", StatusLine),
        ("<html>", StatusLine),
        ("HTTP/1.1 101 x\r\nUpgrade: y", UnaskedSwitch),
    ] {
        assert_eq!(get(text), Err(error), "{text:?}");
    }
    let switch = Answered { head: false, upgrade: true };
    let parsed = parsed(b"HTTP/1.1 101 x\r\n\r\n", switch).unwrap().unwrap();
    assert_eq!((parsed.0, parsed.1), (101, ContentEnd::Absent));
}

/// Fields are known by their names, not by the length of these.
#[test]
fn names_of_the_same_length_mean_nothing() {
    let others = "X-Own-Abcd: close\r\nX-Content-Size: a\r\nX-Own-Abcdefghijk: gzip";
    let expected = Ok(Some((200, ContentEnd::Length(5), true)));
    assert_eq!(get(&format!("HTTP/1.1 200 OK\r\n{others}\r\nContent-Length: 5")), expected);
}

/// RFC 9110 section 15.2: 101 ends what HTTP/1.1 says, all other 1xx come before the response.
#[test]
fn interim_responses_are_those_that_another_follows() {
    for (status, interim) in [(100, true), (101, false), (103, true), (199, true), (200, false)] {
        let text = format!("HTTP/1.1 {status} x\r\n\r\n");
        let mut storage = FieldStorage::new();
        let asked = Answered { head: false, upgrade: true };
        let head = response_head(text.as_bytes(), &mut storage, &LIMITS, asked).unwrap().unwrap();
        assert_eq!(head.is_interim(), interim, "{status}");
    }
}

/// RFC 9209 section 2.3 has the reasons; the log says the rest.
#[test]
fn every_refusal_has_its_reason_and_a_text_of_its_own() {
    use ResponseError as Error;
    let all = [
        (Error::StatusLine, "http_protocol_error"),
        (Error::LineEnd, "http_protocol_error"),
        (Error::FieldName, "http_protocol_error"),
        (Error::FieldValue, "http_protocol_error"),
        (Error::TooManyFields, "http_response_header_section_size"),
        (Error::HeadTooLarge, "http_response_header_section_size"),
        (Error::ContentLength, "http_protocol_error"),
        (Error::LengthBesideCoding, "http_protocol_error"),
        (Error::Coding, "http_response_transfer_coding"),
        (Error::UnaskedSwitch, "http_upgrade_failed"),
    ];
    let texts = all.map(|(error, _)| error.to_string());
    for (at, (error, reason)) in all.into_iter().enumerate() {
        assert_eq!(error.reason(), reason);
        assert!(texts[at].len() > 20 && !texts[..at].contains(&texts[at]), "{error}");
    }
}

#[test]
fn limits_hold_for_partial_heads_too() {
    let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(2048));
    assert_eq!(parsed(long.as_bytes(), Answered::default()), Err(ResponseError::HeadTooLarge));
    let many = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(21));
    assert_eq!(parsed(many.as_bytes(), Answered::default()), Err(ResponseError::TooManyFields));
}

#[test]
fn the_idle_time_of_a_server_is_read() {
    for (line, expected) in [
        ("Keep-Alive: timeout=5, max=100", Some(5)),
        ("keep-alive: max=100,Timeout = 72", Some(72)),
        ("Keep-Alive: 300", None),
        ("Keep-Alive: timeout=-1", None),
        ("X: timeout=5", None),
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n");
        let mut storage = FieldStorage::new();
        let head = response_head(bytes.as_bytes(), &mut storage, &LIMITS, Answered::default());
        assert_eq!(keep_alive_timeout(head.unwrap().unwrap().fields), expected, "{line}");
    }
}

fn likely() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        b"\r\n".as_slice(),
        b"\r\n\r\n",
        b"\r",
        b"\n",
        b" ",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 ",
        b"101",
        b"304 x\r\n",
        b"Content-Length: 1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"X: y\r\n",
        b"X",
        b":",
        b"\t",
        b"\0",
        b"\xff",
    ]);
    let start = prop::sample::select(vec![b"HTTP/1.1 200 OK\r\n".as_slice(), b"HTTP/1.1 ", b""]);
    (start, vec(pieces, 0..12)).prop_map(|(start, pieces)| [start, &pieces.concat()].concat())
}

proptest! {
    #[test]
    fn splits_never_change_the_outcome(bytes in likely(), sizes in vec(1..12_usize, 1..6)) {
        let whole = parsed(&bytes, Answered::default());
        let mut scan = HeadScan::default();
        let (mut end, mut sizes) = (0, sizes.iter().cycle());
        let pieces = loop {
            if scan.worth_parsing(&bytes[..end], &LIMITS) {
                match parsed(&bytes[..end], Answered::default()) {
                    Ok(None) => {}
                    known => break known,
                }
            }
            if end == bytes.len() {
                break Ok(None);
            }
            end = bytes.len().min(end + sizes.next().copied().unwrap_or(1));
        };
        match (whole, pieces) {
            (Err(_), Err(_) | Ok(None)) => {}
            (whole, pieces) => prop_assert_eq!(whole, pieces),
        }
    }

    #[test]
    fn an_accepted_head_holds_nothing_ambiguous(bytes in likely()) {
        let mut storage = FieldStorage::new();
        if let Ok(Some(head)) = response_head(&bytes, &mut storage, &LIMITS, Answered::default()) {
            let text = &bytes[..head.length];
            prop_assert!(text.starts_with(b"HTTP/1.") && text.ends_with(b"\r\n\r\n"));
            let ends = memchr::memmem::find_iter(text, b"\r\n").count();
            prop_assert_eq!(memchr::memchr_iter(b'\n', text).count(), ends);
            prop_assert_eq!(memchr::memchr_iter(b'\r', text).count(), ends);
            let count = |name| head.fields.all(name).count();
            prop_assert!(count("content-length") + count("transfer-encoding") <= 1);
            prop_assert!(head.status >= 200 || head.content == ContentEnd::Absent);
        }
    }
}
