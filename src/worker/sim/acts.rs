//! What an input can make happen.

use std::time::Duration;

use super::{
    Command, Input, Kernel, MAX_PEERS, Play,
    requests::{is_cut, request},
};

/// Jumps of the clock, in milliseconds.
const JUMPS: [u64; 16] =
    [1, 5, 10, 20, 51, 100, 200, 400, 1_000, 2_001, 5_000, 10_001, 20_000, 30_001, 60_001, 600_000];

impl<K: Kernel> Play<K> {
    /// Does the next thing that the input says. None at its end.
    pub(super) fn act(&mut self, input: &mut Input<'_>) -> Option<()> {
        let act = input.byte()?;
        let detail = act >> 4;
        let of = usize::from(detail & 3);
        match act & 15 {
            0 => self.connect(),
            1 => self.ask(of, input.byte_or_zero()),
            2 => self.say(of, input.bytes()),
            3 => K::deliver(self, of, input.amount(), detail & 4 == 0),
            4 => K::take(self, of, input.amount()),
            5 => K::fail(self, input.byte_or_zero(), detail),
            6 => K::complete(self, input, detail),
            7 => self.advance(JUMPS[usize::from(detail)]),
            8 => self.finish(of, detail & 4 == 0),
            9 => self.tamper(of, input, detail >> 2),
            10 => K::be_honest(self, 1 + usize::from(detail) * 2),
            11 => K::be_honest(self, 1000),
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
                0..8 => self.kernel.reins().set_room(usize::from(detail) + 1),
                8..12 => K::cancel_late(self),
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
        K::connect(self);
        if self.gentle
            && let Some(number) = self.peers.len().checked_sub(1)
        {
            for _ in 0..20 {
                if !self.peers[number].is_shaking_hands() {
                    break;
                }
                K::be_honest(self, 1);
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
        K::hear(self);
    }

    fn behave(&mut self, of: usize, how: u8) {
        let Some(peer) = self.peers.get_mut(of) else { return };
        match how {
            0 => peer.reads = false,
            1 => {
                peer.reads = true;
                peer.take(self.excused);
                self.kernel.tell_queue(&self.peers[of]);
            }
            _ => peer.update_keys(),
        }
    }

    /// Every task is polled for no reason.
    fn wake_all(&mut self) {
        self.worker.executor.wake_all();
    }
}
