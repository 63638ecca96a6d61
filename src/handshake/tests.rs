//! Handshakes against rustls's client, then records both ways, in memory.

#![forbid(unsafe_code)]

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedCipherSuite, version,
};

use super::*;
use crate::record::{ContentType, Opener, RecordHeader, Sealer, TlsVersion};

const SUITES: [SupportedCipherSuite; 6] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// A server's configuration and a client's that trusts it and offers one suite.
struct Bed {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Bed {
    fn new(suite: SupportedCipherSuite) -> Self {
        Self::with_groups(suite, vec![kx_group::X25519])
    }

    fn with_groups(
        suite: SupportedCipherSuite,
        kx_groups: Vec<&'static dyn rustls::crypto::SupportedKxGroup>,
    ) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let chain = vec![made.cert.der().clone()];
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let credentials = Credentials { chain, key, warnings: Vec::new() };
        let server = server_config(credentials, TlsVersion::Tls12).unwrap();
        let provider =
            CryptoProvider { cipher_suites: vec![suite], kx_groups, ..default_provider() };
        let versions: &[_] =
            if suite.tls13().is_some() { &[&version::TLS13] } else { &[&version::TLS12] };
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
    fn connect(&self) -> Link {
        let mut client = self.client();
        let mut handshake = self.handshake();
        loop {
            let flight = sent(&mut client);
            let mut output = Vec::new();
            let advance = handshake.advance(&flight, &mut output).unwrap();
            assert_eq!(advance.consumed, flight.len());
            give(&mut client, &output);
            if advance.state == HandshakeState::Finished {
                return Link::new(client, handshake.finish().unwrap());
            }
        }
    }
}

/// A client and an established server.
struct Link {
    client: ClientConnection,
    sealer: Sealer,
    opener: Opener,
    established: Established,
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
    fn exchange(&mut self) {
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

#[test]
fn every_suite_full_and_resumed() {
    for suite in SUITES {
        let bed = Bed::new(suite);
        for resumed in [false, true, true] {
            let mut link = bed.connect();
            assert_eq!(link.established.resumed, resumed, "{suite:?}");
            assert_eq!(link.established.alpn.as_deref(), Some(&b"http/1.1"[..]));
            let is_13 = link.established.version == TlsVersion::Tls13;
            assert_eq!(is_13, suite.tls13().is_some());
            link.exchange();
        }
    }
}

/// The client's flights, cut in two at each byte. The last flight carries Finished, a request and
/// half of another record.
#[test]
fn every_split_of_the_flights() {
    for suite in SUITES {
        let bed = Bed::new(suite);
        drop(bed.connect());
        for (flight, resumed) in [(0, false), (1, false), (0, true), (1, true)] {
            let mut split = 0;
            while connect_split(&bed, flight, split, resumed) {
                split += 1;
            }
            assert!(split > 40, "the flight has more bytes than {split}");
        }
    }
}

/// Cuts the given flight at `split`; false once that is past its end.
fn connect_split(bed: &Bed, cut_flight: usize, split: usize, resumed: bool) -> bool {
    const FIRST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
    const SECOND: &[u8] = b"GET /second HTTP/1.1\r\n\r\n";
    let mut client = if resumed {
        bed.client()
    } else {
        let mut config = (*bed.client).clone();
        config.resumption = rustls::client::Resumption::disabled();
        let name = ServerName::try_from("localhost").unwrap();
        ClientConnection::new(Arc::new(config), name).unwrap()
    };
    let mut handshake = bed.handshake();
    let mut within = false;
    for flight in 0.. {
        let mut bytes = sent(&mut client);
        let mut kept_back = Vec::new();
        if flight > 0 && !client.is_handshaking() {
            client.writer().write_all(FIRST).unwrap();
            bytes.extend(sent(&mut client));
            client.writer().write_all(SECOND).unwrap();
            let second = sent(&mut client);
            let (half, rest) = second.split_at(second.len() / 2);
            bytes.extend(half);
            kept_back = rest.to_vec();
        }
        let mut pieces = vec![&bytes[..]];
        if flight == cut_flight {
            within = split <= bytes.len();
            let (one, two) = bytes.split_at(split.min(bytes.len()));
            pieces = vec![one, two];
        }
        let mut output = Vec::new();
        let mut early = Vec::new();
        let mut finished = false;
        for piece in pieces {
            if finished {
                early.extend_from_slice(piece);
                continue;
            }
            let advance = handshake.advance(piece, &mut output).unwrap();
            finished = advance.state == HandshakeState::Finished;
            assert!(finished || advance.consumed == piece.len());
            early.extend_from_slice(&piece[advance.consumed..]);
        }
        give(&mut client, &output);
        if finished {
            let mut link = Link::new(client, handshake.finish().unwrap());
            assert_eq!(link.established.resumed, resumed);
            early.extend(kept_back);
            if early.is_empty() {
                // A resumed TLS 1.2 client may have finished before it could say more.
                link.client.writer().write_all(&[FIRST, SECOND].concat()).unwrap();
                early = sent(&mut link.client);
            }
            assert_eq!(link.open_data(early), [FIRST, SECOND].concat());
            let record = link.seal(ContentType::ApplicationData, b"answer");
            give(&mut link.client, &record);
            assert_eq!(received(&mut link.client), b"answer");
            return within;
        }
    }
    unreachable!("the loop ends with the handshake")
}
