//! A blocking client over rustls's own connection that counts what it sends and receives.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, crypto::aws_lc_rs, pki_types::ServerName};

use crate::trusting::Trusting;

/// A configuration that trusts anyone and keeps tickets.
pub(crate) fn tls_config() -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting::default()))
        .with_no_client_auth();
    Arc::new(config)
}

/// A socket that counts what is written to it.
struct Counted {
    socket: TcpStream,
    written: u64,
}

impl Read for Counted {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        self.socket.read(room)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.socket.write(bytes)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.socket.flush()
    }
}

/// A connection.
pub(crate) struct Client {
    tls: ClientConnection,
    socket: Counted,
    rest: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(port: u16, config: &Arc<ClientConfig>) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(crate::PATIENCE)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self { tls, socket: Counted { socket, written: 0 }, rest: Vec::new() }
    }

    /// What [`Self::get`] sends.
    pub(crate) fn asked(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.socket);
        stream.write_all(bytes).unwrap();
        stream.flush().unwrap();
    }

    /// Asks for a path; the status and the content.
    pub(crate) fn get(&mut self, path: &str) -> (u16, Vec<u8>) {
        let (status, _, body) = self.get_all(path);
        (status, body)
    }

    /// The same with the length of the head.
    pub(crate) fn get_all(&mut self, path: &str) -> (u16, usize, Vec<u8>) {
        self.send(Self::asked(path).as_bytes());
        let (head, body) = self.take();
        (status(&head), head.len(), body)
    }

    /// Asks for a path; a field of the answer's head.
    pub(crate) fn head(&mut self, path: &str, field: &str) -> Option<String> {
        self.send(Self::asked(path).as_bytes());
        let (head, _) = self.take();
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            (name == field).then(|| value.to_owned())
        })
    }

    /// Takes a response: the status and the content.
    pub(crate) fn response(&mut self) -> (u16, Vec<u8>) {
        let (head, body) = self.take();
        (status(&head), body)
    }

    fn take(&mut self) -> (String, Vec<u8>) {
        let end = loop {
            if let Some(end) = self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.fill();
        };
        let head = String::from_utf8(self.rest.drain(..end).collect()).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map_or(0, |length| length.parse().unwrap());
        while self.rest.len() < length {
            self.fill();
        }
        (head, self.rest.drain(..length).collect())
    }

    /// Takes a frame of HTTP/2: its head and its payload.
    pub(crate) fn frame(&mut self) -> ([u8; 9], Vec<u8>) {
        while self.rest.len() < 9 {
            self.fill();
        }
        let head: [u8; 9] = self.rest.drain(..9).collect::<Vec<_>>().try_into().unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        while self.rest.len() < length {
            self.fill();
        }
        (head, self.rest.drain(..length).collect())
    }

    fn fill(&mut self) {
        let mut room = vec![0; 1 << 16];
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.socket);
        let count = stream.read(&mut room).unwrap();
        assert!(count > 0, "the server has closed the connection");
        self.rest.extend_from_slice(&room[..count]);
    }

    /// Closes in order; says how many bytes were written in all.
    pub(crate) fn close(mut self) -> u64 {
        self.tls.send_close_notify();
        self.tls.write_tls(&mut self.socket).unwrap();
        self.socket.socket.shutdown(Shutdown::Write).unwrap();
        let _ = self.socket.socket.read(&mut [0; 256]);
        self.socket.written
    }

    /// Closes so that the server sees a reset.
    pub(crate) fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.socket.socket, Some(Duration::ZERO)).unwrap();
    }
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}
