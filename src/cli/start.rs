//! The seam between the command and the server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Exit;
use super::serve::Running;
use crate::config::Config;

/// Starts the server that `config` asks for.
pub(super) fn start(_config: &Config) -> Result<Infallible, (Exit, String)> {
    Err((Exit::Failed, "this build has no server".to_owned()))
}

impl Running for Infallible {
    fn addresses(&self) -> Vec<SocketAddr> {
        match *self {}
    }

    fn workers(&self) -> usize {
        match *self {}
    }

    fn tls_path(&self) -> String {
        match *self {}
    }

    fn certificate(&self) -> PathBuf {
        match *self {}
    }

    fn fingerprint(&self) -> String {
        match *self {}
    }

    fn drainer(&self) -> Box<dyn Fn(Duration) + Send> {
        match *self {}
    }

    fn wait(self) -> Result<(), String> {
        match self {}
    }
}
