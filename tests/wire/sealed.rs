//! A client that has shaken hands and then seals any content type, as no library would: with
//! the keys of the session, by the cipher of rustls alone.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::cipher::{AeadKey, Iv, MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{
    CipherSuite, ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite,
    SupportedProtocolVersion,
};

use crate::client::{Client, ClientOptions};
use crate::server::Server;

/// A connection whose records the test makes.
pub(crate) struct Sealed {
    pub(crate) socket: TcpStream,
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
    version: ProtocolVersion,
}

impl Sealed {
    /// Shakes hands in this version, by a suite whose keys are of rustls's longest kind.
    pub(crate) fn connect(server: &Server, version: &'static SupportedProtocolVersion) -> Self {
        let tls12 = version.version == ProtocolVersion::TLSv1_2;
        let suite = if tls12 {
            CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        } else {
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        };
        let options =
            ClientOptions { versions: vec![version], suite: Some(suite), ..Default::default() };
        let mut config = Arc::unwrap_or_clone(options.config(&server.identity));
        config.enable_secret_extraction = true;
        let mut client = Client::connect(server.port, Arc::new(config)).unwrap();
        client.handshake().unwrap();
        let suite = client.tls.negotiated_cipher_suite().unwrap();
        let Client { tls, socket, .. } = client;
        let (sequence, keys) = tls.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } = keys else {
            panic!("keys of another suite");
        };
        let encrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => tls12_encrypter(suite, key, &iv),
        };
        Self { socket, encrypter, sequence, version: version.version }
    }

    /// Seals a record.
    pub(crate) fn seal(&mut self, typ: ContentType, bytes: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(bytes);
        // TLS 1.3 writes 1.2 into its records as well (RFC 8446 section 5.1).
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let sealed = self.encrypter.encrypt(message, self.sequence).unwrap();
        self.sequence += 1;
        sealed.encode()
    }

    /// Sends so many records of this content in one go. False if the server has had enough.
    pub(crate) fn pour(&mut self, typ: ContentType, bytes: &[u8], count: usize) -> bool {
        let records: Vec<u8> = (0..count).flat_map(|_| self.seal(typ, bytes)).collect();
        self.socket.write_all(&records).is_ok()
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.version
    }
}

fn tls12_encrypter(
    suite: &rustls::Tls12CipherSuite,
    key: AeadKey,
    iv: &Iv,
) -> Box<dyn MessageEncrypter> {
    suite.aead_alg.encrypter(key, iv.as_ref(), &[])
}
