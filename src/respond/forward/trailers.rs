//! Trailer fields on their way, in either direction (RFC 9110 section 6.5).

use super::{hops::is_hop_by_hop, line, origin};
use crate::parse::is_token;

/// Fields that mean nothing behind the content, or something else than where they belong (RFC 9110
/// section 6.5.1): they frame, route, authenticate, or describe the content or the request.
const HEAD_ONLY: [&str; 29] = [
    "content-length",
    "content-encoding",
    "content-type",
    "content-range",
    "content-location",
    "host",
    "authorization",
    "www-authenticate",
    "proxy-authenticate",
    "proxy-authentication-info",
    "authentication-info",
    "cookie",
    "set-cookie",
    "cache-control",
    "expect",
    "max-forwards",
    "pragma",
    "range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "age",
    "expires",
    "date",
    "location",
    "retry-after",
    "vary",
];

/// Whose trailers they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrailersOf {
    Request,
    Response,
}

/// The lines among `lines` (`Name: value` and CRLF each, as the decoder checked them) that go on, written
/// anew. Of a request, names with `_` do not: CGI and WSGI read them as others.
pub(crate) fn trailer_fields(lines: &[u8], of: TrailersOf) -> Vec<u8> {
    let mut out = Vec::new();
    for one in lines.split(|&byte| byte == b'\n') {
        let one = one.strip_suffix(b"\r").unwrap_or(one);
        let Some(colon) = memchr::memchr(b':', one) else { continue };
        let (name, value) = one.split_at(colon);
        let Some(name) = str::from_utf8(name).ok().filter(|name| is_token(name.as_bytes())) else {
            continue;
        };
        let head_only = HEAD_ONLY.iter().any(|other| name.eq_ignore_ascii_case(other))
            || is_hop_by_hop(name)
            || origin::is_of_origin(name);
        let forged = of == TrailersOf::Request && name.contains('_');
        if !head_only && !forged {
            line(&mut out, name, value.strip_prefix(b":").unwrap_or(value).trim_ascii());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_into_a_head_ends_here() {
        let lines = b"X-Sum:  1 \r\nHost: evil\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\
                      X-Forwarded-For: 1.1.1.1\r\nX_Forwarded_For: 1.1.1.1\r\nEmpty:\r\nSet-Cookie: a\r\n";
        assert_eq!(trailer_fields(lines, TrailersOf::Request), b"X-Sum: 1\r\nEmpty: \r\n");
        let response = trailer_fields(lines, TrailersOf::Response);
        assert_eq!(response, b"X-Sum: 1\r\nX_Forwarded_For: 1.1.1.1\r\nEmpty: \r\n");
        assert_eq!(trailer_fields(b"", TrailersOf::Request), b"");
    }
}
