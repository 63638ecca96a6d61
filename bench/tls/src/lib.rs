//! TLS 1.3 for both of the benchmark's own ends, the load generator and the bare responders.
//!
//! rustls does the [`handshake`]; its keys are then extracted and records are sealed and opened
//! in place by a bare [`record`] layer, because a load generator must cost less per request than
//! the fastest server.
//!
//! The invariant: a record boundary is never crossed. The handshake is given whole records, one
//! at a time, so that nothing of what follows it is swallowed.

#![forbid(unsafe_code)]

pub mod handshake;
pub mod record;

#[cfg(test)]
mod tests;
