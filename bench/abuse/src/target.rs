//! How attackers reach the server: sockets, handshakes, and records that no library would send.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringway_bench_tls::handshake::{Handshake, Session, Step};
use ringway_bench_tls::record::{Content, HEADER, OVERHEAD};
use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};
use rustls::client::{ClientConnectionData, Resumption, UnbufferedClientConnection};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// No wait of an attacker is longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The server, as an attacker sees it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    port: u16,
    tls: Arc<ClientConfig>,
}

impl Target {
    pub(crate) fn new(port: u16, cert: &Path) -> Result<Self, String> {
        let cert = CertificateDer::from_pem_file(cert).map_err(|error| error.to_string())?;
        let mut roots = RootCertStore::empty();
        roots.add(cert).map_err(|error| error.to_string())?;
        // One group, the cheapest: the attacker spends its CPU on the server.
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups.retain(|group| group.name() == rustls::NamedGroup::X25519);
        let mut tls = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.resumption = Resumption::disabled();
        tls.enable_secret_extraction = true;
        Ok(Self { port, tls: Arc::new(tls) })
    }

    /// A TCP connection. It is reset when it is dropped, so that none is left waiting.
    pub(crate) fn tcp(&self) -> io::Result<TcpStream> {
        let address = (Ipv4Addr::LOCALHOST, self.port).into();
        let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        set_socket_linger(&socket, Some(Duration::ZERO))?;
        Ok(socket)
    }

    /// The beginning of a TLS connection: its ClientHello is still to be sent.
    pub(crate) fn hello(&self) -> Result<ClientConnection, rustls::Error> {
        ClientConnection::new(Arc::clone(&self.tls), ServerName::from(IP))
    }

    /// A connection with its handshake done.
    pub(crate) fn tls(&self) -> io::Result<Tls> {
        let mut tls = Tls { socket: self.tcp()?, session: self.hello().map_err(io::Error::other)? };
        tls.session.complete_io(&mut tls.socket)?;
        Ok(tls)
    }

    /// The same, speaking HTTP/2.
    pub(crate) fn http2(&self) -> io::Result<Tls> {
        let mut config = ClientConfig::clone(&self.tls);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let session = ClientConnection::new(Arc::new(config), ServerName::from(IP));
        let mut tls = Tls { socket: self.tcp()?, session: session.map_err(io::Error::other)? };
        tls.session.complete_io(&mut tls.socket)?;
        match tls.session.alpn_protocol() {
            Some(b"h2") => Ok(tls),
            _ => Err(io::Error::other("the server does not speak HTTP/2")),
        }
    }

    /// The same, with a record layer that seals any content type.
    pub(crate) fn raw(&self) -> io::Result<Raw> {
        let mut socket = self.tcp()?;
        let connection =
            UnbufferedClientConnection::new(Arc::clone(&self.tls), ServerName::from(IP))
                .map_err(io::Error::other)?;
        let mut handshake = Handshake::new(connection);
        let (mut input, mut output) = (Vec::new(), Vec::new());
        loop {
            let step = handshake.step(&mut input, &mut output).map_err(io::Error::other)?;
            socket.write_all(&output)?;
            output.clear();
            match step {
                Step::Done(session) => return Ok(Raw { socket, session, batch: Vec::new() }),
                Step::More(more) => handshake = more,
            }
            let mut piece = [0; 16 << 10];
            let read = socket.read(&mut piece)?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            input.extend_from_slice(&piece[..read]);
        }
    }
}

const IP: std::net::IpAddr = std::net::IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A TLS connection of rustls's.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) socket: TcpStream,
    pub(crate) session: ClientConnection,
}

impl Tls {
    /// Sends bytes as data, as far as the socket takes them at once if it does not block.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        // The session buffers no more than some of these.
        for piece in bytes.chunks(16 << 10) {
            self.session.writer().write_all(piece)?;
            self.flush()?;
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    /// Reads some data.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            if self.session.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            self.session.process_new_packets().map_err(io::Error::other)?;
        }
    }

    /// Reads a whole response that has a length, and answers with the length of its body.
    pub(crate) fn response(&mut self) -> io::Result<usize> {
        let mut held = Vec::new();
        let mut piece = [0; 16 << 10];
        let head = loop {
            let read = self.read(&mut piece)?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            held.extend_from_slice(&piece[..read]);
            if let Some(end) = held.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = String::from_utf8_lossy(&held[..head]).to_ascii_lowercase();
        let length = text.split_once("\r\ncontent-length:").and_then(|(_, rest)| {
            rest.split_once("\r\n").and_then(|(number, _)| number.trim().parse().ok())
        });
        let length: usize = length.ok_or(ErrorKind::InvalidData)?;
        let mut have = held.len() - head;
        while have < length {
            let read = self.read(&mut piece)?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            have += read;
        }
        Ok(length)
    }

    /// Makes it a reader that takes little, as the server's socket sees it.
    pub(crate) fn shrink(&self) {
        // A refusal leaves a larger buffer, which is only a weaker attack.
        let _ = set_socket_recv_buffer_size(&self.socket, 4096);
    }
}

/// A TLS connection that seals any record.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) socket: TcpStream,
    session: Box<Session<ClientConnectionData>>,
    batch: Vec<u8>,
}

impl Raw {
    /// Puts a record behind the queued ones.
    pub(crate) fn seal(&mut self, content: Content, bytes: &[u8]) -> io::Result<()> {
        let start = self.batch.len();
        self.batch.resize(start + OVERHEAD + bytes.len(), 0);
        self.batch[start + HEADER..][..bytes.len()].copy_from_slice(bytes);
        let sealer = &mut self.session.sealer;
        sealer.seal(&mut self.batch[start..], content, bytes.len()).map_err(io::Error::other)?;
        Ok(())
    }

    /// Sends them.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let sent = self.socket.write_all(&self.batch);
        self.batch.clear();
        sent
    }
}
