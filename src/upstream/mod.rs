//! Upstream: pools of application servers, and the connections to them.
//!
//! What decides is pure: which server gets a request, whether a server is healthy, how many second
//! tries a pool may have.

#![forbid(unsafe_code)]

mod balance;
mod budget;
mod health;
