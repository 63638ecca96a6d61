//! The slowest requests of the last minutes by class, and what else their worker did meanwhile.
//!
//! The invariant: a bounded store in which no cause displaces another: each class has places of its
//! own. A request that is faster than all of its class costs finding its class and a comparison.

use super::{
    Agreed, End, Endpoint, LayerTimes, Passed, Route, Shares, Siblings, Stage, Work,
    request::{ALWAYS_PLACES, HEAD_KEPT, OpenRequest, Parts},
    stage::REQUEST_STAGES,
    trace::Trace,
};

/// How long a slow request is remembered, in nanoseconds.
pub(crate) const REMEMBERED: u64 = 300 * 1_000_000_000;

/// Slow requests of each class that a worker remembers.
pub(super) const EACH: usize = 4;

/// Slow requests that a worker remembers.
pub(crate) const MOST: usize = Class::COUNT * EACH;

/// Turns of the loop that are remembered because they were long.
const STALLS: usize = 16;

/// A turn is long if it takes this many nanoseconds.
pub(crate) const STALL: u64 = 1_000_000;

/// A request whose answer has left, or whose connection ended before that.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
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
    /// The endpoint of an application that answered.
    pub endpoint: Endpoint,
    /// The own times of its layers.
    pub layers: LayerTimes,
    /// How it was passed on to a server of a pool.
    pub passed: Passed,
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
        REQUEST_STAGES[longest(&self.parts)]
    }

    /// How long its client waited for it, as far as the server's side is the reason: its total, and
    /// the accept queue before.
    pub fn waited(&self) -> u64 {
        self.total + self.accept_queue.unwrap_or(0)
    }

    /// The class that it competes in.
    pub(super) fn class(&self) -> Class {
        let accept_queue = self.accept_queue.unwrap_or(0);
        Class::of(&self.parts, self.total, accept_queue, self.status, self.complete)
    }
}

/// The place of the longest part; of equal ones the first.
#[inline]
fn longest(parts: &Parts) -> usize {
    let mut most = 0;
    for (part, time) in parts.iter().enumerate() {
        if *time > parts[most] {
            most = part;
        }
    }
    most
}

/// The same of a request that passed no other parts than those that each request passes.
#[inline]
fn longest_of_few(parts: &Parts) -> usize {
    let mut most = ALWAYS_PLACES[0];
    for part in &ALWAYS_PLACES[1..] {
        if parts[*part] > parts[most] {
            most = *part;
        }
    }
    most
}

/// Requests that are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(usize);

impl Class {
    /// Those whose wait in the accept queue was longer than all that followed.
    const QUEUED: usize = REQUEST_STAGES.len();
    /// Those that were refused (4xx).
    const REFUSED: usize = Self::QUEUED + 1;
    /// Those that were answered with a fault of the server (5xx).
    const FAILED: usize = Self::QUEUED + 2;
    /// Those that ended without their whole answer.
    const INCOMPLETE: usize = Self::QUEUED + 3;

    /// How many there are: the others are one for each stage, of those that spent most of their time
    /// in it.
    pub(super) const COUNT: usize = Self::QUEUED + 4;

    /// The class of a request whose answer has left, after so long in the accept queue.
    #[inline]
    pub(super) fn of_complete(request: &OpenRequest, total: u64, accept_queue: u64) -> Self {
        if request.has_seldom_parts() || request.status >= 400 || accept_queue > total {
            return Self::of(request.parts(), total, accept_queue, request.status, true);
        }
        Self(longest_of_few(request.parts()))
    }

    /// The class of a request.
    #[inline(never)]
    pub(super) fn of(
        parts: &Parts,
        total: u64,
        accept_queue: u64,
        status: u16,
        complete: bool,
    ) -> Self {
        Self(if !complete {
            Self::INCOMPLETE
        } else if status >= 500 {
            Self::FAILED
        } else if status >= 400 {
            Self::REFUSED
        } else if accept_queue > total {
            Self::QUEUED
        } else {
            longest(parts)
        })
    }
}

/// A turn of the loop that took long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Slow {
    /// Its times.
    pub finished: Finished,
    /// The beginning of its head.
    pub head: [u8; HEAD_KEPT],
    /// How much of that is there.
    pub head_len: usize,
    /// The trace that it is a part of, if its client said so and its whole head was kept.
    pub(super) trace: Option<Trace>,
    /// Connections that were open on the worker when it ended.
    pub connections: usize,
    /// The longest turn that overlaps it.
    pub stall: Option<Stall>,
    /// The other streams of its connection when it ended, over HTTP/2.
    pub siblings: Option<Siblings>,
}

/// The slowest requests of one worker.
#[derive(Debug)]
pub(super) struct Slowest {
    /// Each with its class, which takes longer to find than what it is asked for.
    kept: Vec<(Class, Slow)>,
    /// Nothing of a class that took less is kept at present.
    floors: [u64; Class::COUNT],
    /// Nothing of a class that took less is looked at: it is neither kept nor becomes a span.
    looked_at: [u64; Class::COUNT],
    /// What took longer is looked at in any case, as are all failures; `u64::MAX` if there are no spans.
    slow: u64,
    stalls: [Stall; STALLS],
    next_stall: usize,
    longest: Stall,
    /// The longest since they were collected.
    recent: Stall,
}

impl Default for Slowest {
    fn default() -> Self {
        Self {
            kept: Vec::with_capacity(MOST),
            floors: [0; Class::COUNT],
            looked_at: [0; Class::COUNT],
            slow: u64::MAX,
            stalls: [Stall::default(); STALLS],
            next_stall: 0,
            longest: Stall::default(),
            recent: Stall::default(),
        }
    }
}

impl Slowest {
    /// From now on requests are looked at whose clients waited for `slow` nanoseconds, and failures.
    pub(super) fn look_at(&mut self, slow: u64) {
        self.slow = slow;
    }

    /// Whether a request of this class is looked at whose client waited so long. For those that it is
    /// not, this comparison is all that keeping the slowest and sending spans cost.
    #[inline]
    pub(super) fn looks_at(&self, Class(class): Class, waited: u64) -> bool {
        waited > self.looked_at[class]
    }

    /// Whether a request of this class would be kept whose client waited so long.
    pub(super) fn wants(&self, Class(class): Class, waited: u64) -> bool {
        waited > self.floors[class]
    }

    /// Keeps a request, in the place of the fastest one of its class if there is no room.
    pub(super) fn keep(
        &mut self,
        finished: &Finished,
        head: &[u8],
        connections: usize,
        siblings: Option<Siblings>,
    ) {
        let stall = self.stall_within(finished.arrived, finished.ended);
        let trace = Trace::of_head(head);
        let mut slow = Slow {
            finished: *finished,
            head: [0; HEAD_KEPT],
            head_len: 0,
            trace,
            connections,
            stall,
            siblings,
        };
        slow.head_len = head.len().min(HEAD_KEPT);
        slow.head[..slow.head_len].copy_from_slice(&head[..slow.head_len]);
        let class = finished.class();
        self.kept.retain(|(_, slow)| slow.finished.ended + REMEMBERED > finished.ended);
        if self.kept.iter().filter(|(of, _)| *of == class).count() < EACH {
            self.kept.push((class, slow));
        } else if let Some((_, fastest)) = self
            .kept
            .iter_mut()
            .filter(|(of, _)| *of == class)
            .min_by_key(|(_, slow)| slow.finished.waited())
        {
            *fastest = slow;
        }
        self.set_floors();
    }

    /// Forgets what is too long ago.
    pub(super) fn forget(&mut self, now: u64) {
        self.kept.retain(|(_, slow)| slow.finished.ended + REMEMBERED > now);
        self.set_floors();
    }

    /// Forgets everything: it has been collected.
    pub(super) fn collected(&mut self) {
        self.kept.clear();
        self.floors = [0; Class::COUNT];
        self.looked_at = [0; Class::COUNT];
        self.recent = Stall::default();
    }

    /// A class with a free place has no floor.
    fn set_floors(&mut self) {
        let mut counts = [0; Class::COUNT];
        self.floors = [u64::MAX; Class::COUNT];
        for (Class(class), slow) in &self.kept {
            let class = *class;
            counts[class] += 1;
            self.floors[class] = self.floors[class].min(slow.finished.waited());
        }
        for (floor, count) in self.floors.iter_mut().zip(counts) {
            if count < EACH {
                *floor = 0;
            }
        }
        let slow = self.slow.saturating_sub(1);
        self.looked_at = self.floors.map(|floor| floor.min(slow));
        if self.slow < u64::MAX {
            self.looked_at[Class::FAILED] = 0;
            self.looked_at[Class::INCOMPLETE] = 0;
        }
    }

    /// Takes note of a long turn.
    pub(super) fn stalled(&mut self, stall: Stall) {
        self.stalls[self.next_stall % STALLS] = stall;
        self.next_stall += 1;
        for longest in [&mut self.longest, &mut self.recent] {
            if stall.took > longest.took {
                *longest = stall;
            }
        }
    }

    /// The longest turn since the slowest requests were collected.
    pub(super) fn recent_stall(&self) -> Option<Stall> {
        (self.recent.took > 0).then_some(self.recent)
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

    pub(super) fn kept(&self) -> impl ExactSizeIterator<Item = &Slow> {
        self.kept.iter().map(|(_, slow)| slow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::request::place;

    fn finished(ended: u64, total: u64) -> Finished {
        Finished { arrived: ended - total, ended, total, ..Finished::default() }
    }

    /// What is kept, as class and total.
    fn kept(slowest: &Slowest) -> Vec<(usize, u64)> {
        let kept = slowest.kept().map(|slow| &slow.finished);
        let mut kept: Vec<_> = kept.map(|one| (one.class().0, one.total)).collect();
        kept.sort_unstable();
        kept
    }

    #[test]
    fn the_slowest_of_each_class_stay() {
        let mut slowest = Slowest::default();
        let classes: [fn(&mut Finished); 4] = [
            |one| one.parts[place(Stage::Head)] = one.total,
            |one| one.parts[place(Stage::LastWrite)] = one.total,
            |one| one.status = 503,
            |one| one.complete = false,
        ];
        // The last write is the slowest by far, and displaces no other cause.
        for total in 1..=200 {
            for (number, class) in classes.iter().enumerate() {
                let total = if number == 1 { total * 1_000 } else { total };
                let mut one =
                    Finished { complete: true, status: 200, ..finished(1_000_000, total) };
                class(&mut one);
                if slowest.wants(one.class(), one.waited()) {
                    slowest.keep(&one, b"GET / HTTP/1.1", 1, None);
                }
            }
        }
        let (head, last) = (place(Stage::Head), place(Stage::LastWrite));
        let expected: Vec<_> =
            [(head, 1), (last, 1_000), (Class::FAILED, 1), (Class::INCOMPLETE, 1)]
                .into_iter()
                .flat_map(|(class, times)| (197..=200).map(move |total| (class, total * times)))
                .collect();
        assert_eq!(kept(&slowest), expected);
        assert!(!slowest.wants(Class(head), 197) && slowest.wants(Class(head), 198));
        assert!(slowest.wants(Class(place(Stage::Body)), 1), "nothing of that class is kept");
        slowest.collected();
        assert!(slowest.kept().len() == 0 && slowest.wants(Class(head), 1));
    }

    #[test]
    fn a_wait_in_the_accept_queue_has_a_class_of_its_own() {
        let one =
            Finished { accept_queue: Some(500), complete: true, status: 200, ..finished(1_000, 2) };
        assert_eq!((one.class(), one.waited()), (Class(Class::QUEUED), 502));
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut slowest = Slowest::default();
        slowest.keep(&finished(1_000, 900), b"", 0, None);
        slowest.forget(1_000 + REMEMBERED - 1);
        assert_eq!(slowest.kept().len(), 1);
        slowest.forget(1_000 + REMEMBERED);
        assert!(slowest.kept().len() == 0);
    }

    #[test]
    fn a_stall_is_named_where_it_overlaps() {
        let mut slowest = Slowest::default();
        slowest.stalled(Stall { ended: 500, took: 100, work: Some(Work::Stage(Stage::Decode)) });
        slowest.stalled(Stall { ended: 900, took: 200, work: None });
        slowest.keep(&finished(480, 60), b"", 0, None);
        slowest.keep(&finished(399, 50), b"", 0, None);
        slowest.keep(&finished(2_000, 1_800), b"", 0, None);
        let stalls: Vec<_> =
            slowest.kept().map(|slow| slow.stall.map(|stall| stall.took)).collect();
        assert_eq!(stalls, [Some(100), None, Some(200)]);
        assert_eq!(slowest.longest_stall().map(|stall| stall.took), Some(200));
    }

    #[test]
    fn heads_are_cut() {
        let mut slowest = Slowest::default();
        slowest.keep(&finished(10, 5), &[b'x'; 500], 0, None);
        assert_eq!(slowest.kept().next().map(|slow| slow.head_len), Some(HEAD_KEPT));
    }

    #[test]
    fn the_class_does_not_depend_on_which_parts_are_looked_at() {
        for stage in REQUEST_STAGES {
            for (total, queued, status) in [(9, 0, 200), (9, 50, 200), (9, 0, 404), (9, 0, 503)] {
                let mut request = OpenRequest::default();
                request.begin(0, 0);
                request.enter(stage, 0);
                request.enter(Stage::Respond, 9);
                request.status = status;
                let all = Class::of(request.parts(), total, queued, status, true);
                assert_eq!(Class::of_complete(&request, total, queued), all, "{stage:?} {status}");
            }
        }
    }

    #[test]
    fn the_dominant_stage_is_the_longest() {
        let mut finished = Finished::default();
        finished.parts[place(Stage::Process)] = 5;
        finished.parts[place(Stage::FirstWrite)] = 9;
        assert_eq!(finished.dominant(), Stage::FirstWrite);
    }
}
