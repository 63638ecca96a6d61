//! The server as a library: start, learn where it listens, drain, wait.
//!
//! The invariant: [`Builder::start`] returns only when every worker has its ring, its folder and
//! its listeners, so that the holder of a [`RunningServer`] can connect; and dropping it drains.

#![forbid(unsafe_code)]

mod admin;
#[cfg(feature = "service")]
mod applications;
mod builder;
mod error;
pub(crate) mod host;
mod ktls;
mod listeners;
mod live;
pub(crate) mod memory;
mod observe;
mod patience;
pub(crate) mod placement;
mod prepared;
mod replace;
mod root;
mod running;
mod secrets;
mod start;
mod threads;
mod tls;
mod watch;
#[cfg(feature = "service")]
mod watchdog;
mod watched;

pub use builder::Builder;
pub use error::StartError;
pub use prepared::{Confinement, Prepared};
pub use replace::ReplaceError;
pub use running::{Handle, RunningServer, ServerError};
pub(crate) use start::{check, rehearse};
pub(crate) use tls::try_tls;
pub use tls::{ReloadError, ServedCertificate};

/// An HTTPS server for a folder.
///
/// ```
/// use std::time::Duration;
///
/// use ringway::Server;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder()
///     .root(std::env::temp_dir())
///     .listen("127.0.0.1:0".parse()?)
///     .workers(1)
///     .start()?;
/// println!("https://localhost:{}/", server.addresses()[0].port());
/// server.handle().drain(Duration::from_secs(1));
/// server.wait()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server;

impl Server {
    /// A server with the defaults of [`Config`](crate::config::Config), to be changed and started.
    pub fn builder() -> Builder {
        Builder::default()
    }
}
