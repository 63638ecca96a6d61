//! The command lines of the bounds, and what is made of it.

use std::error::Error;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Parser};
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Answers every TLS record, or without TLS all that a read has brought, with the same response, without
/// reading it as HTTP.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Where clients come from
    #[command(flatten)]
    pub listening: Listening,

    /// The file that every response carries
    #[arg(long)]
    pub body: PathBuf,
}

/// Where a responder listens, and with which certificate.
#[derive(Args, Clone, Debug)]
pub struct Listening {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8443")]
    pub listen: SocketAddr,

    /// Without TLS
    #[arg(long)]
    pub plain: bool,

    /// The certificate chain, PEM
    #[arg(long, required_unless_present = "plain")]
    pub cert: Option<PathBuf>,

    /// Its key, PEM
    #[arg(long, required_unless_present = "plain")]
    pub key: Option<PathBuf>,
}

impl Listening {
    /// rustls's configuration: TLS 1.3 only, one stateless ticket, keys that can be taken out. Nothing
    /// for connections without TLS.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or is not what it should be.
    pub fn tls(&self) -> Result<Option<Arc<ServerConfig>>, Box<dyn Error>> {
        let (false, Some(chain), Some(key)) = (self.plain, &self.cert, &self.key) else {
            return Ok(None);
        };
        let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(key)?;
        let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.enable_secret_extraction = true;
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        // As many as Ringway sends.
        config.send_tls13_tickets = 1;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(Arc::new(config)))
    }

    /// A listener whose connections inherit TCP_NODELAY.
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
        Ok(socket.into())
    }
}

impl Options {
    /// The response: a head with the fields that file servers send, so that it is as long as
    /// theirs, and the body.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn response(&self) -> io::Result<Vec<u8>> {
        let body = fs::read(&self.body)?;
        let mut response = format!(
            "HTTP/1.1 200 OK\r\nServer: bound\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\
             Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\nETag: \"00000000-000\"\r\n\
             Accept-Ranges: bytes\r\n\r\n",
            body.len()
        )
        .into_bytes();
        response.extend(body);
        Ok(response)
    }
}

/// Ends the program with a message if `outcome` is an error.
pub fn exit_on_error<T>(name: &str, outcome: Result<T, Box<dyn Error>>) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => {
            eprintln!("{name}: {error}");
            std::process::exit(1);
        }
    }
}
