//! The bound over epoll, edge-triggered: for each request one read and one write, for each batch
//! one `epoll_wait`. One warm buffer serves all connections.

#![forbid(unsafe_code)]

use std::error::Error;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use clap::Parser;
use ringway_bench_bounds::options::{Options, exit_on_error};
use ringway_bench_bounds::peer::Peer;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustls::ServerConfig;

/// The event data of the listener; connections have theirs from 0.
const LISTENER: u64 = u64::MAX;
/// Bytes of the two buffers; four full records to write.
const BUFFER: usize = 68 << 10;

fn main() {
    exit_on_error("bound-epoll", serve(&Options::parse()));
}

struct Connection {
    socket: OwnedFd,
    peer: Peer,
    /// Sealed bytes that the socket did not take.
    rest: Vec<u8>,
}

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    config: Option<Arc<ServerConfig>>,
    response: Vec<u8>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    input: Vec<u8>,
    output: Vec<u8>,
}

fn serve(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut server = Server {
        epoll: epoll::create(CreateFlags::CLOEXEC)?,
        listener: options.listening.listener()?,
        config: options.listening.tls()?,
        response: options.response()?,
        connections: Vec::new(),
        free: Vec::new(),
        input: vec![0; BUFFER],
        output: vec![0; BUFFER],
    };
    server.listener.set_nonblocking(true)?;
    epoll::add(&server.epoll, &server.listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut events: Vec<Event> = Vec::with_capacity(1024);
    loop {
        events.clear();
        match epoll::wait(&server.epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            match event.data.u64() {
                LISTENER => server.accept()?,
                key => server.ready(key as usize),
            }
        }
    }
}

impl Server {
    fn accept(&mut self) -> Result<(), Box<dyn Error>> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        while let Ok(socket) = rustix::net::accept_with(&self.listener, flags) {
            let peer = Peer::new(self.config.as_ref())?;
            let key = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let interest = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
            epoll::add(&self.epoll, &socket, EventData::new_u64(key as u64), interest)?;
            self.connections[key] = Some(Connection { socket, peer, rest: Vec::new() });
        }
        Ok(())
    }

    fn ready(&mut self, key: usize) {
        let Some(connection) = &mut self.connections[key] else { return };
        let alive = connection.read(&mut self.input).is_some()
            && connection.write(&mut self.output, &self.response).is_some();
        if !alive {
            self.connections[key] = None;
            self.free.push(key);
        }
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
