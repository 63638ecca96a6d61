//! One io_uring with a safe face: the five operations that the load generator and the bare
//! io_uring responder need, and no more.
//!
//! The invariant: memory that the kernel can see is owned by a [`Lease`] (received bytes) or by
//! the ring itself (bytes being written, addresses being connected to), never by a caller's stack.
//! [`Ring`] is dropped only after every operation has completed; if the kernel does not give them
//! back in time, the memory is leaked rather than freed.
//!
//! It is written apart from the server's own ring on purpose: a bound measured with the server's
//! code would share its faults.

mod memory;
mod recv;
mod ring;
mod send;

pub use recv::Lease;
pub use ring::{Done, Limits, Ring};
pub use send::Slot;

#[cfg(test)]
mod tests;
