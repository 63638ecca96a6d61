//! The bounds of the benchmark: responders that answer every record of application data with one
//! fixed response, whatever it asks.
//!
//! They parse no HTTP, look up no file, keep no time, log nothing and defend against nothing. What
//! remains is what no server on the same kernel interface can save: the handshake, one record
//! opened, one response sealed, the bytes through TCP. The two differ in the interface only:
//! `bound-uring` and `bound-epoll` share everything here.
//!
//! A client must send one request for each record, as all do that do not pipeline.

#![forbid(unsafe_code)]

pub mod events;
pub mod options;
pub mod peer;
