//! The low-water mark of a socket whose client sends long content (`SO_RCVLOWAT`, socket(7)): the kernel
//! wakes the worker once so much has come, instead of for each piece.
//!
//! A worker is faster than most clients. Without a mark it opens what has come, sleeps, and is woken for the
//! next record or two, and a sleep costs as much as opening one. The invariants, since a mark holds back
//! what has come:
//! - *It can be reached*: it is no higher than the content that is still to come from the socket, of which
//!   ciphertext is never shorter than plaintext. So it is down before the end of the content, the next
//!   request or a tunnel is waited for.
//! - *It is up only while content comes without a pause*, and for [`PATIENCE`] of a wait at most: a client
//!   that sends a part and waits for what is made of it is read that much later, once. Then twice as much
//!   as before has to come without a pause before the mark goes up again.
//!
//! An end (FIN), a failure (RST), a window that is nearly closed and a lack of memory wake all the same
//! (`tcp_epollin_ready` in `include/net/tcp.h`). The mark holds back wakes alone: a receive takes what there is.
//!
//! Where the kernel opens the records there is no mark. It would do no harm: TCP calls the kernel's TLS where it
//! would otherwise wake us (`tls_data_ready` in `net/tls/tls_sw.c`), when the mark is reached and when it goes down
//! (`tcp_set_rcvlowat`). But behind each record that is read the kernel looks for the next by itself and wakes for
//! it, whatever the mark is (`tls_strp_msg_done` in `net/tls/tls_strp.c`, Linux 6.0), and what a mark would
//! spare there has not been measured.

use std::io;

use crate::ring::{Ring, Socket};

/// The mark, in bytes: eight receive buffers. An upload of 1 MB takes seven sleeps (`scripts/bench-apps`), ten
/// with half of it, six with twice as much. It is what may lie in the kernel unread, in a receive buffer that has
/// grown to hold it; by itself that grows further while content comes so fast.
const MARK: u32 = 128 << 10;

/// Milliseconds that a wait may last with the mark up, and that make a pause. A tick of the ring's deadlines,
/// 16 ms, comes on top at most.
const PATIENCE: u64 = 4;

/// Bytes of content that have to come without a pause of [`PATIENCE`] before the mark goes up.
const FIRST_PROOF: u32 = 128 << 10;

/// The same at most, however often a client has paused.
const LONGEST_PROOF: u32 = 16 << 20;

/// The mark of one connection.
#[derive(Debug)]
pub(super) struct LowWater {
    /// Bytes of content that are still to come from the socket; never more than there are.
    due: u64,
    /// When the present wait for them began.
    waits_since: Option<u64>,
    /// Bytes that have come without a pause.
    unbroken: u32,
    /// So many of them are proof enough that more comes at once.
    proof: u32,
    is_up: bool,
}

impl Default for LowWater {
    fn default() -> Self {
        Self { due: 0, waits_since: None, unbroken: 0, proof: FIRST_PROOF, is_up: false }
    }
}

impl LowWater {
    /// So many bytes of content are still to come from the socket.
    pub(super) fn expects(&mut self, due: u64) {
        (self.due, self.waits_since) = (due, None);
    }

    /// `count` bytes came by `now`.
    pub(super) fn came(&mut self, now: u64, count: usize) {
        if self.due == 0 {
            return;
        }
        self.due = self.due.saturating_sub(count as u64);
        let since = self.waits_since.take();
        if since.is_some_and(|since| now >= gives_up_at(since)) {
            self.pauses();
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.unbroken = self.unbroken.saturating_add(count);
    }

    /// Whether the mark is up.
    #[cfg(test)]
    pub(super) fn is_up(&self) -> bool {
        self.is_up
    }

    /// Nothing has come, and the current task is about to wait.
    ///
    /// # Errors
    /// What setsockopt(2) says; there is no reason to expect any.
    #[inline]
    pub(super) fn waits(&mut self, ring: &Ring, socket: &Socket) -> io::Result<()> {
        if self.due == 0 && !self.is_up {
            return Ok(());
        }
        let now = ring.now();
        let since = *self.waits_since.get_or_insert(now);
        let shall_be_up = self.shall_be_up(since, now);
        if shall_be_up != self.is_up {
            // One that goes down wakes the task for what has come.
            socket.set_low_water_mark(if shall_be_up { MARK } else { 1 })?;
            self.is_up = shall_be_up;
        }
        if shall_be_up {
            // For another look then.
            let _ = ring.poll_until(gives_up_at(since));
        }
        Ok(())
    }

    /// Whether the mark is to be up at `now` in a wait since `since`.
    fn shall_be_up(&mut self, since: u64, now: u64) -> bool {
        if self.is_up && now >= gives_up_at(since) {
            self.pauses();
        }
        self.unbroken >= self.proof && self.due >= u64::from(MARK)
    }

    /// The client makes a pause.
    fn pauses(&mut self) {
        self.unbroken = 0;
        if self.is_up {
            self.proof = self.proof.saturating_mul(2).min(LONGEST_PROOF);
        }
    }
}

/// When a wait since `since` has lasted for too long.
fn gives_up_at(since: u64) -> u64 {
    since.saturating_add(PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 16 << 10;

    /// A wait at `now`; whether the mark is up in it.
    fn wait(mark: &mut LowWater, now: u64) -> bool {
        let since = *mark.waits_since.get_or_insert(now);
        mark.is_up = mark.shall_be_up(since, now);
        mark.is_up
    }

    /// Pieces of content that come one by one, each waited for, until the mark is up: their bytes.
    fn proves(mark: &mut LowWater, now: u64) -> usize {
        let mut bytes = 0;
        while !wait(mark, now) {
            mark.came(now, PIECE);
            bytes += PIECE;
        }
        bytes
    }

    #[test]
    fn it_goes_up_when_much_has_come_and_down_before_the_rest() {
        let mut mark = LowWater::default();
        mark.expects(1_000_000);
        assert_eq!(proves(&mut mark, 0), FIRST_PROOF as usize);
        while mark.due >= u64::from(MARK) {
            assert!(wait(&mut mark, 0));
            mark.came(0, PIECE);
        }
        assert!(mark.due > 0 && !wait(&mut mark, 0));
        mark.came(0, PIECE);
        mark.expects(1_000_000);
        assert!(wait(&mut mark, 0), "a client that has proved it need not do so again");
        mark.expects(0);
        assert!(!wait(&mut mark, 0));
    }

    #[test]
    fn short_content_never_raises_it() {
        let mut mark = LowWater::default();
        for _ in 0..100 {
            mark.expects(u64::from(MARK) - 1);
            for _ in 0..8 {
                assert!(!wait(&mut mark, 0));
                mark.came(0, PIECE);
            }
        }
    }

    #[test]
    fn content_with_pauses_never_raises_it() {
        let mut mark = LowWater::default();
        mark.expects(u64::MAX);
        let (each, mut now) = (FIRST_PROOF as usize / PIECE - 1, 0);
        for piece in 1..10_000 {
            assert!(!wait(&mut mark, now));
            now += if piece % each == 0 { PATIENCE } else { 0 };
            mark.came(now, PIECE);
        }
    }

    #[test]
    fn a_pause_lowers_it_and_asks_for_more_proof() {
        let mut mark = LowWater::default();
        mark.expects(u64::MAX);
        let (mut now, mut proof) = (1000, FIRST_PROOF as usize);
        for round in 0..12 {
            assert_eq!(proves(&mut mark, now), proof);
            assert!(wait(&mut mark, now + PATIENCE - 1));
            if round % 2 == 0 {
                assert!(!wait(&mut mark, now + PATIENCE));
                assert!(!wait(&mut mark, now + PATIENCE + 100), "it stays down");
            }
            // What ends a pause is no part of what comes without one.
            now += PATIENCE + 100;
            mark.came(now, 0);
            proof = (proof * 2).min(LONGEST_PROOF as usize);
        }
    }
}
