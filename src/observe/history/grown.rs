//! What of a worker's figures only grows, and what was added between two moments.
//!
//! The invariant: subtracting gives what was added, and adding up what was added gives the
//! difference of the first and the last moment, for each figure.

use crate::observe::{
    Coarse, Counts, Endpoints, Ends, Histograms, Ledger, RingAccount, Stage, Statuses, Tail,
    ThreadFigures, WorkerSnapshot,
    coarse::{BUCKETS, bucket_of},
    histograms::HISTOGRAMS,
    slow::Stall,
};

/// Counts of durations by bucket that are kept: of all that completed, of what was aborted, and of
/// what timed out.
const COMPLETE: usize = HISTOGRAMS * BUCKETS;
const ABORTED: usize = COMPLETE + Stage::COUNT * BUCKETS;
const TIMED_OUT: usize = ABORTED + Stage::COUNT * BUCKETS;
const ENDS: usize = TIMED_OUT + Ends::LEN;

/// How many counts there are in all.
const LEN: usize = ENDS + Statuses::LEN;

/// Memory of [`Counted`].
pub(super) const COUNTED_BYTES: usize = LEN * size_of::<u64>();

/// Memory of [`Added`], at most: every count has changed.
pub(super) const ADDED_BYTES: usize = LEN * (size_of::<u16>() + size_of::<u32>());

// A count's place has 16 bits.
const _: () = assert!(LEN <= u16::MAX as usize);

/// Counts of durations, ends and statuses.
#[derive(Clone, Debug)]
pub(super) struct Counted(Box<[u64]>);

impl Default for Counted {
    fn default() -> Self {
        Self(vec![0; LEN].into_boxed_slice())
    }
}

impl Counted {
    /// What a worker has counted until now.
    pub(super) fn of(worker: &WorkerSnapshot) -> Self {
        let mut counted = Self::default();
        let (complete, rest) = counted.0.split_at_mut(COMPLETE);
        for (counts, (histogram, _)) in
            complete.chunks_exact_mut(BUCKETS).zip(worker.histograms.all())
        {
            for step in histogram.iter_recorded() {
                counts[bucket_of(step.value_iterated_to())] += step.count_since_last_iteration();
            }
        }
        let all = [worker.aborted.all_counts(), worker.timed_out.all_counts()];
        let all = all.into_iter().chain([worker.ends.counts(), worker.statuses.counts()]);
        rest.iter_mut().zip(all.flatten()).for_each(|(to, from)| *to = *from);
        counted
    }

    /// What was added since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Added {
        let grown = self.0.iter().zip(&earlier.0).map(|(now, then)| now.saturating_sub(*then));
        let grown = (0_u16..).zip(grown).filter(|(_, count)| *count > 0);
        let (places, counts): (Vec<_>, Vec<_>) =
            grown.map(|(place, count)| (place, u32::try_from(count).unwrap_or(u32::MAX))).unzip();
        Added { places: places.into(), counts: counts.into() }
    }

    /// Adds what was added.
    pub(super) fn add(&mut self, added: &Added) {
        for (place, count) in added.places.iter().zip(&added.counts) {
            self.0[usize::from(*place)] += u64::from(*count);
        }
    }

    fn complete(&self) -> &[u64] {
        &self.0[..COMPLETE]
    }

    fn aborted(&self) -> &[u64] {
        &self.0[COMPLETE..ABORTED]
    }

    fn timed_out(&self) -> &[u64] {
        &self.0[ABORTED..TIMED_OUT]
    }

    fn ends(&self) -> &[u64] {
        &self.0[TIMED_OUT..ENDS]
    }

    fn statuses(&self) -> &[u64] {
        &self.0[ENDS..]
    }
}

/// What was added to [`Counted`] within a few seconds: most of it is nothing, which is left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Added {
    places: Box<[u16]>,
    counts: Box<[u32]>,
}

#[cfg(test)]
impl Counted {
    pub(super) fn fill(&mut self, with: u64) {
        self.0.fill(with);
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

#[cfg(test)]
impl Added {
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.places) + size_of_val(&*self.counts)
    }
}

/// Figures of a worker that are few: sums that only grow, and what is present.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    sums: [u64; HISTOGRAMS],
    aborted: [u64; Stage::COUNT],
    timed_out: [u64; Stage::COUNT],
    tail: Tail,
    ledger: Ledger,
    counts: Counts,
    ring: RingAccount,
    connections: usize,
    open_requests: u32,
    unobserved: u64,
    sendfile: u64,
    lost: u64,
    thread: u32,
    pub(super) scheduled: Option<ThreadFigures>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            sums: [0; HISTOGRAMS],
            aborted: [0; Stage::COUNT],
            timed_out: [0; Stage::COUNT],
            tail: Tail::default(),
            ledger: Ledger::default(),
            counts: Counts::default(),
            ring: RingAccount::default(),
            connections: 0,
            open_requests: 0,
            unobserved: 0,
            sendfile: 0,
            lost: 0,
            thread: 0,
            scheduled: None,
        }
    }
}

impl Figures {
    /// Those of a worker until now, and of its thread.
    pub(super) fn of(worker: &WorkerSnapshot, scheduled: Option<ThreadFigures>) -> Self {
        let mut sums = [0; HISTOGRAMS];
        sums.iter_mut().zip(worker.histograms.all()).for_each(|(to, (_, sum))| *to = sum);
        Self {
            sums,
            aborted: *worker.aborted.sums(),
            timed_out: *worker.timed_out.sums(),
            tail: worker.tail,
            ledger: worker.ledger.clone(),
            counts: worker.counts,
            ring: worker.ring,
            connections: worker.connections,
            open_requests: worker.open_requests,
            unobserved: worker.unobserved,
            sendfile: worker.sendfile,
            lost: worker.lost,
            thread: worker.thread,
            scheduled,
        }
    }

    /// What a worker did between two moments: `counted` in between, `self` at the end, `earlier`
    /// at the beginning. The stall is the longest in between, `now` the worker's clock.
    pub(super) fn snapshot(
        &self,
        earlier: &Self,
        counted: &Counted,
        stall: Option<Stall>,
        now: u64,
    ) -> WorkerSnapshot {
        WorkerSnapshot {
            histograms: Histograms::of_coarse(counted.complete(), &less(&self.sums, &earlier.sums)),
            tail: self.tail.since(&earlier.tail),
            endpoints: Endpoints::default(),
            ledger: self.ledger.since(&earlier.ledger),
            counts: self.counts.since(earlier.counts),
            ring: self.ring.since(earlier.ring),
            connections: self.connections,
            open_requests: self.open_requests,
            // They are as they are now, whatever time is asked for.
            streams: Vec::new(),
            unobserved: self.unobserved.saturating_sub(earlier.unobserved),
            slowest: Vec::new(),
            ends: Ends::of(counted.ends()),
            statuses: Statuses::of(counted.statuses()),
            aborted: Coarse::of(counted.aborted(), less(&self.aborted, &earlier.aborted)),
            timed_out: Coarse::of(counted.timed_out(), less(&self.timed_out, &earlier.timed_out)),
            longest_stall: stall,
            recent_stall: None,
            sendfile: self.sendfile.saturating_sub(earlier.sendfile),
            lost: self.lost.saturating_sub(earlier.lost),
            thread: self.thread,
            now,
        }
    }
}

fn less<const N: usize>(now: &[u64; N], then: &[u64; N]) -> [u64; N] {
    let mut less = *now;
    less.iter_mut().zip(then).for_each(|(now, then)| *now = now.wrapping_sub(*then));
    less
}
