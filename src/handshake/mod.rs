//! Handshake: driving rustls from a ClientHello to keys.
//!
//! rustls drives the handshake and nothing more. [`Handshake`] feeds it one whole record at a
//! time, so the moment the handshake is complete no byte of what follows has passed through
//! rustls: every early byte, whole record or half, belongs to what protects the connection
//! next, [`crate::record`] or the kernel ([`crate::tls::kernel`]). rustls's connection is then taken
//! apart into an [`Established`]: the keys of both directions with their record numbers, and what
//! later keys follow from. What the server offers and who it is: [`crate::tls`].

#![forbid(unsafe_code)]

mod client_hello;
mod drive;
mod error;
mod established;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use client_hello::{is_partial_hello, offers_http2, server_name};
pub(crate) use drive::{Advance, Handshake, HandshakeState};
pub(crate) use error::HandshakeError;
pub(crate) use established::Established;
