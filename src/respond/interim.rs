//! The interim response.

/// The interim response to `Expect: 100-continue` (RFC 9110 section 15.2.1), complete.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
