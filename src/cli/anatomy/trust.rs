//! Whose certificates the client believes: the platform's authorities, the files that were given,
//! and the certificate that Ringway makes for this user.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::cli::{Exit, complain};
use crate::tls::identity::SelfSigned;

/// A client configuration, and what there is to say about whom it trusts.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) config: ClientConfig,
    /// Why the certificate would have been refused, if it is not insisted on and was not right.
    complaint: Option<Arc<Mutex<Option<String>>>>,
}

/// What the server's certificate was worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is right.
    Verified,
    /// It was not insisted on (`--insecure`); this is why it would have been refused, if it
    /// would.
    NotInsisted(Option<String>),
}

impl Trust {
    /// Gathers the authorities; `protocol` is offered by ALPN.
    ///
    /// # Errors
    /// A file of `files` that cannot be read, or holds no certificate.
    pub(super) fn gather(
        files: &[PathBuf],
        insecure: bool,
        protocol: &[u8],
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        // Platforms without authorities, and single broken ones among them, are no failure: what
        // was given may be all that is needed, and the handshake says if it was not.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(own) = SelfSigned::kept_file().filter(|file| file.exists()) {
            match read(&own) {
                Ok(certificates) => drop(roots.add_parsable_certificates(certificates)),
                Err(why) => drop(complain(Exit::Done, format_args!("warning: {why}"))),
            }
        }
        for file in files {
            let certificates = read(file)?;
            if roots.add_parsable_certificates(certificates).0 == 0 {
                return Err(format!("{} holds no certificate that can be used", file.display()));
            }
        }
        Self::new(roots, insecure, protocol)
    }

    fn new(roots: RootCertStore, insecure: bool, protocol: &[u8]) -> Result<Self, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        warm_up(&provider);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let complaint = insecure.then(Arc::default);
        let builder = match &complaint {
            None => builder.with_root_certificates(roots),
            Some(complaint) => builder.dangerous().with_custom_certificate_verifier(Arc::new(
                NotInsisting::new(roots, provider, Arc::clone(complaint)),
            )),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Self { config, complaint })
    }

    /// What came of it, after a full handshake.
    pub(super) fn verdict(&self) -> Verdict {
        match &self.complaint {
            None => Verdict::Verified,
            Some(complaint) => Verdict::NotInsisted(
                complaint.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ),
        }
    }
}

/// Uses the library once. Its first key seeds its generator of random numbers, which takes tens
/// of milliseconds and is no part of any handshake.
fn warm_up(provider: &CryptoProvider) {
    for group in &provider.kx_groups {
        // Should it fail, the handshake will say so.
        drop(group.start());
    }
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{} is not PEM: {error}", file.display()))
}

/// Verifies as usual, remembers what was wrong, and goes on. Signatures of the handshake are
/// still verified: the peer has the key of the certificate that it shows.
#[derive(Debug)]
struct NotInsisting {
    /// `None` without any authority: then there is nothing to verify against.
    usual: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    complaint: Arc<Mutex<Option<String>>>,
}

impl NotInsisting {
    fn new(
        roots: RootCertStore,
        provider: Arc<CryptoProvider>,
        complaint: Arc<Mutex<Option<String>>>,
    ) -> Self {
        let usual =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        Self { usual: usual.build().ok(), provider, complaint }
    }
}

impl ServerCertVerifier for NotInsisting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let complaint = match &self.usual {
            None => Some("this host has no authorities to verify it against".to_owned()),
            Some(usual) => usual
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .err()
                .map(|error| error.to_string()),
        };
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = complaint;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent.pem");
        let error = Trust::gather(std::slice::from_ref(&absent), false, b"h2").unwrap_err();
        assert!(error.contains("absent.pem"), "{error}");

        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "nothing").unwrap();
        let error = Trust::gather(&[empty], false, b"h2").unwrap_err();
        assert!(error.contains("no certificate"), "{error}");
    }
}
