//! Read: from ring buffers to plaintext.
//!
//! The invariant: [`Reader::plaintext`] is contiguous and in order, and it lies in the lease that
//! the kernel filled, decrypted in place, unless a record or a request head arrived in pieces;
//! only then are its bytes gathered in memory of the connection's own. A connection that waits
//! for a request holds neither.

#![forbid(unsafe_code)]

mod aside;
mod decrypt;
mod error;
mod gathered;
mod held;
mod low_water;
mod opening;
#[cfg(test)]
mod properties;
mod reader;
mod take;
#[cfg(test)]
mod tests;

pub(crate) use error::ReadError;
pub(crate) use reader::{Filled, Reader};
pub(crate) use take::LENT_FROM;
