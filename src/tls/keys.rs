//! Keys from rustls for our record layer or the kernel: those of a finished handshake, and those that
//! follow them.

#![forbid(unsafe_code)]

use std::fmt;

use rustls::ConnectionTrafficSecrets;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;

use crate::record::{Suite, TlsVersion, TrafficKeys};

/// Why there are no keys.
#[derive(Debug)]
pub(crate) enum KeysError {
    /// rustls refused to derive them.
    Tls(rustls::Error),
    /// rustls gave keys that the record layer does not know.
    Unknown,
}

/// Derives the keys that follow a `KeyUpdate` (RFC 8446 section 7.2).
pub(crate) struct KeySchedule {
    /// Boxed: half a kilobyte that a connection seldom touches.
    kernel: Box<KernelConnection<ServerConnectionData>>,
    version: TlsVersion,
}

impl KeySchedule {
    /// The schedule of a connection that rustls has handed over.
    pub(crate) fn new(kernel: KernelConnection<ServerConnectionData>, version: TlsVersion) -> Self {
        Self { kernel: Box::new(kernel), version }
    }

    /// The client's next keys, after its `KeyUpdate`. TLS 1.2 has none, and gives an error.
    pub(crate) fn next_receive_keys(&mut self) -> Result<TrafficKeys, KeysError> {
        let (sequence, secret) = self.kernel.update_rx_secret().map_err(KeysError::Tls)?;
        traffic_keys(self.version, sequence, &secret)
    }

    /// Our next keys, for what follows our own `KeyUpdate`. TLS 1.2 has none, and gives an error.
    pub(crate) fn next_transmit_keys(&mut self) -> Result<TrafficKeys, KeysError> {
        let (sequence, secret) = self.kernel.update_tx_secret().map_err(KeysError::Tls)?;
        traffic_keys(self.version, sequence, &secret)
    }
}

impl fmt::Debug for KeySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySchedule").field("version", &self.version).finish_non_exhaustive()
    }
}

/// rustls's secrets as keys of our record layer.
pub(crate) fn traffic_keys(
    version: TlsVersion,
    sequence: u64,
    secret: &ConnectionTrafficSecrets,
) -> Result<TrafficKeys, KeysError> {
    // The length of the key distinguishes the sizes of AES: some versions of rustls name both
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
        _ => return Err(KeysError::Unknown),
    };
    let iv = iv.as_ref().try_into().map_err(|_| KeysError::Unknown)?;
    TrafficKeys::new(suite, version, key.as_ref(), iv, sequence).ok_or(KeysError::Unknown)
}
