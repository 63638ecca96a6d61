//! A request head, from its first byte to the empty line that ends it.
//!
//! `httparse` finds the pieces and refuses most of what is malformed. It tolerates a bare LF as a
//! line end, any number of empty lines before the request line and bytes beyond ASCII in the
//! target; the checks for these are here and in [`target`](super::target).

use httparse::{Header, Status};

use super::facts::Facts;
use super::method::MAX_METHOD_BYTES;
use super::{BodyLength, FieldStorage, Fields, HeadError, HeadLimits, MAX_FIELDS, Method, Target};

/// Empty lines that are skipped before a request line. RFC 9112 section 2.2 asks for one; old
/// clients send one after the content of a POST.
pub(super) const MAX_EMPTY_LINES: usize = 4;

/// The version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// A request head that is complete and has one meaning.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'h, 'b> {
    /// The method.
    pub method: Method<'b>,
    /// The target.
    pub target: Target<'b>,
    /// The version.
    pub version: Version,
    /// `host[:port]` of the target URI: the authority of an absolute target (RFC 9112 section
    /// 3.2.2), else `Host`. May be empty; absent only in HTTP/1.0.
    pub host: Option<&'b [u8]>,
    /// Every field line, those that are judged here included.
    pub fields: Fields<'h, 'b>,
    /// Where the content ends.
    pub body: BodyLength,
    /// Whether the client lets the connection go on after this request (RFC 9112 section 9.3).
    pub persistent: bool,
    /// Whether the client waits for `100 Continue` before it sends its content (RFC 9110 section
    /// 10.1.1). Never without content, never in HTTP/1.0.
    pub expect_continue: bool,
    /// Bytes of the head: skipped empty lines, request line, field lines, final CRLF. The content
    /// or the next request begins behind them.
    pub length: usize,
}

/// Parses the request head at the start of `bytes`. `Ok(None)`: more bytes are needed. Those must
/// be appended, and all parsed again; see [`HeadScan`](super::HeadScan) for when.
///
/// # Errors
/// Whatever makes the head ambiguous or too large, as soon as it is known: limits are judged on
/// partial heads too. The connection must close after any of them.
pub fn request_head<'h, 'b>(
    bytes: &'b [u8],
    storage: &'h mut FieldStorage<'b>,
    limits: &HeadLimits,
) -> Result<Option<RequestHead<'h, 'b>>, HeadError> {
    // What lies beyond the limit cannot complete the head.
    let bytes = bytes.get(..limits.max_head_bytes).unwrap_or(bytes);
    let full = bytes.len() == limits.max_head_bytes;
    let head = skip_empty_lines(bytes)?;

    let slots = &mut storage.0[..limits.max_fields.min(MAX_FIELDS)];
    let mut request = httparse::Request::new(&mut []);
    let parsed = match request.parse_with_uninit_headers(head, slots) {
        Ok(Status::Complete(parsed)) => parsed,
        Ok(Status::Partial) => {
            return partial(head, request.path, full, limits).map(|()| None);
        }
        Err(httparse::Error::Version) => {
            unsupported_version(head)?;
            return partial(head, request.path, full, limits).map(|()| None);
        }
        Err(error) => return Err(refusal(error)),
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(HeadError::RequestLine);
    };
    if method.len() > MAX_METHOD_BYTES {
        return Err(HeadError::MethodTooLong);
    }
    if target.len() > limits.max_target_bytes {
        return Err(HeadError::TargetTooLong);
    }

    let lines: &'h [Header<'b>] = request.headers;
    let request_line = method.len() + 1 + target.len() + b" HTTP/1.1".len();
    let facts = walk(head.get(request_line..).ok_or(HeadError::LineEnd)?, lines)?;
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let conclusion = facts.conclude(version)?;
    let method = Method::from_token(method.as_bytes());
    let target = Target::parse(method, target.as_bytes())?;
    let host = match target {
        Target::Absolute { authority, .. } | Target::Authority(authority) => Some(authority),
        Target::Origin { .. } | Target::Asterisk => conclusion.host,
    };
    Ok(Some(RequestHead {
        method,
        target,
        version,
        host,
        fields: Fields(lines),
        body: conclusion.body,
        persistent: conclusion.persistent,
        expect_continue: conclusion.expect_continue,
        length: bytes.len() - head.len() + parsed,
    }))
}

/// Walks the lines once, from the end of the request line on: each must end with CRLF, and each
/// field is noted. The lengths of names and values lead from one line end to the next.
fn walk<'b>(head: &'b [u8], lines: &[Header<'b>]) -> Result<Facts<'b>, HeadError> {
    let mut facts = Facts::default();
    let mut rest = line_end(head)?;
    for line in lines {
        let value = rest.get(line.name.len() + 1..).map(skip_whitespace);
        let behind = value.and_then(|value| value.get(line.value.len()..)).map(skip_whitespace);
        let behind = behind.ok_or(HeadError::LineEnd)?;
        rest = line_end(behind)?;
        facts.note(line.name, line.value)?;
    }
    line_end(rest)?;
    Ok(facts)
}

pub(super) fn line_end(bytes: &[u8]) -> Result<&[u8], HeadError> {
    bytes.strip_prefix(b"\r\n").ok_or(HeadError::LineEnd)
}

pub(super) fn skip_whitespace(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// Skips a few empty lines (RFC 9112 section 2.2).
fn skip_empty_lines(mut bytes: &[u8]) -> Result<&[u8], HeadError> {
    for _ in 0..MAX_EMPTY_LINES {
        let Some(rest) = bytes.strip_prefix(b"\r\n") else { break };
        bytes = rest;
    }
    match bytes {
        [b'\r', b'\n', ..] => Err(HeadError::EmptyLines),
        [b'\n', ..] | [b'\r', _, ..] => Err(HeadError::LineEnd),
        _ => Ok(bytes),
    }
}

/// Judges what is known of an incomplete head: a limit already passed, or a line end already
/// wrong, will not get better.
#[cold]
fn partial(
    head: &[u8],
    target: Option<&str>,
    full: bool,
    limits: &HeadLimits,
) -> Result<(), HeadError> {
    let method_bytes = memchr::memchr(b' ', head).unwrap_or(head.len());
    if method_bytes > MAX_METHOD_BYTES {
        return Err(HeadError::MethodTooLong);
    }
    let target_bytes = target.map_or(head.len().saturating_sub(method_bytes + 1), str::len);
    if target_bytes > limits.max_target_bytes {
        return Err(HeadError::TargetTooLong);
    }
    for at in memchr::memchr_iter(b'\n', head) {
        if !head.get(..at).is_some_and(|line| line.ends_with(b"\r")) {
            return Err(HeadError::LineEnd);
        }
    }
    if full { Err(HeadError::HeadTooLarge) } else { Ok(()) }
}

/// Distinguishes a version that Ringway does not speak from a third word that is no version. `Ok`: it has not
/// come completely yet.
#[cold]
fn unsupported_version(head: &[u8]) -> Result<(), HeadError> {
    let Some(version) = head.splitn(3, |&byte| byte == b' ').nth(2) else { return Ok(()) };
    for (at, &expected) in b"HTTP/0.0".iter().enumerate() {
        match version.get(at) {
            None => return Ok(()),
            Some(byte) if *byte == expected => {}
            Some(byte) if expected == b'0' && byte.is_ascii_digit() => {}
            Some(_) => return Err(HeadError::RequestLine),
        }
    }
    Err(HeadError::VersionUnsupported)
}

#[cold]
fn refusal(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::HeaderName => HeadError::FieldName,
        httparse::Error::HeaderValue => HeadError::FieldValue,
        httparse::Error::NewLine => HeadError::LineEnd,
        httparse::Error::TooManyHeaders => HeadError::TooManyFields,
        httparse::Error::Token | httparse::Error::Version | httparse::Error::Status => {
            HeadError::RequestLine
        }
    }
}
