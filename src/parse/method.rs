//! Request methods (RFC 9110 section 9), which are case-sensitive tokens.

/// The longest method that is looked at. The longest registered one has 17 bytes
/// (`UPDATEREDIRECTREF`); RFC 9112 section 3 answers longer ones with 501.
pub(super) const MAX_METHOD_BYTES: usize = 32;

/// A request method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method<'b> {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `OPTIONS`
    Options,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `PATCH`
    Patch,
    /// `TRACE`
    Trace,
    /// `CONNECT`
    Connect,
    /// Any other token, at most 32 bytes long.
    Other(&'b [u8]),
}

impl<'b> Method<'b> {
    /// The method of this name, which the caller has checked to be a token of at most 32 bytes.
    /// Names are case-sensitive (RFC 9110 section 9.1).
    pub fn from_token(token: &'b [u8]) -> Self {
        match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"OPTIONS" => Self::Options,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"PATCH" => Self::Patch,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            other => Self::Other(other),
        }
    }

    /// The method as it was sent.
    pub const fn as_bytes(self) -> &'b [u8] {
        match self {
            Self::Get => b"GET",
            Self::Head => b"HEAD",
            Self::Options => b"OPTIONS",
            Self::Post => b"POST",
            Self::Put => b"PUT",
            Self::Delete => b"DELETE",
            Self::Patch => b"PATCH",
            Self::Trace => b"TRACE",
            Self::Connect => b"CONNECT",
            Self::Other(token) => token,
        }
    }
}
