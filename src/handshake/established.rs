//! What remains of a handshake: keys, and what was agreed.

#![forbid(unsafe_code)]

use rustls::server::UnbufferedServerConnection;
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};

use super::error::HandshakeError;
use crate::record::{Suite, TlsVersion, TrafficKeys};
use crate::tls::{KeySchedule, Protocol, traffic_keys};

/// A finished handshake.
#[derive(Debug)]
pub(crate) struct Established {
    /// Keys for what the client sends, at its next record.
    pub receive: TrafficKeys,
    /// Keys for what we send, at our next record: session tickets have raised its number.
    pub transmit: TrafficKeys,
    /// The version of TLS.
    pub version: TlsVersion,
    /// The AEAD of both directions.
    pub suite: Suite,
    /// The application protocol that ALPN agreed on; HTTP/1.1 without ALPN.
    pub protocol: Protocol,
    /// Whether a ticket spared the full handshake.
    pub resumed: bool,
    /// The group of the key exchange, as the registry of TLS spells it; empty without one, or for
    /// one that this server does not offer.
    pub group: &'static str,
    /// Where the keys after a `KeyUpdate` come from.
    pub schedule: KeySchedule,
}

impl Established {
    /// Takes a connection apart whose handshake is complete and whose output has been drained.
    pub(super) fn from_rustls(
        connection: UnbufferedServerConnection,
    ) -> Result<Self, HandshakeError> {
        let protocol =
            Protocol::agreed(connection.alpn_protocol()).ok_or(HandshakeError::Protocol)?;
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let group =
            connection.negotiated_key_exchange_group().map_or("", |group| match group.name() {
                NamedGroup::X25519MLKEM768 => "X25519MLKEM768",
                NamedGroup::X25519 => "x25519",
                NamedGroup::secp256r1 => "secp256r1",
                NamedGroup::secp384r1 => "secp384r1",
                _ => "",
            });
        let (secrets, kernel) =
            connection.dangerous_into_kernel_connection().map_err(HandshakeError::Tls)?;
        let version = match kernel.protocol_version() {
            ProtocolVersion::TLSv1_3 => TlsVersion::Tls13,
            ProtocolVersion::TLSv1_2 => TlsVersion::Tls12,
            _ => return Err(HandshakeError::Keys),
        };
        let (sequence, secret) = secrets.rx;
        let receive = traffic_keys(version, sequence, &secret)?;
        let (sequence, secret) = secrets.tx;
        let transmit = traffic_keys(version, sequence, &secret)?;
        // rustls and we form the explicit nonces of TLS 1.2 differently, alike only for record
        // 0. It must have protected no other: see `counted_nonce` in `record::keys`.
        if version == TlsVersion::Tls12 && transmit.sequence() != 1 {
            return Err(HandshakeError::Keys);
        }
        Ok(Self {
            version,
            suite: transmit.suite(),
            receive,
            transmit,
            protocol,
            resumed,
            group,
            schedule: KeySchedule::new(kernel, version),
        })
    }
}
