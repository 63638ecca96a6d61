//! Clients' certificates: who vouches for them, and whether one has to be shown.

#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256, digest};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::files;
use super::identity::CredentialsError;
use super::provider::provider;
use crate::config::{ClientAuth, ClientAuthMode};

/// Longest file of authorities; those of a whole distribution take a quarter of it.
const MAX_BYTES: usize = 1 << 20;

/// Most bytes of authorities' names that are sent along with the question for a certificate. If
/// there are more, none is sent, and clients choose by themselves (RFC 8446 section 4.2.4).
const MAX_HINTS: usize = 8 << 10;

/// What is demanded of clients.
#[derive(Debug)]
pub(crate) struct ClientPolicy {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    authorities: usize,
    /// The same for the same authorities and the same demand, on every machine.
    pub(super) digest: PolicyDigest,
}

/// Stands for what was demanded of a client when a session began.
pub(crate) type PolicyDigest = [u8; 16];

/// No certificate is asked for. This and [`policy_digest`] name the form of tickets: those of another
/// form do not open.
pub(crate) const NO_POLICY: PolicyDigest = *b"ringway 2: none.";

impl ClientPolicy {
    /// Reads the authorities.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate, or one that cannot be an authority.
    pub(crate) fn load(options: &ClientAuth) -> Result<Self, CredentialsError> {
        let path = &options.ca;
        let (text, _) = files::read(path, MAX_BYTES)
            .map_err(|error| CredentialsError::Read(path.clone(), error))?;
        Self::from_pem(path, &text, options.mode)
    }

    pub(crate) fn from_pem(
        path: &Path,
        text: &[u8],
        mode: ClientAuthMode,
    ) -> Result<Self, CredentialsError> {
        let mut roots = RootCertStore::empty();
        let mut digests = Vec::new();
        for authority in CertificateDer::pem_slice_iter(text) {
            let authority =
                authority.map_err(|error| CredentialsError::Pem(path.to_owned(), error))?;
            digests.push(digest(&SHA256, &authority).as_ref().to_vec());
            roots
                .add(authority)
                .map_err(|error| CredentialsError::BadAuthority(path.to_owned(), error))?;
        }
        let authorities = roots.len();
        if authorities == 0 {
            return Err(CredentialsError::NoCertificate(path.to_owned()));
        }
        let hints: usize = roots.subjects().iter().map(|name| name.as_ref().len()).sum();
        let mut builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider()));
        if hints > MAX_HINTS {
            builder = builder.clear_root_hint_subjects();
        }
        if mode == ClientAuthMode::Optional {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder.build().map_err(|error| {
            let error = rustls::Error::General(error.to_string());
            CredentialsError::BadAuthority(path.to_owned(), error)
        })?;
        digests.sort_unstable();
        Ok(Self { verifier, authorities, digest: policy_digest(mode, &digests) })
    }

    /// How many authorities there are.
    pub(crate) fn authorities(&self) -> usize {
        self.authorities
    }

    /// Whether both demand the same of the same authorities' clients.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

fn policy_digest(mode: ClientAuthMode, authorities: &[Vec<u8>]) -> PolicyDigest {
    let mut context = Context::new(&SHA256);
    context.update(match mode {
        ClientAuthMode::Optional => b"ringway 2: clients optional",
        ClientAuthMode::Required => b"ringway 2: clients required",
    });
    for authority in authorities {
        context.update(authority);
    }
    let hash = context.finish();
    let mut digest = NO_POLICY;
    for (byte, hashed) in digest.iter_mut().zip(hash.as_ref()) {
        *byte = *hashed;
    }
    digest
}

#[cfg(test)]
mod tests {
    use ClientAuthMode::{Optional, Required};

    use super::*;

    fn authority(name: &str) -> String {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn load(text: &str, mode: ClientAuthMode) -> Result<ClientPolicy, CredentialsError> {
        ClientPolicy::from_pem(Path::new("ca.pem"), text.as_bytes(), mode)
    }

    #[test]
    fn the_digest_stands_for_authorities_and_demand() {
        let (one, two) = (authority("one"), authority("two"));
        let digest = |text: String, mode| load(&text, mode).unwrap().digest;
        let both = digest(format!("{one}{two}"), Required);
        assert_eq!(both, digest(format!("# moved\n{two}{one}"), Required), "whatever the order");
        assert_ne!(both, digest(format!("{one}{two}"), Optional));
        assert_ne!(both, digest(one, Required));
        assert_ne!(both, NO_POLICY);
    }

    #[test]
    fn files_without_authorities_are_refused() {
        let required = ClientAuthMode::Required;
        let error = load("nothing", required).unwrap_err();
        assert!(matches!(error, CredentialsError::NoCertificate(_)), "{error}");
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let error = load(nonsense, required).unwrap_err();
        assert!(matches!(error, CredentialsError::BadAuthority(..)), "{error}");
        assert!(error.to_string().contains("ca.pem"), "{error}");
    }

    #[test]
    fn many_authorities_are_not_listed_to_clients() {
        let few = load(&authority("a"), ClientAuthMode::Required).unwrap();
        assert_eq!(few.verifier.root_hint_subjects().len(), 1);
        let long = "x".repeat(5_000);
        let many = load(&(authority(&long) + &authority(&long)), ClientAuthMode::Required).unwrap();
        assert_eq!(many.authorities(), 2);
        assert!(many.verifier.root_hint_subjects().is_empty());
    }
}
