//! The client's connection preface (RFC 9113 section 3.4).

use super::Fault;

/// The octets that begin an HTTP/2 connection.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Looks for the preface at the front of `bytes`. False if more bytes are needed.
///
/// # Errors
/// The bytes are no preface, as soon as that is certain.
pub(crate) fn expect_preface(bytes: &[u8]) -> Result<bool, Fault> {
    let known = bytes.len().min(PREFACE.len());
    if bytes.get(..known) != PREFACE.get(..known) {
        return Err(Fault::protocol("the connection does not begin with the HTTP/2 preface"));
    }
    Ok(known == PREFACE.len())
}
