//! A client that writes and reads bytes.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::server::{Running, client_config};

#[path = "../support/trusting.rs"]
mod trusting;
pub(crate) use trusting::Trusting;

/// Ends a connection with RST.
pub(crate) fn reset(client: Client) {
    rustix::net::sockopt::set_socket_linger(&client.0.sock, Some(Duration::ZERO)).unwrap();
    drop(client);
}

/// A connection after its handshake.
pub(crate) struct Client(pub(crate) StreamOwned<ClientConnection, TcpStream>);

impl Client {
    pub(crate) fn connect(server: &Running) -> Self {
        Self::connect_with(server, client_config())
    }

    /// The same with a configuration that remembers sessions.
    pub(crate) fn connect_with(server: &Running, config: Arc<ClientConfig>) -> Self {
        Self::to(server.address(), config)
    }

    /// The same to an address.
    pub(crate) fn to(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
        stream.set_nodelay(true).unwrap();
        let name = "localhost".try_into().unwrap();
        let tls = ClientConnection::new(config, name).unwrap();
        Self(StreamOwned::new(tls, stream))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        self.0.flush().unwrap();
    }

    /// Reads until what was read ends with this; panics if the connection ends before.
    pub(crate) fn read_until(&mut self, end: &[u8]) -> String {
        let mut all = Vec::new();
        while !all.ends_with(end) {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(1) => all.push(byte[0]),
                other => panic!("{other:?} behind {}", all.escape_ascii()),
            }
        }
        String::from_utf8(all).unwrap()
    }

    /// Reads to the end; false if that came without close_notify, or by a reset.
    pub(crate) fn read_to_end(&mut self) -> (String, bool) {
        let mut all = Vec::new();
        let ended = match self.0.read_to_end(&mut all) {
            Ok(_) => true,
            Err(error) => {
                let kind = error.kind();
                assert!(matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset));
                false
            }
        };
        (String::from_utf8_lossy(&all).into_owned(), ended)
    }
}
