//! Control records: alerts and post-handshake messages, decrypted by either layer.
//!
//! The same functions serve user-space TLS, after an [`Opener`](super::Opener), and kernel TLS,
//! which hands over the plaintext of a control record beside its type.

use super::{AlertDescription, ContentType, RecordError, TlsVersion};

const LEVEL_WARNING: u8 = 1;
const LEVEL_FATAL: u8 = 2;
/// `user_canceled`: a `close_notify` follows (RFC 8446 section 6.1).
const USER_CANCELED: u8 = 90;

const HANDSHAKE_KEY_UPDATE: u8 = 24;
const HANDSHAKE_CLIENT_HELLO: u8 = 1;

/// A `KeyUpdate` message that asks nothing of the peer (RFC 8446 section 4.6.3): the answer to
/// one that did ask, or our own replacement of an exhausted key. To be sealed as
/// [`ContentType::Handshake`] under the old key; the next record uses the new one.
pub(crate) const KEY_UPDATE: [u8; 5] = [HANDSHAKE_KEY_UPDATE, 0, 0, 1, 0];

/// What a control record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The peer will send nothing more: the clean end of what it sends.
    CloseNotify,
    /// The peer failed, with this alert description. Send nothing, not even an alert.
    Failed(u8),
    /// A warning that changes nothing. Bound their number: they cost work.
    Ignored,
    /// The peer's next record uses its next key (TLS 1.3). Bound their number: each costs a
    /// derivation of keys, and an answer if one is requested.
    KeyUpdate {
        /// The peer wants us to update ours too, before our next application data.
        requested: bool,
    },
}

/// Reads the plaintext of a record that is not application data.
pub fn parse_control(
    version: TlsVersion,
    content_type: ContentType,
    payload: &[u8],
) -> Result<Control, RecordError> {
    match content_type {
        ContentType::Alert => parse_alert(version, payload),
        ContentType::Handshake => parse_handshake(version, payload),
        other @ (ContentType::ChangeCipherSpec | ContentType::ApplicationData) => {
            Err(RecordError::UnexpectedType(other))
        }
    }
}

/// RFC 8446 section 6, RFC 5246 section 7.2: one whole alert in a record of its own.
fn parse_alert(version: TlsVersion, payload: &[u8]) -> Result<Control, RecordError> {
    let &[level, description] = payload else {
        return Err(RecordError::MalformedAlert);
    };
    if description == AlertDescription::CloseNotify as u8 {
        return Ok(Control::CloseNotify);
    }
    match (version, level) {
        // RFC 8446 section 6: the level is ignored, and all but these two are fatal.
        (TlsVersion::Tls13, _) if description == USER_CANCELED => Ok(Control::Ignored),
        (TlsVersion::Tls13, _) | (TlsVersion::Tls12, LEVEL_FATAL) => {
            Ok(Control::Failed(description))
        }
        (TlsVersion::Tls12, LEVEL_WARNING) => Ok(Control::Ignored),
        (TlsVersion::Tls12, other) => Err(RecordError::AlertLevel(other)),
    }
}

/// RFC 8446 section 4.6: a server that asks for no certificate expects `KeyUpdate` only. Keys
/// must not change inside a record (section 5.1), so it stands alone and whole in its record.
fn parse_handshake(version: TlsVersion, payload: &[u8]) -> Result<Control, RecordError> {
    let &[kind, ref rest @ ..] = payload else {
        return Err(RecordError::Empty);
    };
    match (version, kind) {
        (TlsVersion::Tls13, HANDSHAKE_KEY_UPDATE) => match *rest {
            [0, 0, 1, 0] => Ok(Control::KeyUpdate { requested: false }),
            [0, 0, 1, 1] => Ok(Control::KeyUpdate { requested: true }),
            [0, 0, 1, other] => Err(RecordError::KeyUpdateRequest(other)),
            _ => Err(RecordError::MalformedKeyUpdate),
        },
        (TlsVersion::Tls12, HANDSHAKE_CLIENT_HELLO) => Err(RecordError::Renegotiation),
        (_, other) => Err(RecordError::UnexpectedHandshake(other)),
    }
}

/// The body of an alert, to be sealed as [`ContentType::Alert`]. `close_notify` is a warning, all
/// others are fatal.
pub(crate) fn encode_alert(description: AlertDescription) -> [u8; 2] {
    let level = match description {
        AlertDescription::CloseNotify => LEVEL_WARNING,
        _ => LEVEL_FATAL,
    };
    [level, description as u8]
}
