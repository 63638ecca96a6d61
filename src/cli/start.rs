//! The seam between the command and the server.

use std::net::SocketAddr;
use std::time::Duration;

use super::Exit;
use super::serve::Running;
use crate::config::Config;
use crate::server::{Builder, Prepared, RunningServer, ServedCertificate};

/// Starts the server that `config` asks for.
pub(super) fn start(config: &Config) -> Result<RunningServer, (Exit, String)> {
    // The only thread is this one: what it gives up, those that are started hereafter lack too.
    let started = Builder::from(config.clone())
        .prepare()
        .and_then(Prepared::confine)
        .and_then(Prepared::start);
    started.map_err(|error| {
        let exit = if error.is_lack_of_host() {
            Exit::HostLacks
        } else if error.is_configuration() {
            Exit::Usage
        } else {
            Exit::Failed
        };
        (exit, error.to_string())
    })
}

impl Running for RunningServer {
    fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses().to_vec()
    }

    fn workers(&self) -> usize {
        self.workers()
    }

    fn tls_path(&self) -> String {
        self.tls_path().to_owned()
    }

    fn certificates(&self) -> Vec<ServedCertificate> {
        self.certificates()
    }

    fn confinement(&self) -> Option<String> {
        self.confinement().map(str::to_owned)
    }

    fn drainer(&self) -> Box<dyn Fn(Duration) + Send> {
        let handle = self.handle();
        Box::new(move |limit| handle.drain(limit))
    }

    fn reopener(&self) -> Box<dyn Fn() + Send> {
        let handle = self.handle();
        Box::new(move || handle.reopen_access_log())
    }

    fn reloader(&self) -> Box<dyn Fn() + Send> {
        let handle = self.handle();
        Box::new(move || handle.request_reload())
    }

    fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address()
    }

    fn wait(self) -> Result<(), String> {
        self.wait().map(drop).map_err(|error| error.to_string())
    }
}
