//! The request target and its four forms (RFC 9112 section 3.2).

use super::authority::{is_authority, is_host_and_port};
use super::{HeadError, Method};

/// What a request is for. Paths and queries are as sent: nothing is decoded here, and every byte
/// is a visible ASCII character other than `#`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'b> {
    /// `/path?query`: the usual form.
    Origin {
        /// Begins with `/`.
        path: &'b [u8],
        /// What follows the first `?`, if there is one.
        query: Option<&'b [u8]>,
    },
    /// `https://host/path?query`: as sent to proxies, but servers must accept it too.
    Absolute {
        /// `http` or `https`, in the case that was sent.
        scheme: &'b [u8],
        /// `host` or `host:port`, never empty.
        authority: &'b [u8],
        /// Begins with `/`; `/` if the target has none.
        path: &'b [u8],
        /// What follows the first `?`, if there is one.
        query: Option<&'b [u8]>,
    },
    /// `host:port`, with CONNECT only.
    Authority(&'b [u8]),
    /// `*`, with OPTIONS only: the server as a whole.
    Asterisk,
}

impl<'b> Target<'b> {
    /// The path and query; `*` for a target that has none.
    pub(crate) fn path_and_query(self) -> (&'b [u8], Option<&'b [u8]>) {
        match self {
            Self::Origin { path, query } | Self::Absolute { path, query, .. } => (path, query),
            Self::Asterisk | Self::Authority(_) => (b"*", None),
        }
    }
}

impl<'b> Target<'b> {
    /// Reads a target that is not empty and holds no space.
    pub(super) fn parse(method: Method<'_>, text: &'b [u8]) -> Result<Self, HeadError> {
        let found = Found::of(text);
        if found.forbidden {
            return Err(HeadError::TargetByte);
        }
        match (method, text) {
            (Method::Connect, _) if is_host_and_port(text) => Ok(Self::Authority(text)),
            (Method::Connect, _) => Err(HeadError::TargetForm),
            (_, [b'/', ..]) => {
                let (path, query) = found.split(text);
                Ok(Self::Origin { path, query })
            }
            (Method::Options, b"*") => Ok(Self::Asterisk),
            _ => Self::absolute(text).ok_or(HeadError::TargetForm),
        }
    }

    fn absolute(text: &'b [u8]) -> Option<Self> {
        let (scheme, rest) = text.split_at_checked(memchr::memchr(b':', text)?)?;
        if !scheme.eq_ignore_ascii_case(b"https") && !scheme.eq_ignore_ascii_case(b"http") {
            return None;
        }
        let rest = rest.strip_prefix(b"://")?;
        let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        if !is_authority(authority) {
            return None;
        }
        let (path, query) = split_query(rest);
        let path = if path.is_empty() { b"/" } else { path };
        Some(Self::Absolute { scheme, authority, path, query })
    }

    /// The path, where the form has one.
    pub const fn path(self) -> Option<&'b [u8]> {
        match self {
            Self::Origin { path, .. } | Self::Absolute { path, .. } => Some(path),
            Self::Authority(_) | Self::Asterisk => None,
        }
    }

    /// The query without its `?`, where there is one.
    pub const fn query(self) -> Option<&'b [u8]> {
        match self {
            Self::Origin { query, .. } | Self::Absolute { query, .. } => query,
            Self::Authority(_) | Self::Asterisk => None,
        }
    }
}

/// What a target holds, seen in one pass.
pub(super) struct Found {
    /// A fragment, a control character or a byte outside ASCII.
    pub(super) forbidden: bool,
    query: bool,
}

impl Found {
    pub(super) fn of(text: &[u8]) -> Self {
        // Without an early exit, so that the compiler takes many bytes at once.
        let forbidden = |byte: u8| byte <= b' ' || byte >= 0x7f || byte == b'#';
        let found = text.iter().fold(0, |found, &byte| {
            found | u8::from(forbidden(byte)) | (u8::from(byte == b'?') << 1)
        });
        Self { forbidden: found & 1 != 0, query: found & 2 != 0 }
    }

    /// Divides the target at its first `?`.
    pub(super) fn split(self, text: &[u8]) -> (&[u8], Option<&[u8]>) {
        if self.query { split_query(text) } else { (text, None) }
    }
}

/// Divides a target at its first `?`.
fn split_query(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', text).and_then(|at| text.split_at_checked(at)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (text, None),
    }
}
