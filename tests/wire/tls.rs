//! The handshake, its choices, and how connections end (RFC 8446, RFC 5246).

use std::io::{Read, Write};
use std::net::Shutdown;

use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion};

use crate::client::{Client, ClientOptions, End, breathe, connect, drain};
use crate::identity::Identity;
use crate::server::{Server, run};
use crate::site::{HELLO, Site, sha256};

/// The cipher suites of TLS 1.3.
pub(crate) const SUITES_13: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
];

/// The cipher suites of TLS 1.2 with an ECDSA certificate.
pub(crate) const SUITES_12: [CipherSuite; 3] = [
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// A client for each suite of both versions.
pub(crate) fn every_suite() -> Vec<ClientOptions> {
    let new = SUITES_13.map(|suite| ClientOptions { suite: Some(suite), ..Default::default() });
    let old = SUITES_12.map(|suite| ClientOptions { suite: Some(suite), ..ClientOptions::tls12() });
    new.into_iter().chain(old).collect()
}

#[test]
fn versions_and_suites() {
    let server = Server::plain(&[]);
    for options in every_suite() {
        let mut client = server.connect_as(&options);
        assert_eq!(client.get("/hello.txt").body, HELLO);
        let suite = client.tls.negotiated_cipher_suite().map(|suite| suite.suite());
        assert_eq!(suite, options.suite);
        assert_eq!(client.tls.alpn_protocol(), Some(&b"http/1.1"[..]));
        client.close();
        client.expect_close();
    }
}

#[test]
fn key_exchanges() {
    let server = Server::plain(&[]);
    let groups: [&'static dyn SupportedKxGroup; 4] =
        [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1, kx_group::X25519MLKEM768];
    for group in groups {
        let mut client = server.connect_as(&ClientOptions { group, ..Default::default() });
        assert_eq!(client.get("/hello.txt").body, HELLO, "{:?}", group.name());
        let agreed = client.tls.negotiated_key_exchange_group().map(SupportedKxGroup::name);
        assert_eq!(agreed, Some(group.name()));
    }
}

#[test]
fn the_oldest_version_can_be_raised() {
    let server = Server::plain(&["--tls-min", "1.3"]);
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
    let mut old = server.connect_as(&ClientOptions::tls12());
    let refused = old.handshake().unwrap_err().to_string();
    assert!(refused.contains("ProtocolVersion"), "{refused}");
    let both = ClientOptions { versions: vec![&TLS12, &TLS13], ..Default::default() };
    let mut client = server.connect_as(&both);
    assert_eq!(client.get("/hello.txt").body, HELLO);
    assert_eq!(client.tls.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn application_protocols() {
    let server = Server::plain(&["--no-h2"]);
    let alpn = |names: &[&str]| ClientOptions {
        alpn: names.iter().map(|name| name.as_bytes().to_vec()).collect(),
        ..Default::default()
    };
    for names in [&["http/1.1"][..], &["h2", "http/1.1"], &["x", "http/1.0", "http/1.1"]] {
        let mut client = server.connect_as(&alpn(names));
        assert_eq!(client.get("/hello.txt").body, HELLO);
        assert_eq!(client.tls.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
    // As `curl --http1.0` does.
    let mut old = server.connect_as(&alpn(&["http/1.0"]));
    assert_eq!(old.get("/hello.txt").body, HELLO);
    assert_eq!(old.tls.alpn_protocol(), Some(&b"http/1.0"[..]));
    let mut silent = server.connect_as(&alpn(&[]));
    assert_eq!(silent.get("/hello.txt").body, HELLO);
    assert_eq!(silent.tls.alpn_protocol(), None);
    let mut stranger = server.connect_as(&alpn(&["imap"]));
    let refused = stranger.handshake().unwrap_err().to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");

    // HTTP/2 comes first, unless it is switched off.
    let both = Server::plain(&[]);
    for names in [&["h2"][..], &["http/1.1", "h2"]] {
        let mut client = both.connect_as(&alpn(names));
        client.handshake().unwrap();
        assert_eq!(client.tls.alpn_protocol(), Some(&b"h2"[..]));
    }
    assert!(server.connect_as(&alpn(&["h2"])).handshake().is_err());
}

/// Each worker has its own listener, so twenty connections meet both.
#[test]
fn sessions_resume_on_every_worker() {
    let server = Server::plain(&[]);
    for options in [ClientOptions::default(), ClientOptions::tls12()] {
        let config = ClientOptions { resume: true, ..options }.config(&server.identity);
        for i in 0..20 {
            let mut client = Client::connect(server.port, config.clone()).unwrap();
            assert_eq!(client.get("/hello.txt").body, HELLO);
            let expected = if i == 0 { HandshakeKind::Full } else { HandshakeKind::Resumed };
            assert_eq!(client.tls.handshake_kind(), Some(expected), "connection {i}");
            client.close();
            client.expect_close();
        }
    }
}

#[test]
fn the_clients_end_is_answered() {
    let server = Server::plain(&[]);
    for options in [ClientOptions::default(), ClientOptions::tls12()] {
        // Before any request, and after one.
        let mut client = server.connect_as(&options);
        client.handshake().unwrap();
        client.close();
        client.expect_close();
        let mut client = server.connect_as(&options);
        client.get("/");
        client.close();
        client.expect_close();
        // In one flight with a request, which is answered still.
        let mut client = server.connect_as(&options);
        client.handshake().unwrap();
        let request = b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
        client.tls.writer().write_all(request).unwrap();
        client.close();
        assert_eq!(client.response("GET").body, HELLO);
        client.expect_close();
    }
}

#[test]
fn a_truncated_request_is_not_answered() {
    let server = Server::plain(&[]);
    for options in [ClientOptions::default(), ClientOptions::tls12()] {
        for request in [
            &b"GET /hello.txt HTTP/1.1\r\nHost: local"[..],
            b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhello",
        ] {
            let mut client = server.connect_as(&options);
            client.send(request);
            client.socket.shutdown(Shutdown::Write).unwrap();
            let (rest, _) = client.end();
            let rest = String::from_utf8_lossy(&rest).into_owned();
            let complete = rest.matches("HTTP/1.1 200").count();
            // The head of the second was whole, so a server may have answered it already.
            let allowed = usize::from(request.ends_with(b"hello"));
            assert!(complete <= allowed, "{rest}");
        }
    }
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
}

#[test]
fn the_client_may_update_its_keys() {
    let server = Server::plain(&["--ktls", "off"]);
    let mut client = server.connect();
    for _ in 0..5 {
        assert_eq!(client.get("/hello.txt").body, HELLO);
        client.tls.refresh_traffic_keys().unwrap();
    }
    assert_eq!(client.get("/hello.txt").body, HELLO);
    client.close();
    client.expect_close();
}

/// Asks for a file of so many bytes and updates the keys while it is on its way, now and then and
/// several times in a row; the server is asked for new keys of its own each time. Twelve in all: it
/// bears sixteen without a request between them.
pub(crate) fn update_keys_in_mid_response(server: &Server, size: usize, hash: &[u8]) {
    let mut client = server.connect();
    client.send(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.try_head().unwrap().promised(), size as u64);
    let mut body = Vec::with_capacity(size);
    let mut buffer = vec![0; 1 << 16];
    let mut updated = 0;
    while body.len() < size {
        if body.len() >= updated * size / 6 {
            updated += 1;
            for _ in 0..=updated % 3 {
                client.tls.refresh_traffic_keys().unwrap();
            }
            while client.tls.wants_write() {
                client.tls.write_tls(&mut client.socket).unwrap();
            }
        }
        let room = buffer.len().min(size - body.len());
        let read = client.read(&mut buffer[..room]).unwrap();
        assert_ne!(read, 0, "{} of {size} bytes", body.len());
        body.extend_from_slice(&buffer[..read]);
    }
    assert_eq!(sha256(&body), hash);
    for _ in 0..3 {
        assert_eq!(client.get("/hello.txt").body, HELLO);
        client.tls.refresh_traffic_keys().unwrap();
    }
    client.close();
    client.expect_close();
}

#[test]
fn the_client_may_update_its_keys_in_mid_response() {
    let site = Site::new();
    let size = 16 << 20;
    let hash = site.noise("large", size);
    let server = Server::start(site, &["--ktls", "off"]);
    update_keys_in_mid_response(&server, size, &hash);
}

#[test]
fn what_is_no_tls_is_turned_away() {
    let server = Server::plain(&[]);
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x00",
        b"\x17\x03\x03\x00\x05hello",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        &[0x80, 0x2e, 1, 0, 2],
    ] {
        let mut socket = connect(server.port).unwrap();
        socket.write_all(bytes).unwrap();
        let _ = socket.shutdown(Shutdown::Write);
        let answer = drain(&mut socket);
        // Nothing, one alert record, or a word in the client's own protocol.
        let told = bytes.starts_with(b"GET ") && answer.starts_with(b"HTTP/1.1 400 ");
        assert!(answer.is_empty() || answer[0] == 0x15 || told, "{}", answer.escape_ascii());
    }
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
}

#[test]
fn connections_that_end_before_they_begin() {
    let server = Server::plain(&[]);
    for _ in 0..200 {
        drop(connect(server.port).unwrap());
    }
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
}

#[test]
fn damaged_and_oversized_records_end_the_connection() {
    let server = Server::plain(&[]);
    for options in [ClientOptions::default(), ClientOptions::tls12()] {
        let damaged = [&[0x17, 3, 3, 0, 40][..], &[7; 40]].concat();
        let oversized = [&[0x17, 3, 3, 0x48, 1][..], &vec![7; 18_433]].concat();
        let nonsense = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
        let empty = vec![0x17, 3, 3, 0, 0];
        for bytes in [damaged, oversized, nonsense, empty] {
            let mut client = server.connect_as(&options);
            assert_eq!(client.get("/hello.txt").body, HELLO);
            let _ = client.socket.write_all(&bytes);
            let _ = client.socket.shutdown(Shutdown::Write);
            let (rest, _) = client.end();
            assert!(rest.is_empty());
        }
    }
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
}

/// A record of another type in the middle of a connection.
#[test]
fn alerts_from_the_client() {
    let server = Server::plain(&[]);
    let mut client = server.connect();
    assert_eq!(client.get("/hello.txt").body, HELLO);
    // A plaintext alert after the handshake does not authenticate: the connection ends.
    client.socket.write_all(&[0x15, 3, 3, 0, 2, 2, 40]).unwrap();
    let _ = client.socket.shutdown(Shutdown::Write);
    let (rest, end) = client.end();
    assert!(rest.is_empty() && end != End::Notified || end == End::Notified, "{end:?}");
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
}

#[test]
fn an_rsa_certificate() {
    let site = Site::new();
    let identity = Identity::rsa(site.outside());
    let server = Server::start_as(site, identity, &[]);
    for (options, suite) in [
        (ClientOptions::default(), None),
        (ClientOptions::tls12(), Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)),
        (ClientOptions::tls12(), Some(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256)),
    ] {
        let mut client = server.connect_as(&ClientOptions { suite, ..options });
        assert_eq!(client.get("/hello.txt").body, HELLO);
    }
}

#[test]
fn a_pair_that_does_not_match_is_refused() {
    let site = Site::new();
    let ecdsa = Identity::ecdsa(site.outside());
    let cert = site.outside().join("first.pem");
    std::fs::rename(&ecdsa.cert, &cert).unwrap();
    let other = Identity::ecdsa(site.outside());
    refuses_pair(&site, &cert, &other.key, "does not belong");
}

#[test]
fn files_that_hold_no_pair_are_refused() {
    let site = Site::new();
    let pair = Identity::ecdsa(site.outside());
    let garbage = site.outside().join("garbage.pem");
    std::fs::write(&garbage, b"-----BEGIN CERTIFICATE-----\n!!!\n").unwrap();
    let empty = site.outside().join("empty.pem");
    std::fs::write(&empty, b"").unwrap();
    let missing = site.outside().join("missing.pem");
    refuses_pair(&site, &garbage, &pair.key, "garbage.pem");
    refuses_pair(&site, &pair.cert, &empty, "empty.pem");
    refuses_pair(&site, &missing, &pair.key, "missing.pem");
    refuses_pair(&site, &pair.cert, &missing, "missing.pem");
    refuses_pair(&site, &pair.key, &pair.key, "ecdsa.key");
    refuses_pair(&site, &pair.cert, &pair.cert, "ecdsa.pem");
}

/// The program must end with an exit code that is not 0 and a message that holds `word`.
fn refuses_pair(site: &Site, cert: &std::path::Path, key: &std::path::Path, word: &str) {
    let root = site.root();
    let output = run(&[
        "serve".as_ref(),
        root.as_os_str(),
        "--listen".as_ref(),
        "127.0.0.1:0".as_ref(),
        "--cert".as_ref(),
        cert.as_os_str(),
        "--key".as_ref(),
        key.as_os_str(),
    ]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(word), "{word:?} is not in: {said}");
}

/// A client that sends its whole first flight and never reads cannot hold the server's memory.
#[test]
fn a_client_that_never_reads_the_handshake() {
    let server = Server::plain(&["--handshake-timeout", "1s"]);
    let config = ClientOptions::default().config(&server.identity);
    let mut client = Client::connect(server.port, config).unwrap();
    client.tls.write_tls(&mut client.socket).unwrap();
    breathe();
    let mut all = Vec::new();
    let _ = client.socket.read_to_end(&mut all);
    assert_eq!(server.connect().get("/hello.txt").body, HELLO);
}
