//! Tests over real sockets against the real program, with clients that share no code with it:
//! rustls's own connection, and the system's `curl` and `openssl` where there are such.
//!
//! A test that needs what this host lacks says so by [`host::skip`] and ends; under
//! `RINGWAY_REQUIRE_KTLS=1` the lack of kernel TLS is a failure instead.

#![forbid(unsafe_code)]

mod authority;
mod beside;
mod both;
mod client;
mod configured;
mod host;
mod identity;
mod response;
mod sealed;
mod server;
mod silent;
mod site;
mod site_answers;
mod site_clients;
#[path = "../support/trusting.rs"]
mod trusting;

mod abuse;
mod admin_elsewhere;
mod certificates;
mod clients_certificates;
mod compressed;
mod content;
mod delivery;
mod deploy;
mod examples;
mod floods;
mod framing;
mod guard;
mod hostile;
mod hung;
mod keys;
mod ktls;
mod leak;
mod lifecycle;
mod methods;
mod negotiation;
mod paths;
mod per_address;
mod plain;
mod polling;
mod port;
mod privilege;
mod proxy;
mod ranges;
mod records;
mod refusals;
mod reload_file;
mod reload_settings;
mod renewal;
mod scarce;
mod sites;
mod splits;
mod start;
mod tickets;
mod tls;
mod tools;
mod torn;
mod total;
