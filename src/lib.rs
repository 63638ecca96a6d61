//! Ringway: an HTTPS server on io_uring, one ring per core, with kernel TLS where the kernel
//! has it. It serves folders of files, and applications: an axum `Router`, or any other
//! `tower::Service`, polled on the worker that holds the connection.
//!
#![cfg_attr(feature = "tokio", doc = "```no_run")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! use axum::{Router, routing::get};
//! use ringway::Server;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let app = Router::new().route("/api/hello", get(|| async { "Hello" }));
//! Server::builder()
//!     .certificate("cert.pem", "key.pem")
//!     .root("site")
//!     .service_at("/api", app)
//!     .start()?
//!     .wait()?;
//! # Ok(())
//! # }
//! ```
//!
//! [`server::Builder`] has the usual settings, [`config::Config`] all of them.
//!
//! The source tree reads as a request's journey:
//!
//! | stage | module | who owns the bytes |
//! |---|---|---|
//! | accept | [`accept`] | nobody yet: a descriptor and a slot |
//! | handshake | [`handshake`] | a receive lease in, a send buffer out |
//! | read | [`read`] | a lease of the worker's receive pool |
//! | decrypt | [`record`], or the kernel | the same lease, in place |
//! | parse | [`parse`] | borrowed from the lease |
//! | decode | [`decode`] | borrowed from the lease |
//! | process | [`process`], [`files`] | the file store's pages |
//! | or: serve | `service`: an application | the application |
//! | or: pass on | `upstream`: a server of a pool | leases and messages on both sides |
//! | respond | [`respond`] | a send buffer |
//! | write | [`mod@write`] | the op's slot, until its last completion |
//! | close | [`close`] | nobody |
//!
//! Arrows point down only: `cli → server → worker → conn → {accept, handshake, read, write,
//! close, files, upstream} → ring`, `{conn, handshake, read, write} → tls → record`, and
//! `{conn, files, upstream} → {parse, decode, process, respond}`, which are pure.

// The table above is for who reads the source.
#![allow(rustdoc::private_intra_doc_links)]
// The program uses parts that the library keeps to itself.
#![cfg_attr(not(feature = "cli"), allow(dead_code, unused_imports))]

#[allow(unreachable_pub, reason = "of the crate alone, as the module is")]
mod accept;
mod calendar;
#[cfg(feature = "cli")]
pub mod cli;
#[allow(unreachable_pub, reason = "of the crate alone, as the module is")]
mod close;
pub mod config;
#[allow(unreachable_pub, reason = "of the crate alone, as the module is")]
mod conn;
#[doc(hidden)]
pub mod decode;
#[allow(unreachable_pub, reason = "of the crate alone, as the module is")]
mod files;
#[allow(unreachable_pub, reason = "of the crate alone, as the module is")]
mod handshake;
#[doc(hidden)]
pub mod hpack;
#[allow(unreachable_pub, reason = "of the crate alone, as the module is")]
mod monotonic;
pub mod observe;
#[doc(hidden)]
pub mod parse;
#[allow(unreachable_pub, reason = "of the crate alone, as the module is")]
mod privilege;
#[doc(hidden)]
pub mod process;
#[allow(unreachable_pub, reason = "of the crate alone, as the module is")]
mod read;
#[doc(hidden)]
pub mod record;
#[doc(hidden)]
pub mod respond;
#[doc(hidden)]
pub mod ring;
pub mod server;
#[cfg(feature = "service")]
mod service;
#[allow(unreachable_pub, reason = "of the crate alone, as the module is")]
mod tick_clock;
#[allow(unreachable_pub, reason = "of the crate alone, as the module is")]
mod tls;
mod upstream;
mod wall_clock;
#[allow(unreachable_pub, reason = "of the crate alone, as the module is")]
#[cfg(not(feature = "fuzzing"))]
mod worker;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod worker;
#[allow(unreachable_pub, reason = "of the crate alone, as the module is")]
mod write;

pub use server::Server;
#[cfg(feature = "service")]
pub use service::{
    Body, BodyError, Connection, Named, NamedService, Offload, OffloadError, WorkerInfo, endpoint,
    offload,
};
#[cfg(feature = "tokio")]
pub use service::{Persistent, ToTheEnd, to_the_end};
