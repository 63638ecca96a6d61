//! Handshake: certificates, tickets, rustls, and the hand-over of keys.
//!
//! rustls drives the handshake and nothing more. [`Handshake`] feeds it one whole record at a
//! time, so the moment the handshake is complete no byte of what follows has passed through
//! rustls: every early byte, whole record or half, belongs to whoever protects the connection
//! next, [`crate::record`] or the kernel ([`ktls`]). rustls's connection is then taken apart
//! into an [`Established`]: the keys of both directions with their record numbers, and what later
//! keys follow from.

#![deny(unsafe_code)]

mod certificates;
mod chain;
mod client_hello;
mod clients;
mod config;
mod credentials;
mod drive;
mod established;
mod files;
mod hashing;
pub mod ktls;
mod lineage;
mod names;
mod protocol;
mod self_signed;
mod state_folder;
mod tickets;
mod x509;

#[cfg(test)]
mod tests;

pub use certificates::{Certificate, Certificates};
pub use client_hello::is_partial_hello;
pub use clients::ClientPolicy;
pub use config::{Offer, SharedConfig, TlsParts, own_tickets, preferred_suite, server_config};
pub use credentials::{Credentials, CredentialsError, fingerprint};
pub use drive::{Advance, Handshake, HandshakeError, HandshakeState};
pub use established::{Established, KeySchedule};
pub use protocol::Protocol;
pub use self_signed::{SelfSigned, Storage};
pub use tickets::{KeyFileProblem, SharedTickets, TicketKeysError};
