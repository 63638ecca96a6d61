//! A blocking client over rustls's own connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
};

use crate::identity::Identity;
use crate::response::{Response, ResponseReader};
use crate::server::PATIENCE;

/// What the client offers.
pub(crate) struct ClientOptions {
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
    /// Only this suite.
    pub(crate) suite: Option<CipherSuite>,
    /// Only this key exchange. Default: X25519, whose messages are small.
    pub(crate) group: &'static dyn SupportedKxGroup,
    pub(crate) alpn: Vec<Vec<u8>>,
    /// Whether to keep tickets.
    pub(crate) resume: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            versions: vec![&rustls::version::TLS13],
            suite: None,
            group: aws_lc_rs::kx_group::X25519,
            alpn: vec![b"http/1.1".to_vec()],
            resume: false,
        }
    }
}

impl ClientOptions {
    /// The default for TLS 1.2.
    pub(crate) fn tls12() -> Self {
        Self { versions: vec![&rustls::version::TLS12], ..Self::default() }
    }

    /// The configuration of a client that trusts this identity only.
    pub(crate) fn config(&self, identity: &Identity) -> Arc<ClientConfig> {
        let provider = aws_lc_rs::default_provider();
        let provider = CryptoProvider {
            cipher_suites: provider
                .cipher_suites
                .iter()
                .copied()
                .filter(|suite| self.suite.is_none_or(|wanted| suite.suite() == wanted))
                .collect(),
            kx_groups: vec![self.group],
            ..provider
        };
        let mut roots = RootCertStore::empty();
        roots.add(identity.der.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols.clone_from(&self.alpn);
        if !self.resume {
            config.resumption = Resumption::disabled();
        }
        Arc::new(config)
    }
}

/// How the server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By `close_notify`.
    Notified,
    /// By FIN without it.
    Truncated,
    /// By a reset.
    Reset,
    /// By an alert that is an error.
    Alert,
}

/// A connection.
pub(crate) struct Client {
    pub(crate) tls: ClientConnection,
    pub(crate) socket: TcpStream,
    reader: ResponseReader,
}

impl Client {
    /// Connects, with the handshake left to the first byte that is written.
    pub(crate) fn connect(port: u16, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::connect_to(port, config, "localhost")
    }

    /// The same under another name; an address is not told to the server.
    pub(crate) fn connect_to(port: u16, config: Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        Ok(Self::named(connect(port)?, config, name))
    }

    /// A client on a connection on which something else may have been sent before.
    pub(crate) fn over(socket: TcpStream, config: Arc<ClientConfig>) -> Self {
        Self::named(socket, config, "localhost")
    }

    fn named(socket: TcpStream, config: Arc<ClientConfig>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let tls = ClientConnection::new(config, name).unwrap();
        Self { tls, socket, reader: ResponseReader::default() }
    }

    /// Completes the handshake.
    pub(crate) fn handshake(&mut self) -> io::Result<()> {
        while self.tls.is_handshaking() {
            self.tls.complete_io(&mut self.socket)?;
        }
        Ok(())
    }

    /// Sends these bytes; `false` if the server has closed or reset the connection meanwhile, which
    /// does not mean that it has not answered.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream().write_all(bytes).and_then(|()| self.stream().flush()).is_ok()
    }

    /// Sends each byte as a record and a segment of its own.
    pub(crate) fn send_bytewise(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| self.send(std::slice::from_ref(byte)))
    }

    /// Asks for a path and takes the answer.
    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.request("GET", path, "")
    }

    /// The same, or why there is no answer.
    pub(crate) fn ask(&mut self, path: &str) -> io::Result<Response> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        self.try_response("GET")
    }

    /// Sends a request with more field lines (each with its CRLF) and takes the answer.
    pub(crate) fn request(&mut self, method: &str, path: &str, fields: &str) -> Response {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        self.send(head.as_bytes());
        self.response(method)
    }

    /// Takes the response to a request with this method.
    pub(crate) fn response(&mut self, method: &str) -> Response {
        self.try_response(method).unwrap_or_else(|error| panic!("no response: {error}"))
    }

    /// The same, with the reason why there is none.
    pub(crate) fn try_response(&mut self, method: &str) -> io::Result<Response> {
        self.reader.response(&mut Incoming(&mut self.tls, &mut self.socket), method)
    }

    /// Takes a response's head only.
    pub(crate) fn try_head(&mut self) -> io::Result<Response> {
        self.reader.head(&mut Incoming(&mut self.tls, &mut self.socket))
    }

    /// Reads some plaintext as it comes, behind what a head left over.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(&mut Incoming(&mut self.tls, &mut self.socket), buffer)
    }

    /// Reads to the end: what else came, and how it ended.
    pub(crate) fn end(&mut self) -> (Vec<u8>, End) {
        let mut rest = Vec::new();
        let mut buffer = [0; 16384];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return (rest, End::Notified),
                Ok(read) => rest.extend_from_slice(&buffer[..read]),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::UnexpectedEof => return (rest, End::Truncated),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                        return (rest, End::Reset);
                    }
                    ErrorKind::InvalidData => return (rest, End::Alert),
                    _ => panic!("the connection does not end: {error}"),
                },
            }
        }
    }

    /// Asserts that nothing more comes and that the server closes by `close_notify`.
    pub(crate) fn expect_close(&mut self) {
        let (rest, end) = self.end();
        assert_eq!((String::from_utf8_lossy(&rest).as_ref(), end), ("", End::Notified));
    }

    /// Sends `close_notify`, and FIN behind it.
    pub(crate) fn close(&mut self) {
        self.tls.send_close_notify();
        let _ = self.tls.write_tls(&mut self.socket);
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    fn stream(&mut self) -> rustls::Stream<'_, ClientConnection, TcpStream> {
        rustls::Stream::new(&mut self.tls, &mut self.socket)
    }
}

/// The plaintext that comes in. Once the handshake is done it never writes: a server that has
/// answered and closed is heard, though what was still to be sent to it cannot be.
struct Incoming<'c>(&'c mut ClientConnection, &'c mut TcpStream);

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self(tls, socket) = self;
        while tls.is_handshaking() {
            tls.complete_io(socket)?;
        }
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            match tls.read_tls(socket) {
                // So does a wait end whose process was stopped for a while.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => _ = read?,
            }
            tls.process_new_packets()
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
    }
}

/// A TCP connection that neither delays small segments nor waits for ever.
pub(crate) fn connect(port: u16) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Reads a plain socket to its end; a reset is an end too.
pub(crate) fn drain(socket: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return all,
            Ok(read) => all.extend_from_slice(&buffer[..read]),
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::ConnectionReset => return all,
                _ => panic!("the connection does not end: {error}"),
            },
        }
    }
}

/// Long enough for what was written to leave as a segment of its own, most of the time.
pub(crate) fn breathe() {
    std::thread::sleep(Duration::from_millis(2));
}
