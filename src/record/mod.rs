//! The TLS record layer: sealing and opening with extracted keys.
//!
//! rustls performs the handshake; from the first record after it, this module protects what is
//! sent and checks what arrives, unless the kernel does. The invariant: **a nonce is used once**.
//! A [`Sealer`] owns its sequence number, raises it with every record, refuses to go past the
//! limit of its key, and cannot be cloned.
//!
//! Everything is in place or in one pass: a [`Sealer`] encrypts from the file's pages straight
//! into send memory, an [`Opener`] decrypts inside the receive buffer.
//!
//! Only AEAD suites exist here (RFC 8446 section 5.2; RFC 5246 section 6.2.3.3 with the nonces of
//! RFC 5288 and RFC 7905). The module does no I/O and never panics on input.

#![forbid(unsafe_code)]

mod control;
mod error;
mod header;
mod keys;
mod open;
mod seal;

#[cfg(test)]
mod tests;

pub use control::parse_control;
pub(crate) use control::{Control, KEY_UPDATE, encode_alert};
pub(crate) use error::{AlertDescription, RecordError};
pub(crate) use header::HEADER;
pub use header::{ContentType, RecordHeader};
pub use keys::{Suite, TlsVersion, TrafficKeys};
#[cfg(test)]
pub(crate) use open::Opened;
pub use open::Opener;
pub(crate) use seal::SealError;
pub use seal::Sealer;

/// Most plaintext bytes in one record (RFC 8446 section 5.1, RFC 5246 section 6.2.1).
pub const MAX_PLAINTEXT: usize = 1 << 14;

/// Length in bytes of the authentication tag of every AEAD used here.
pub(crate) const TAG: usize = 16;

/// Most bytes that a record adds to its plaintext, header included: five of header, eight of
/// explicit nonce (TLS 1.2 with AES-GCM) and the tag.
pub const MAX_OVERHEAD: usize = HEADER + 8 + TAG;

/// Bytes that a record of TLS 1.3 without padding adds to its plaintext: header, content type and tag
/// (RFC 8446 section 5.2).
pub(crate) const TLS13_OVERHEAD: usize = HEADER + 1 + TAG;

/// Most bytes of one whole record that a peer may send: the header and TLS 1.3's longest
/// ciphertext, which exceeds that of TLS 1.2's AEAD suites (RFC 8446 section 5.2).
#[cfg(test)]
pub(crate) const MAX_RECORD: usize = HEADER + MAX_PLAINTEXT + 256;
