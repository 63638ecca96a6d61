//! Applications on a real server, asked by clients that know nothing of Ringway: curl, and a client over
//! rustls that writes each byte itself.

mod answers;
mod client;
mod compressed;
mod examples;
mod files;
mod held;
mod http2;
#[path = "../support/io.rs"]
mod io;
mod layers;
mod leaving;
mod lent;
mod native;
mod polled;
mod requests;
#[cfg(feature = "upgrade")]
mod rfc6455;
mod seen;
mod server;
#[cfg(feature = "upgrade")]
mod sockets;
mod streams;
mod tunnels;
mod two_ways;
mod uploads;
