//! Respond: response heads, the date they carry and the small pages of refusals. Pure.
//!
//! Invariant: nothing here allocates or panics on what a peer or an operator supplied. A head that
//! does not fit its buffer, or a value that would break out of its line, makes
//! [`HeadWriter::finish`] fail: a half-written or split head is never handed out.

#![forbid(unsafe_code)]

mod body;
mod date;
mod decimal;
pub(crate) mod forward;
pub(crate) mod h2;
mod head;
mod interim;
mod reason;
mod status;

#[cfg(test)]
mod tests;

pub(crate) use body::content_length_allowed;
pub use date::DateCache;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use forward::hold;
pub(crate) use head::HeadFault;
pub use head::HeadWriter;
pub(crate) use interim::CONTINUE;
pub use status::Status;
