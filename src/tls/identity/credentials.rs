//! Certificate chains and private keys from PEM files, with errors a person can act on.

#![forbid(unsafe_code)]

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::{Zeroize as _, Zeroizing};

use super::chain;
use super::error::CredentialsError;
use crate::tls::files::{self, MAX_PEM};
use crate::wall_clock::unix_seconds;

/// A certificate chain, leaf first, and the leaf's private key, which is wiped on drop.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// The chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the leaf.
    pub key: PrivateKeyDer<'static>,
    /// What the operator should know, although the pair works: names, times
    /// or an order that clients may refuse.
    pub warnings: Vec<String>,
}

impl Credentials {
    /// Reads and checks `certificate` and `key`, both PEM; they may be the same file.
    pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Self, CredentialsError> {
        let chain = read_chain(certificate)?;
        let private_key = read_key(key)?;
        let mut loaded = Self { chain, key: private_key, warnings: Vec::new() };
        loaded.warnings = chain::examine(certificate, &loaded.chain, unix_seconds())?;
        match loaded.certified() {
            Ok(_) => {}
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                return Err(CredentialsError::Mismatch {
                    certificate: certificate.to_owned(),
                    key: key.to_owned(),
                });
            }
            Err(error @ rustls::Error::InvalidCertificate(_)) => {
                return Err(CredentialsError::BadCertificate(certificate.to_owned(), error));
            }
            Err(error) => return Err(CredentialsError::BadKey(key.to_owned(), error)),
        }
        Ok(loaded)
    }

    /// The pair as rustls wants it, which has been checked to be one.
    pub(super) fn certified(&self) -> Result<CertifiedKey, rustls::Error> {
        let key = any_supported_type(&self.key)?;
        let certified = CertifiedKey::new(self.chain.clone(), key);
        match certified.keys_match() {
            // A kind of key that rustls cannot compare is not an error.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(certified)
            }
            Err(error) => Err(error),
        }
    }

    /// The SHA-256 fingerprint of the leaf, in the form that browsers show; none without a leaf.
    #[cfg(test)]
    pub(crate) fn fingerprint(&self) -> Option<String> {
        self.chain.first().map(fingerprint)
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// The SHA-256 fingerprint of a certificate: pairs of hexadecimal digits parted by colons.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let hash = digest(&SHA256, certificate);
    let pairs: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let text = read(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| CredentialsError::Pem(path.to_owned(), error))?;
    if chain.is_empty() {
        return Err(CredentialsError::NoCertificate(path.to_owned()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CredentialsError> {
    let text = read(path)?;
    if contains(&text, b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || contains(&text, b"Proc-Type: 4,ENCRYPTED")
    {
        return Err(CredentialsError::EncryptedKey(path.to_owned()));
    }
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err(CredentialsError::NoKey(path.to_owned())),
        Err(error) => Err(CredentialsError::Pem(path.to_owned(), error)),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CredentialsError> {
    let read = files::read(path, MAX_PEM);
    read.map(|(text, _)| text).map_err(|error| CredentialsError::Read(path.to_owned(), error))
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(text, needle).is_some()
}
