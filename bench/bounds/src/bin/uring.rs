//! The bound over io_uring: multishot accept, multishot receives into provided buffers, writes
//! from registered memory that is handed out while warm, one `io_uring_enter` for each batch.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use clap::Parser;
use ringway_bench_bounds::options::{Options, exit_on_error};
use ringway_bench_bounds::peer::Peer;
use ringway_bench_ring::{Done, Lease, Limits, Ring, Slot};
use rustls::ServerConfig;

/// The key of the listener's operation; connections have theirs from 0.
const LISTENER: u32 = u32::MAX;

const LIMITS: Limits = Limits {
    entries: 4096,
    recv_buffers: 512,
    recv_size: 16 << 10,
    send_slots: 256,
    // Four full records.
    send_size: 68 << 10,
};

fn main() {
    exit_on_error("bound-uring", serve(&Options::parse()));
}

struct Connection {
    socket: OwnedFd,
    peer: Peer,
    /// What is left of the write in flight.
    writing: Option<(usize, usize)>,
    receiving: bool,
    broken: bool,
}

struct Server {
    ring: Ring,
    listener: TcpListener,
    config: Option<Arc<ServerConfig>>,
    response: Vec<u8>,
    connections: Vec<Option<Connection>>,
    free: Vec<u32>,
    /// Connections that found no slot.
    hungry: VecDeque<u32>,
}

fn serve(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut server = Server {
        ring: Ring::new(LIMITS, options.listening.listen)?,
        listener: options.listening.listener()?,
        config: options.listening.tls()?,
        response: options.response()?,
        connections: Vec::new(),
        free: Vec::new(),
        hungry: VecDeque::new(),
    };
    server.ring.accept(LISTENER, server.listener.as_fd())?;
    loop {
        server.ring.wait()?;
        while let Some(done) = server.ring.completion() {
            server.handle(done)?;
        }
        for _ in 0..server.hungry.len() {
            if let Some(key) = server.hungry.pop_front() {
                server.respond(key)?;
            }
        }
    }
}

impl Server {
    fn handle(&mut self, done: Done) -> io::Result<()> {
        match done {
            Done::Accepted { result, more, .. } => {
                if let Ok(socket) = result {
                    self.accepted(socket)?;
                }
                if !more {
                    self.ring.accept(LISTENER, self.listener.as_fd())?;
                }
                Ok(())
            }
            Done::Received { key, result, more } => self.received(key, result, more),
            Done::Written { key, slot, result } => self.written(key, slot, result.ok()),
            Done::Connected { .. } | Done::Closed => Ok(()),
        }
    }

    fn accepted(&mut self, socket: OwnedFd) -> io::Result<()> {
        let peer = Peer::new(self.config.as_ref()).map_err(io::Error::other)?;
        let key = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() as u32 - 1
        });
        self.ring.receive_all(key, socket.as_fd())?;
        let connection = Connection { socket, peer, writing: None, receiving: true, broken: false };
        self.connections[key as usize] = Some(connection);
        Ok(())
    }

    fn received(
        &mut self,
        key: u32,
        result: io::Result<Option<Lease>>,
        more: bool,
    ) -> io::Result<()> {
        let Some(connection) = &mut self.connections[key as usize] else { return Ok(()) };
        connection.receiving = more;
        match result {
            Ok(Some(mut bytes)) => {
                connection.broken |= connection.peer.receive(&mut bytes).is_err();
            }
            Ok(None) => connection.broken = true,
            Err(error) => connection.broken |= !is_enobufs(&error),
        }
        if !connection.broken && !more {
            connection.receiving = true;
            self.ring.receive_all(key, connection.socket.as_fd())?;
        }
        self.respond(key)
    }

    fn respond(&mut self, key: u32) -> io::Result<()> {
        let Some(connection) = &mut self.connections[key as usize] else { return Ok(()) };
        if connection.broken {
            return self.close(key);
        }
        if connection.writing.is_none() && connection.peer.wants_write() {
            match self.ring.slot() {
                Some(slot) => self.write(key, slot)?,
                None => self.hungry.push_back(key),
            }
        }
        Ok(())
    }

    fn write(&mut self, key: u32, mut slot: Slot) -> io::Result<()> {
        let Some(connection) = &mut self.connections[key as usize] else { return Ok(()) };
        match connection.peer.fill(&mut slot, &self.response) {
            Ok(0) => Ok(()),
            Ok(len) => {
                connection.writing = Some((0, len));
                self.ring.write(key, connection.socket.as_fd(), slot, 0, len)
            }
            Err(_) => {
                connection.broken = true;
                self.close(key)
            }
        }
    }

    /// A write ended, and the socket took so many bytes; nothing if it failed.
    fn written(&mut self, key: u32, slot: Slot, taken: Option<usize>) -> io::Result<()> {
        let Some(connection) = &mut self.connections[key as usize] else { return Ok(()) };
        let Some((from, to)) = connection.writing.take() else { return Ok(()) };
        let Some(len) = taken else {
            connection.broken = true;
            return self.close(key);
        };
        if connection.broken {
            return self.close(key);
        }
        if from + len < to {
            connection.writing = Some((from + len, to));
            return self.ring.write(key, connection.socket.as_fd(), slot, from + len, to);
        }
        if connection.peer.wants_write() { self.write(key, slot) } else { Ok(()) }
    }

    /// Closes a connection as soon as nothing is in flight on it.
    fn close(&mut self, key: u32) -> io::Result<()> {
        let place = &mut self.connections[key as usize];
        match place {
            Some(connection) if connection.receiving || connection.writing.is_some() => {
                // A socket that is not connected any more has nothing to shut.
                let _ = rustix::net::shutdown(&connection.socket, rustix::net::Shutdown::Both);
            }
            _ => {
                if let Some(connection) = place.take() {
                    self.free.push(key);
                    self.ring.close(connection.socket)?;
                }
            }
        }
        Ok(())
    }
}

fn is_enobufs(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}
