//! Forward: the request as an upstream server gets it, and its response as the client gets it
//! (RFC 9110 section 7.6, RFC 9112 section 7). Pure.
//!
//! Invariant: every byte of framing is ours. Request line, line ends and the fields that frame a
//! message are written from what the parser and the decoder found, never copied; a field that a peer
//! could use to change the meaning of one of ours is removed before ours are written, so that none
//! of ours can be named away by `Connection`.

#[cfg(any(test, feature = "fuzzing"))]
pub mod hold;
mod hops;
mod origin;
mod path;
mod proxy_protocol;
mod request;
mod response;
mod trailers;
pub(crate) mod websocket;

#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use origin::{Forwarding, Origin};
pub(crate) use path::PathRule;
pub(crate) use proxy_protocol::proxy_header;
pub(crate) use request::{
    Forward, Hop, Outgoing, Spoken, accepts_trailers, asks_to_switch, end_of_request, request,
};
pub(crate) use response::{Present, response_fields};
pub(crate) use trailers::{TrailersOf, trailer_fields};

/// Visits the fields of a head, in their order.
pub(crate) type Visit<'v> = dyn Fn(&mut dyn FnMut(&str, &[u8])) + 'v;

/// Why a request is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForwardError {
    /// TRACE and CONNECT end here: 405.
    Method,
    /// The path could be read in two ways: 400.
    Path,
    /// `Connection` names a field that a recipient needs, or that we add: 400.
    ConnectionNames,
    /// The request went through this server already (`Via`): 502.
    Loop,
    /// HTTP/1.0 without an authority, and the pool names none: 400.
    NoHost,
}

impl fmt::Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "TRACE and CONNECT are not passed on",
            Self::Path => "the path could be read in two ways",
            Self::ConnectionNames => "Connection names a field that must reach the server",
            Self::Loop => "the request went through this server already",
            Self::NoHost => "the request names no host",
        })
    }
}

impl std::error::Error for ForwardError {}

/// Appends one field line.
fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(piece);
    }
}

/// The elements of a comma-separated list, trimmed, without empty ones (RFC 9110 section 5.6.1).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}
