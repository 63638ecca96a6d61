//! What TLS needs beside the two stages that speak it, [`crate::handshake`] and [`crate::record`]:
//! who the server is, what it offers and demands, tickets, keys, and kernel TLS.
//!
//! | module | job |
//! |---|---|
//! | [`identity`] | certificates, their keys, and which of them a client gets |
//! | `policy` | what is demanded of clients' certificates |
//! | `tickets`, `lineage` | what a session is resumed from, and for how long |
//! | `provider`, `hashing` | suites and groups, and what hashes for them |
//! | `protocol` | ALPN |
//! | `config` | all of these as one configuration of rustls, replaced as a whole |
//! | `client` | whom connections to upstream servers believe |
//! | `keys` | rustls's secrets as keys of the record layer, and those that follow them |
//! | [`kernel`] | handing keys to the kernel, and whether that works and pays |

#![deny(unsafe_code)]

mod client;
mod config;
mod files;
mod hashing;
pub(crate) mod identity;
pub(crate) mod kernel;
mod keys;
mod lineage;
mod policy;
mod protocol;
mod provider;
mod tickets;

pub(crate) use client::client_config;
#[cfg(test)]
pub(crate) use config::server_config;
pub(crate) use config::{Offer, SharedConfig, TlsParts, own_tickets};
pub(crate) use keys::traffic_keys;
pub(crate) use keys::{KeySchedule, KeysError};
pub(crate) use lineage::Lineage;
pub(crate) use policy::ClientPolicy;
pub(crate) use protocol::Protocol;
pub(crate) use provider::preferred_suite;
#[cfg(test)]
pub(crate) use provider::provider;
pub(crate) use tickets::{SharedTickets, TicketKeysError};
