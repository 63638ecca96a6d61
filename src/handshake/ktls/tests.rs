//! Kernel TLS against our own record layer, over loopback sockets.
//!
//! On a kernel without the TLS module these tests say that they are skipped, and why; with
//! `RINGWAY_REQUIRE_KTLS=1` in the environment they fail instead.

#![forbid(unsafe_code)]
