//! Why a handshake failed.

#![forbid(unsafe_code)]

use std::fmt;

use crate::tls::KeysError;

/// Why a handshake failed.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// The first bytes are an HTTP request in the clear.
    PlainHttp,
    /// The bytes are no TLS record.
    NotTls,
    /// The client sent more than [`Handshake::MAX_BYTES`](super::Handshake::MAX_BYTES) or [`Handshake::MAX_RECORDS`](super::Handshake::MAX_RECORDS).
    TooLong,
    /// The client closed the connection within the handshake.
    Closed,
    /// The client sent application data before its Finished.
    EarlyData,
    /// Handshake bytes are left over where the keys change.
    Unaligned,
    /// [`Handshake::finish`](super::Handshake::finish) came too early: a fault of the caller.
    Unfinished,
    /// The client speaks an older version than it could, since a newer one failed (RFC 7507);
    /// rustls does not know the signal.
    InappropriateFallback,
    /// An invariant of ours broke.
    Defect(&'static str),
    /// rustls gave keys, or a state, that the record layer does not know.
    Keys,
    /// ALPN agreed on a protocol that was not offered.
    Protocol,
    /// rustls refused; its alert is in the output.
    Tls(rustls::Error),
}

impl HandshakeError {
    /// Whether the client was refused for its certificate, or for the lack of one. Only servers
    /// that ask for one see this.
    pub(crate) fn is_client_certificate(&self) -> bool {
        matches!(
            self,
            Self::Tls(
                rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented
            )
        )
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainHttp => f.write_str("plain HTTP on the HTTPS port"),
            Self::NotTls => f.write_str("not TLS"),
            Self::TooLong => f.write_str("handshake too long"),
            Self::Closed => f.write_str("client closed the connection during the handshake"),
            Self::EarlyData => f.write_str("application data before the handshake's end"),
            Self::Unaligned => f.write_str("handshake message continues across a change of keys"),
            Self::Unfinished => f.write_str("handshake is not finished"),
            Self::InappropriateFallback => {
                f.write_str("the client fell back to an older version of TLS (TLS_FALLBACK_SCSV)")
            }
            Self::Defect(what) => write!(f, "internal error: {what}"),
            Self::Keys => f.write_str("the TLS library gave keys of an unknown kind"),
            Self::Protocol => f.write_str("ALPN agreed on a protocol that was not offered"),
            Self::Tls(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Tls(error) => Some(error),
            _ => None,
        }
    }
}

impl From<KeysError> for HandshakeError {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Tls(error) => Self::Tls(error),
            KeysError::Unknown => Self::Keys,
        }
    }
}
