//! The engine under clients that hold on to what they can: others are served all the same.

#[path = "support/trusting.rs"]
mod trusting;

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use ringway::config::{Config, Limits};
use rustls::{
    ClientConfig, ClientConnection, StreamOwned, crypto::aws_lc_rs, pki_types::ServerName,
};

use trusting::Trusting;

/// Longer than anything takes that is not stuck, and shorter than any timeout that would unstick
/// it.
const PATIENCE: Duration = Duration::from_secs(300);

const HOUR: Duration = Duration::from_secs(3_600);

const GET_SMALL: &[u8] = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GET_BIG: &[u8] = b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GET_PAGE: &[u8] = b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GET_MEDIUM: &[u8] = b"GET /medium HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Site {
    _folder: tempfile::TempDir,
    server: ringway::server::RunningServer,
    client: Arc<ClientConfig>,
}

type Client = StreamOwned<ClientConnection, TcpStream>;

impl Site {
    /// One worker with 64 receive buffers and 1 MiB of send memory: so little that a few dozen
    /// clients could hold all of it.
    fn start() -> Self {
        let mut limits = Limits::default();
        limits.receive_buffers = 64;
        limits.send_memory_bytes = 1 << 20;
        limits.file_cache_max_file = 1 << 20;
        Self::with(limits)
    }

    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "small", 100);
        write(folder.path(), "page", 3000);
        write(folder.path(), "medium", 1 << 20);
        write(folder.path(), "big", 32 << 20);
        let mut config = Config::default();
        config.root = folder.path().into();
        config.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.workers = Some(1);
        config.pin = false;
        config.limits = limits;
        let times = &mut config.timeouts;
        for time in [&mut times.head, &mut times.idle, &mut times.response_stall] {
            *time = HOUR;
        }
        let server = ringway::server::Builder::from(config).start().unwrap();
        let client = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting::default()))
            .with_no_client_auth();
        Self { _folder: folder, server, client: Arc::new(client) }
    }

    fn try_connect(&self) -> io::Result<Client> {
        let socket = TcpStream::connect(self.server.addresses()[0])?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        let mut client = StreamOwned::new(connection, socket);
        while client.conn.is_handshaking() {
            client.conn.complete_io(&mut client.sock)?;
        }
        Ok(client)
    }

    fn connect(&self) -> Client {
        self.try_connect().unwrap()
    }

    /// An honest client gets what it asks for.
    fn serves(&self, request: &[u8], body: usize) {
        let mut client = self.connect();
        client.write_all(request).unwrap();
        let got = read_response(&mut client);
        assert_eq!(got, body);
    }
}

fn write(folder: &Path, name: &str, len: usize) {
    std::fs::write(folder.join(name), vec![b'x'; len]).unwrap();
}

/// Reads a 200 response and gives the length of its content.
fn read_response(client: &mut Client) -> usize {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head.split("content-length: ").nth(1).or(head.split("Content-Length: ").nth(1));
    let length: usize = length.unwrap().split("\r\n").next().unwrap().parse().unwrap();
    io::copy(&mut client.take(length as u64), &mut io::sink()).unwrap() as usize
}

/// Half a request each, in a record of its own: the record is whole, the head is not.
#[test]
fn heads_without_an_end_leave_receive_buffers_to_others() {
    let site = Site::start();
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut client = site.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: loc").unwrap();
        held.push(client);
    }
    for _ in 0..10 {
        site.serves(GET_SMALL, 100);
    }
    for client in &mut held {
        client.write_all(b"alhost\r\n\r\n").unwrap();
    }
}

/// Clients that ask for much and read nothing, with a pipeline full of further requests.
#[test]
fn readers_that_do_not_read_leave_all_memory_to_others() {
    let site = Site::start();
    let mut held = Vec::new();
    for number in 0..30 {
        let mut client = site.connect();
        let request = if number % 2 == 0 { GET_BIG } else { GET_MEDIUM };
        // The socket is full after a few of them.
        for _ in 0..8 {
            client.write_all(request).unwrap();
        }
        // And what follows waits in the server's buffers, as far as it lets it.
        client.sock.set_nonblocking(true).unwrap();
        let flood = GET_SMALL.repeat(4000);
        for piece in flood.chunks(16_000) {
            if client.write_all(piece).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        held.push(client);
    }
    for _ in 0..5 {
        site.serves(GET_SMALL, 100);
        site.serves(GET_MEDIUM, 1 << 20);
        site.serves(GET_BIG, 32 << 20);
    }
    drop(held);
}

/// A pipeline of requests for a page, of which no response is read.
#[test]
fn pages_that_nobody_reads_leave_memory_to_others() {
    let site = Site::start();
    let mut held = Vec::new();
    for _ in 0..30 {
        let mut client = site.connect();
        for _ in 0..20 {
            client.write_all(&GET_PAGE.repeat(100)).unwrap();
        }
        held.push(client);
    }
    for _ in 0..5 {
        site.serves(GET_PAGE, 3000);
    }
    // They were held up, not broken.
    let mut client = held.pop().unwrap();
    for _ in 0..2000 {
        assert_eq!(read_response(&mut client), 3000);
    }
}

/// One that sends requests without end and reads the answers does not keep others waiting.
#[test]
fn a_long_pipeline_is_answered_in_full() {
    const REQUESTS: usize = 20_000;
    let site = Site::start();
    let client = site.connect();
    let mut reader = client.sock.try_clone().unwrap();
    let mut client = client;
    let raw = std::thread::spawn(move || {
        // The ciphertext is read here and taken apart below, so that writing never waits for it.
        let mut all = Vec::new();
        let _ = reader.read_to_end(&mut all);
        all
    });
    let mut last = GET_SMALL.repeat(REQUESTS - 1);
    last.extend_from_slice(b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    for piece in last.chunks(10_007) {
        client.conn.writer().write_all(piece).unwrap();
        while client.conn.wants_write() {
            client.conn.write_tls(&mut client.sock).unwrap();
        }
    }
    for _ in 0..5 {
        site.serves(GET_SMALL, 100);
    }
    let raw = raw.join().unwrap();
    let mut rest = &raw[..];
    let mut responses = 0;
    let mut plain = Vec::new();
    while !rest.is_empty() {
        client.conn.read_tls(&mut rest).unwrap();
        client.conn.process_new_packets().unwrap();
        match client.conn.reader().read_to_end(&mut plain) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    for window in plain.windows(13) {
        responses += usize::from(window == b"HTTP/1.1 200 ");
    }
    assert_eq!(responses, REQUESTS);
    let _ = client.sock.shutdown(Shutdown::Both);
}
