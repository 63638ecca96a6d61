//! The command line of all peers.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Serves the files of a directory over HTTPS on one thread.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// The directory to serve; its files are found at the start
    pub dir: PathBuf,

    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8443")]
    pub listen: SocketAddr,

    /// The certificate chain, PEM
    #[arg(long)]
    pub cert: PathBuf,

    /// Its key, PEM
    #[arg(long)]
    pub key: PathBuf,

    /// Read the file for each request, instead of keeping it in memory (hyper only)
    #[arg(long)]
    pub read_files: bool,
}

impl Options {
    /// rustls's configuration: two stateless tickets, HTTP/1.1.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or is not what it should be.
    pub fn tls(&self) -> Result<ServerConfig, Box<dyn Error>> {
        let chain = CertificateDer::pem_file_iter(&self.cert)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&self.key)?;
        let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        // As many as Ringway sends.
        config.send_tls13_tickets = 1;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The same, to be shared.
    ///
    /// # Errors
    ///
    /// As [`tls`](Self::tls).
    pub fn shared_tls(&self) -> Result<Arc<ServerConfig>, Box<dyn Error>> {
        self.tls().map(Arc::new)
    }

    /// A non-blocking listener whose connections inherit TCP_NODELAY.
    ///
    /// # Errors
    ///
    /// If the address cannot be had.
    pub fn listener(&self) -> io::Result<TcpListener> {
        let family = if self.listen.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        rustix::net::bind(&socket, &self.listen)?;
        rustix::net::listen(&socket, 4096)?;
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(true)?;
        Ok(listener)
    }
}

/// Ends the program with a message if `outcome` is an error.
pub fn exit_on_error<T>(outcome: Result<T, Box<dyn Error>>) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}
