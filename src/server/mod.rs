//! The server as a library: start, learn where it listens, drain, wait.
//!
//! The invariant: [`Server::start`] returns only when every worker has its ring, its folder and
//! its listeners, so that whoever holds a [`RunningServer`] can connect; and dropping it drains.

#![forbid(unsafe_code)]

mod error;
mod running;
mod start;

pub use error::StartError;
pub use running::{Handle, RunningServer, ServerError};

use crate::config::Config;

/// A server that has not been started.
///
/// ```
/// use ringway::{config::Config, server::Server};
///
/// let folder = std::env::temp_dir();
/// let config = Config {
///     root: folder,
///     listen: vec!["127.0.0.1:0".parse()?],
///     workers: Some(1),
///     ..Config::default()
/// };
/// match Server::builder(config).start() {
///     Ok(server) => {
///         println!("https://localhost:{}/", server.addresses()[0].port());
///         server.handle().drain(std::time::Duration::from_secs(1));
///         server.wait()?;
///     }
///     // A container may forbid io_uring; the error says so, and what to do.
///     Err(error) => println!("{error}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    config: Config,
}

impl Server {
    /// A server with this configuration.
    pub fn builder(config: Config) -> Self {
        Self { config }
    }

    /// Checks the configuration, binds, sets every worker up and starts serving.
    ///
    /// # Errors
    /// What is wrong with the configuration, the certificate, the addresses or the host; nothing
    /// is left behind.
    pub fn start(self) -> Result<RunningServer, StartError> {
        start::start(self.config)
    }
}
