//! Certificates of clients: who is let in, who is not, and what a session remembers.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};

use crate::authority::{Authority, Issued};
use crate::client::Client;
use crate::server::{PATIENCE, Server};
use crate::site::{HELLO, Site};

/// A server that asks for certificates by `clients`, and the authority of its own.
fn serve(clients: &Authority, options: &[&str]) -> (Server, Authority) {
    let site = Site::new();
    let authority = Authority::new("servers");
    let identity = authority.issue(&["localhost"]).write(site.outside(), "server");
    let ca = site.outside().join("clients.pem");
    clients.write(&ca);
    let options = [&["--client-ca", ca.to_str().unwrap()][..], options].concat();
    (Server::start_as(site, identity, &options), authority)
}

/// Lets the client ask; how its handshake went, or the error's text.
fn ask(server: &Server, config: &Arc<ClientConfig>) -> Result<HandshakeKind, String> {
    let mut client = Client::connect(server.port, Arc::clone(config)).unwrap();
    client.send(b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let response = client.try_response("GET").map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::InvalidData, "an alert, not {error}");
        error.to_string()
    })?;
    assert_eq!(response.body, HELLO);
    let kind = client.tls.handshake_kind().unwrap();
    client.close();
    client.expect_close();
    Ok(kind)
}

#[test]
fn a_certificate_is_required_and_checked() {
    let (clients, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    for options in [&[][..], &["--client-auth", "required"], &["--ktls", "off"]] {
        let (server, authority) = serve(&clients, options);
        let block = &server.start_block;
        assert!(block.contains("clients      must show a certificate by"), "{block}");
        for version in [&TLS12, &TLS13] {
            let good = authority.client(version, Some(&clients.issue(&["client"])));
            assert_eq!(ask(&server, &good), Ok(HandshakeKind::Full));
            assert_eq!(ask(&server, &good), Ok(HandshakeKind::Resumed));
            let none = ask(&server, &authority.client(version, None)).unwrap_err();
            assert!(none.contains("CertificateRequired"), "{none}");
            let foreign = authority.client(version, Some(&strangers.issue(&["client"])));
            let foreign = ask(&server, &foreign).unwrap_err();
            assert!(foreign.contains("UnknownCA") || foreign.contains("UnknownCa"), "{foreign}");
            let late = clients.issue_with(&["client"], &rcgen::PKCS_ED25519, |params| {
                params.not_after = rcgen::date_time_ymd(2001, 1, 1);
            });
            let late = ask(&server, &authority.client(version, Some(&late))).unwrap_err();
            assert!(late.contains("CertificateExpired"), "{late}");
        }
        server.expect_logged("refused for the client's certificate: peer sent no certificates", 2);
        server.expect_logged("refused for the client's certificate: invalid peer certificate", 4);
        assert!(server.log().contains("127.0.0.1:"), "{}", server.log());
        assert!(server.log().contains("UnknownIssuer"), "{}", server.log());
    }
}

#[test]
fn an_optional_certificate_is_checked_if_it_is_shown() {
    let (clients, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    let (server, authority) = serve(&clients, &["--client-auth", "optional"]);
    assert!(server.start_block.contains("clients      may show"), "{}", server.start_block);
    for version in [&TLS12, &TLS13] {
        for own in [None, Some(clients.issue(&["client"]))] {
            let config = authority.client(version, own.as_ref());
            assert_eq!(ask(&server, &config), Ok(HandshakeKind::Full));
            assert_eq!(ask(&server, &config), Ok(HandshakeKind::Resumed));
        }
        let foreign = authority.client(version, Some(&strangers.issue(&["client"])));
        assert!(ask(&server, &foreign).is_err());
    }
}

/// A ticket must not be a way around a change of mind about whom to trust.
#[test]
fn authorities_are_replaced_and_old_sessions_do_not_resume() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (server, authority) = serve(&old, &[]);
    let ca = server.site.outside().join("clients.pem");
    for version in [&TLS12, &TLS13] {
        let config = |issued: &Issued| authority.client(version, Some(issued));
        let (formerly, now) = (config(&old.issue(&["client"])), config(&new.issue(&["client"])));
        assert_eq!(ask(&server, &formerly), Ok(HandshakeKind::Full));
        assert_eq!(ask(&server, &formerly), Ok(HandshakeKind::Resumed));
        assert!(ask(&server, &now).is_err());
        replace(&server, &ca, &new.pem);
        assert!(ask(&server, &formerly).is_err(), "not even by its ticket");
        assert_eq!(ask(&server, &now), Ok(HandshakeKind::Full));
        assert_eq!(ask(&server, &now), Ok(HandshakeKind::Resumed));
        // Both are trusted: a full handshake first, since the demand has changed.
        replace(&server, &ca, &format!("{}{}", old.pem, new.pem));
        assert_eq!(ask(&server, &now), Ok(HandshakeKind::Full));
        assert_eq!(ask(&server, &now), Ok(HandshakeKind::Resumed));
        replace(&server, &ca, &old.pem);
    }
    std::fs::write(&ca, "nobody").unwrap();
    server.signal(Signal::HUP);
    server.expect_logged("authorities of clients: not replaced", 1);
    assert!(ask(&server, &authority.client(&TLS13, None)).is_err(), "they are still asked");
}

fn replace(server: &Server, ca: &Path, text: &str) {
    let before = server.log().matches("authorities of clients: replaced").count();
    std::fs::write(ca, text).unwrap();
    server.signal(Signal::HUP);
    server.expect_logged("authorities of clients: replaced", before + 1);
}

/// Each resumption brings a new ticket, but none that outlives the certificate.
#[test]
fn a_session_does_not_outlive_the_clients_certificate() {
    let clients = Authority::new("clients");
    let (server, authority) = serve(&clients, &[]);
    for version in [&TLS12, &TLS13] {
        // On a slow machine a short life may end before the session resumes.
        let lives = [3, 30, 200].map(Duration::from_secs);
        let config = lives.into_iter().find_map(|life| {
            let brief = clients.issue_until(&["client"], life);
            let config = authority.client(version, Some(&brief));
            let kinds = [ask(&server, &config), ask(&server, &config)];
            (kinds == [Ok(HandshakeKind::Full), Ok(HandshakeKind::Resumed)]).then_some(config)
        });
        let config = config.expect("a session that resumes");
        let deadline = Instant::now() + PATIENCE;
        let refused = loop {
            match ask(&server, &config) {
                Ok(kind) => assert_eq!(kind, HandshakeKind::Resumed),
                Err(error) => break error,
            }
            assert!(Instant::now() < deadline, "the session goes on and on");
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(refused.contains("CertificateExpired"), "{refused}");
    }
}
