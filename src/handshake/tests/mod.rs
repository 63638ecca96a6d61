//! Handshakes against rustls's client, then records both ways, in memory.

#![forbid(unsafe_code)]

mod established;
mod flights;
mod kernel;
mod refusals;
mod resumption;

pub(crate) use kernel::hand_over_to_kernel;

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription as RustlsAlert, ClientConfig, ClientConnection, RootCertStore, ServerConfig,
    SupportedCipherSuite, version,
};

use super::*;
use crate::config::Demand;
use crate::record::{
    AlertDescription, ContentType, Control, KEY_UPDATE, Opener, RecordError, RecordHeader, Sealer,
    TlsVersion, encode_alert, parse_control,
};
use crate::tls::{
    Offer, Protocol, SharedConfig, TlsParts,
    identity::{Certificate, Certificates, Credentials},
    kernel as ktls, own_tickets, server_config,
};

pub(crate) const SUITES: [SupportedCipherSuite; 6] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// A server's configuration and a client's that trusts it and offers one suite.
pub(crate) struct Bed {
    pub(crate) server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Bed {
    pub(crate) fn new(suite: SupportedCipherSuite) -> Self {
        Self::with_suites(vec![suite], vec![kx_group::X25519])
    }

    /// All of the suites belong to one version.
    fn with_suites(
        cipher_suites: Vec<SupportedCipherSuite>,
        kx_groups: Vec<&'static dyn rustls::crypto::SupportedKxGroup>,
    ) -> Self {
        Self::offering(cipher_suites, kx_groups, false)
    }

    fn offering(
        cipher_suites: Vec<SupportedCipherSuite>,
        kx_groups: Vec<&'static dyn rustls::crypto::SupportedKxGroup>,
        http2: bool,
    ) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let chain = vec![made.cert.der().clone()];
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let credentials = Credentials { chain, key, warnings: Vec::new() };
        let parts = TlsParts {
            certificates: Arc::new(Certificates::new(vec![Arc::new(
                Certificate::new(credentials).unwrap(),
            )])),
            clients: None,
            tickets: own_tickets().unwrap(),
        };
        let server = parts.server_config(Offer { minimum: TlsVersion::Tls12, http2 }).unwrap();
        let is_13 = cipher_suites.iter().any(|suite| suite.tls13().is_some());
        let versions: &[_] = if is_13 { &[&version::TLS13] } else { &[&version::TLS12] };
        let provider = CryptoProvider { cipher_suites, kx_groups, ..default_provider() };
        let mut client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { server, client: Arc::new(client) }
    }

    fn client(&self) -> ClientConnection {
        let name = ServerName::try_from("localhost").unwrap();
        ClientConnection::new(Arc::clone(&self.client), name).unwrap()
    }

    fn handshake(&self) -> Handshake {
        Handshake::new(Arc::clone(&self.server)).unwrap()
    }

    /// A whole handshake, nothing split, nothing early.
    pub(crate) fn connect(&self) -> Link {
        let mut client = self.client();
        let mut flight = sent(&mut client);
        let config = SharedConfig::new(Arc::clone(&self.server));
        let config = config.current(Demand::NONE, offers_http2(&flight)).unwrap();
        let mut handshake = Handshake::new(config).unwrap();
        loop {
            let mut output = Vec::new();
            let advance = handshake.advance(&flight, &mut output).unwrap();
            assert_eq!(advance.consumed, flight.len());
            give(&mut client, &output);
            if advance.state == HandshakeState::Finished {
                return Link::new(client, handshake.finish().unwrap());
            }
            flight = sent(&mut client);
        }
    }
}

/// A client and an established server.
pub(crate) struct Link {
    client: ClientConnection,
    sealer: Sealer,
    opener: Opener,
    pub(crate) established: Established,
}

impl Link {
    fn new(client: ClientConnection, established: Established) -> Self {
        Self {
            client,
            sealer: Sealer::new(&established.transmit),
            opener: Opener::new(&established.receive),
            established,
        }
    }

    /// Opens everything in `bytes`; a part of a record at the end is an error of the test.
    fn open(&mut self, mut bytes: Vec<u8>) -> Vec<(ContentType, Vec<u8>)> {
        let mut opened = Vec::new();
        let mut rest = bytes.as_mut_slice();
        while let Some(header) = RecordHeader::parse(rest).unwrap() {
            let (record, later) = rest.split_at_mut(header.record_length());
            let plain = self.opener.open(record).unwrap();
            opened.push((plain.content_type, record[plain.plaintext].to_vec()));
            rest = later;
        }
        assert!(rest.is_empty());
        opened
    }

    fn open_data(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let mut data = Vec::new();
        for (content_type, plaintext) in self.open(bytes) {
            assert_eq!(content_type, ContentType::ApplicationData);
            data.extend(plaintext);
        }
        data
    }

    fn seal(&mut self, content_type: ContentType, plaintext: &[u8]) -> Vec<u8> {
        let mut record = vec![0; plaintext.len() + self.sealer.overhead()];
        let length = self.sealer.seal(content_type, plaintext, &mut record).unwrap();
        assert_eq!(length, record.len());
        record
    }

    /// Data both ways, in records of many sizes.
    pub(crate) fn exchange(&mut self) {
        for size in [1, 15, 16, 17, 255, 1400, 4096, 16383, 16384] {
            let data = pattern(size);
            let record = self.seal(ContentType::ApplicationData, &data);
            give(&mut self.client, &record);
            assert_eq!(received(&mut self.client), data);

            self.client.writer().write_all(&data).unwrap();
            let bytes = sent(&mut self.client);
            assert_eq!(self.open_data(bytes), data);
        }
    }
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// What the client wants to send.
fn sent(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn give(client: &mut ClientConnection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
    }
}

/// The plaintext that has arrived at the client.
fn received(client: &mut ClientConnection) -> Vec<u8> {
    let mut data = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length) = client.reader().read(&mut piece) {
        if length == 0 {
            break;
        }
        data.extend_from_slice(&piece[..length]);
    }
    data
}
