//! What remains of a handshake: keys, and how to derive the next ones.

#![forbid(unsafe_code)]

use std::fmt;

use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{ConnectionTrafficSecrets, HandshakeKind, ProtocolVersion};

use super::{HandshakeError, Protocol};
use crate::record::{Suite, TlsVersion, TrafficKeys};

/// A finished handshake.
#[derive(Debug)]
pub struct Established {
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
            schedule: KeySchedule { kernel: Box::new(kernel), version },
        })
    }
}

/// Derives the keys that follow a `KeyUpdate` (RFC 8446 section 7.2).
pub struct KeySchedule {
    /// Boxed: half a kilobyte that a connection seldom touches.
    kernel: Box<KernelConnection<ServerConnectionData>>,
    version: TlsVersion,
}

impl KeySchedule {
    /// The client's next keys, after its `KeyUpdate`. TLS 1.2 has none, and gives an error.
    pub fn next_receive_keys(&mut self) -> Result<TrafficKeys, HandshakeError> {
        let (sequence, secret) = self.kernel.update_rx_secret().map_err(HandshakeError::Tls)?;
        traffic_keys(self.version, sequence, &secret)
    }

    /// Our next keys, for what follows our own `KeyUpdate`. TLS 1.2 has none, and gives an error.
    pub fn next_transmit_keys(&mut self) -> Result<TrafficKeys, HandshakeError> {
        let (sequence, secret) = self.kernel.update_tx_secret().map_err(HandshakeError::Tls)?;
        traffic_keys(self.version, sequence, &secret)
    }
}

impl fmt::Debug for KeySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySchedule").field("version", &self.version).finish_non_exhaustive()
    }
}

/// rustls's secrets as keys of our record layer.
fn traffic_keys(
    version: TlsVersion,
    sequence: u64,
    secret: &ConnectionTrafficSecrets,
) -> Result<TrafficKeys, HandshakeError> {
    // The length of the key tells the sizes of AES apart: some versions of rustls name both
    // `Aes128Gcm` in TLS 1.2.
    let (suite, key, iv) = match secret {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv } => {
            let suite = match key.as_ref().len() {
                16 => Suite::Aes128Gcm,
                _ => Suite::Aes256Gcm,
            };
            (suite, key, iv)
        }
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
            (Suite::ChaCha20Poly1305, key, iv)
        }
        _ => return Err(HandshakeError::Keys),
    };
    let iv = iv.as_ref().try_into().map_err(|_| HandshakeError::Keys)?;
    TrafficKeys::new(suite, version, key.as_ref(), iv, sequence).ok_or(HandshakeError::Keys)
}
