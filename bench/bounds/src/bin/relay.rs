//! The bound of a reverse proxy: over epoll, edge-triggered, it passes on what a client sends under TLS
//! to a connection of its own with the server, and back, and reads none of it as HTTP. For each
//! request and each response one read and one write.

#![forbid(unsafe_code)]

use std::error::Error;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use clap::Parser;
use ringway_bench_bounds::events::{self, Bound, Place, Side};
use ringway_bench_bounds::options::{Listening, exit_on_error};
use ringway_bench_bounds::peer::Peer;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustls::ServerConfig;

/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;
/// Room for them in records.
const ROOM: usize = 68 << 10;

/// Passes on what clients send under TLS, and what the server answers, without reading it as HTTP.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    listening: Listening,

    /// The server
    #[arg(long)]
    server: SocketAddr,
}

fn main() {
    exit_on_error("bound-relay", serve(&Options::parse()));
}

struct Relay {
    config: Option<Arc<ServerConfig>>,
    server: SocketAddr,
    memory: Memory,
}

/// One for all connections.
struct Memory {
    input: Vec<u8>,
    output: Vec<u8>,
    requests: Vec<u8>,
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    peer: Peer,
    /// Records that the client's socket did not take; nothing is read from the server before.
    rest: Vec<u8>,
}

fn serve(options: &Options) -> Result<(), Box<dyn Error>> {
    let relay = Relay {
        config: options.listening.tls()?,
        server: options.server,
        memory: Memory { input: vec![0; PIECE], output: vec![0; ROOM], requests: Vec::new() },
    };
    events::serve(&options.listening.listener()?, relay)
}

impl Bound for Relay {
    type Connection = Connection;

    fn accepted(
        &mut self,
        client: TcpStream,
        place: &Place<'_>,
    ) -> Result<Connection, Box<dyn Error>> {
        let server = TcpStream::connect(self.server)?;
        server.set_nodelay(true)?;
        place.register(&client, Side::Client, EventFlags::IN | EventFlags::OUT)?;
        place.register(&server, Side::Server, EventFlags::IN)?;
        let peer = Peer::new(self.config.as_ref())?.passing();
        Ok(Connection { client, server, peer, rest: Vec::new() })
    }

    fn ready(&mut self, connection: &mut Connection, side: Side) -> Option<()> {
        match side {
            Side::Client => connection.client_is_ready(&mut self.memory),
            Side::Server => connection.pass_responses(&mut self.memory),
        }
    }
}

impl Connection {
    /// The client has sent, or takes more; nothing if the connection is lost or over.
    fn client_is_ready(&mut self, memory: &mut Memory) -> Option<()> {
        self.pass_requests(memory)?;
        if self.rest.is_empty() {
            // What there is to be sent of the handshake.
            let len = self.peer.fill(&mut memory.output, &[]).ok()?;
            return self.write(&memory.output[..len]);
        }
        let rest = std::mem::take(&mut self.rest);
        self.write(&rest)?;
        self.pass_responses(memory)
    }

    fn pass_requests(&mut self, memory: &mut Memory) -> Option<()> {
        while let Some(len) = read(&self.client, &mut memory.input)? {
            self.peer.receive(&mut memory.input[..len]).ok()?;
            self.peer.take_passed(&mut memory.requests);
            let requests = &memory.requests[..];
            // Requests are short: the server's socket has room for them.
            if !requests.is_empty()
                && rustix::io::write(&self.server, requests) != Ok(requests.len())
            {
                return None;
            }
            if len < PIECE {
                break;
            }
        }
        Some(())
    }

    /// Passes on what the server has sent, as long as the client takes it.
    fn pass_responses(&mut self, memory: &mut Memory) -> Option<()> {
        while self.rest.is_empty()
            && let Some(len) = read(&self.server, &mut memory.input)?
        {
            self.peer.owe();
            let filled = self.peer.fill(&mut memory.output, &memory.input[..len]).ok()?;
            self.write(&memory.output[..filled])?;
            if len < PIECE {
                break;
            }
        }
        Some(())
    }

    /// Writes to the client, and keeps what its socket does not take.
    fn write(&mut self, bytes: &[u8]) -> Option<()> {
        if bytes.is_empty() {
            return Some(());
        }
        let taken = match rustix::io::write(&self.client, bytes) {
            Ok(len) => len,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(_) => return None,
        };
        self.rest = bytes[taken..].to_vec();
        Some(())
    }
}

/// Reads what there is: `Some(None)` if there is nothing, None if the connection is lost or over.
#[allow(clippy::option_option, reason = "`?` ends a connection that is lost")]
fn read(socket: &TcpStream, buffer: &mut [u8]) -> Option<Option<usize>> {
    loop {
        match rustix::io::read(socket, &mut *buffer) {
            Ok(0) => return None,
            Ok(len) => return Some(Some(len)),
            Err(Errno::AGAIN) => return Some(None),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}
