//! The bound over epoll, edge-triggered: for each request one read and one write, for each batch
//! one `epoll_wait`. One warm buffer serves all connections.

#![forbid(unsafe_code)]

use std::error::Error;
use std::net::TcpStream;
use std::sync::Arc;

use clap::Parser;
use ringway_bench_bounds::events::{self, Bound, Place, Side};
use ringway_bench_bounds::options::{Options, exit_on_error};
use ringway_bench_bounds::peer::Peer;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustls::ServerConfig;

/// Bytes of the two buffers; four full records to write.
const BUFFER: usize = 68 << 10;

fn main() {
    exit_on_error("bound-epoll", serve(&Options::parse()));
}

struct Connection {
    socket: TcpStream,
    peer: Peer,
    /// Sealed bytes that the socket did not take.
    rest: Vec<u8>,
}

struct Responder {
    config: Option<Arc<ServerConfig>>,
    response: Vec<u8>,
    input: Vec<u8>,
    output: Vec<u8>,
}

fn serve(options: &Options) -> Result<(), Box<dyn Error>> {
    let responder = Responder {
        config: options.listening.tls()?,
        response: options.response()?,
        input: vec![0; BUFFER],
        output: vec![0; BUFFER],
    };
    events::serve(&options.listening.listener()?, responder)
}

impl Bound for Responder {
    type Connection = Connection;

    fn accepted(
        &mut self,
        socket: TcpStream,
        place: &Place<'_>,
    ) -> Result<Connection, Box<dyn Error>> {
        place.register(&socket, Side::Client, EventFlags::IN | EventFlags::OUT)?;
        let peer = Peer::new(self.config.as_ref())?;
        Ok(Connection { socket, peer, rest: Vec::new() })
    }

    fn ready(&mut self, connection: &mut Connection, _: Side) -> Option<()> {
        connection.read(&mut self.input)?;
        connection.write(&mut self.output, &self.response)
    }
}

impl Connection {
    /// Reads all there is; nothing if the connection is lost or over.
    fn read(&mut self, buffer: &mut [u8]) -> Option<()> {
        loop {
            match rustix::io::read(&self.socket, &mut *buffer) {
                Ok(0) => return None,
                Ok(len) => {
                    self.peer.receive(&mut buffer[..len]).ok()?;
                    // A short read emptied the socket; more bytes make a new edge.
                    if len < buffer.len() {
                        return Some(());
                    }
                }
                Err(Errno::AGAIN) => return Some(()),
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }

    /// Writes until all is written or the socket is full; nothing if the connection is lost.
    fn write(&mut self, buffer: &mut [u8], response: &[u8]) -> Option<()> {
        loop {
            let bytes = if self.rest.is_empty() {
                let len = self.peer.fill(buffer, response).ok()?;
                &buffer[..len]
            } else {
                &self.rest[..]
            };
            if bytes.is_empty() {
                return Some(());
            }
            match rustix::io::write(&self.socket, bytes) {
                Ok(len) if len == bytes.len() => self.rest.clear(),
                Ok(len) => self.rest = bytes[len..].to_vec(),
                Err(Errno::AGAIN) => {
                    if self.rest.is_empty() {
                        self.rest = bytes.to_vec();
                    }
                    return Some(());
                }
                Err(Errno::INTR) if self.rest.is_empty() => self.rest = bytes.to_vec(),
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }
}
