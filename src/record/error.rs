//! What can be wrong with a record, and the alert that says so to the peer.

use std::fmt;

use super::ContentType;

/// The alerts that Ringway sends or distinguishes (RFC 8446 section 6, RFC 5246 section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AlertDescription {
    /// The sender will send nothing more.
    CloseNotify = 0,
    /// A message that is not allowed now.
    UnexpectedMessage = 10,
    /// A record that does not authenticate.
    BadRecordMac = 20,
    /// A record longer than allowed.
    RecordOverflow = 22,
    /// A field with a forbidden value.
    IllegalParameter = 47,
    /// A message that cannot be parsed.
    DecodeError = 50,
    /// A version that is not supported.
    ProtocolVersion = 70,
    /// A failure that is not the peer's fault.
    InternalError = 80,
    /// A renegotiation that we refuse (TLS 1.2).
    NoRenegotiation = 100,
}

/// A record, or a control message in one, that ends the connection.
///
/// Every variant is fatal: one forged record is the most that a peer can try under a key, so the
/// integrity limits of RFC 8446 section 5.5 and RFC 9147 section 4.5.3 are never approached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// The outer content type is none of TLS.
    UnknownType(u8),
    /// The record version is not 0x0303.
    Version(u8, u8),
    /// The record, or its plaintext, is longer than the protocol allows.
    Overflow,
    /// The record is empty where emptiness is forbidden.
    Empty,
    /// The slice given is not exactly one record: a fault of the caller.
    Length,
    /// The record does not authenticate.
    BadMac,
    /// This content type is not allowed after the handshake.
    UnexpectedType(ContentType),
    /// A TLS 1.3 record of padding only.
    NoInnerType,
    /// More than [`Opener::MAX_CONSECUTIVE_EMPTY`] empty records in a row.
    ///
    /// [`Opener::MAX_CONSECUTIVE_EMPTY`]: super::Opener::MAX_CONSECUTIVE_EMPTY
    EmptyFlood,
    /// The peer sealed 2^64 - 1 records under one key.
    SequenceExhausted,
    /// An alert that is not exactly two bytes.
    MalformedAlert,
    /// An alert level that TLS 1.2 does not know.
    AlertLevel(u8),
    /// A handshake message, by its type, that is not allowed after the handshake.
    UnexpectedHandshake(u8),
    /// A `KeyUpdate` that is not alone in its record, or has not exactly one byte of body.
    MalformedKeyUpdate,
    /// A `KeyUpdate` whose request is neither 0 nor 1.
    KeyUpdateRequest(u8),
    /// The client wants to renegotiate.
    Renegotiation,
}

impl RecordError {
    /// The fatal alert that the peer gets.
    pub fn alert(self) -> AlertDescription {
        match self {
            Self::UnknownType(_)
            | Self::Empty
            | Self::UnexpectedType(_)
            | Self::NoInnerType
            | Self::EmptyFlood
            | Self::UnexpectedHandshake(_) => AlertDescription::UnexpectedMessage,
            Self::Version(..) => AlertDescription::ProtocolVersion,
            Self::Overflow => AlertDescription::RecordOverflow,
            Self::Length | Self::SequenceExhausted => AlertDescription::InternalError,
            Self::BadMac => AlertDescription::BadRecordMac,
            Self::MalformedAlert | Self::MalformedKeyUpdate => AlertDescription::DecodeError,
            Self::AlertLevel(_) | Self::KeyUpdateRequest(_) => AlertDescription::IllegalParameter,
            Self::Renegotiation => AlertDescription::NoRenegotiation,
        }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType(byte) => write!(f, "record of unknown content type {byte}"),
            Self::Version(major, minor) => {
                write!(f, "record of version 0x{major:02x}{minor:02x}, not 0x0303")
            }
            Self::Overflow => f.write_str("record longer than allowed"),
            Self::Empty => f.write_str("empty record where none is allowed"),
            Self::Length => f.write_str("slice is not exactly one record"),
            Self::BadMac => f.write_str("record does not authenticate"),
            Self::UnexpectedType(content_type) => {
                write!(f, "{content_type:?} record after the handshake")
            }
            Self::NoInnerType => f.write_str("record of padding only"),
            Self::EmptyFlood => f.write_str("too many empty records in a row"),
            Self::SequenceExhausted => f.write_str("record sequence number exhausted"),
            Self::MalformedAlert => f.write_str("alert of a length other than two bytes"),
            Self::AlertLevel(level) => write!(f, "alert of unknown level {level}"),
            Self::UnexpectedHandshake(kind) => {
                write!(f, "handshake message of type {kind} after the handshake")
            }
            Self::MalformedKeyUpdate => f.write_str("malformed KeyUpdate"),
            Self::KeyUpdateRequest(value) => write!(f, "KeyUpdate with request {value}"),
            Self::Renegotiation => f.write_str("client wants to renegotiate"),
        }
    }
}

impl std::error::Error for RecordError {}
