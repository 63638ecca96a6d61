//! A response head, from its status line to the empty line that ends it (RFC 9112 sections 4 and 6).
//!
//! An upstream server is read as strictly as a client: a head with two possible meanings is a
//! [`ResponseError`], and its connection closes. Only what many servers send and nobody reads in two
//! ways is tolerated: a status line without reason phrase and without the space before it.

use std::fmt;

use httparse::{Header, Status};

use super::{
    BodyLength, FieldStorage, Fields, HeadError, HeadLimits, MAX_FIELDS, Version,
    facts::Facts,
    head::{line_end, skip_whitespace},
};

/// How the end of a response's content is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentEnd {
    /// The response has no content: it answers HEAD, or its status is 1xx, 204 or 304.
    Absent,
    /// `Content-Length`, in bytes; may be zero.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Neither field is present: the content ends with the connection.
    Close,
}

/// What the request was, as far as the meaning of its response depends on that.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answered {
    /// The method was HEAD.
    pub(crate) head: bool,
    /// The request asked to switch protocols (`Upgrade`).
    pub(crate) upgrade: bool,
}

/// A response head that is complete and has one meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseHead<'h, 'b> {
    /// 100 to 599.
    pub(crate) status: u16,
    pub(crate) version: Version,
    /// Every field line, those that are judged here included.
    pub(crate) fields: Fields<'h, 'b>,
    /// Where the content ends.
    pub(crate) content: ContentEnd,
    /// `Content-Length` as stated, also where the response has no content.
    pub(crate) stated_length: Option<u64>,
    /// Whether the server lets the connection go on after this response (RFC 9112 section 9.3).
    pub(crate) persistent: bool,
    /// Bytes of the head, final CRLF included.
    pub(crate) length: usize,
}

impl ResponseHead<'_, '_> {
    /// An interim response (1xx) other than 101: another head follows.
    pub(crate) fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// A refused response head. The connection to the server closes, and the client gets 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseError {
    /// The status line is not `HTTP/1.1 SP 3DIGIT [SP reason]`, or its number is not 100 to 599.
    StatusLine,
    /// A line does not end with CRLF, or a CR stands alone.
    LineEnd,
    /// A field line does not begin with a token and a colon, or is folded.
    FieldName,
    /// A field value holds a control character.
    FieldValue,
    /// More field lines than [`HeadLimits::max_fields`].
    TooManyFields,
    /// The head exceeds [`HeadLimits::max_head_bytes`].
    HeadTooLarge,
    /// `Content-Length` is not one plain number that fits 64 bits, or occurs twice.
    ContentLength,
    /// `Content-Length` beside `Transfer-Encoding`.
    LengthBesideCoding,
    /// `Transfer-Encoding` that is malformed, is not `chunked` alone, or stands in HTTP/1.0.
    Coding,
    /// 101 to a request that did not ask to switch.
    UnaskedSwitch,
}

impl ResponseError {
    /// The reason as RFC 9209 section 2.3 names it.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::TooManyFields | Self::HeadTooLarge => "http_response_header_section_size",
            Self::Coding => "http_response_transfer_coding",
            Self::UnaskedSwitch => "http_upgrade_failed",
            Self::StatusLine
            | Self::LineEnd
            | Self::FieldName
            | Self::FieldValue
            | Self::ContentLength
            | Self::LengthBesideCoding => "http_protocol_error",
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StatusLine => "the status line is not version, status and reason",
            Self::LineEnd => "a line of the head does not end with CRLF",
            Self::FieldName => "a field line does not begin with a field name and a colon",
            Self::FieldValue => "a field value holds a control character",
            Self::TooManyFields => "the head has too many field lines",
            Self::HeadTooLarge => "the head is too large",
            Self::ContentLength => "the Content-Length is not one plain number",
            Self::LengthBesideCoding => "the response has Content-Length and Transfer-Encoding",
            Self::Coding => "the Transfer-Encoding is not chunked alone",
            Self::UnaskedSwitch => "the server switches protocols unasked",
        })
    }
}

impl std::error::Error for ResponseError {}

impl From<HeadError> for ResponseError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::LineEnd => Self::LineEnd,
            HeadError::ContentLengthInvalid | HeadError::ContentLengthRepeated => {
                Self::ContentLength
            }
            HeadError::LengthBesideCoding => Self::LengthBesideCoding,
            HeadError::CodingInHttp10 | HeadError::CodingInvalid | HeadError::CodingUnsupported => {
                Self::Coding
            }
            HeadError::TooManyFields => Self::TooManyFields,
            HeadError::HeadTooLarge => Self::HeadTooLarge,
            HeadError::FieldName => Self::FieldName,
            HeadError::FieldValue => Self::FieldValue,
            // What only request heads can be refused for.
            HeadError::EmptyLines
            | HeadError::RequestLine
            | HeadError::MethodTooLong
            | HeadError::TargetTooLong
            | HeadError::TargetByte
            | HeadError::TargetForm
            | HeadError::VersionUnsupported
            | HeadError::HostMissing
            | HeadError::HostRepeated
            | HeadError::HostInvalid
            | HeadError::ExpectationUnknown => Self::StatusLine,
        }
    }
}

/// Bytes of `HTTP/1.1 200`, which every status line begins with.
const STATUS_LINE: usize = 12;

/// Parses the response head at the start of `bytes`. `Ok(None)`: more bytes are needed. Those must be
/// appended, and all parsed again; see [`HeadScan`](super::HeadScan) for when. Of `limits`, the bound
/// of the target does not matter.
///
/// # Errors
/// Whatever makes the head ambiguous or too large, as soon as it is known: limits are judged on
/// partial heads too.
pub(crate) fn response_head<'h, 'b>(
    bytes: &'b [u8],
    storage: &'h mut FieldStorage<'b>,
    limits: &HeadLimits,
    answered: Answered,
) -> Result<Option<ResponseHead<'h, 'b>>, ResponseError> {
    // What lies beyond the limit cannot complete the head.
    let bytes = bytes.get(..limits.max_head_bytes).unwrap_or(bytes);
    let Some((version, status)) = status_line(bytes)? else { return Ok(None) };
    let slots = &mut storage.0[..limits.max_fields.min(MAX_FIELDS)];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut response, bytes, slots) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => {
            bare_line_feed(bytes)?;
            let full = bytes.len() == limits.max_head_bytes;
            return if full { Err(ResponseError::HeadTooLarge) } else { Ok(None) };
        }
        Err(error) => return Err(refusal(error)),
    };
    if status == 101 && !answered.upgrade {
        return Err(ResponseError::UnaskedSwitch);
    }
    let lines: &'h [Header<'b>] = response.headers;
    let facts = walk(bytes, lines)?;
    let stated_length = facts.stated_length();
    let (body, persistent) = facts.conclude_response(version)?;
    let absent = answered.head || status < 200 || status == 204 || status == 304;
    let content = match body {
        _ if absent => ContentEnd::Absent,
        BodyLength::None => ContentEnd::Close,
        BodyLength::Length(length) => ContentEnd::Length(length),
        BodyLength::Chunked => ContentEnd::Chunked,
    };
    let fields = Fields(lines);
    Ok(Some(ResponseHead { status, version, fields, content, stated_length, persistent, length }))
}

/// Version and status, if they have come. `httparse` skips empty lines before them and takes any
/// three digits.
fn status_line(bytes: &[u8]) -> Result<Option<(Version, u16)>, ResponseError> {
    for (at, &expected) in b"HTTP/1.d ddd".iter().enumerate() {
        match bytes.get(at) {
            None => return Ok(None),
            Some(byte) if expected == b'd' && byte.is_ascii_digit() => {}
            Some(byte) if *byte == expected => {}
            Some(_) => return Err(ResponseError::StatusLine),
        }
    }
    let digit = |at: usize| bytes.get(at).map_or(0, |byte| u16::from(byte & 0x0f));
    let version = match bytes.get(7) {
        Some(b'0') => Version::Http10,
        Some(b'1') => Version::Http11,
        _ => return Err(ResponseError::StatusLine),
    };
    let status = digit(9) * 100 + digit(10) * 10 + digit(11);
    match bytes.get(STATUS_LINE) {
        _ if !(100..=599).contains(&status) => Err(ResponseError::StatusLine),
        None | Some(b' ' | b'\r') => Ok(Some((version, status))),
        Some(b'\n') => Err(ResponseError::LineEnd),
        Some(_) => Err(ResponseError::StatusLine),
    }
}

/// Walks the lines once: each must end with CRLF, and each field is noted.
fn walk<'b>(head: &'b [u8], lines: &[Header<'b>]) -> Result<Facts<'b>, ResponseError> {
    let mut facts = Facts::default();
    let end = memchr::memchr(b'\n', head).ok_or(ResponseError::LineEnd)?;
    let (status_line, mut rest) = head.split_at_checked(end + 1).ok_or(ResponseError::LineEnd)?;
    if !status_line.ends_with(b"\r\n") {
        return Err(ResponseError::LineEnd);
    }
    for line in lines {
        let value = rest.get(line.name.len() + 1..).map(skip_whitespace);
        let behind = value.and_then(|value| value.get(line.value.len()..)).map(skip_whitespace);
        let behind = behind.ok_or(ResponseError::LineEnd)?;
        rest = line_end(behind)?;
        facts.note_response(line.name, line.value)?;
    }
    line_end(rest)?;
    Ok(facts)
}

/// A line end that is wrong already will not get better.
fn bare_line_feed(bytes: &[u8]) -> Result<(), ResponseError> {
    for at in memchr::memchr_iter(b'\n', bytes) {
        if !bytes.get(..at).is_some_and(|line| line.ends_with(b"\r")) {
            return Err(ResponseError::LineEnd);
        }
    }
    Ok(())
}

#[cold]
fn refusal(error: httparse::Error) -> ResponseError {
    match error {
        httparse::Error::HeaderName => ResponseError::FieldName,
        httparse::Error::HeaderValue => ResponseError::FieldValue,
        httparse::Error::NewLine => ResponseError::LineEnd,
        httparse::Error::TooManyHeaders => ResponseError::TooManyFields,
        httparse::Error::Token | httparse::Error::Version | httparse::Error::Status => {
            ResponseError::StatusLine
        }
    }
}

/// Seconds after which the server says that it closes an unused connection: `timeout` of `Keep-Alive`
/// (RFC 2068 section 19.7.1.1, and what servers send since).
pub(crate) fn keep_alive_timeout(fields: Fields<'_, '_>) -> Option<u32> {
    let parameters = fields.all("keep-alive").flat_map(|value| value.split(|&byte| byte == b','));
    parameters
        .filter_map(|parameter| std::str::from_utf8(parameter.trim_ascii()).ok())
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))
        .and_then(|(_, seconds)| seconds.trim().parse().ok())
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
