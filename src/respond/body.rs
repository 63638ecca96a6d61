//! Which responses say how long their content is: the rule in one place.

/// Whether a response with this status code may state a `Content-Length`.
///
/// RFC 9110 section 8.6 forbids it in 1xx and 204. In 304 it would be allowed, but section 15.4.5
/// advises against metadata that the recipient's stored response already has.
pub(crate) const fn content_length_allowed(code: u16) -> bool {
    !matches!(code, 100..200 | 204 | 304)
}
