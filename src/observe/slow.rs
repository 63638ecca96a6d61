//! The slowest requests of the last minutes, and what else their worker did meanwhile.
//!
//! The invariant: a bounded store. A request that is faster than all that are kept costs one
//! comparison.

use super::{Agreed, End, Route, Shares, Stage, Work, request::HEAD_KEPT, stage::REQUEST_STAGES};

/// How long a slow request is remembered, in nanoseconds.
pub const REMEMBERED: u64 = 300 * 1_000_000_000;

/// Slow requests that a worker remembers.
pub const MOST: usize = 64;

/// Turns of the loop that are remembered because they were long.
const STALLS: usize = 16;

/// A turn is long if it takes this many nanoseconds.
pub const STALL: u64 = 1_000_000;

/// A request whose answer has left, or whose connection ended before that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finished {
    /// When it arrived and ended, in nanoseconds on the worker's clock.
    pub arrived: u64,
    /// See there.
    pub ended: u64,
    /// Nanoseconds by stage, see [`REQUEST_STAGES`].
    pub parts: [u64; REQUEST_STAGES.len()],
    /// Their sum.
    pub total: u64,
    /// The client's time before its first byte.
    pub first_byte: u64,
    /// In the accept queue, if this was the first request of its connection.
    pub accept_queue: Option<u64>,
    /// In the handshake, likewise.
    pub handshake: Option<u64>,
    /// Of this, in the TLS library, likewise.
    pub handshake_cpu: Option<u64>,
    /// The answer's status.
    pub status: u16,
    /// Bytes of content.
    pub bytes: u64,
    /// Nanoseconds in which the worker did not run although it had something to do.
    pub lost: u64,
    /// The way that most of the content took.
    pub route: Option<Route>,
    /// Its place on its connection, from 1.
    pub number: u64,
    /// The number of its connection on its worker, from 1.
    pub connection: u64,
    /// What the connection agreed on.
    pub agreed: Agreed,
    /// The identifier of its stream in HTTP/2, else 0.
    pub stream: u32,
    /// Why it was refused, or ended without its answer.
    pub end: Option<End>,
    /// Whose time it was.
    pub shares: Shares,
    /// Whether the answer left completely.
    pub complete: bool,
    /// Requests that ended on the worker meanwhile.
    pub beside: u64,
    /// Turns of the loop meanwhile.
    pub turns: u64,
}

impl Finished {
    /// The stage that took longest.
    pub fn dominant(&self) -> Stage {
        let parts = REQUEST_STAGES.into_iter().zip(self.parts);
        parts.max_by_key(|(_, time)| *time).map_or(Stage::Total, |(stage, _)| stage)
    }
}

/// A turn of the loop that took long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// When it ended, in nanoseconds on the worker's clock.
    pub ended: u64,
    /// How long it took, in nanoseconds.
    pub took: u64,
    /// What most of it was spent in; None if nothing that is measured took half of it.
    pub work: Option<Work>,
}

/// A slow request.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    /// Its times.
    pub finished: Finished,
    /// The beginning of its head.
    pub head: [u8; HEAD_KEPT],
    /// How much of that is there.
    pub head_len: usize,
    /// Connections that were open on the worker when it ended.
    pub connections: usize,
    /// The longest turn that overlaps it.
    pub stall: Option<Stall>,
}

/// The slowest requests of one worker.
#[derive(Debug)]
pub(super) struct Slowest {
    kept: Vec<Slow>,
    /// Nothing that took less is kept at present.
    floor: u64,
    stalls: [Stall; STALLS],
    next_stall: usize,
    longest: Stall,
}

impl Default for Slowest {
    fn default() -> Self {
        Self {
            kept: Vec::with_capacity(MOST),
            floor: 0,
            stalls: [Stall::default(); STALLS],
            next_stall: 0,
            longest: Stall::default(),
        }
    }
}

impl Slowest {
    /// Whether a request of this duration would be kept.
    pub(super) fn wants(&self, total: u64) -> bool {
        total > self.floor
    }

    /// Keeps a request, in the place of the fastest one if there is no room.
    pub(super) fn keep(&mut self, finished: &Finished, head: &[u8], connections: usize) {
        let stall = self.stall_within(finished.arrived, finished.ended);
        let mut slow =
            Slow { finished: *finished, head: [0; HEAD_KEPT], head_len: 0, connections, stall };
        slow.head_len = head.len().min(HEAD_KEPT);
        let kept = head.get(..slow.head_len).unwrap_or_default();
        slow.head.iter_mut().zip(kept).for_each(|(to, from)| *to = *from);
        self.forget(finished.ended);
        if self.kept.len() < MOST {
            self.kept.push(slow);
        } else if let Some(fastest) = self.kept.iter_mut().min_by_key(|slow| slow.finished.total) {
            *fastest = slow;
        }
        self.set_floor();
    }

    /// Forgets what is too long ago.
    pub(super) fn forget(&mut self, now: u64) {
        self.kept.retain(|slow| slow.finished.ended + REMEMBERED > now);
        self.set_floor();
    }

    fn set_floor(&mut self) {
        self.floor = if self.kept.len() < MOST {
            0
        } else {
            self.kept.iter().map(|slow| slow.finished.total).min().unwrap_or(0)
        };
    }

    /// Takes note of a long turn.
    pub(super) fn stalled(&mut self, stall: Stall) {
        self.stalls[self.next_stall % STALLS] = stall;
        self.next_stall += 1;
        if stall.took > self.longest.took {
            self.longest = stall;
        }
    }

    /// The longest turn of all.
    pub(super) fn longest_stall(&self) -> Option<Stall> {
        (self.longest.took > 0).then_some(self.longest)
    }

    fn stall_within(&self, from: u64, until: u64) -> Option<Stall> {
        let overlaps =
            |stall: &&Stall| stall.ended > from && stall.ended.saturating_sub(stall.took) < until;
        let long = self.stalls.iter().filter(|stall| stall.took > 0);
        long.filter(overlaps).max_by_key(|stall| stall.took).copied()
    }

    pub(super) fn kept(&self) -> &[Slow] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::request::place;

    fn finished(ended: u64, total: u64) -> Finished {
        Finished { arrived: ended - total, ended, total, ..Finished::default() }
    }

    #[test]
    fn the_slowest_stay() {
        let mut slowest = Slowest::default();
        for total in 1..=200 {
            if slowest.wants(total) {
                slowest.keep(&finished(1_000 + total, total), b"GET / HTTP/1.1", 1);
            }
        }
        let least = slowest.kept().iter().map(|slow| slow.finished.total).min();
        assert_eq!((slowest.kept().len(), least), (MOST, Some(137)));
        assert!(!slowest.wants(137) && slowest.wants(138));
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut slowest = Slowest::default();
        slowest.keep(&finished(1_000, 900), b"", 0);
        slowest.forget(1_000 + REMEMBERED - 1);
        assert_eq!(slowest.kept().len(), 1);
        slowest.forget(1_000 + REMEMBERED);
        assert!(slowest.kept().is_empty());
    }

    #[test]
    fn a_stall_is_named_where_it_overlaps() {
        let mut slowest = Slowest::default();
        slowest.stalled(Stall { ended: 500, took: 100, work: Some(Work::Stage(Stage::Decode)) });
        slowest.stalled(Stall { ended: 900, took: 200, work: None });
        slowest.keep(&finished(480, 60), b"", 0);
        slowest.keep(&finished(399, 50), b"", 0);
        slowest.keep(&finished(2_000, 1_800), b"", 0);
        let stalls: Vec<_> =
            slowest.kept().iter().map(|slow| slow.stall.map(|stall| stall.took)).collect();
        assert_eq!(stalls, [Some(100), None, Some(200)]);
        assert_eq!(slowest.longest_stall().map(|stall| stall.took), Some(200));
    }

    #[test]
    fn heads_are_cut() {
        let mut slowest = Slowest::default();
        slowest.keep(&finished(10, 5), &[b'x'; 500], 0);
        assert_eq!(slowest.kept()[0].head_len, HEAD_KEPT);
    }

    #[test]
    fn the_dominant_stage_is_the_longest() {
        let mut finished = Finished::default();
        finished.parts[place(Stage::Process)] = 5;
        finished.parts[place(Stage::FirstWrite)] = 9;
        assert_eq!(finished.dominant(), Stage::FirstWrite);
    }
}
