//! Why a certificate, a key or an authority cannot be used, and what to do about it.

#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustls::pki_types::pem;

use crate::tls::files;

/// Why a certificate and key cannot be used.
#[derive(Debug)]
#[non_exhaustive]
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
