//! Certificate chains and private keys from PEM files, with errors a person can act on.

#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::{Zeroize as _, Zeroizing};

use super::chain;
use super::files::{self, MAX_PEM};
use crate::wall_clock::unix_seconds;

/// A certificate chain, leaf first, and the leaf's private key, which is wiped on drop.
#[derive(Debug)]
pub struct Credentials {
    /// The chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the leaf.
    pub key: PrivateKeyDer<'static>,
    /// What the operator should know, although the pair works: see [`super::chain`].
    pub warnings: Vec<String>,
}

impl Credentials {
    /// Reads and checks `certificate` and `key`, both PEM; they may be the same file.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, CredentialsError> {
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
    pub fn fingerprint(&self) -> Option<String> {
        self.chain.first().map(fingerprint)
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// The SHA-256 fingerprint of a certificate: pairs of hexadecimal digits parted by colons.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
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

/// Why a certificate and key cannot be used.
#[derive(Debug)]
pub enum CredentialsError {
    /// The file cannot be read.
    Read(PathBuf, io::Error),
    /// The file is damaged PEM.
    Pem(PathBuf, pem::Error),
    /// No certificate is in the file.
    NoCertificate(PathBuf),
    /// No private key is in the file.
    NoKey(PathBuf),
    /// The key is protected by a password.
    EncryptedKey(PathBuf),
    /// The key is of a kind, or damaged in a way, that cannot be used.
    BadKey(PathBuf, rustls::Error),
    /// The leaf certificate cannot be parsed.
    BadCertificate(PathBuf, rustls::Error),
    /// A certificate cannot be an authority for clients.
    BadAuthority(PathBuf, rustls::Error),
    /// The certificate is for another key.
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A certificate is not issued by the next one in the file, but by another one in it.
    Order {
        /// The file.
        path: PathBuf,
        /// The place in the file of the first of the two, from 1.
        position: usize,
    },
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => {
                write!(f, "{}: {error}{}", path.display(), files::remedy(path, error))
            }
            Self::Pem(path, error) => {
                write!(f, "{}: damaged PEM: ", path.display())?;
                match error {
                    pem::Error::MissingSectionEnd { end_marker } => {
                        let label = String::from_utf8_lossy(end_marker);
                        write!(f, "the line -----END {}----- is missing", label.escape_debug())?;
                    }
                    pem::Error::IllegalSectionStart { line } => {
                        let line = String::from_utf8_lossy(line);
                        write!(f, "the line {} begins no section", line.escape_debug())?;
                    }
                    other => write!(f, "{other}")?,
                }
                f.write_str(". Export the file again")
            }
            Self::NoCertificate(path) => write!(
                f,
                "{}: no certificate in this file. It must hold the chain as PEM, beginning with \
                 -----BEGIN CERTIFICATE-----; DER can be converted with: openssl x509 -inform der",
                path.display()
            ),
            Self::NoKey(path) => write!(
                f,
                "{}: no private key in this file. It must hold a PEM key (PRIVATE KEY, EC PRIVATE \
                 KEY or RSA PRIVATE KEY)",
                path.display()
            ),
            Self::EncryptedKey(path) => write!(
                f,
                "{}: the key is protected by a password, which ringway cannot ask for. Remove it \
                 with: openssl pkey -in {} -out key.pem",
                path.display(),
                path.display()
            ),
            Self::BadKey(path, error) => write!(
                f,
                "{}: the private key cannot be used: {error}. RSA from 2048 bits, ECDSA on P-256, \
                 P-384 and P-521, and Ed25519 are supported",
                path.display()
            ),
            Self::BadCertificate(path, error) => {
                write!(f, "{}: the certificate cannot be used: {error}", path.display())
            }
            Self::BadAuthority(path, error) => write!(
                f,
                "{}: a certificate in it cannot vouch for clients: {error}. Give the certificates \
                 of the authorities that issue them",
                path.display()
            ),
            Self::Mismatch { certificate, key } => write!(
                f,
                "{}: the key does not belong to the first certificate of {}. The chain must begin \
                 with the certificate of the server itself",
                key.display(),
                certificate.display()
            ),
            Self::Order { path, position } => write!(
                f,
                "{}: certificate {position} is not issued by certificate {}. Put the server's \
                 certificate first, then each issuer in turn",
                path.display(),
                position + 1
            ),
        }
    }
}

impl std::error::Error for CredentialsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(_, error) => Some(error),
            Self::Pem(_, error) => Some(error),
            Self::BadKey(_, error)
            | Self::BadCertificate(_, error)
            | Self::BadAuthority(_, error) => Some(error),
            _ => None,
        }
    }
}
