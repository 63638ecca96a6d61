//! How a play ends: the kernel is honest, the clients finish, time passes, the worker drains.

use std::time::Duration;

use super::{Command, Kernel, Play, Played};

/// Rounds that an honest kernel needs at most for all that clients have asked.
const ROUNDS: usize = 20_000;

/// Jumps of half a second after which no connection may be left: more than the longest answer may
/// take at the least rate.
const HALF_SECONDS: usize = 4_000;

impl<K: Kernel> Play<K> {
    pub(super) fn end(mut self) -> Played {
        self.kernel.reins().set_room(64);
        for of in 0..self.peers.len() {
            let refusals = self.excused;
            self.peers[of].reads = true;
            self.peers[of].take(refusals);
            self.kernel.tell_queue(&self.peers[of]);
        }
        K::be_honest(&mut self, ROUNDS);
        if !self.excused {
            for (of, peer) in self.peers.iter().enumerate() {
                assert!(
                    peer.excused || peer.answers.are_complete(),
                    "client {of} waits in vain for {:?}",
                    peer.answers
                );
            }
        }
        self.excused = true;
        for peer in &mut self.peers {
            peer.excused = true;
            peer.close();
            peer.finished = true;
        }
        K::be_honest(&mut self, ROUNDS);
        for _ in 0..HALF_SECONDS {
            if self.ended.is_some() || self.is_quiet() {
                break;
            }
            self.advance(500);
            K::be_honest(&mut self, ROUNDS);
        }
        assert!(self.ended.is_some() || self.is_quiet(), "a connection outlives every deadline");
        self.stop();
        K::settle(&mut self);
        self.assert_clean()
    }

    /// Nobody is connected, and nobody waits to be.
    fn is_quiet(&self) -> bool {
        self.worker.context.occupancy.live() == 0
            && self.peers.iter().all(|peer| peer.socket.is_none())
    }

    /// The worker gets a command to stop, and stops.
    fn stop(&mut self) {
        if self.ended.is_none() {
            self.tell(Command::Drain(Duration::from_secs(1)));
        }
        for _ in 0..100 {
            if self.ended.is_some() {
                return;
            }
            K::be_honest(self, ROUNDS);
            self.advance(100);
        }
        assert!(self.ended.is_some(), "the worker does not stop");
    }

    fn assert_clean(self) -> Played {
        let Self { kernel, worker, mut peers, elapsed, .. } = self;
        let counts = worker.context.counts();
        assert_eq!(worker.context.occupancy.live(), 0, "connections are counted that are gone");
        assert_eq!(
            worker.context.occupancy.handshakes(),
            0,
            "handshakes are counted that are gone"
        );
        drop(worker);
        assert!(
            kernel.reins().is_clean(),
            "something was not given back: {:?}",
            kernel.reins().ring()
        );
        for (of, peer) in peers.iter_mut().enumerate() {
            peer.socket = None;
            assert!(peer.is_closed(), "the socket of client {of} is left open");
        }
        Played {
            accepted: counts.accepted,
            handshakes: counts.handshakes,
            requests: counts.requests,
            answers: peers.iter().map(|peer| peer.answers.whole).sum(),
            timed_out: counts.timed_out,
            elapsed,
        }
    }
}
