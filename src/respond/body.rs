//! Which responses carry content: the rule in one place (RFC 9110 section 6.4.1, RFC 9112
//! section 6.3).

use super::Status;
use crate::parse::Method;

/// Whether a response with this status may state a `Content-Length`.
///
/// RFC 9110 section 8.6 forbids it in 1xx and 204. In 304 it would be allowed, but section 15.4.5
/// advises against metadata that the recipient's stored response already has.
pub const fn content_length_allowed(status: Status) -> bool {
    !matches!(status, Status::Continue | Status::NoContent | Status::NotModified)
}

/// Whether content may follow the head of a response with this status to a request with this
/// method. The answer to `HEAD` states the length of the content and sends none of it.
pub const fn body_allowed(status: Status, method: Method<'_>) -> bool {
    content_length_allowed(status) && !matches!(method, Method::Head)
}
