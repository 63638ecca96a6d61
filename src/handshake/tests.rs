//! Handshakes against rustls's client, then records both ways, in memory.

#![forbid(unsafe_code)]

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
use crate::record::{
    AlertDescription, ContentType, Control, KEY_UPDATE, Opener, RecordError, RecordHeader, Sealer,
    TlsVersion, encode_alert, parse_control,
};

pub(super) const SUITES: [SupportedCipherSuite; 6] = [
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
        Self::with_suites(vec![suite], vec![kx_group::X25519])
    }

    /// All of the suites belong to one version.
    fn with_suites(
        cipher_suites: Vec<SupportedCipherSuite>,
        kx_groups: Vec<&'static dyn rustls::crypto::SupportedKxGroup>,
    ) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let chain = vec![made.cert.der().clone()];
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let credentials = Credentials { chain, key, warnings: Vec::new() };
        let server = server_config(credentials, TlsVersion::Tls12).unwrap();
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

#[test]
fn flights_byte_by_byte() {
    for suite in SUITES {
        let bed = Bed::new(suite);
        let mut client = bed.client();
        let mut handshake = bed.handshake();
        let mut finished = false;
        while !finished {
            let mut output = Vec::new();
            for byte in sent(&mut client) {
                assert!(!finished, "the client sends nothing after its Finished");
                let advance = handshake.advance(&[byte], &mut output).unwrap();
                assert_eq!(advance.consumed, 1);
                finished = advance.state == HandshakeState::Finished;
            }
            give(&mut client, &output);
        }
        Link::new(client, handshake.finish().unwrap()).exchange();
    }
}

#[test]
fn messages_in_many_records() {
    for suite in SUITES {
        let bed = Bed::new(suite);
        let mut config = (*bed.client).clone();
        config.max_fragment_size = Some(64);
        let bed = Bed { client: Arc::new(config), server: bed.server };
        bed.connect().exchange();
        for split in 0..200 {
            connect_split(&bed, 0, split, false);
        }
    }
}

#[test]
fn post_quantum_key_exchange_is_preferred() {
    let groups = default_provider().kx_groups;
    let bed = Bed::with_suites(vec![SUITES[0]], groups);
    let mut link = bed.connect();
    let group = link.client.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    link.exchange();
}

#[test]
fn hello_retry_request() {
    let bed = Bed::with_suites(vec![SUITES[0]], vec![kx_group::X25519, kx_group::SECP256R1]);
    let provider =
        CryptoProvider { kx_groups: vec![kx_group::SECP256R1], ..super::config::provider() };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&bed.server.cert_resolver));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_secret_extraction = true;
    let bed = Bed { server: Arc::new(config), client: bed.client };
    let mut link = bed.connect();
    assert_eq!(
        link.client.handshake_kind(),
        Some(rustls::HandshakeKind::FullWithHelloRetryRequest)
    );
    link.exchange();
    for split in 0..400 {
        connect_split(&bed, 1, split, false);
    }
}

#[test]
fn the_server_chooses_the_suite() {
    let preferred = super::config::provider().cipher_suites[0];
    let mut others = SUITES[..3].to_vec();
    others.retain(|suite| suite.suite() != preferred.suite());
    others.push(preferred);
    let bed = Bed::with_suites(others, vec![kx_group::X25519]);
    let chosen = bed.connect().client.negotiated_cipher_suite().unwrap();
    assert_eq!(chosen.suite(), preferred.suite());
}

#[test]
fn close_notify_both_ways() {
    for suite in SUITES {
        let mut link = Bed::new(suite).connect();
        link.client.send_close_notify();
        let bytes = sent(&mut link.client);
        let [(kind, payload)] = &link.open(bytes)[..] else { panic!("one record") };
        let control = parse_control(link.established.version, *kind, payload);
        assert_eq!(control, Ok(Control::CloseNotify));

        let record = link.seal(ContentType::Alert, &encode_alert(AlertDescription::CloseNotify));
        link.client.read_tls(&mut &record[..]).unwrap();
        assert!(link.client.process_new_packets().unwrap().peer_has_closed());
    }
}

#[test]
fn fatal_alerts_reach_the_client() {
    for suite in SUITES {
        let mut link = Bed::new(suite).connect();
        let error = RecordError::BadMac;
        let record = link.seal(ContentType::Alert, &encode_alert(error.alert()));
        link.client.read_tls(&mut &record[..]).unwrap();
        assert_eq!(
            link.client.process_new_packets().unwrap_err(),
            rustls::Error::AlertReceived(RustlsAlert::BadRecordMac)
        );
    }
}

/// Both sides update their keys, in turn and at once, many times over.
#[test]
fn key_updates() {
    for suite in &SUITES[..3] {
        let mut link = Bed::new(*suite).connect();
        for _ in 0..5 {
            link.client.refresh_traffic_keys().unwrap();
            let bytes = sent(&mut link.client);
            let [(kind, payload)] = &link.open(bytes)[..] else { panic!("one record") };
            let control = parse_control(TlsVersion::Tls13, *kind, payload);
            assert_eq!(control, Ok(Control::KeyUpdate { requested: true }));
            let keys = link.established.schedule.next_receive_keys().unwrap();
            link.opener = Opener::new(&keys);

            let record = link.seal(ContentType::Handshake, &KEY_UPDATE);
            let keys = link.established.schedule.next_transmit_keys().unwrap();
            link.sealer = Sealer::new(&keys);
            give(&mut link.client, &record);
            link.exchange();
        }
        // Only the server's.
        let record = link.seal(ContentType::Handshake, &KEY_UPDATE);
        let keys = link.established.schedule.next_transmit_keys().unwrap();
        link.sealer = Sealer::new(&keys);
        give(&mut link.client, &record);
        link.exchange();
    }
}

#[test]
fn tls_12_has_no_key_updates() {
    let mut link = Bed::new(SUITES[3]).connect();
    assert!(link.established.schedule.next_receive_keys().is_err());
    assert!(link.established.schedule.next_transmit_keys().is_err());
}

#[test]
fn tls_12_renegotiation_is_refused() {
    let mut link = Bed::new(SUITES[3]).connect();
    // With the client's own keys we may speak for the client.
    let mut client = Sealer::new(&link.established.receive);
    let hello = [1, 0, 0, 2, 3, 3];
    let mut record = vec![0; hello.len() + client.overhead()];
    client.seal(ContentType::Handshake, &hello, &mut record).unwrap();
    let [(kind, payload)] = &link.open(record)[..] else { panic!("one record") };
    let refused = parse_control(TlsVersion::Tls12, *kind, payload);
    assert_eq!(refused, Err(RecordError::Renegotiation));
}

#[test]
fn tickets_raise_the_record_number() {
    for suite in SUITES {
        let link = Bed::new(suite).connect();
        let is_13 = suite.tls13().is_some();
        // TLS 1.3: both tickets in one record. TLS 1.2: the Finished of each side.
        assert_eq!(link.established.transmit.sequence(), 1);
        assert_eq!(link.established.receive.sequence(), u64::from(!is_13));
    }
}

/// TLS 1.2 with AES-GCM shows its nonces: that of rustls's Finished, then ours, counting up.
#[test]
fn tls_12_nonces_do_not_repeat() {
    for suite in &SUITES[3..5] {
        let bed = Bed::new(*suite);
        for resumed in [false, true] {
            let mut client = bed.client();
            let mut handshake = bed.handshake();
            let mut output = Vec::new();
            let mut all_output = Vec::new();
            let mut finished = false;
            while !finished {
                output.clear();
                let advance = handshake.advance(&sent(&mut client), &mut output).unwrap();
                finished = advance.state == HandshakeState::Finished;
                all_output.extend_from_slice(&output);
                give(&mut client, &output);
            }
            let mut link = Link::new(client, handshake.finish().unwrap());
            assert_eq!(link.established.resumed, resumed);
            // The last record of the handshake is the Finished: 5 of header, 8 of nonce, 16 of
            // message, 16 of tag.
            let finished_record = &all_output[all_output.len() - 45..];
            assert_eq!(finished_record[..5], [22, 3, 3, 0, 40]);
            let number = |record: &[u8]| u64::from_be_bytes(record[5..13].try_into().unwrap());
            let first = number(finished_record);
            for later in 1..5 {
                let record = link.seal(ContentType::ApplicationData, b"data");
                assert_eq!(number(&record), first.wrapping_add(later));
            }
        }
    }
}

#[test]
fn the_state_that_remains_is_small() {
    // An idle connection keeps these, and what they point to.
    assert!(size_of::<KeySchedule>() <= 16);
    assert!(size_of::<Sealer>() + size_of::<Opener>() <= 128);
}

fn fail(bed: &Bed, bytes: &[u8]) -> (HandshakeError, Vec<u8>) {
    let mut output = Vec::new();
    let error = bed.handshake().advance(bytes, &mut output).unwrap_err();
    (error, output)
}

#[test]
fn plain_http_is_recognised() {
    let bed = Bed::new(SUITES[0]);
    for request in ["GET / HTTP/1.1\r\n", "HEAD /", "DELETE /x", "PRI * HTTP/2.0\r\n\r\n"] {
        let (error, output) = fail(&bed, request.as_bytes());
        assert!(matches!(error, HandshakeError::PlainHttp), "{error}");
        assert!(output.is_empty());
    }
    // Also when it trickles in.
    let mut handshake = bed.handshake();
    let mut output = Vec::new();
    for byte in b"GET " {
        handshake.advance(&[*byte], &mut output).unwrap();
    }
    assert!(matches!(handshake.advance(b"/", &mut output), Err(HandshakeError::PlainHttp)));
}

#[test]
fn what_is_not_tls_gets_an_alert() {
    let bed = Bed::new(SUITES[0]);
    for bytes in [&b"SSH-2.0-OpenSSH"[..], &[0; 64], &[0x80, 0x2e, 1, 0, 2, 0], &[22, 9, 9, 0, 5]] {
        let (error, output) = fail(&bed, bytes);
        assert!(matches!(error, HandshakeError::Tls(_) | HandshakeError::NotTls), "{error:?}");
        assert_eq!(output.first(), Some(&21), "an alert for {bytes:?}: {error}");
        assert_eq!(output.len(), 7);
    }
}

#[test]
fn old_versions_get_protocol_version() {
    let bed = Bed::new(SUITES[3]);
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let chain = vec![made.cert.der().clone()];
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let credentials = Credentials { chain, key, warnings: Vec::new() };
    let server = server_config(credentials, TlsVersion::Tls13).unwrap();
    let bed = Bed { server, client: bed.client };
    let hello = sent(&mut bed.client());
    let (error, output) = fail(&bed, &hello);
    assert!(matches!(error, HandshakeError::Tls(rustls::Error::PeerIncompatible(_))), "{error:?}");
    assert_eq!(output, [21, 3, 3, 0, 2, 2, AlertDescription::ProtocolVersion as u8]);
}

#[test]
fn endless_handshakes_end() {
    let bed = Bed::new(SUITES[0]);
    // A ClientHello that claims to be long, in records of one byte.
    let mut bytes = vec![22, 3, 1, 0, 4, 1, 0, 0xff, 0xff];
    for _ in 0..Handshake::MAX_RECORDS {
        bytes.extend([22, 3, 1, 0, 1, 0]);
    }
    assert!(matches!(fail(&bed, &bytes).0, HandshakeError::TooLong));
    // The same in long records.
    let mut bytes = vec![22, 3, 1, 0, 4, 1, 0, 0xff, 0xff];
    for _ in 0..3 {
        bytes.extend([22, 3, 1, 0x40, 0]);
        bytes.resize(bytes.len() + 0x4000, 0);
    }
    let (error, _) = fail(&bed, &bytes);
    assert!(matches!(error, HandshakeError::TooLong), "{error:?}");
}

#[test]
fn early_application_data_and_silence_are_refused() {
    let bed = Bed::new(SUITES[0]);
    let (error, output) = fail(&bed, &[23, 3, 3, 0, 1, 0]);
    assert!(matches!(error, HandshakeError::Tls(_)), "{error:?}");
    assert_eq!(output.first(), Some(&21));
    let handshake = bed.handshake();
    assert!(handshake.is_untouched());
    assert!(matches!(handshake.finish(), Err(HandshakeError::Unfinished)));
}

/// Damage anywhere in the client's second flight must fail, with an alert.
#[test]
fn damaged_finished_is_refused() {
    for suite in SUITES {
        let bed = Bed::new(suite);
        let mut client = bed.client();
        let mut handshake = bed.handshake();
        let mut output = Vec::new();
        handshake.advance(&sent(&mut client), &mut output).unwrap();
        give(&mut client, &output);
        let mut flight = sent(&mut client);
        *flight.last_mut().unwrap() ^= 1;
        let mut output = Vec::new();
        assert!(handshake.advance(&flight, &mut output).is_err());
        assert!(!output.is_empty());
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_hellos_never_panic(position: proptest::sample::Index, byte: u8, cut: proptest::sample::Index) {
        let bed = Bed::new(SUITES[0]);
        let mut hello = sent(&mut bed.client());
        let position = position.index(hello.len());
        hello[position] = byte;
        let (one, two) = hello.split_at(cut.index(hello.len()));
        let mut handshake = bed.handshake();
        let mut output = Vec::new();
        let first = handshake.advance(one, &mut output);
        if first.is_ok() {
            let _ = handshake.advance(two, &mut output);
        }
    }
}

/// A rustls client over a real socket against [`Handshake`], then kernel TLS both ways; used by
/// the tests of [`ktls`]. The second connection resumes the first one's session.
pub(super) fn hand_over_to_kernel(suite: SupportedCipherSuite) {
    use std::os::fd::AsFd as _;

    let bed = Bed::new(suite);
    for resumed in [false, true] {
        let (mut server, mut socket) = ktls::loopback_pair().unwrap();
        for side in [&server, &socket] {
            side.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        }
        let mut client = bed.client();
        let peer = std::thread::spawn(move || {
            let mut stream = rustls::Stream::new(&mut client, &mut socket);
            let mut answer = vec![0; 100_000];
            stream.write_all(&pattern(70_000)).unwrap();
            stream.read_exact(&mut answer).unwrap();
            assert!(answer == pattern(100_000));
            client.handshake_kind()
        });
        let mut handshake = bed.handshake();
        let mut bytes = [0; 4096];
        let early = loop {
            let length = server.read(&mut bytes).unwrap();
            assert_ne!(length, 0);
            let mut output = Vec::new();
            let advance = handshake.advance(&bytes[..length], &mut output).unwrap();
            server.write_all(&output).unwrap();
            if advance.state == HandshakeState::Finished {
                break bytes[advance.consumed..length].to_vec();
            }
        };
        let mut established = handshake.finish().unwrap();
        assert_eq!(established.resumed, resumed);

        // What came early is opened by us, to the next record boundary.
        let mut opener = Opener::new(&established.receive);
        let mut received = Vec::new();
        let mut rest = early;
        while !rest.is_empty() {
            let wanted = RecordHeader::parse(&rest).unwrap().map_or(5, |h| h.record_length());
            if rest.len() < wanted {
                let held = rest.len();
                rest.resize(wanted, 0);
                server.read_exact(&mut rest[held..]).unwrap();
                continue;
            }
            let mut record: Vec<u8> = rest.drain(..wanted).collect();
            let opened = opener.open(&mut record).unwrap();
            received.extend_from_slice(&record[opened.plaintext]);
        }
        established.receive.advance_to(opener.sequence());
        ktls::install_ulp(server.as_fd()).unwrap();
        ktls::install_transmit(server.as_fd(), &established.transmit).unwrap();
        ktls::install_receive(server.as_fd(), &established.receive).unwrap();

        let held = received.len();
        received.resize(70_000, 0);
        server.read_exact(&mut received[held..]).unwrap();
        assert!(received == pattern(70_000), "{suite:?}");
        server.write_all(&pattern(100_000)).unwrap();
        let kind = peer.join().unwrap();
        assert_eq!(kind == Some(rustls::HandshakeKind::Resumed), resumed);
    }
}
