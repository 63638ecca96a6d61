//! The other kernel of a play: the real one, under the polling backend. Clients are at the other ends of
//! Unix sockets, whose bytes arrive at once, so that a play depends on nothing but its input. The clock
//! is the script's.
//!
//! Failures are those that a client can bring about: it stops reading, and the server's sends would
//! block behind a few kilobytes; it closes one direction or both.

use std::{
    io,
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown},
};

use super::{Input, Kernel, Peer, Play, Setup};
use crate::ring::sim::{Reins, polled};

/// A ring that polls, and the address of its listener.
pub(super) struct Sockets {
    polled: Reins,
    address: SocketAddr,
}

/// A name that no other listener has.
fn address() -> io::Result<SocketAddr> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from_abstract_name(format!("ringway-play-{}-{number}", std::process::id()))
}

impl Kernel for Sockets {
    fn new(setup: &Setup) -> (Self, OwnedFd) {
        // The window chooses between a socket that is soon full and one that seldom is.
        let send_buffer = if setup.window > 64 << 10 { 128 << 10 } else { 4 << 10 };
        let polled = polled(&setup.ring, send_buffer).expect("memory and descriptors");
        let address = address().expect("a name");
        let listener = UnixListener::bind_addr(&address).expect("a listener");
        (Self { polled, address }, listener.into())
    }

    fn reins(&self) -> &Reins {
        &self.polled
    }

    fn absorb(&mut self) {}

    fn connect(play: &mut Play<Self>) {
        let socket = match UnixStream::connect_addr(&play.kernel.address) {
            Ok(socket) => socket,
            // A worker that drains has closed its listener.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return,
            Err(error) => panic!("a client cannot connect: {error}"),
        };
        socket.set_nonblocking(true).expect("a socket");
        play.peers.push(Peer::over(play.clients.clone(), play.window, None, socket.into()));
    }

    fn be_honest(play: &mut Play<Self>, rounds: usize) {
        for _ in 0..rounds {
            play.run();
            #[cfg(feature = "service")]
            let mut progress = super::service::wake_late();
            #[cfg(not(feature = "service"))]
            let mut progress = false;
            for of in 0..play.peers.len() {
                progress |= play.write_to_server(of, usize::MAX);
                progress |= play.read_from_server(of, usize::MAX);
            }
            if !progress {
                return;
            }
        }
    }

    fn deliver(play: &mut Play<Self>, of: usize, most: usize, _: bool) {
        play.write_to_server(of, most);
    }

    fn take(play: &mut Play<Self>, of: usize, most: usize) {
        play.read_from_server(of, most);
    }

    fn fail(play: &mut Play<Self>, which: u8, how: u8) {
        let count = play.peers.len().max(1);
        let Some(peer) = play.peers.get_mut(usize::from(which) % count) else { return };
        peer.excused = true;
        let how = match how & 3 {
            // The client stops to listen: the server's sends fail with EPIPE.
            0 => Shutdown::Read,
            1 => Shutdown::Write,
            _ => Shutdown::Both,
        };
        if how != Shutdown::Read {
            peer.finished = true;
            peer.outbound.clear();
        }
        // A connection that is gone has no directions.
        let _ = shutdown(&peer.witness, how);
    }

    fn complete(play: &mut Play<Self>, input: &mut Input<'_>, _: u8) {
        let (which, most) = (usize::from(input.byte_or_zero()), input.amount());
        let of = which % play.peers.len().max(1);
        if which & 128 == 0 {
            play.write_to_server(of, most);
        } else {
            play.read_from_server(of, most);
        }
    }

    /// The polling backend decides itself whether a cancel comes too late.
    fn cancel_late(_: &mut Play<Self>) {}

    /// The eventfd of the inbox is read like any other.
    fn hear(_: &mut Play<Self>) {}

    fn tell_queue(&self, _: &Peer) {}

    fn settle(play: &mut Play<Self>) {
        let ring = Rc::clone(play.kernel.reins().ring());
        for _ in 0..super::PATIENCE {
            let is_done = ring.in_flight() == 0;
            ring.turn().expect("epoll does not fail");
            if is_done {
                return;
            }
        }
        panic!("operations are left that the kernel does not end: {ring:?}");
    }
}

impl Play<Sockets> {
    /// Writes at most `most` bytes of what a client has to say. Whether there was something to do.
    fn write_to_server(&mut self, of: usize, most: usize) -> bool {
        let Some(peer) = self.peers.get_mut(of) else { return false };
        peer.pump();
        let count = most.min(peer.outbound.len());
        if count > 0 {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match send(&peer.witness, &peer.outbound[..count], flags) {
                Ok(sent) => {
                    peer.outbound.drain(..sent);
                    return true;
                }
                Err(Errno::AGAIN) => return false,
                // The server has closed the connection, or the client its direction.
                Err(Errno::PIPE | Errno::CONNRESET) => peer.outbound.clear(),
                Err(error) => panic!("a client cannot write: {error}"),
            }
        }
        if peer.finished && peer.outbound.is_empty() && !peer.is_shut {
            peer.is_shut = true;
            let _ = shutdown(&peer.witness, Shutdown::Write);
            return true;
        }
        false
    }

    /// Reads at most `most` bytes, if the client reads. Whether any came.
    fn read_from_server(&mut self, of: usize, most: usize) -> bool {
        let excused = self.excused;
        let Some(peer) = self.peers.get_mut(of).filter(|peer| peer.reads) else { return false };
        let mut bytes = [0; 16 << 10];
        let mut came = 0;
        while came < most {
            let wanted = bytes.len().min(most - came);
            match recv(&peer.witness, &mut bytes[..wanted], RecvFlags::DONTWAIT) {
                Ok((_, 0)) | Err(Errno::AGAIN | Errno::CONNRESET) => break,
                Ok((_, count)) => {
                    peer.inbound.extend_from_slice(&bytes[..count]);
                    came += count;
                }
                Err(error) => panic!("a client cannot read: {error}"),
            }
        }
        if came > 0 {
            peer.take(excused);
        }
        came > 0
    }
}
