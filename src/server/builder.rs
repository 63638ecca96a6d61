//! What an embedding program says before the start.

use std::{net::SocketAddr, path::PathBuf};

#[cfg(not(feature = "service"))]
use super::start;
use super::{Prepared, RunningServer, StartError};
use crate::config::{
    AdminAddress, CertificatePair, CertificateSource, ClientAuth, ClientAuthMode, Config, KtlsMode,
};

/// A server that has not been started. What has no method here is set by [`Builder::configure`], or in a
/// [`Config`] from which a builder is made.
#[derive(Clone, Debug)]
pub struct Builder {
    pub(super) config: Config,
    /// The listeners are still the default ones.
    default_listeners: bool,
    #[cfg(feature = "service")]
    pub(super) applications: crate::service::Applications,
    /// Paths of services whose answers are compressed.
    #[cfg(feature = "service")]
    pub(super) compressed: Vec<(String, crate::config::Compression)>,
}

impl From<Config> for Builder {
    fn from(config: Config) -> Self {
        Self {
            config,
            default_listeners: false,
            #[cfg(feature = "service")]
            applications: crate::service::Applications::default(),
            #[cfg(feature = "service")]
            compressed: Vec::new(),
        }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self { default_listeners: true, ..Self::from(Config::default()) }
    }
}

impl Builder {
    /// Serves this folder. Default: the current one.
    #[must_use]
    pub fn root(mut self, folder: impl Into<PathBuf>) -> Self {
        self.config.root = folder.into();
        self
    }

    /// Listens on this address, and on those of further calls. Default: `127.0.0.1:8443` and
    /// `[::1]:8443`.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        if std::mem::take(&mut self.default_listeners) {
            self.config.listen.clear();
        }
        self.config.listen.push(address);
        self
    }

    /// Takes a certificate chain and its key from these PEM files; further calls add further ones,
    /// chosen by the name that a client asks for. Default: a certificate that Ringway makes itself.
    #[must_use]
    pub fn certificate(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let pair = CertificatePair { cert: cert.into(), key: key.into() };
        match &mut self.config.certificate {
            CertificateSource::Files(pairs) => pairs.push(pair),
            source @ CertificateSource::SelfSigned => {
                *source = CertificateSource::Files(vec![pair]);
            }
        }
        self
    }

    /// Asks clients for a certificate by an authority in this PEM file. Default: none is asked
    /// for.
    #[must_use]
    pub fn client_certificates(mut self, ca: impl Into<PathBuf>, mode: ClientAuthMode) -> Self {
        self.config.client_auth = Some(ClientAuth { ca: ca.into(), mode });
        self
    }

    /// Takes the keys of session tickets from this file, so that servers with the same file resume
    /// each other's sessions. Default: random keys of this process alone.
    #[must_use]
    pub fn ticket_keys(mut self, file: impl Into<PathBuf>) -> Self {
        self.config.ticket_keys = Some(file.into());
        self
    }

    /// Runs so many workers. Default: one for each CPU that the process may use.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.config.workers = Some(workers);
        self
    }

    /// Serves metrics and the live page at this address. Default: nowhere. An address that is not of this
    /// host itself needs a token or certificates of clients: [`Config::observe`].
    #[must_use]
    pub fn admin(mut self, address: SocketAddr) -> Self {
        self.config.observe.admin = Some(AdminAddress::tcp(address));
        self
    }

    /// Changes what has no method here: limits, timeouts, what is reported.
    ///
    /// ```
    /// let server = ringway::Server::builder().configure(|config| {
    ///     config.limits.body_bytes = 64 << 20;
    ///     config.observe.server_timing = true;
    /// });
    /// # drop(server);
    /// ```
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        let before = self.config.listen.clone();
        change(&mut self.config);
        self.default_listeners &= self.config.listen == before;
        self
    }

    /// Chooses who seals and opens records. Default: the kernel where it can.
    #[must_use]
    pub fn ktls(mut self, mode: KtlsMode) -> Self {
        self.config.ktls = mode;
        self
    }

    /// Checks the configuration, binds, sets every worker up and starts serving.
    ///
    /// # Errors
    /// What is wrong with the configuration, the certificate, the addresses or the host; nothing
    /// is left behind.
    pub fn start(self) -> Result<RunningServer, StartError> {
        self.prepare()?.start()
    }

    /// The first half of [`Builder::start`]: checks the configuration, reads certificates and
    /// keys, and binds. A program gives up its privileges before the second half.
    ///
    /// # Errors
    /// What is wrong with the configuration, the certificate or the addresses.
    pub fn prepare(self) -> Result<Prepared, StartError> {
        #[cfg(feature = "service")]
        return self.prepare_with_applications();
        #[cfg(not(feature = "service"))]
        start::prepare(self.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Server;

    #[test]
    fn the_first_address_takes_the_place_of_the_default_ones() {
        let builder = Server::builder().listen("127.0.0.1:1".parse().unwrap());
        let builder = builder.listen("127.0.0.1:2".parse().unwrap());
        assert_eq!(builder.config.listen.len(), 2);
        assert_eq!(Server::builder().config.listen.len(), 2);
        let limited = Server::builder().configure(|config| config.limits.body_bytes = 1);
        let limited = limited.listen("127.0.0.1:1".parse().unwrap());
        assert_eq!(
            limited.config.listen.len(),
            1,
            "other settings leave the default ones as they are"
        );
        assert_eq!(limited.config.limits.body_bytes, 1);
        let chosen = Server::builder().configure(|config| config.listen.truncate(1));
        let chosen = chosen.listen("127.0.0.1:1".parse().unwrap());
        assert_eq!(chosen.config.listen.len(), 2, "addresses that were chosen are kept");
        let config = Config::default();
        let kept = Builder::from(config).listen("127.0.0.1:1".parse().unwrap());
        assert_eq!(kept.config.listen.len(), 3, "a configuration's addresses are kept");
    }
}
