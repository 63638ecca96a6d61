//! Why a request head was refused.

use std::fmt;

use crate::respond::Status;

/// A refused request head. The peer gets [`status`](Self::status) and the connection closes,
/// since the bytes behind a refused head have no certain meaning. The text is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// More empty lines before the request line than are tolerated.
    EmptyLines,
    /// The request line is not `method SP target SP version`.
    RequestLine,
    /// A line does not end with CRLF, or a CR stands alone.
    LineEnd,
    /// The method is longer than any that a server could know.
    MethodTooLong,
    /// The target exceeds [`HeadLimits::max_target_bytes`](super::HeadLimits).
    TargetTooLong,
    /// The target holds a fragment, a control character or a byte outside ASCII.
    TargetByte,
    /// The target has none of the forms that its method may have.
    TargetForm,
    /// A well-formed version that is neither HTTP/1.1 nor HTTP/1.0.
    VersionUnsupported,
    /// A field line does not begin with a token and a colon: a folded line, a space before the
    /// colon, an empty name.
    FieldName,
    /// A field value holds a control character.
    FieldValue,
    /// More field lines than [`HeadLimits::max_fields`](super::HeadLimits).
    TooManyFields,
    /// The head exceeds [`HeadLimits::max_head_bytes`](super::HeadLimits).
    HeadTooLarge,
    /// HTTP/1.1 without `Host`.
    HostMissing,
    /// More than one `Host`.
    HostRepeated,
    /// `Host` is no `host[:port]`.
    HostInvalid,
    /// `Content-Length` is not one plain number that fits 64 bits.
    ContentLengthInvalid,
    /// More than one `Content-Length`, equal or not.
    ContentLengthRepeated,
    /// `Content-Length` beside `Transfer-Encoding`.
    LengthBesideCoding,
    /// `Transfer-Encoding` in an HTTP/1.0 request.
    CodingInHttp10,
    /// `Transfer-Encoding` is malformed, or `chunked` is not last, or not exactly once.
    CodingInvalid,
    /// A transfer coding besides `chunked`.
    CodingUnsupported,
    /// An expectation other than `100-continue`.
    ExpectationUnknown,
}

impl HeadError {
    /// The status that the peer gets.
    pub const fn status(self) -> Status {
        match self {
            Self::EmptyLines
            | Self::RequestLine
            | Self::LineEnd
            | Self::TargetByte
            | Self::TargetForm
            | Self::FieldName
            | Self::FieldValue
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::ContentLengthInvalid
            | Self::ContentLengthRepeated
            | Self::LengthBesideCoding
            | Self::CodingInHttp10
            | Self::CodingInvalid => Status::BadRequest,
            Self::TargetTooLong => Status::UriTooLong,
            Self::ExpectationUnknown => Status::ExpectationFailed,
            Self::TooManyFields | Self::HeadTooLarge => Status::RequestHeaderFieldsTooLarge,
            Self::MethodTooLong | Self::CodingUnsupported => Status::NotImplemented,
            Self::VersionUnsupported => Status::HttpVersionNotSupported,
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyLines => "too many empty lines before the request line",
            Self::RequestLine => "the request line is not method, target and version",
            Self::LineEnd => "a line of the head does not end with CRLF",
            Self::MethodTooLong => "the method is longer than any known one",
            Self::TargetTooLong => "the request target is too long",
            Self::TargetByte => "the request target holds a byte that no target may hold",
            Self::TargetForm => "the request target has no form that its method may have",
            Self::VersionUnsupported => "the HTTP version is neither 1.1 nor 1.0",
            Self::FieldName => "a field line does not begin with a field name and a colon",
            Self::FieldValue => "a field value holds a control character",
            Self::TooManyFields => "the head has too many field lines",
            Self::HeadTooLarge => "the head is too large",
            Self::HostMissing => "the request has no Host",
            Self::HostRepeated => "the request has more than one Host",
            Self::HostInvalid => "the Host is not a host with an optional port",
            Self::ContentLengthInvalid => "the Content-Length is not one plain number",
            Self::ContentLengthRepeated => "the request has more than one Content-Length",
            Self::LengthBesideCoding => "the request has Content-Length and Transfer-Encoding",
            Self::CodingInHttp10 => "an HTTP/1.0 request has Transfer-Encoding",
            Self::CodingInvalid => "the Transfer-Encoding does not end with one chunked",
            Self::CodingUnsupported => "the request uses a transfer coding besides chunked",
            Self::ExpectationUnknown => "the request expects something besides 100-continue",
        })
    }
}

impl std::error::Error for HeadError {}
