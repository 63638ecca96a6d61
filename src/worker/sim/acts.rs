//! What an input can make happen.

use std::time::Duration;

use super::{
    Command, Input, MAX_PEERS, Peer, Play,
    requests::{is_cut, request},
};
use crate::ring::sim::Asked;

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

/// Jumps of the clock, in milliseconds.
const JUMPS: [u64; 16] =
    [1, 5, 10, 20, 51, 100, 200, 400, 1_000, 2_001, 5_000, 10_001, 20_000, 30_001, 60_001, 600_000];

impl Play {
    /// Does the next thing that the input says. None at its end.
    pub(super) fn act(&mut self, input: &mut Input<'_>) -> Option<()> {
        let act = input.byte()?;
        let detail = act >> 4;
        let of = usize::from(detail & 3);
        match act & 15 {
            0 => self.connect(),
            1 => self.ask(of, input.byte_or_zero()),
            2 => self.say(of, input.bytes()),
            3 => self.deliver(of, input.amount(), detail & 4 == 0),
            4 => self.take(of, input.amount()),
            5 => self.fail(input.byte_or_zero(), detail),
            6 => {
                let at = self.some(input.byte_or_zero());
                let most = input.amount();
                if let Some(at) = at {
                    self.complete(at, most, detail & 1 == 0);
                }
            }
            7 => self.advance(JUMPS[usize::from(detail)]),
            8 => self.finish(of, detail & 4 == 0),
            9 => self.tamper(of, input, detail >> 2),
            10 => self.be_honest(1 + usize::from(detail) * 2),
            11 => self.be_honest(1000),
            12 => {
                for _ in 0..=detail {
                    self.step();
                }
                return Some(());
            }
            13 => self.drain(detail),
            14 => self.behave(of, detail >> 2),
            #[cfg(feature = "service")]
            _ if detail == 15 => _ = super::service::wake_late(),
            _ => match detail {
                0..8 => self.kernel.set_room(usize::from(detail) + 1),
                8..12 => self.peers_cancel_late(),
                _ => self.wake_all(),
            },
        }
        self.run();
        Some(())
    }

    fn connect(&mut self) {
        if self.peers.len() == MAX_PEERS {
            return;
        }
        self.kernel.absorb();
        self.peers.push(Peer::new(self.clients.clone(), self.window));
        if self.gentle {
            let number = self.peers.len() - 1;
            for _ in 0..20 {
                if !self.peers[number].is_shaking_hands() {
                    break;
                }
                self.be_honest(1);
            }
        }
    }

    fn ask(&mut self, of: usize, kind: u8) {
        let Some(peer) = self.peers.get_mut(of).filter(|peer| !peer.finished) else { return };
        peer.excused |= is_cut(kind);
        if let Some(streams) = &mut peer.answers.streams {
            let frames = streams.ask(kind);
            return peer.write(&frames);
        }
        let (bytes, exchange) = request(kind);
        peer.answers.expect(exchange);
        peer.write(&bytes);
    }

    /// A client says anything, encrypted.
    fn say(&mut self, of: usize, bytes: &[u8]) {
        let Some(peer) = self.peers.get_mut(of) else { return };
        peer.answers.run_wild();
        peer.excused = true;
        peer.write(bytes);
    }

    fn deliver(&mut self, of: usize, most: usize, more: bool) {
        if let Some(at) = self.kernel.find(Asked::Receive(of)) {
            self.complete(at, most, more);
        }
    }

    fn take(&mut self, of: usize, most: usize) {
        if let Some(at) = self.kernel.find(Asked::Send(of)) {
            self.complete(at, most, true);
        }
    }

    fn some(&self, which: u8) -> Option<usize> {
        let held = self.kernel.held();
        (held > 0).then(|| usize::from(which) % held)
    }

    fn fail(&mut self, which: u8, how: u8) {
        let Some(at) = self.some(which) else { return };
        let Some(asked) = self.kernel.asked(at) else { return };
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
                self.excused = true;
                (FILE_FAULTS[how % FILE_FAULTS.len()], None)
            }
            Asked::Accept | Asked::Inbox | Asked::Connect => {
                // Both are tried again after a while.
                self.excused = true;
                (OTHER_FAULTS[how % OTHER_FAULTS.len()], None)
            }
            Asked::Cancel => return self.kernel.cancel(at, false),
            // Kernel TLS is off.
            Asked::Control(_) => return,
        };
        if let Some(of) = of {
            self.peers[of].excused = true;
        }
        // An open that succeeds brings a descriptor.
        let error = if asked == Asked::Open && error == 0 { libc::ENOENT } else { error };
        self.kernel.end(at, -error);
    }

    /// All cancels that are held come too late.
    fn peers_cancel_late(&mut self) {
        while let Some(at) = self.kernel.find(Asked::Cancel) {
            self.kernel.cancel(at, false);
        }
    }

    fn finish(&mut self, of: usize, in_order: bool) {
        let Some(peer) = self.peers.get_mut(of) else { return };
        peer.excused = true;
        if in_order {
            peer.close();
        } else {
            peer.finished = true;
        }
    }

    /// What is on its way to the server is changed.
    fn tamper(&mut self, of: usize, input: &mut Input<'_>, how: u8) {
        let (place, value) = (input.byte_or_zero(), input.byte_or_zero());
        let Some(peer) = self.peers.get_mut(of) else { return };
        peer.pump();
        (peer.tampered, peer.excused) = (true, true);
        peer.answers.run_wild();
        let len = peer.outbound.len();
        let at = usize::from(place).min(len);
        match how {
            0 => {
                if let Some(byte) = peer.outbound.get_mut(at) {
                    *byte ^= value.max(1);
                }
            }
            1 => peer.outbound.truncate(at),
            2 => {
                let again = peer.outbound[..at].to_vec();
                peer.outbound.extend(again);
            }
            _ => {
                let bytes = input.bytes();
                peer.outbound.splice(at..at, bytes.iter().copied());
            }
        }
    }

    fn drain(&mut self, detail: u8) {
        self.excused = true;
        self.tell(Command::Drain(Duration::from_millis(JUMPS[usize::from(detail)])));
        if let Some(at) = self.kernel.find(Asked::Inbox) {
            self.complete(at, usize::MAX, true);
        }
    }

    fn behave(&mut self, of: usize, how: u8) {
        let Some(peer) = self.peers.get_mut(of) else { return };
        match how {
            0 => peer.reads = false,
            1 => {
                peer.reads = true;
                peer.take(self.excused);
                self.tell_queue(of);
            }
            _ => peer.update_keys(),
        }
    }

    /// Every task is polled for no reason.
    fn wake_all(&mut self) {
        self.worker.executor.wake_all();
    }
}
