//! Who the server is: certificate chains, their keys, and which of them a client gets.

#![forbid(unsafe_code)]

mod certificates;
mod chain;
mod credentials;
mod error;
mod names;
#[cfg(feature = "self-signed")]
mod self_signed;
#[cfg(feature = "self-signed")]
mod state_folder;
#[cfg(test)]
mod tests;
mod x509;

pub(crate) use certificates::{Certificate, Certificates};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use credentials::Credentials;
#[cfg(test)]
pub(crate) use credentials::fingerprint;
pub(crate) use error::CredentialsError;
#[cfg(feature = "self-signed")]
pub(crate) use self_signed::{SelfSigned, Storage};
pub(crate) use x509::Parsed;
