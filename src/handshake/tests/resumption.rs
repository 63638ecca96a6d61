//! Resumed sessions of clients that have shown a certificate.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

use super::*;
use crate::config::ClientAuthMode;
use crate::tls::ClientPolicy;
use crate::wall_clock::{tests::AHEAD, unix_seconds};

/// Seconds for which the client's certificate is valid.
const VALID: i64 = 10_000;

/// A server that demands certificates, and a client that has one.
fn bed(suite: SupportedCipherSuite) -> Bed {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    leaf.not_after = time::OffsetDateTime::from_unix_timestamp(unix_seconds() + VALID).unwrap();
    let leaf = leaf.signed_by(&key, &authority).unwrap();

    let bed = Bed::new(suite);
    let policy = ClientPolicy::from_pem(
        Path::new("authority"),
        authority.pem().as_bytes(),
        ClientAuthMode::Required,
    );
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let chain = vec![made.cert.der().clone()];
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).unwrap();
    let server_key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let credentials = Credentials { chain, key: server_key, warnings: Vec::new() };
    let parts = TlsParts {
        certificates: Arc::new(Certificates::new(vec![Arc::new(
            Certificate::new(credentials).unwrap(),
        )])),
        clients: Some(Arc::new(policy.unwrap())),
        tickets: own_tickets().unwrap(),
    };
    let offer = Offer { minimum: TlsVersion::Tls12, http2: false };
    let version = if suite.tls13().is_some() { &version::TLS13 } else { &version::TLS12 };
    let client_key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::clone(bed.client.crypto_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![leaf.der().clone()], client_key)
        .unwrap();
    Bed { server: parts.server_config(offer).unwrap(), client: Arc::new(client) }
}

/// The certificate of a session must be valid when it is resumed. When it expires after that, in the
/// middle of the handshake, an alert in clear would come where the client expects records.
#[test]
fn a_certificate_that_expires_in_the_middle_of_a_resumed_handshake_ends_nothing() {
    for suite in [SUITES[0], SUITES[3]] {
        let bed = bed(suite);
        for expires in ["before", "meanwhile", "never"] {
            AHEAD.set(0);
            assert!(!bed.connect().client.is_handshaking(), "it has tickets");
            AHEAD.set(if expires == "before" { 2 * VALID } else { 0 });
            let mut client = bed.client();
            let mut handshake = bed.handshake();
            let mut output = Vec::new();
            let advanced = handshake.advance(&sent(&mut client), &mut output);
            if expires == "before" {
                let error = advanced.unwrap_err().to_string();
                assert!(error.contains("xpired"), "{suite:?}: {error}");
                assert_eq!(output, [21, 3, 3, 0, 2, 2, 45], "{suite:?}: in clear");
                continue;
            }
            advanced.unwrap();
            give(&mut client, &output);
            if expires == "meanwhile" {
                AHEAD.set(2 * VALID);
            }
            output.clear();
            let advanced = handshake.advance(&sent(&mut client), &mut output);
            assert_eq!(advanced.unwrap().state, HandshakeState::Finished, "{suite:?}: {expires}");
            assert!(handshake.finish().unwrap().resumed, "{suite:?}: {expires}");
        }
        AHEAD.set(0);
    }
}
