//! Heads as applications have them: an `http::Request` of what has come, and what leaves of an
//! `http::Response`.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{CONNECTION, CONTENT_LENGTH, DATE, SERVER, TRANSFER_ENCODING, UPGRADE},
};

use super::{
    field_map, head_text,
    streamed::{Fields, Incoming, StreamedHead},
};
use crate::{
    parse::Version,
    respond::forward::Present,
    service::{Body, Head},
};

/// A request whose fields are slices of one copy of the head. None if `http` refuses a part of it.
pub(super) fn request_of(incoming: &Incoming<'_>, body: Body) -> Option<Request<Body>> {
    let target = incoming.path.len() + incoming.query.map_or(0, |query| query.len() + 1);
    let (mut length, mut count) = (target, 0);
    incoming.fields.each(&mut |_, value| {
        length += value.len();
        count += 1;
    });
    let text = head_text::copied(length, |text| {
        text.extend_from_slice(incoming.path);
        if let Some(query) = incoming.query {
            text.extend_from_slice(b"?");
            text.extend_from_slice(query);
        }
        incoming.fields.each(&mut |_, value| text.extend_from_slice(value));
    });

    let mut fields = field_map::with_room(count);
    let (mut at, mut refused) = (target, false);
    incoming.fields.each(&mut |name, value| {
        let value = text.slice(at..at + value.len());
        at += value.len();
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_maybe_shared(value)) {
            (Ok(name), Ok(value)) => refused |= fields.try_append(name, value).is_err(),
            _ => refused = true,
        }
    });
    if refused {
        return None;
    }
    let mut request = Request::new(body);
    *request.method_mut() = Method::from_bytes(incoming.method).ok()?;
    *request.uri_mut() = uri(incoming, text.slice(..target))?;
    *request.version_mut() = match incoming.version {
        Some(Version::Http10) => http::Version::HTTP_10,
        Some(Version::Http11) => http::Version::HTTP_11,
        None => http::Version::HTTP_2,
    };
    *request.headers_mut() = fields;
    Some(request)
}

/// The target: path and query alone, or behind the authority if the target has one.
fn uri(incoming: &Incoming<'_>, target: Bytes) -> Option<Uri> {
    let Some(authority) = incoming.authority else { return Uri::from_maybe_shared(target).ok() };
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
}

/// Looks at each field once: that costs less than looking up those that matter.
fn survey(fields: &HeaderMap) -> Result<Found, &'static str> {
    let mut found = Found::default();
    for (name, value) in fields {
        if *name == CONTENT_LENGTH {
            // Of several the first counts; `Content-Length` is written once.
            let length = found.length.map_or_else(|| length_of(value), Ok)?;
            found.length = Some(length);
        } else {
            found.present.date |= *name == DATE;
            found.present.server |= *name == SERVER;
            found.ours |= is_ours(name);
        }
    }
    Ok(found)
}

/// Digits alone: `u64` would also take a sign.
fn length_of(value: &HeaderValue) -> Result<u64, &'static str> {
    let digits = value.as_bytes();
    let number = str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit));
    number
        .and_then(|number| number.parse().ok())
        .ok_or("an application answered with a Content-Length that is no number")
}

/// Takes out the fields that are the connection's.
pub(super) fn remove_ours(fields: &mut HeaderMap) {
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        fields.remove(name);
    }
    fields.remove("keep-alive");
    fields.remove("proxy-connection");
}

fn is_ours(name: &HeaderName) -> bool {
    [CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// The head of an answer, without what belongs to the connection.
pub(super) fn streamed(head: Head) -> Result<StreamedHead, &'static str> {
    let Head { parts, length } = head;
    let status = parts.status.as_u16();
    if status < 200 {
        return Err("an application answered with a status below 200");
    }
    let mut fields = parts.headers;
    let Found { ours, length: stated, present } = survey(&fields)?;
    if ours {
        remove_ours(&mut fields);
    }
    let (fields, length) = (Fields::Map(fields.into()), stated.or(length));
    Ok(StreamedHead { status, fields, present, length })
}

#[cfg(test)]
#[path = "heads_tests.rs"]
mod tests;
