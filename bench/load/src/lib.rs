//! The load generator: HTTP/1.1 or HTTP/2 over TLS, at full speed or at a fixed rate.
//!
//! One thread drives its connections on one io_uring that it polls without ever sleeping: a
//! client that sleeps makes a fast server pay for waking it, and so understates fast servers.
//! The handshake is rustls's; records are then opened in place where the kernel put them, and
//! every response's status, length and, if asked, bytes are checked.
//!
//! | module | what it does |
//! |---|---|
//! | [`options`], [`plan`] | the command line becomes a checked [`plan::Plan`] |
//! | [`run`] | threads, stages (set up, warm up, measure), samples of the server |
//! | `engine` | one thread's loop |
//! | `connection` | one connection: connect, handshake, records, requests, close |
//! | [`response`], [`frames`] | reading responses of HTTP/1.1, of HTTP/2 |
//! | `bodies` | what bodies must be |
//! | `session` | rustls's configuration: pinned certificate, tickets |
//! | `pace` | when requests are due at a fixed rate |
//! | [`tally`], [`observe`], [`report`] | what was counted here and at the server, and its report |
//!
//! The invariant of the measurement: at a fixed rate a request's latency counts from the moment it
//! was due, whether or not a connection was free then; and what was due but did not finish is
//! counted too, with the age it had reached.

#![forbid(unsafe_code)]

mod bodies;
mod connection;
mod engine;
pub mod frames;
mod mix;
pub mod observe;
pub mod options;
mod pace;
pub mod plan;
mod progress;
pub mod report;
pub mod response;
pub mod run;
mod session;
pub mod tally;
