//! HTTP/2 over real sockets against the real program, with a client of frames that shares no code
//! with it, and with other people's clients where this host has them.
//!
//! The client (`peer`) judges each frame of the server as it comes: sizes, windows, the order of a
//! stream's frames, Content-Length. So every test here is a test of those too.
//!
//! `RINGWAY_H2_TARGET=127.0.0.1:PORT` with `RINGWAY_H2_ROOT=DIR` runs the tests against another
//! server that serves that folder: to see that the tests are right about the protocol. What is
//! Ringway's own choice (bounds, patience, codes where the RFC leaves a choice) fails there.

#![forbid(unsafe_code)]

#[allow(dead_code, reason = "shared with the tests of HTTP/1.1")]
#[path = "../wire/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with the tests of HTTP/1.1")]
#[path = "../wire/host.rs"]
mod host;
#[allow(dead_code, reason = "shared with the tests of HTTP/1.1")]
#[path = "../wire/identity.rs"]
mod identity;
mod peer;
#[allow(dead_code, reason = "shared with the tests of HTTP/1.1")]
#[path = "../wire/port.rs"]
mod port;
#[allow(dead_code, reason = "shared with the tests of HTTP/1.1")]
#[path = "../wire/response.rs"]
mod response;
#[allow(dead_code, reason = "shared with the tests of HTTP/1.1")]
#[path = "../wire/server.rs"]
mod server;
#[allow(dead_code, reason = "shared with the tests of HTTP/1.1")]
#[path = "../wire/site.rs"]
mod site;
mod target;
#[path = "../support/trusting.rs"]
mod trusting;
#[allow(dead_code, reason = "shared with the tests of HTTP/1.1")]
#[path = "../wire/proxy/upstream.rs"]
mod upstream;

mod anatomy;
mod apart;
mod blocks;
mod browser;
mod drain;
mod floods;
mod flow;
mod frames;
mod memory;
mod others;
mod patience;
mod priorities;
mod proxied;
mod relayed;
mod requests;
mod rolling;
mod same;
mod streams;
mod stuck_disk;
mod times;
mod traces;
mod tunnels;
