//! The fields of a response as the client gets them.

use super::{hops::Options, hops::is_hop_by_hop, line};
use crate::parse::{Fields, is_token};

/// Appends the fields that go on to the client, as lines. `Content-Length` is not among them: the
/// protocol writes it from the framing that was found.
pub(crate) fn response_fields(out: &mut Vec<u8>, fields: Fields<'_, '_>) {
    let options = Options::of(&|visit| fields.iter().for_each(|(name, value)| visit(name, value)));
    for (name, value) in fields.iter() {
        let framing = name.eq_ignore_ascii_case("content-length");
        if !framing && !is_hop_by_hop(name) && !options.name(name) {
            line(out, name, value);
        }
    }
}

/// Fields that a trailer section must not bring (RFC 9110 section 6.5.1): they frame, route,
/// authenticate, modify the request or describe the content.
const NOT_IN_TRAILERS: [&str; 16] = [
    "age",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expires",
    "host",
    "location",
    "retry-after",
    "set-cookie",
    "vary",
    "www-authenticate",
];

/// The trailer lines among `lines` (each with its CRLF) that go on to a client which asked for them.
#[cfg_attr(not(test), expect(dead_code, reason = "trailers of servers are dropped so far"))]
pub(super) fn trailer_lines(lines: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    for text in lines.split_inclusive(|&byte| byte == b'\n') {
        let Some(text) = text.strip_suffix(b"\r\n") else { continue };
        let Some(colon) = memchr::memchr(b':', text) else { continue };
        let (name, value) = text.split_at(colon);
        let Ok(name) = std::str::from_utf8(name) else { continue };
        let refused = NOT_IN_TRAILERS.iter().any(|other| name.eq_ignore_ascii_case(other));
        if is_token(name.as_bytes()) && !refused && !is_hop_by_hop(name) {
            line(&mut kept, name, value.get(1..).unwrap_or(b"").trim_ascii());
        }
    }
    kept
}
