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
//! [`server::Builder`] has the usual settings, [`config::Config`] all of them:
//! [`Builder::configure`](server::Builder::configure) changes any.
//!
#![cfg_attr(feature = "tokio", doc = "| an application finds | in |")]
#![cfg_attr(feature = "tokio", doc = "|---|---|")]
#![cfg_attr(feature = "tokio", doc = "| the content of its requests | [`Body`] |")]
#![cfg_attr(
    feature = "tokio",
    doc = "| the client, its TLS version, the end of the server | [`Connection`] |"
)]
#![cfg_attr(
    feature = "tokio",
    doc = "| files as answers, uncopied | [`site`](site()), [`FileBody`] |"
)]
#![cfg_attr(feature = "tokio", doc = "| answers at the cost of a file | [`native`] |")]
#![cfg_attr(feature = "tokio", doc = "| threads for work that computes or blocks | [`offload`] |")]
#![cfg_attr(feature = "tokio", doc = "| another protocol on the connection | [`upgrade`] |")]
#![cfg_attr(
    feature = "tokio",
    doc = "| handlers that run to their end although the client leaves | [`to_the_end`] |"
)]
#![cfg_attr(
    feature = "tokio",
    doc = "| names in logs and metrics, and times of layers | [`endpoint`], [`layer`] |"
)]
#![cfg_attr(feature = "tokio", doc = "")]
//! | feature | brings |
//! |---|---|
//! | `service` (default) | applications: any `tower::Service` |
//! | `tokio` (default) | a runtime of tokio that is entered on every worker |
//! | `axum` | `ConnectInfo<SocketAddr>`, and endpoints named by axum's routes |
//! | `upgrade` | hyper's `OnUpgrade`, which WebSockets of axum need |
//! | `self-signed` (with `cli`) | a certificate where none is configured |
//! | `cli` (default) | the program; a library needs none of it: `default-features = false` |
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
//! | or: compress | [`encode`], [`files`] | memory of the encoder; of a file, the store's pages then |
//! | respond | [`respond`] | a send buffer |
//! | write | [`mod@write`] | the op's slot, until its last completion |
//! | close | [`close`] | nobody |
//!
//! Arrows point down only: `cli → server → worker → conn → {accept, handshake, read, write,
//! close, files, upstream} → ring`, `{conn, handshake, read, write} → tls → record`, and
//! `{conn, files, upstream} → {parse, decode, process, encode, respond}`, which are pure.

// The table above is for who reads the source.
#![allow(rustdoc::private_intra_doc_links)]
// The program uses parts that the library keeps to itself.
#![cfg_attr(not(feature = "cli"), allow(dead_code, unused_imports))]
// For the members of the largest objects in `json!`.
#![recursion_limit = "256"]

mod accept;
mod calendar;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod close;
pub mod config;
mod conn;
mod decode;
mod defects;
mod encode;
mod files;
mod handshake;
mod hpack;
#[doc(hidden)]
pub mod internals;
mod monotonic;
pub mod observe;
mod parse;
mod privilege;
mod process;
mod read;
mod record;
mod respond;
mod ring;
pub mod server;
#[cfg(feature = "service")]
mod service;
mod tick_clock;
mod tls;
mod upstream;
mod wall_clock;
mod worker;
mod write;

/// The examples of documents, compiled with those of the source (`cargo test --doc`).
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/applications.md")]
struct ExamplesOfDocuments;

pub use server::Server;
#[cfg(feature = "service")]
pub use service::{
    Body, BodyError, Connection, FileBody, FileBodyError, Named, NamedService, Offload,
    OffloadError, Probe, Probed, ProbedFuture, Tunnel, TunnelReader, TunnelWriter, WorkerInfo,
    endpoint, layer, native, offload, site, upgrade, wanted_protocol,
};
#[cfg(feature = "axum")]
pub use service::{ByRoute, ByRouteService, endpoints_by_route};
#[cfg(feature = "tokio")]
pub use service::{Persistent, ToTheEnd, to_the_end};
