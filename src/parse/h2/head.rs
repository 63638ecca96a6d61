//! From the fields of a block to a request (RFC 9113 sections 8.2 and 8.3).
//!
//! Fields are lent one by one and a later one may overwrite them, so what matters is copied to
//! memory that the worker's connections share; nothing of it outlives the decision.

use super::{FieldCheck, Priority, field_check};
use crate::{
    hpack::{Field, FieldName, FieldVisitor},
    parse::{
        HeadLimits, Method, Target, authority, method::MAX_METHOD_BYTES, target,
        token::is_token_byte,
    },
    respond::Status,
};

/// Pieces in which a request may send its cookies, beyond its other fields. Browsers send one
/// piece for each cookie (RFC 9113 section 8.2.3), of which 180 are usual limits.
pub(crate) const MAX_CRUMBS: usize = 256;

/// Fields that are kept at most: four lines of each that is asked for later.
const MAX_KEPT: usize = 32;

/// Lines of one name that are kept, which are as many as `process::interest` reads.
const MAX_LINES: u8 = 4;

/// A piece of the memory for text.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    start: u32,
    end: u32,
}

/// What the fields of one block amount to so far.
#[derive(Debug)]
pub struct Draft<'s> {
    room: &'s mut [u8],
    used: usize,
    limits: HeadLimits,
    /// Bytes of names and values.
    bytes: usize,
    fields: usize,
    crumbs: usize,
    state: State,
    method: Option<Kept>,
    scheme: Option<Kept>,
    path: Option<Kept>,
    authority: Option<Kept>,
    protocol: Option<Kept>,
    /// The server has announced extended CONNECT.
    connects: bool,
    host: Option<Kept>,
    content_length: Option<u64>,
    expect_continue: bool,
    expect_unknown: bool,
    priority: Option<Kept>,
    kept: [(FieldName, Kept); MAX_KEPT],
    kept_count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Pseudo-fields may come.
    Pseudo,
    /// Only other fields may.
    Regular,
    /// A bound is exceeded: what follows is not looked at.
    TooLarge,
    /// Malformed: what follows is not looked at.
    Malformed(&'static str),
}

/// A request (RFC 9113 section 8.3.1).
#[derive(Clone, Copy, Debug)]
pub struct Head<'s> {
    /// The method.
    pub method: Method<'s>,
    /// What the request is for; never in the absolute form.
    pub target: Target<'s>,
    /// `:path` as it came; empty for a CONNECT that is not extended.
    pub path_text: &'s [u8],
    /// `:authority`, or `Host` where that is absent: a host that is not empty, perhaps a port.
    pub authority: &'s [u8],
    /// `:protocol` of an extended CONNECT (RFC 8441 section 4), whose target is in the origin form.
    pub(crate) protocol: Option<&'s [u8]>,
    /// The stated length of the content, in bytes.
    pub content_length: Option<u64>,
    /// The client waits for 100 before it sends its content.
    pub expect_continue: bool,
    /// The `priority` field.
    pub priority: Priority,
    kept: Fields<'s>,
}

/// The fields that were kept, where the draft has them.
#[derive(Clone, Copy)]
struct Fields<'s> {
    text: &'s [u8],
    kept: &'s [(FieldName, Kept)],
}

impl std::fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fields").field("count", &self.kept.len()).finish_non_exhaustive()
    }
}

impl<'s> Head<'s> {
    /// The fields that an answer or the log depends on, and no others, in the order they came.
    pub fn fields(&self) -> impl Iterator<Item = (FieldName, &'s [u8])> + '_ {
        let Fields { text, kept } = self.kept;
        kept.iter().map(|(name, place)| (*name, slice(text, *place)))
    }

    /// The value of the only field of this name, if it is one that is kept. None if there are two.
    pub fn only_field(&self, name: FieldName) -> Option<&'s [u8]> {
        let mut values = self.fields().filter(|(token, _)| *token == name).map(|(_, value)| value);
        values.next().filter(|_| values.next().is_none())
    }

    /// The value of the first field of this name, if it is one that is kept.
    pub fn field(&self, name: FieldName) -> Option<&'s [u8]> {
        self.fields().find(|(token, _)| *token == name).map(|(_, value)| value)
    }
}

/// What a block of fields is. Made and taken apart within one poll: boxing the request would cost
/// an allocation for each.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)]
pub enum HeadOutcome<'s> {
    /// A request.
    Head(Head<'s>),
    /// Well-formed and not to be served: it gets this status.
    Refused {
        /// The status of the answer.
        status: Status,
        /// The method is HEAD: the answer has no content.
        head: bool,
    },
    /// The stream gets PROTOCOL_ERROR (RFC 9113 section 8.1.1), for this reason.
    Malformed(&'static str),
}

impl<'s> Draft<'s> {
    /// Begins a head. What is kept of it goes to `room`, which must have
    /// [`HeadLimits::max_head_bytes`].
    pub fn new(room: &'s mut [u8], limits: HeadLimits) -> Self {
        Self {
            room,
            used: 0,
            limits,
            bytes: 0,
            fields: 0,
            crumbs: 0,
            state: State::Pseudo,
            method: None,
            scheme: None,
            path: None,
            authority: None,
            protocol: None,
            connects: false,
            host: None,
            content_length: None,
            expect_continue: false,
            expect_unknown: false,
            priority: None,
            kept: [(FieldName::Other, Kept { start: 0, end: 0 }); MAX_KEPT],
            kept_count: 0,
        }
    }

    /// With `connects`, CONNECT may name a protocol: SETTINGS_ENABLE_CONNECT_PROTOCOL has said so.
    pub(crate) fn allow_protocol(&mut self, connects: bool) {
        self.connects = connects;
    }

    /// Whether a bound was exceeded.
    pub fn is_too_large(&self) -> bool {
        self.state == State::TooLarge
    }

    /// Counts a field against the bounds. False if it is not to be looked at.
    fn count(&mut self, bytes: usize, name: FieldName) -> bool {
        if !matches!(self.state, State::Pseudo | State::Regular) {
            return false;
        }
        self.bytes += bytes;
        match name {
            FieldName::Cookie => self.crumbs += 1,
            // They stand for the request line, which is no field.
            FieldName::Method
            | FieldName::Scheme
            | FieldName::Path
            | FieldName::Authority
            | FieldName::Protocol => {}
            _ => self.fields += 1,
        }
        if self.bytes > self.limits.max_head_bytes
            || self.fields > self.limits.max_fields
            || self.crumbs > MAX_CRUMBS
        {
            self.state = State::TooLarge;
            return false;
        }
        true
    }

    fn keep(&mut self, text: &[u8]) -> Result<Kept, State> {
        let end = self.used + text.len();
        let room = self.room.get_mut(self.used..end).ok_or(State::TooLarge)?;
        room.copy_from_slice(text);
        let kept = Kept { start: self.used as u32, end: end as u32 };
        self.used = end;
        Ok(kept)
    }

    fn note(&mut self, name: FieldName, value: &[u8]) -> Result<(), State> {
        let pseudo = matches!(
            name,
            FieldName::Method | FieldName::Scheme | FieldName::Path | FieldName::Authority
        ) || (name == FieldName::Protocol && self.connects);
        if pseudo {
            return self.note_pseudo(name, value);
        }
        self.state = State::Regular;
        match name {
            FieldName::Status | FieldName::Protocol => {
                Err(State::Malformed("a pseudo-field that no request has"))
            }
            FieldName::Connection
            | FieldName::KeepAlive
            | FieldName::ProxyConnection
            | FieldName::TransferEncoding
            | FieldName::Upgrade => {
                Err(State::Malformed("a field that belongs to connections of HTTP/1"))
            }
            FieldName::Te if !value.eq_ignore_ascii_case(b"trailers") => {
                Err(State::Malformed("TE is not trailers"))
            }
            FieldName::Host if self.host.is_some() => Err(State::Malformed("Host is repeated")),
            FieldName::Host => {
                self.host = Some(self.keep(value)?);
                Ok(())
            }
            FieldName::ContentLength => self.note_content_length(value),
            FieldName::Expect => {
                // A list of expectations, of which one is defined (RFC 9110 section 10.1.1).
                for expectation in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    if expectation.eq_ignore_ascii_case(b"100-continue") {
                        self.expect_continue = true;
                    } else {
                        self.expect_unknown |= !expectation.is_empty();
                    }
                }
                Ok(())
            }
            FieldName::Priority => {
                // One that stands in several lines is not read as one: the first counts.
                if self.priority.is_none() {
                    self.priority = Some(self.keep(value)?);
                }
                Ok(())
            }
            FieldName::AcceptEncoding
            | FieldName::IfMatch
            | FieldName::IfModifiedSince
            | FieldName::IfNoneMatch
            | FieldName::IfRange
            | FieldName::IfUnmodifiedSince
            | FieldName::Range
            | FieldName::Referer
            | FieldName::Traceparent
            | FieldName::UserAgent
            | FieldName::XRequestId => self.keep_line(name, value),
            FieldName::Other | FieldName::Cookie | FieldName::Te => Ok(()),
            FieldName::Method | FieldName::Scheme | FieldName::Path | FieldName::Authority => {
                Ok(())
            }
        }
    }

    fn note_pseudo(&mut self, name: FieldName, value: &[u8]) -> Result<(), State> {
        if self.state != State::Pseudo {
            return Err(State::Malformed("a pseudo-field stands behind another field"));
        }
        let kept = Some(self.keep(value)?);
        let place = match name {
            FieldName::Method => &mut self.method,
            FieldName::Scheme => &mut self.scheme,
            FieldName::Path => &mut self.path,
            FieldName::Protocol => &mut self.protocol,
            _ => &mut self.authority,
        };
        if std::mem::replace(place, kept).is_some() {
            return Err(State::Malformed("a pseudo-field is repeated"));
        }
        Ok(())
    }

    /// One plain number, as in HTTP/1.
    fn note_content_length(&mut self, value: &[u8]) -> Result<(), State> {
        let number = value.iter().try_fold(0_u64, |number, digit| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        });
        match number {
            Some(number) if !value.is_empty() && self.content_length.is_none() => {
                self.content_length = Some(number);
                Ok(())
            }
            _ => Err(State::Malformed("Content-Length is not one plain number")),
        }
    }

    fn keep_line(&mut self, name: FieldName, value: &[u8]) -> Result<(), State> {
        let known = self.kept.iter().take(self.kept_count);
        let lines = known.filter(|(token, _)| *token == name).count();
        if lines >= usize::from(MAX_LINES) || self.kept_count == MAX_KEPT {
            return Ok(());
        }
        let kept = self.keep(value)?;
        if let Some(place) = self.kept.get_mut(self.kept_count) {
            *place = (name, kept);
            self.kept_count += 1;
        }
        Ok(())
    }

    /// Judges the fields together, once the block has ended. `end_stream` says that no content
    /// follows. The request refers to what the draft has kept, which is too much to be moved for each.
    pub fn finish(&self, end_stream: bool) -> HeadOutcome<'_> {
        let text: &[u8] = self.room;
        let get = |kept: Option<Kept>| kept.map(|kept| slice(text, kept));
        let method = get(self.method);
        let refused = |status| HeadOutcome::Refused { status, head: method == Some(b"HEAD") };
        match self.state {
            State::Malformed(why) => return HeadOutcome::Malformed(why),
            State::TooLarge => return refused(Status::RequestHeaderFieldsTooLarge),
            State::Pseudo | State::Regular => {}
        }
        let method_text = match method {
            Some(text) if !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte)) => text,
            Some(_) => return HeadOutcome::Malformed("the method is no token"),
            None => return HeadOutcome::Malformed("there is no :method"),
        };
        let method = Method::from_token(method_text);
        let authority = match authority_of(get(self.authority), get(self.host)) {
            Ok(authority) => authority,
            Err(why) => return HeadOutcome::Malformed(why),
        };
        let protocol = get(self.protocol);
        if protocol.is_some() && method != Method::Connect {
            return HeadOutcome::Malformed(":protocol is not of CONNECT");
        }
        let target = match (method, get(self.scheme), get(self.path)) {
            (Method::Connect, None, None) if protocol.is_none() => match authority {
                Some(text) if authority::is_host_and_port(text) => Target::Authority(text),
                _ => return HeadOutcome::Malformed("CONNECT is not for a host and a port"),
            },
            (Method::Connect, ..) if protocol.is_none() => {
                return HeadOutcome::Malformed("CONNECT has :scheme or :path");
            }
            (_, Some(scheme), Some(path)) => {
                let http = |name: &[u8]| scheme.eq_ignore_ascii_case(name);
                if !http(b"https") && !http(b"http") {
                    return refused(Status::BadRequest);
                }
                if path.len() > self.limits.max_target_bytes {
                    return refused(Status::UriTooLong);
                }
                let found = target::Found::of(path);
                match (method, path) {
                    _ if found.forbidden => {
                        return HeadOutcome::Malformed(":path holds a byte that no path may hold");
                    }
                    (_, [b'/', ..]) => {
                        let (path, query) = found.split(path);
                        Target::Origin { path, query }
                    }
                    (Method::Options, b"*") => Target::Asterisk,
                    _ => return HeadOutcome::Malformed(":path does not begin with a slash"),
                }
            }
            _ => return HeadOutcome::Malformed("there is no :scheme or no :path"),
        };
        if end_stream && self.content_length.is_some_and(|length| length > 0) {
            return HeadOutcome::Malformed("Content-Length promises content that does not come");
        }
        let Some(authority) = authority else { return refused(Status::BadRequest) };
        if method_text.len() > MAX_METHOD_BYTES {
            return refused(Status::NotImplemented);
        }
        if self.expect_unknown {
            return refused(Status::ExpectationFailed);
        }
        HeadOutcome::Head(Head {
            method,
            target,
            // CONNECT alone has no path.
            path_text: get(self.path).unwrap_or(b""),
            authority,
            protocol,
            content_length: self.content_length,
            expect_continue: self.expect_continue && !end_stream,
            priority: get(self.priority).map_or_else(Priority::default, Priority::parse),
            // The count rises by one with each entry that found a place.
            kept: Fields { text, kept: &self.kept[..self.kept_count] },
        })
    }
}

/// The host that is asked for. None if neither field names one.
fn authority_of<'s>(
    authority: Option<&'s [u8]>,
    host: Option<&'s [u8]>,
) -> Result<Option<&'s [u8]>, &'static str> {
    if authority.is_some_and(|text| !authority::is_authority(text)) {
        return Err(":authority is not a host with an optional port");
    }
    if host.is_some_and(|text| !authority::is_host(text)) {
        return Err("Host is not a host with an optional port");
    }
    match (authority, host) {
        (Some(authority), Some(host)) if !same_authority(authority, host) => {
            Err("Host differs from :authority")
        }
        (Some(authority), _) => Ok(Some(authority)),
        (None, host) => Ok(host.filter(|text| !text.is_empty())),
    }
}

/// Whether two authorities name the same host and port, 443 being none.
fn same_authority(one: &[u8], other: &[u8]) -> bool {
    let plain = |text| <[u8]>::strip_suffix(text, b":443").unwrap_or(text);
    let plain = |text| plain(<[u8]>::strip_suffix(text, b":").unwrap_or(text));
    plain(one).eq_ignore_ascii_case(plain(other))
}

fn slice(text: &[u8], kept: Kept) -> &[u8] {
    // Both ends were noted while the text was gathered.
    &text[kept.start as usize..kept.end as usize]
}

impl FieldVisitor for Draft<'_> {
    fn field(&mut self, field: Field<'_>) -> bool {
        let bytes = field.name.len() + field.value.len();
        if !self.count(bytes, field.token) {
            return false;
        }
        if !field.checked {
            let why = match field_check(&field) {
                FieldCheck::Valid => None,
                FieldCheck::Name => Some("a field name is not a token in lower case"),
                FieldCheck::Value => Some("a field value holds a byte that none may hold"),
            };
            if let Some(why) = why {
                self.state = State::Malformed(why);
                return false;
            }
        }
        if let Err(state) = self.note(field.token, field.value) {
            self.state = state;
        }
        true
    }

    fn oversized(&mut self, bytes: usize) {
        if self.count(bytes, FieldName::Other) {
            self.state = State::TooLarge;
        }
    }
}
