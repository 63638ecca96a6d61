//! Parse, HTTP/2: frames and their checks, and request heads made of fields (RFC 9113, RFC 9218).
//! Pure.
//!
//! Invariant: what is malformed never becomes a request. Each [`Fault`] says whether it ends its
//! stream or the connection, and with which code.

mod fault;
mod field;
mod frame;
mod head;
mod preface;
mod priority;
mod settings;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub(crate) use fault::{ErrorCode, Fault};
pub(crate) use field::{FieldCheck, field_check};
pub(crate) use frame::{
    FRAME_HEAD, Flags, FrameHead, Kind, MAX_FRAME_SIZE, go_away_code, header_block, priority_frame,
    priority_update, reset_code, window_increment,
};
pub use head::{Draft, HeadOutcome};
pub(crate) use head::{Head, MAX_CRUMBS};
pub(crate) use preface::{PREFACE, expect_preface};
pub(crate) use priority::Priority;
pub(crate) use settings::PeerSettings;
