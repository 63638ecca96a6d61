//! The scripted kernel of a play: it holds each operation until the input says how it goes on.

use std::os::fd::OwnedFd;

use super::{Input, Kernel, Peer, Play, Setup};
use crate::ring::sim::{Asked, Reins, SimKernel, socket_pair};

/// How an operation can go wrong, and whether that concerns its connection: what is interrupted,
/// or finds no buffer, is tried again.
const RECEIVE_FAULTS: [(i32, bool); 8] = [
    (libc::ENOBUFS, false),
    (libc::ECANCELED, false),
    (libc::EINTR, false),
    (libc::ECONNRESET, true),
    (libc::ENOMEM, true),
    (libc::ETIMEDOUT, true),
    (libc::EAGAIN, true),
    (0, true),
];
const SEND_FAULTS: [(i32, bool); 8] = [
    (libc::EINTR, false),
    (libc::EAGAIN, false),
    (libc::ECONNRESET, true),
    (libc::EPIPE, true),
    (libc::ENOBUFS, true),
    (libc::ENOMEM, true),
    (libc::ECANCELED, true),
    (0, true),
];
const FILE_FAULTS: [i32; 8] = [
    libc::ENOENT,
    libc::EMFILE,
    libc::EACCES,
    libc::EAGAIN,
    libc::EIO,
    libc::EINTR,
    libc::ECANCELED,
    0,
];
const OTHER_FAULTS: [i32; 6] =
    [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ECONNABORTED, libc::ECANCELED];

/// Turns in which what is cancelled at the end has to end.
const ROUNDS: usize = 20_000;

/// A scripted ring, and what stands for a listener.
pub(super) struct Script {
    sim: SimKernel,
    /// The other end of what stands for the listener, which has to stay open.
    _listener: OwnedFd,
}

impl Kernel for Script {
    fn new(setup: &Setup) -> (Self, OwnedFd) {
        let sim = SimKernel::new(&setup.ring).expect("memory for pools");
        // Nothing is ever accepted from it but what this kernel brings.
        let (listener, other) = socket_pair().expect("a pair of sockets");
        (Self { sim, _listener: other }, listener)
    }

    fn reins(&self) -> &Reins {
        &self.sim
    }

    fn absorb(&mut self) {
        self.sim.absorb();
    }

    fn connect(play: &mut Play<Self>) {
        play.peers.push(Peer::new(play.clients.clone(), play.window));
    }

    fn be_honest(play: &mut Play<Self>, rounds: usize) {
        for _ in 0..rounds {
            play.run();
            #[cfg(feature = "service")]
            let mut progress = super::service::wake_late();
            #[cfg(not(feature = "service"))]
            let mut progress = false;
            let mut at = 0;
            while at < play.kernel.sim.held() {
                let held = play.kernel.sim.held();
                let done = play.complete(at, usize::MAX, true);
                progress |= done;
                // What goes on stays where it is, and has done what it can for now.
                at += usize::from(!done || play.kernel.sim.held() == held);
            }
            if !progress {
                return;
            }
        }
    }

    fn deliver(play: &mut Play<Self>, of: usize, most: usize, more: bool) {
        if let Some(at) = play.kernel.sim.find(Asked::Receive(of)) {
            play.complete(at, most, more);
        }
    }

    fn take(play: &mut Play<Self>, of: usize, most: usize) {
        if let Some(at) = play.kernel.sim.find(Asked::Send(of)) {
            play.complete(at, most, true);
        }
    }

    fn fail(play: &mut Play<Self>, which: u8, how: u8) {
        let Some(at) = play.some(which) else { return };
        let Some(asked) = play.kernel.sim.asked(at) else { return };
        let how = usize::from(how);
        let (error, of) = match asked {
            Asked::Receive(of) => {
                let (error, concerns) = RECEIVE_FAULTS[how % RECEIVE_FAULTS.len()];
                (error, concerns.then_some(of))
            }
            Asked::Send(of) => {
                let (error, concerns) = SEND_FAULTS[how % SEND_FAULTS.len()];
                (error, concerns.then_some(of))
            }
            Asked::Writable(of) => (OTHER_FAULTS[how % OTHER_FAULTS.len()], Some(of)),
            Asked::Open | Asked::Read => {
                play.excused = true;
                (FILE_FAULTS[how % FILE_FAULTS.len()], None)
            }
            Asked::Accept | Asked::Inbox | Asked::Connect => {
                // Both are tried again after a while.
                play.excused = true;
                (OTHER_FAULTS[how % OTHER_FAULTS.len()], None)
            }
            Asked::Cancel => return play.kernel.sim.cancel(at, false),
            // Kernel TLS is off.
            Asked::Control(_) => return,
        };
        if let Some(of) = of {
            play.peers[of].excused = true;
        }
        // An open that succeeds brings a descriptor.
        let error = if asked == Asked::Open && error == 0 { libc::ENOENT } else { error };
        play.kernel.sim.end(at, -error);
    }

    fn complete(play: &mut Play<Self>, input: &mut Input<'_>, detail: u8) {
        let at = play.some(input.byte_or_zero());
        let most = input.amount();
        if let Some(at) = at {
            play.complete(at, most, detail & 1 == 0);
        }
    }

    fn cancel_late(play: &mut Play<Self>) {
        while let Some(at) = play.kernel.sim.find(Asked::Cancel) {
            play.kernel.sim.cancel(at, false);
        }
    }

    fn hear(play: &mut Play<Self>) {
        if let Some(at) = play.kernel.sim.find(Asked::Inbox) {
            play.complete(at, usize::MAX, true);
        }
    }

    fn tell_queue(&self, peer: &Peer) {
        if peer.socket.is_none() && !peer.is_closed() {
            self.sim.set_send_queue(peer.descriptor, peer.queue());
        }
    }

    fn settle(play: &mut Play<Self>) {
        for _ in 0..ROUNDS {
            play.kernel.sim.absorb();
            while play.kernel.sim.held() > 0 {
                match play.kernel.sim.asked(0) {
                    Some(Asked::Cancel) => play.kernel.sim.cancel(0, true),
                    _ => play.kernel.sim.end(0, -libc::ECANCELED),
                }
            }
            let ring = play.kernel.sim.ring();
            if ring.in_flight() == 0 {
                // Once more, for the buffers that have come back since.
                ring.turn().expect("a scripted ring does not fail");
                return;
            }
            ring.turn().expect("a scripted ring does not fail");
        }
        panic!("operations are left that the kernel does not know");
    }
}

impl Play<Script> {
    fn some(&self, which: u8) -> Option<usize> {
        let held = self.kernel.sim.held();
        (held > 0).then(|| usize::from(which) % held)
    }

    /// Completes an operation as an honest kernel would, with at most `most` bytes. False if it
    /// has to wait.
    fn complete(&mut self, at: usize, most: usize, more: bool) -> bool {
        let Some(asked) = self.kernel.sim.asked(at) else { return false };
        if self.kernel.sim.ends_soon(at) {
            self.kernel.sim.end(at, -libc::ECANCELED);
            return true;
        }
        match asked {
            Asked::Accept => return self.accept(at, more),
            Asked::Receive(of) => return self.receive(at, of, most, more),
            Asked::Send(of) => return self.send(at, of, most),
            Asked::Writable(of) => {
                let queue = self.peers[of].queue();
                if queue.free() * 3 < queue.limit {
                    return false;
                }
                self.kernel.sim.writable(at);
            }
            Asked::Open | Asked::Read => self.kernel.sim.perform(at, most),
            Asked::Inbox if std::mem::take(&mut self.told) => self.kernel.sim.perform(at, most),
            // No site of the simulation has upstream servers, and kernel TLS is off.
            Asked::Inbox | Asked::Connect | Asked::Control(_) => return false,
            Asked::Cancel => self.kernel.sim.cancel(at, true),
        }
        true
    }

    fn accept(&mut self, at: usize, more: bool) -> bool {
        let Some(number) = self.peers.iter().position(|peer| peer.socket.is_some()) else {
            return false;
        };
        if let Some(socket) = self.peers[number].socket.take() {
            self.kernel.sim.accept(at, socket, number, more);
            self.kernel.tell_queue(&self.peers[number]);
        }
        true
    }

    fn receive(&mut self, at: usize, of: usize, most: usize, more: bool) -> bool {
        let peer = &mut self.peers[of];
        peer.pump();
        let count = most.min(peer.outbound.len());
        if count > 0 {
            let taken = self.kernel.sim.receive(at, &peer.outbound[..count], more);
            peer.outbound.drain(..taken);
        } else if peer.finished && peer.outbound.is_empty() {
            self.kernel.sim.end(at, 0);
        } else {
            return false;
        }
        true
    }

    fn send(&mut self, at: usize, of: usize, most: usize) -> bool {
        let peer = &mut self.peers[of];
        let most = most.min(peer.queue().free());
        if most == 0 {
            return false;
        }
        self.kernel.sim.send(at, most, &mut peer.inbound);
        peer.take(self.excused);
        self.kernel.tell_queue(&self.peers[of]);
        true
    }
}
