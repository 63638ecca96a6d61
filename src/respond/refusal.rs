//! Complete responses that end a connection, and the interim response.

use super::{DateCache, HeadFault, HeadWriter, Status};

/// The interim response to `Expect: 100-continue` (RFC 9110 section 15.2.1), complete.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Writes the whole response to a request that could not be understood or is not wanted: head,
/// page, and `Connection: close`, since what follows on the connection has no certain meaning.
/// Returns its length in bytes; 1.5 KiB always suffice.
///
/// The request's method is not known or does not matter: after `HEAD`, too, the page is cut off
/// by the close. Statuses that owe a further field (405 `Allow`, 416 `Content-Range`) are
/// answered by the handler instead.
///
/// # Errors
/// [`HeadFault::Overflow`] if `buffer` is too small.
pub fn refusal(buffer: &mut [u8], status: Status, date: &DateCache) -> Result<usize, HeadFault> {
    let page = status.page().as_bytes();
    let mut head = HeadWriter::new(buffer, status);
    head.server().date(date).connection_close().field("Content-Type", b"text/html; charset=utf-8");
    if status == Status::ServiceUnavailable {
        // RFC 9110 section 10.2.3: what was short may be there again in a moment.
        head.field("Retry-After", b"1");
    }
    head.content_length(page.len() as u64);
    let length = head.finish()?;
    let end = length + page.len();
    buffer.get_mut(length..end).ok_or(HeadFault::Overflow)?.copy_from_slice(page);
    Ok(end)
}
