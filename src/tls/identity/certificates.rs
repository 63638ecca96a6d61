//! The server's certificates, and which of them a client gets.

#![forbid(unsafe_code)]

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::credentials::{Credentials, fingerprint};
use super::error::CredentialsError;
use super::names::NameIndex;
use super::x509::Parsed;
use crate::wall_clock::unix_seconds;

/// A certificate that is ready to serve: its chain, its key as rustls wants it, its names.
///
/// The key is wiped when the last user has gone: the set that holds it, and handshakes that have
/// begun with that set. Established connections do not hold it. It lives in aws-lc, which wipes
/// all memory that it frees; the file's text and the DER that was made of it are wiped by us as
/// soon as aws-lc has the key. What the libraries leave: the PEM reader's copy of the base64 text,
/// and, for keys in SEC1 or PKCS#1, what aws-lc needed on its stack while parsing.
#[derive(Debug)]
pub(crate) struct Certificate {
    certified: Arc<CertifiedKey>,
    /// SHA-256 of the leaf.
    fingerprint: String,
    names: Vec<String>,
    /// The leaf's first and last second; none if it cannot be read.
    validity: Option<(i64, i64)>,
    warnings: Vec<String>,
}

impl Certificate {
    /// Gives the key to rustls and wipes ours.
    ///
    /// # Errors
    /// rustls cannot use the key.
    pub(crate) fn new(mut credentials: Credentials) -> Result<Self, rustls::Error> {
        let certified = credentials.certified()?;
        let leaf = certified.end_entity_cert()?;
        let fingerprint = fingerprint(leaf);
        // What cannot be read is among the warnings: see [`super::chain`].
        let parsed = Parsed::parse(leaf).ok();
        let names = parsed.iter().filter_map(|leaf| leaf.names().ok()).flatten().collect();
        let validity = parsed.as_ref().map(|leaf| (leaf.not_before(), leaf.not_after()));
        let warnings = std::mem::take(&mut credentials.warnings);
        Ok(Self { fingerprint, names, validity, warnings, certified: Arc::new(certified) })
    }

    /// Reads and checks a pair of files; see [`Credentials::load`].
    ///
    /// # Errors
    /// The files cannot be read, or are no pair.
    pub(crate) fn load(
        cert: &std::path::Path,
        key: &std::path::Path,
    ) -> Result<Self, CredentialsError> {
        let credentials = Credentials::load(cert, key)?;
        Self::new(credentials).map_err(|error| CredentialsError::BadKey(key.to_owned(), error))
    }

    /// The DNS names and addresses in the leaf, in its order; a wildcard is `*.example`.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The last second of its leaf's validity, since 1970; None if the leaf could not be read.
    pub(crate) fn not_after(&self) -> Option<i64> {
        self.validity.map(|(_, last)| last)
    }

    /// What is worth telling the operator, although the pair works.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The SHA-256 fingerprint of the leaf, in the form that browsers show.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether both have the same chain; then they have the same key.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }

    /// Whether the leaf is within its time now. One that cannot be read counts as such.
    pub(crate) fn is_in_time(&self) -> bool {
        let now = unix_seconds();
        self.validity.is_none_or(|(first, last)| first <= now && now <= last)
    }
}

/// All certificates of a server; which one a client gets is decided here, for each full handshake.
#[derive(Debug)]
pub(crate) struct Certificates {
    all: Vec<Arc<Certificate>>,
    index: NameIndex,
}

impl Certificates {
    /// A set, in the order of the configuration. The first is for clients that name none of them.
    pub(crate) fn new(all: Vec<Arc<Certificate>>) -> Self {
        let names: Vec<&[String]> = all.iter().map(|one| one.names()).collect();
        let index = NameIndex::new(&names);
        Self { all, index }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let [only] = &self.all[..] {
            return Some(Arc::clone(&only.certified));
        }
        // For TLS 1.2 rustls leaves only the schemes that go with a cipher suite of the client's.
        let fits = |place: usize| {
            self.all.get(place).is_some_and(|one| {
                one.certified.key.choose_scheme(hello.signature_schemes()).is_some()
            })
        };
        let place = self.index.choose(hello.server_name(), fits)?;
        self.all.get(place).map(|one| Arc::clone(&one.certified))
    }
}
