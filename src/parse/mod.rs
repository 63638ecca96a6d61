//! Parse: heads of requests and responses (RFC 9112 sections 2 to 5). Pure, and borrowed from the
//! bytes read.
//!
//! Invariant: a [`RequestHead`] has one meaning. Whatever two implementations could read
//! differently (a bare line feed, a folded line, two lengths, a length beside a coding, a second
//! host) is a [`HeadError`] instead, and every such error closes the connection.

#![forbid(unsafe_code)]

mod authority;
mod error;
mod facts;
mod fields;
mod forwarded;
pub(crate) mod h2;
mod head;
mod method;
mod proxy_protocol;
pub(crate) mod response;
mod scan;
mod target;
mod token;

pub(crate) use forwarded::{HopForm, Hops};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub(crate) use error::HeadError;
pub(crate) use fields::Fields;
pub use fields::{FieldStorage, MAX_FIELDS};
pub use head::request_head;
pub(crate) use head::{RequestHead, Version};
pub use method::Method;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use proxy_protocol::hold as proxy_protocol_hold;
pub(crate) use proxy_protocol::{Announced, ProxyHeaderError, is_proxy_header, proxy_header};
pub use scan::HeadScan;
pub use target::Target;
pub(crate) use token::is_token;
pub use token::is_token_byte;

/// What a request head may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, from the first byte to the final CRLF. Beyond: 431.
    pub max_head_bytes: usize,
    /// Field lines; at most [`MAX_FIELDS`], a larger number means that. Beyond: 431.
    pub max_fields: usize,
    /// Bytes of the request target. Beyond: 414.
    pub max_target_bytes: usize,
}

impl Default for HeadLimits {
    /// 16 KiB, 100 fields, a target of 8 KiB (RFC 9112 section 3 asks for at least 8000 bytes).
    fn default() -> Self {
        Self { max_head_bytes: 16 * 1024, max_fields: MAX_FIELDS, max_target_bytes: 8 * 1024 }
    }
}

/// How the end of a request's content is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// Neither field is present: no content.
    None,
    /// `Content-Length`, in bytes; may be zero.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}
