//! Heads as applications have them: an `http::Request` of what has come, and what leaves of an
//! `http::Response`.

use std::{ops::Range, rc::Rc};

use bytes::{Buf, Bytes};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{CONNECTION, DATE, SERVER, UPGRADE},
};

use super::{
    Reply,
    field_map::{self, FieldMap},
    head_text,
    reply::{OfApplication, SHORT},
    streamed::{Fields, Incoming, StreamedHead, line_bytes},
};
use crate::{
    conn::sites::Served,
    parse::Version,
    respond::{content_length_allowed, forward::Present},
    ring::Content,
    service::{Body, Head},
    write::Source,
};

/// Why a request could not be filled with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// `http` refuses a part of it.
    Refused,
    /// A value does not lie within the bytes that all of them lie in: a defect of ours.
    Elsewhere,
}

/// What of `http` went wrong does not matter: the client gets 400.
fn refused<E>(_: E) -> Unfit {
    Unfit::Refused
}

/// Fills a request with a head, whose target and values become slices of one copy. Whether it may ask for
/// another protocol.
pub(super) fn fill(request: &mut Request<Body>, incoming: &Incoming<'_>) -> Result<bool, Unfit> {
    let Incoming { path, query, values, .. } = *incoming;
    let mut target = place_of_target(path, query, values);
    let apart = if target.is_some() { 0 } else { target_bytes(path, query) };
    let text = head_text::copied(values.len() + apart, |text| {
        text.extend_from_slice(values);
        if apart > 0 {
            target = Some(text.len()..text.len() + apart);
            text.extend_from_slice(path);
            if let Some(query) = query {
                text.extend_from_slice(b"?");
                text.extend_from_slice(query);
            }
        }
    });

    *request.headers_mut() = field_map::with_room(incoming.fields.count());
    let fields = request.headers_mut();
    let (mut at, mut may_ask) = (0, false);
    while let Some((name, value)) = incoming.fields.field_at(&mut at) {
        may_ask |= name.eq_ignore_ascii_case("upgrade");
        let value = text.slice(place(value, values).ok_or(Unfit::Elsewhere)?);
        let value = HeaderValue::from_maybe_shared(value).map_err(refused)?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(refused)?;
        fields.try_append(name, value).map_err(refused)?;
    }
    *request.method_mut() = Method::from_bytes(incoming.method).map_err(refused)?;
    // The copy itself, cut down: another slice would be counted, and the copy be dropped.
    let (target, mut text) = (target.ok_or(Unfit::Elsewhere)?, text);
    text.truncate(target.end);
    text.advance(target.start);
    *request.uri_mut() = uri(incoming, text).ok_or(Unfit::Refused)?;
    *request.version_mut() = match incoming.version {
        Some(Version::Http10) => http::Version::HTTP_10,
        Some(Version::Http11) => http::Version::HTTP_11,
        None => http::Version::HTTP_2,
    };
    Ok(may_ask)
}

/// Where a part of some text lies in it. None: it does not.
fn place(part: &[u8], text: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= text.len()).then_some(start..end)
}

/// Where path and query lie in some text, one behind the other as a request line of HTTP/1.1 has them.
fn place_of_target(path: &[u8], query: Option<&[u8]>, text: &[u8]) -> Option<Range<usize>> {
    let path = place(path, text)?;
    let Some(query) = query else { return Some(path) };
    let query = place(query, text).filter(|query| query.start == path.end + 1)?;
    Some(path.start..query.end)
}

fn target_bytes(path: &[u8], query: Option<&[u8]>) -> usize {
    path.len() + query.map_or(0, |query| 1 + query.len())
}

/// The target: path and query alone, or behind the authority if the target has one.
fn uri(incoming: &Incoming<'_>, target: Bytes) -> Option<Uri> {
    match incoming.authority {
        None => Uri::from_maybe_shared(target).ok(),
        Some(authority) => uri_of(incoming, authority, target),
    }
}

#[inline(never)]
fn uri_of(incoming: &Incoming<'_>, authority: &[u8], target: Bytes) -> Option<Uri> {
    let mut parts = http::uri::Parts::default();
    let scheme = if incoming.secure { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP };
    parts.scheme = Some(scheme);
    parts.authority = Some(http::uri::Authority::try_from(authority).ok()?);
    parts.path_and_query = Some(http::uri::PathAndQuery::from_maybe_shared(target).ok()?);
    Uri::from_parts(parts).ok()
}

/// The head of an answer that ends HTTP on its connection.
pub(super) fn switching(head: Head) -> StreamedHead {
    let mut fields = head.parts.headers;
    let upgrade = fields.remove(UPGRADE);
    remove_ours(&mut fields);
    if let Some(upgrade) = upgrade {
        fields.insert(UPGRADE, upgrade);
    }
    let present = Present { date: fields.contains_key(DATE), server: fields.contains_key(SERVER) };
    StreamedHead { status: 101, fields: Fields::Map(fields.into()), present, length: None }
}

/// What an answer has of the fields that matter here.
#[derive(Debug, Default)]
struct Found {
    /// Some are the connection's.
    ours: bool,
    /// `Content-Length`.
    length: Option<u64>,
    present: Present,
    /// Bytes that all fields but `Content-Length` take as lines of HTTP/1.1.
    lines: usize,
}

/// Looks at each field once: that costs less than looking up those that matter.
fn survey(fields: &HeaderMap) -> Result<Found, &'static str> {
    let mut found = Found::default();
    for (name, value) in fields {
        let name = name.as_str();
        match name {
            "content-length" => {
                // Of several the first counts; `Content-Length` is written once.
                let length = found.length.map_or_else(|| length_of(value), Ok)?;
                found.length = Some(length);
                continue;
            }
            "date" => found.present.date = true,
            "server" => found.present.server = true,
            _ => found.ours |= is_ours(name),
        }
        found.lines += line_bytes(name, value.as_bytes());
    }
    Ok(found)
}

/// Whether an answer is the last one of its connection: an option of a `Connection` is `close` (RFC 9112
/// section 9.6).
pub(super) fn ends_connection(fields: &HeaderMap) -> bool {
    let values = fields.get_all(CONNECTION).iter();
    let mut options = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// Digits alone: `u64` would also take a sign.
fn length_of(value: &HeaderValue) -> Result<u64, &'static str> {
    // So many digits are always within `u64`.
    const DIGITS: usize = 19;
    let digits = value.as_bytes();
    if !(1..=DIGITS).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Err("an application answered with a Content-Length that is no number");
    }
    Ok(digits.iter().fold(0, |number, digit| 10 * number + u64::from(digit - b'0')))
}

/// Fields that are the connection's.
const OURS: [&str; 5] =
    ["connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection"];

/// Not a search in the list: of words that stand here the compiler compares the lengths first.
fn is_ours(name: &str) -> bool {
    matches!(
        name,
        "connection" | "transfer-encoding" | "upgrade" | "keep-alive" | "proxy-connection"
    )
}

/// Takes them out.
pub(super) fn remove_ours(fields: &mut HeaderMap) {
    for name in OURS {
        fields.remove(name);
    }
}

/// The head of an answer, without what belongs to the connection.
pub(super) fn streamed(head: Head) -> Result<StreamedHead, &'static str> {
    let Head { parts, length } = head;
    let status = parts.status.as_u16();
    if status < 200 {
        return Err("an application answered with a status below 200");
    }
    let mut fields = parts.headers;
    let Found { ours, length: stated, present, .. } = survey(&fields)?;
    if ours {
        remove_ours(&mut fields);
    }
    let (fields, length) = (Fields::Map(fields.into()), stated.or(length));
    Ok(StreamedHead { status, fields, present, length })
}

/// The reply that a head and all of its content make, if both are short. Else they come back.
#[allow(clippy::result_large_err, reason = "taken apart where it is made")]
pub(super) fn whole(
    served: &Rc<Served>,
    mut head: Head,
    content: Bytes,
) -> Result<Reply<'static>, (Head, Bytes)> {
    let status = head.parts.status.as_u16();
    let Ok(mut found) = survey(&head.parts.headers) else { return Err((head, content)) };
    if found.ours && ends_connection(&head.parts.headers) {
        return Err((head, content));
    }
    if found.ours {
        remove_ours(&mut head.parts.headers);
        found.lines = survey(&head.parts.headers).map_or(found.lines, |found| found.lines);
    }
    let length = content.len();
    let is_its_own = found.length.is_none_or(|stated| stated == length as u64);
    let is_short = found.lines + served.own_fields_len + length <= SHORT;
    if !is_its_own || !is_short || !content_length_allowed(status) {
        return Err((head, content));
    }
    let fields = FieldMap::from(head.parts.headers);
    let source = match length {
        0 => Source::Nothing,
        _ => Source::Shared(Content::Bytes(content).into()),
    };
    let (present, lines) = (found.present, found.lines);
    let head = OfApplication { status, present, fields, lines, length: length as u64 };
    Ok(Reply::of_application(served, head, source))
}

#[cfg(test)]
#[path = "heads_tests.rs"]
mod tests;
