//! TLS to upstream servers: whom we believe.

#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::files;
use super::identity::CredentialsError;
use super::provider::provider;

/// Longest file of authorities; those of a whole distribution take a quarter of it.
const MAX_BYTES: usize = 1 << 20;

/// Where most systems keep the authorities that they believe, for messages.
const SYSTEM: &str = "/etc/ssl/certs";

/// What connections to the servers of a pool go by: certificates by an authority of this file, or else by
/// one that the system believes; HTTP/1.1; sessions that are resumed.
///
/// # Errors
/// The file cannot be read or holds no authority, or the system has none.
pub(crate) fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, CredentialsError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let (text, _) = files::read(path, MAX_BYTES)
                .map_err(|error| CredentialsError::Read(path.to_owned(), error))?;
            for authority in CertificateDer::pem_slice_iter(&text) {
                let authority =
                    authority.map_err(|error| CredentialsError::Pem(path.to_owned(), error))?;
                roots
                    .add(authority)
                    .map_err(|error| CredentialsError::BadAuthority(path.to_owned(), error))?;
            }
        }
        None => _ = roots.add_parsable_certificates(system()),
    }
    if roots.is_empty() {
        return Err(CredentialsError::NoCertificate(ca.unwrap_or(Path::new(SYSTEM)).to_owned()));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| CredentialsError::BadAuthority(SYSTEM.into(), error))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The authorities that the system believes.
#[cfg(feature = "cli")]
fn system() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        log::warn!("authorities of the system: {error}");
    }
    found.certs
}

/// A library leaves it to its program to name a file.
#[cfg(not(feature = "cli"))]
fn system() -> Vec<CertificateDer<'static>> {
    Vec::new()
}
