//! What the tests talk to: the program, or another server that the environment names.

use std::path::PathBuf;

use crate::client::ClientOptions;
use crate::peer::Peer;
use crate::server::Server;
use crate::site::Site;

/// A server that speaks HTTP/2.
pub(crate) struct Target {
    /// The program, unless another server stands in for it.
    pub(crate) server: Option<Server>,
    port: u16,
}

impl Target {
    /// Serves a plain site.
    pub(crate) fn plain(options: &[&str]) -> Self {
        Self::start(Site::new(), options)
    }

    /// Serves `site` with these options, which another server does not take.
    pub(crate) fn start(site: Site, options: &[&str]) -> Self {
        let Some(address) = std::env::var_os("RINGWAY_H2_TARGET") else {
            let server = Server::start(site, options);
            return Self { port: server.port, server: Some(server) };
        };
        let root = PathBuf::from(std::env::var_os("RINGWAY_H2_ROOT").expect("RINGWAY_H2_ROOT"));
        for entry in std::fs::read_dir(site.root()).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), root.join(entry.file_name())).unwrap();
            }
        }
        let address = address.into_string().unwrap();
        let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        Self { server: None, port }
    }

    /// A server that was started by other means.
    pub(crate) fn of(server: Server) -> Self {
        Self { port: server.port, server: Some(server) }
    }

    /// The program itself.
    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("a test of Ringway alone")
    }

    /// A connection that has sent the preface and SETTINGS of a browser.
    pub(crate) fn connect(&self) -> Peer {
        self.connect_with(&[])
    }

    /// A connection that has sent the preface and these SETTINGS.
    pub(crate) fn connect_with(&self, settings: &[(u16, u32)]) -> Peer {
        let mut peer = self.connect_silent();
        peer.begin(settings);
        peer
    }

    /// A connection on which the handshake is done and nothing is sent.
    pub(crate) fn connect_silent(&self) -> Peer {
        let options = ClientOptions { alpn: vec![b"h2".to_vec()], ..ClientOptions::default() };
        Peer::connect(
            self.port,
            self.server.as_ref().map(|server| options.config(&server.identity)),
        )
    }
}
