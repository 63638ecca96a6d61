//! What the server says about itself.

#![forbid(unsafe_code)]

mod counts;
pub(crate) mod json;
pub mod log;

pub use counts::Counts;
