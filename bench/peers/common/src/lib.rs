//! What the peers share: the command line, rustls's configuration, the listener, the files, and
//! for the two runtimes that have no HTTP server of their own a small one without its socket.
//!
//! The invariant: every peer gets the same certificate, the same suites, the same tickets and a
//! listener whose connections have TCP_NODELAY, so that what differs is the server.

#![forbid(unsafe_code)]

mod files;
mod options;
mod responder;

pub use files::{File, Files};
pub use options::{Options, exit_on_error};
pub use responder::Responder;
