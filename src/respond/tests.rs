use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::decimal::Decimal;
use super::*;

fn written(write: impl FnOnce(&mut HeadWriter<'_>)) -> Result<Vec<u8>, HeadFault> {
    let mut buffer = [0; 512];
    let mut head = HeadWriter::new(&mut buffer, Status::Ok);
    write(&mut head);
    let length = head.finish()?;
    Ok(buffer[..length].to_vec())
}

#[test]
fn a_usual_head_reads_as_the_rfc_has_it() {
    let mut date = DateCache::new();
    date.update(784_111_777);
    let mut buffer = [0; 512];
    let mut head = HeadWriter::new(&mut buffer, Status::PartialContent);
    head.server()
        .date(&date)
        .field("Content-Type", b"text/html; charset=utf-8")
        .content_length(42)
        .field("Content-Range", b"bytes 0-41/1000")
        .field_u64("Age", 0)
        .field("X-Frame-Options", b"DENY")
        .connection_close();
    let length = head.finish().unwrap();
    assert_eq!(
        std::str::from_utf8(&buffer[..length]).unwrap(),
        "HTTP/1.1 206 Partial Content\r\n\
         Server: ringway\r\n\
         Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Content-Type: text/html; charset=utf-8\r\n\
         Content-Length: 42\r\n\
         Content-Range: bytes 0-41/1000\r\n\
         Age: 0\r\n\
         X-Frame-Options: DENY\r\n\
         Connection: close\r\n\r\n"
    );
}

#[test]
fn the_other_fields() {
    let head = written(|head| {
        head.connection_keep_alive();
    });
    assert_eq!(head.unwrap(), b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n");
}

#[test]
fn a_value_never_leaves_its_line() {
    for byte in 0..=u8::MAX {
        let value = [b'a', byte, b'b'];
        let head = written(|head| {
            head.field("X-Test", &value).field("X-After", b"fine");
        });
        let allowed = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        assert_eq!(head.is_ok(), allowed, "{byte:#04x}");
        if !allowed {
            assert_eq!(head, Err(HeadFault::ForbiddenByte));
        }
    }
}

/// A second byte of that kind does not make up for the first.
#[test]
fn two_forbidden_bytes_are_as_forbidden_as_one() {
    for value in [&b"\n\n"[..], b"a\r\nb", b"\0a\x7f"] {
        let head = written(|head| {
            head.field("X-Test", value);
        });
        assert_eq!(head, Err(HeadFault::ForbiddenByte), "{}", value.escape_ascii());
    }
}

/// RFC 9112 section 4: the status code has three digits, and a phrase may be empty.
#[test]
fn a_head_may_have_any_code_of_three_digits() {
    for (code, line) in [
        (200, Ok("HTTP/1.1 200 OK\r\n\r\n")),
        (201, Ok("HTTP/1.1 201 Created\r\n\r\n")),
        (100, Ok("HTTP/1.1 100 Continue\r\n\r\n")),
        (999, Ok("HTTP/1.1 999 \r\n\r\n")),
        (99, Err(HeadFault::StatusCode)),
        (1000, Err(HeadFault::StatusCode)),
    ] {
        let mut buffer = [0; 64];
        let head = HeadWriter::of_code(&mut buffer, code).finish();
        assert_eq!(head.map(|length| str::from_utf8(&buffer[..length]).unwrap()), line);
    }
}

#[test]
fn every_fault_has_a_text_of_its_own() {
    let all = [HeadFault::Overflow, HeadFault::ForbiddenByte, HeadFault::StatusCode];
    let texts = all.map(|fault| fault.to_string());
    for (at, text) in texts.iter().enumerate() {
        assert!(text.len() > 20 && !texts[..at].contains(text), "{text}");
    }
}

#[test]
fn every_shorter_buffer_overflows() {
    let full = written(|head| {
        head.date(&DateCache::new()).content_length(1234);
    })
    .unwrap();
    for size in 0..full.len() {
        let mut buffer = vec![0; size];
        let mut head = HeadWriter::new(&mut buffer, Status::Ok);
        head.date(&DateCache::new()).content_length(1234);
        assert_eq!(head.finish(), Err(HeadFault::Overflow), "{size} bytes");
    }
    let mut buffer = vec![0; full.len()];
    let mut head = HeadWriter::new(&mut buffer, Status::Ok);
    head.date(&DateCache::new()).content_length(1234);
    assert_eq!(head.finish(), Ok(full.len()));
}

#[test]
fn statuses_agree_with_their_lines_and_ascend() {
    assert!(Status::ALL.is_sorted_by_key(|status| status.code()));
    for status in Status::ALL {
        assert_eq!(status.line(), format!("HTTP/1.1 {status}\r\n").as_bytes());
        assert_eq!(status.page().is_empty(), status.code() < 400, "{status}");
    }
}

#[test]
fn only_statuses_with_content_say_its_length() {
    let without = [Status::Continue, Status::NoContent, Status::NotModified];
    for &status in Status::ALL {
        let allowed = !without.contains(&status);
        assert_eq!(content_length_allowed(status.code()), allowed, "{status}");
        let mut buffer = [0; 128];
        let mut head = HeadWriter::new(&mut buffer, status);
        head.content_length(0);
        let length = head.finish().unwrap();
        let stated = buffer[..length].ends_with(b"Content-Length: 0\r\n\r\n");
        assert_eq!(stated, allowed, "{status}");
    }
}

#[test]
fn every_refusal_has_a_small_page() {
    for &status in Status::ALL.iter().filter(|status| status.code() >= 400) {
        let page = status.page();
        assert!(page.starts_with("<!doctype html>") && page.contains("charset=\"utf-8\""));
        assert!(page.contains(&format!("<h1>{status}</h1>")) && page.len() < 1024, "{status}");
    }
    assert!(CONTINUE.starts_with(Status::Continue.line()));
}

#[test]
fn the_date_stops_at_its_last_year() {
    let mut date = DateCache::new();
    assert_eq!(date.as_bytes(), b"Thu, 01 Jan 1970 00:00:00 GMT");
    date.update(u64::MAX);
    assert_eq!(date.as_bytes(), b"Fri, 31 Dec 9999 23:59:59 GMT");
    date.update(951_782_400);
    assert_eq!(date.as_bytes(), b"Tue, 29 Feb 2000 00:00:00 GMT");
}

#[test]
fn every_day_agrees_with_httpdate() {
    let mut date = DateCache::new();
    for day in 0..253_402_300_800 / 86_400 {
        let second = day * 86_400 + day % 86_400;
        date.update(second);
        let other = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        assert_eq!(date.as_bytes().as_slice(), other.as_bytes());
    }
}

proptest! {
    #[test]
    fn any_second_agrees_with_httpdate(second in 0..253_402_300_800_u64) {
        let mut date = DateCache::new();
        date.update(second);
        let other = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        prop_assert_eq!(date.as_bytes().as_slice(), other.as_bytes());
    }

    #[test]
    fn any_number_agrees_with_the_standard_library(number: u64, shift in 0..64_u32) {
        for number in [number >> shift, 10_u64.saturating_pow(shift), 0, u64::MAX] {
            let expected = number.to_string();
            let decimal = Decimal::new(number);
            prop_assert_eq!(decimal.as_bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn any_value_is_written_whole_or_refused(
        value in proptest::collection::vec(any::<u8>(), 0..64),
        size in 0..160_usize,
    ) {
        let mut buffer = vec![0; size];
        let mut head = HeadWriter::new(&mut buffer, Status::Ok);
        head.field("X-Test", &value);
        if let Ok(length) = head.finish() {
            let expected = [b"HTTP/1.1 200 OK\r\nX-Test: ", value.as_slice(), b"\r\n\r\n"].concat();
            prop_assert_eq!(&buffer[..length], expected.as_slice());
            let breaks = expected.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count();
            prop_assert_eq!(breaks, 6);
        }
    }
}
