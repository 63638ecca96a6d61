//! Handshakes that succeed, however their bytes arrive.

use super::*;

#[test]
fn every_suite_full_and_resumed() {
    for suite in SUITES {
        let bed = Bed::new(suite);
        for resumed in [false, true, true] {
            let mut link = bed.connect();
            assert_eq!(link.established.resumed, resumed, "{suite:?}");
            assert_eq!(link.established.protocol, Protocol::Http1);
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
        CryptoProvider { kx_groups: vec![kx_group::SECP256R1], ..crate::tls::provider() };
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
    let preferred = crate::tls::provider().cipher_suites[0];
    let mut others = SUITES[..3].to_vec();
    others.retain(|suite| suite.suite() != preferred.suite());
    others.push(preferred);
    let bed = Bed::with_suites(others, vec![kx_group::X25519]);
    let chosen = bed.connect().client.negotiated_cipher_suite().unwrap();
    assert_eq!(chosen.suite(), preferred.suite());
}

#[test]
fn http2_is_agreed_on_where_it_is_offered() {
    let mut bed = Bed::offering(vec![SUITES[0]], vec![kx_group::X25519], true);
    let link = bed.connect();
    assert_eq!(link.established.protocol, Protocol::Http2);
    assert_eq!(link.client.tls13_tickets_received(), 1);
    let mut client = ClientConfig::clone(&bed.client);
    client.alpn_protocols.clear();
    bed.client = Arc::new(client);
    let link = bed.connect();
    assert_eq!(link.established.protocol, Protocol::Http1);
    assert_eq!(link.client.tls13_tickets_received(), 2, "by the same server");
}

#[test]
fn two_tickets_are_given_where_clients_need_several_connections() {
    let link = Bed::new(SUITES[0]).connect();
    assert_eq!(link.client.tls13_tickets_received(), 2);
}

/// RFC 9113 section 9.2.2 and appendix A: with TLS 1.2, HTTP/2 needs ephemeral keys and an AEAD.
#[test]
fn no_suite_is_prohibited_for_http2() {
    for suite in crate::tls::provider().cipher_suites {
        if suite.tls13().is_some() {
            continue;
        }
        let name = format!("{:?}", suite.suite());
        let is_allowed = name.starts_with("TLS_ECDHE_")
            && (name.contains("_GCM_") || name.contains("_CHACHA20_POLY1305_"));
        assert!(is_allowed, "{name}");
    }
}
