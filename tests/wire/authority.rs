//! A certificate authority for tests, and the clients that trust it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SignatureAlgorithm,
    date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion};

use crate::identity::Identity;
use crate::trusting::Trusting;

/// Issues certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    der: CertificateDer<'static>,
}

/// A certificate with its key, not written anywhere yet.
pub(crate) struct Issued {
    pub(crate) cert: String,
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
    key_der: PrivateKeyDer<'static>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// A certificate with a key on P-256.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, &rcgen::PKCS_ECDSA_P256_SHA256, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            cert: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
            key_der: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }

    /// A certificate that ends so long from now.
    pub(crate) fn issue_until(&self, names: &[&str], left: Duration) -> Issued {
        let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + left;
        self.issue_with(names, &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
            params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(end.as_secs());
        })
    }

    /// Writes its certificate.
    pub(crate) fn write(&self, path: &Path) {
        fs::write(path, &self.pem).unwrap();
    }

    /// A client that trusts it, keeps tickets, and shows this certificate if it is asked.
    pub(crate) fn client(
        &self,
        version: &'static SupportedProtocolVersion,
        own: Option<&Issued>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = aws_lc_rs::default_provider();
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match own {
            Some(own) => config
                .with_client_auth_cert(vec![own.der.clone()], own.key_der.clone_key())
                .unwrap(),
            None => config.with_no_client_auth(),
        })
    }
}

impl Issued {
    /// Writes both as `NAME.pem` and `NAME.key`.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> Identity {
        let path = |extension: &str| folder.join(format!("{name}.{extension}"));
        self.write_to(&path("pem"), &path("key"));
        Identity { cert: path("pem"), key: path("key"), der: self.der.clone() }
    }

    /// Writes both over what is there, the certificate first.
    pub(crate) fn write_to(&self, cert: &PathBuf, key: &PathBuf) {
        fs::write(cert, &self.cert).unwrap();
        fs::write(key, &self.key).unwrap();
    }
}

/// A client that takes whatever certificate it is given, with one of these signatures.
pub(crate) fn curious(
    version: &'static SupportedProtocolVersion,
    schemes: &[SignatureScheme],
) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(schemes.to_vec())))
        .with_no_client_auth();
    Arc::new(config)
}
