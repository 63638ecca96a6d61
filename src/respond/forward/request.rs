//! The head of a request as the upstream server gets it.

use super::{
    ForwardError, Forwarding, Origin, PathRule, Visit, hops::Options, hops::is_hop_by_hop, line,
    origin,
};
use crate::{parse::BodyLength, respond::decimal::Decimal};

/// How a pool wants its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forward {
    pub(crate) path: PathRule,
    /// Replaces `Host`.
    pub(crate) host: Option<Box<[u8]>>,
    /// `Host` of a request that names none (HTTP/1.0).
    pub(crate) default_host: Box<[u8]>,
    /// Names with `_` are passed on. CGI and WSGI read `_` as `-`, so they can forge other fields.
    pub(crate) keeps_underscores: bool,
    pub(crate) forwarding: Forwarding,
    /// Our pseudonym in `Via` (RFC 9110 section 7.6.3), which no other server has.
    pub(crate) pseudonym: Box<str>,
}

/// The protocol that the client speaks, as `Via` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Http10,
    Http11,
    Http2,
}

impl Spoken {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Http10 => b"1.0",
            Self::Http11 => b"1.1",
            Self::Http2 => b"2",
        }
    }
}

/// A request that is passed on.
pub(crate) struct Outgoing<'r> {
    pub(crate) method: &'r [u8],
    /// Path and query as sent, or `*`.
    pub(crate) target: &'r [u8],
    /// `host[:port]`, as sent.
    pub(crate) authority: Option<&'r [u8]>,
    pub(crate) spoken: Spoken,
    pub(crate) fields: &'r Visit<'r>,
    pub(crate) origin: &'r Origin,
    /// The peer is a proxy whose forwarding fields are believed.
    pub(crate) trusted: bool,
}

/// Appends the head of a request to `out`, but for its end ([`end_of_request`]): how the content is
/// framed is known when it is sent. Gives the fields that were dropped for a `_` in their name.
///
/// # Errors
/// The request must not be passed on; `out` is meaningless then.
pub(crate) fn request(
    out: &mut Vec<u8>,
    outgoing: &Outgoing<'_>,
    rules: &Forward,
) -> Result<u32, ForwardError> {
    if matches!(outgoing.method, b"TRACE" | b"CONNECT") {
        return Err(ForwardError::Method);
    }
    let options = Options::of(outgoing.fields);
    options.check()?;
    let host = rules.host.as_deref().or(outgoing.authority).unwrap_or(&rules.default_host);
    if host.is_empty() && outgoing.authority.is_none() {
        return Err(ForwardError::NoHost);
    }
    out.extend_from_slice(outgoing.method);
    out.push(b' ');
    rules.path.write(out, outgoing.target)?;
    out.extend_from_slice(b" HTTP/1.1\r\n");
    line(out, "Host", host);
    let passed = passed_on(out, outgoing, rules, &options);
    origin::write(out, outgoing, rules.forwarding);
    for piece in [b"Via: ", outgoing.spoken.name(), b" ", rules.pseudonym.as_bytes(), b"\r\n"] {
        out.extend_from_slice(piece);
    }
    if passed.loops { Err(ForwardError::Loop) } else { Ok(passed.underscores) }
}

/// What a request says of the connection to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop<'h> {
    /// Nothing: it persists.
    Persists,
    /// It closes after this exchange.
    Closes,
    /// It is to switch to this protocol.
    Switches(&'h str),
}

/// Whether the sender of a request accepts trailers behind the response (`TE: trailers`, RFC 9110
/// section 10.1.4).
pub(crate) fn accepts_trailers(fields: &Visit<'_>) -> bool {
    let mut accepts = false;
    fields(&mut |name, value| {
        accepts |= name.eq_ignore_ascii_case("te")
            && super::elements(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
    });
    accepts
}

/// The protocol that a request asks to switch to: one, by `Upgrade` and `Connection`.
pub(crate) fn asks_to_switch(fields: &Visit<'_>) -> Option<String> {
    let mut asked = None;
    let mut lines = 0;
    fields(&mut |name, value| {
        if name.eq_ignore_ascii_case("upgrade") {
            lines += 1;
            asked = std::str::from_utf8(value).ok().map(str::to_ascii_lowercase);
        }
    });
    let is_token = |text: &String| crate::parse::is_token(text.as_bytes());
    asked.filter(|text| lines == 1 && is_token(text) && Options::of(fields).name("upgrade"))
}

/// Ends the head of a request: how its content is framed, what it says of the connection, and whether
/// trailers are accepted behind the response.
pub(crate) fn end_of_request(out: &mut Vec<u8>, body: BodyLength, hop: Hop<'_>, trailers: bool) {
    match body {
        BodyLength::None => {}
        BodyLength::Length(length) => line(out, "Content-Length", Decimal::new(length).as_bytes()),
        BodyLength::Chunked => line(out, "Transfer-Encoding", b"chunked"),
    }
    if trailers {
        line(out, "TE", b"trailers");
    }
    // `Connection` has to name TE (RFC 9110 section 10.1.4).
    match hop {
        Hop::Persists if trailers => line(out, "Connection", b"TE"),
        Hop::Persists => {}
        Hop::Closes if trailers => line(out, "Connection", b"close, TE"),
        Hop::Closes => line(out, "Connection", b"close"),
        Hop::Switches(protocol) => {
            line(out, "Connection", b"Upgrade");
            line(out, "Upgrade", protocol.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

struct Passed {
    underscores: u32,
    loops: bool,
}

/// Appends the client's own fields that go on. `Cookie` becomes one line: HTTP/2 clients may send a
/// line for each pair (RFC 9113 section 8.2.3).
fn passed_on(
    out: &mut Vec<u8>,
    outgoing: &Outgoing<'_>,
    rules: &Forward,
    options: &Options,
) -> Passed {
    let mut passed = Passed { underscores: 0, loops: false };
    let mut cookies = Vec::new();
    (outgoing.fields)(&mut |name, value| {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let ours = is("host") || is("content-length") || is("expect");
        if ours || is_hop_by_hop(name) || origin::is_of_origin(name) || options.name(name) {
            return;
        }
        if is("cookie") {
            if !cookies.is_empty() {
                cookies.extend_from_slice(b"; ");
            }
            cookies.extend_from_slice(value);
            return;
        }
        if !rules.keeps_underscores && memchr::memchr(b'_', name.as_bytes()).is_some() {
            passed.underscores += 1;
            return;
        }
        if is("via") && !rules.pseudonym.is_empty() {
            let by_us = |element: &[u8]| {
                element.split(|&byte| byte == b' ').nth(1) == Some(rules.pseudonym.as_bytes())
            };
            passed.loops |= super::elements(value).any(by_us);
        }
        line(out, name, value);
    });
    if !cookies.is_empty() {
        line(out, "Cookie", &cookies);
    }
    passed
}
