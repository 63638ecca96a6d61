//! Applications: any `tower::Service` of HTTP requests, an axum `Router` among them, polled on the
//! worker that holds the connection.
//!
//! [`Applications`] is what a builder registers: a service for each prefix, to be made anew on every
//! worker. What a worker has of one is behind [`Application`], which knows no type parameter: a call
//! gives a [`Call`], which is polled for a head and then for frames. Request content comes through a
//! [`Body`], which may be read on any thread.
//!
//! The invariant: nothing that an application does reaches beyond its exchange. A panic in `call`,
//! in a poll or in a drop is caught where it happens, and nothing of the worker is borrowed
//! meanwhile.

#![forbid(unsafe_code)]

mod application;
mod body;
mod connection;
mod endpoint;
mod files;
mod mounts;
pub mod native;
mod offload;
mod panics;
mod probe;
mod runtime;
mod signal;
#[cfg(feature = "tokio")]
mod to_the_end;
mod upgrade;
mod watched;

pub use body::{Body, BodyError};
pub use connection::Connection;
#[cfg(feature = "axum")]
pub use endpoint::{ByRoute, ByRouteService, endpoints_by_route};
pub use endpoint::{Named, NamedService, endpoint};
pub use files::{FileBody, FileBodyError, site};
pub use mounts::WorkerInfo;
pub use offload::{Offload, OffloadError, offload};
pub use probe::{Probe, Probed, ProbedFuture, layer};
#[cfg(feature = "tokio")]
pub use to_the_end::{Persistent, ToTheEnd, to_the_end};
pub use upgrade::{Tunnel, TunnelReader, TunnelWriter, upgrade, wanted_protocol};

pub(crate) use application::{
    Ahead, Answer, Application, Call, CallError, Frame, Head, IntoApplication,
};
pub(crate) use body::Feeder;
pub(crate) use connection::Facts;
pub(crate) use files::{OfSite, Token};
pub(crate) use mounts::{Applications, Mounted};
#[cfg(feature = "tokio")]
pub(crate) use runtime::LocalTasks;
pub(crate) use runtime::{Runtime, RuntimeHandle};
pub(crate) use upgrade::Upgrade;
pub(crate) use watched::{Suspect, Watched};
