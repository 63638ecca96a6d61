//! What the server says about itself.

#![forbid(unsafe_code)]

pub(crate) mod json;
pub mod log;
