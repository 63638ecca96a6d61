//! rustls's configuration for a load generator: one suite, one group, a pinned certificate and
//! a store of tickets.
//!
//! The invariant: no server is measured that does not hold the key of the certificate it
//! presents, and all connections of a run see the same certificate.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, Error, NamedGroup,
    SignatureScheme,
};

use crate::plan::{Group, Sessions, Suite, Tls, Verify};

/// Signatures that [`Verify::Sample`] checks.
const SAMPLE: u32 = 16;
/// Tickets that are kept. More than connections are in flight in any sensible run.
const TICKETS: usize = 4096;

/// One thread's configuration.
///
/// # Errors
///
/// rustls's, if suite and version do not go together.
pub(crate) fn config(
    tls: &Tls,
    sessions: Sessions,
    http2: bool,
) -> Result<Arc<ClientConfig>, Error> {
    let mut provider = aws_lc_rs::default_provider();
    let suite = match tls.suite {
        Suite::Aes128 => CipherSuite::TLS13_AES_128_GCM_SHA256,
        Suite::Aes256 => CipherSuite::TLS13_AES_256_GCM_SHA384,
        Suite::Chacha20 => CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    };
    provider.cipher_suites.retain(|known| known.suite() == suite);
    let group = match tls.group {
        Group::X25519 => NamedGroup::X25519,
        Group::P256 => NamedGroup::secp256r1,
        Group::Mlkem => NamedGroup::X25519MLKEM768,
    };
    provider.kx_groups.retain(|known| known.name() == group);
    let provider = Arc::new(provider);
    let pin = Pin {
        certificate: tls.pinned.clone().map_or_else(OnceLock::new, OnceLock::from),
        unchecked_after: if tls.verify == Verify::Sample { SAMPLE } else { u32::MAX },
        checked: AtomicU32::new(0),
        provider: Arc::clone(&provider),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pin))
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    config.resumption = match sessions {
        Sessions::Resumed => Resumption::store(Arc::new(Tickets::default())),
        Sessions::KeepAlive | Sessions::Full => Resumption::disabled(),
    };
    Ok(Arc::new(config))
}

/// Accepts one certificate only, and checks that the server holds its key.
#[derive(Debug)]
struct Pin {
    certificate: OnceLock<CertificateDer<'static>>,
    unchecked_after: u32,
    checked: AtomicU32,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = self.certificate.get_or_init(|| end_entity.clone().into_owned());
        if pinned.as_ref() == end_entity.as_ref() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is offered".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.checked.load(Ordering::Relaxed) >= self.unchecked_after {
            return Ok(HandshakeSignatureValid::assertion());
        }
        self.checked.fetch_add(1, Ordering::Relaxed);
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The tickets of one server, each used once, oldest first.
#[derive(Debug, Default)]
struct Tickets(Mutex<VecDeque<Tls13ClientSessionValue>>);

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() == TICKETS {
            tickets.pop_front();
        }
        tickets.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}
