//! Certificates for tests, made on the spot.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use rustls::pki_types::CertificateDer;

/// A self-signed certificate for `localhost` and 127.0.0.1, and its files.
pub(crate) struct Identity {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) der: CertificateDer<'static>,
}

impl Identity {
    /// ECDSA P-256, as the server makes for itself.
    pub(crate) fn ecdsa(folder: &Path) -> Self {
        Self::new(folder, "ecdsa", &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    /// RSA of 2048 bits.
    pub(crate) fn rsa(folder: &Path) -> Self {
        Self::new(folder, "rsa", &rcgen::PKCS_RSA_SHA256)
    }

    fn new(folder: &Path, name: &str, algorithm: &'static SignatureAlgorithm) -> Self {
        let key_pair = KeyPair::generate_for(algorithm).unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key_pair).unwrap();
        let cert = folder.join(format!("{name}.pem"));
        let key = folder.join(format!("{name}.key"));
        fs::write(&cert, certificate.pem()).unwrap();
        fs::write(&key, key_pair.serialize_pem()).unwrap();
        Self { cert, key, der: certificate.der().clone() }
    }
}
