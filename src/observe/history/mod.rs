//! The last hour: what each worker did every few seconds, and the slowest requests of each.
//!
//! The invariant: bounded memory ([`HISTORY_BYTES`] for each worker), whatever clients do; and a
//! worker that did not answer when it was asked loses nothing but the time at which it did
//! something. Only the thread that answers questions touches it, workers know nothing of it.

mod grown;
mod summary;

use std::{collections::VecDeque, time::Duration};

use super::{
    Anatomy, SlowOnWorker, ThreadFigures,
    access_log::Totals,
    anatomy::slowest_of,
    kernel::KernelCounters,
    slow::{Class, Stall},
};
use grown::{ADDED_BYTES, Added, COUNTED_BYTES, Counted, Figures};

pub(crate) use summary::Summary;

/// How often figures are kept.
pub(crate) const EVERY: Duration = Duration::from_secs(10);

/// For how many such times: an hour.
const MOST: usize = 360;

/// Memory of the history of one worker, at most.
const HISTORY_BYTES: usize = COUNTED_BYTES
    + MOST
        * (ADDED_BYTES
            + size_of::<Point>()
            + size_of::<WorkerPoint>()
            + size_of::<Figures>()
            + Class::COUNT * size_of::<SlowOnWorker>());

const _: () = assert!(HISTORY_BYTES <= crate::config::memory::HISTORY_BYTES);

/// A time to report on, in seconds before the present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// It begins so long ago, or a little earlier: at the last moment that was kept.
    pub since: Duration,
    /// It ends about so long ago: at the moment next to it that was kept.
    pub until: Duration,
}

/// What a report is about, if that is not everything since the start.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Window {
    /// How long ago it began.
    pub since: Duration,
    /// How long ago it ended.
    pub until: Duration,
}

/// One worker between the moment before and this one.
#[derive(Debug)]
struct WorkerPoint {
    added: Added,
    /// At this moment.
    figures: Box<Figures>,
    stall: Option<Stall>,
}

/// A moment.
#[derive(Debug)]
struct Point {
    /// Since the start.
    at: Duration,
    workers: Box<[WorkerPoint]>,
    kernel: KernelCounters,
    log: Totals,
    /// The slowest of each class since the moment before.
    slowest: Box<[SlowOnWorker]>,
}

/// The last hour.
#[derive(Debug, Default)]
pub(crate) struct History {
    points: VecDeque<Point>,
    /// What each worker had counted at the last moment.
    last: Vec<Counted>,
    /// Whether moments were forgotten, so that the first one kept is not the start.
    forgotten: bool,
}

impl History {
    /// Keeps a moment. The slowest requests of `anatomy` are those since the moment before.
    pub(crate) fn keep(&mut self, anatomy: &Anatomy) {
        self.last.resize_with(anatomy.workers.len(), Counted::default);
        let before = self.points.back();
        let workers = anatomy.workers.iter().zip(&anatomy.threads).zip(&mut self.last).enumerate();
        let workers = workers.map(|(number, ((worker, thread), last))| match worker {
            Some(worker) => {
                let counted = Counted::of(worker);
                let added = counted.since(last);
                *last = counted;
                let figures = Box::new(Figures::of(worker, *thread));
                WorkerPoint { added, figures, stall: worker.recent_stall }
            }
            None => WorkerPoint {
                added: Added::default(),
                figures: before
                    .and_then(|before| before.workers.get(number))
                    .map_or_else(Box::default, |worker| worker.figures.clone()),
                stall: None,
            },
        });
        let point = Point {
            at: anatomy.uptime,
            workers: workers.collect(),
            kernel: anatomy.kernel.counters(),
            log: anatomy.access_log.unwrap_or_else(Totals::default),
            slowest: slowest_of(anatomy.uncollected.clone(), 1, |one, other| {
                one.worker == other.worker
                    && one.slow.finished.class() == other.slow.finished.class()
            })
            .into(),
        };
        if self.points.len() == MOST {
            self.points.pop_front();
            self.forgotten = true;
        }
        self.points.push_back(point);
    }

    /// The slowest requests of the last `span` that were kept, as seen at `now`.
    pub(crate) fn slowest(&self, span: Span, now: Duration) -> Vec<SlowOnWorker> {
        let points = self.points.iter().filter(|point| point.at + span.since > now);
        let slowest = points.flat_map(|point| {
            let passed = now.saturating_sub(point.at);
            point.slowest.iter().map(move |slow| SlowOnWorker { ago: slow.ago + passed, ..*slow })
        });
        slowest.filter(|slow| slow.ago <= span.since && slow.ago >= span.until).collect()
    }

    /// What happened within `span`, out of what is known `now`: its figures, but for those that are
    /// of a moment, which are as they were at its end. Durations are those of [`Coarse`](super::Coarse).
    pub(crate) fn within(&self, now: &Anatomy, span: Span) -> Anatomy {
        let end = now.uptime.saturating_sub(span.until);
        // The moment next to its end, unless that is now; and the last one before its beginning.
        let distance = |at: Duration| at.abs_diff(end);
        let places = self.points.iter().enumerate();
        let last = places.min_by_key(|(_, point)| distance(point.at));
        let last = last.filter(|(_, point)| distance(point.at) < distance(now.uptime));
        let last = last.map(|(place, _)| place);
        let begin =
            now.uptime.saturating_sub(span.since.max(span.until + Duration::from_millis(1)));
        let before = self.points.iter().take(last.unwrap_or(self.points.len()));
        let first = before.rev().position(|point| point.at <= begin);
        let first = match first {
            Some(back) => Some(last.unwrap_or(self.points.len()) - 1 - back),
            // The start itself, if it is still known.
            None if !self.forgotten => None,
            None => Some(0),
        };
        self.between(now, first, last)
    }

    /// What happened from the moment `first`, or the start, until the moment `last`, or now.
    fn between(&self, now: &Anatomy, first: Option<usize>, last: Option<usize>) -> Anatomy {
        let first_point = first.and_then(|first| self.points.get(first));
        let last_point = last.and_then(|last| self.points.get(last));
        let from = first.map_or(0, |first| first + 1);
        let until = last.map_or(self.points.len(), |last| last + 1);
        let nothing = Figures::default();
        let mut workers = Vec::new();
        let mut threads = Vec::new();
        for (number, worker) in now.workers.iter().enumerate() {
            let of = |point: &Point| point.workers.get(number).map(|worker| worker.figures.clone());
            let mut counted = Counted::default();
            let mut stall = None;
            for point in self.points.range(from.min(until)..until) {
                let Some(worker) = point.workers.get(number) else { continue };
                counted.add(&worker.added);
                stall = longer(stall, worker.stall);
            }
            let later = match last_point {
                Some(point) => of(point),
                None => worker.as_ref().map(|worker| {
                    if let Some(last) = self.last.get(number) {
                        counted.add(&Counted::of(worker).since(last));
                    } else {
                        counted = Counted::of(worker);
                    }
                    stall = longer(stall, worker.recent_stall);
                    let thread = now.threads.get(number).copied().flatten();
                    Box::new(Figures::of(worker, thread))
                }),
            };
            let earlier = first_point.and_then(of);
            let earlier = earlier.as_deref().unwrap_or(&nothing);
            let clock = worker.as_ref().map_or(0, |worker| worker.now);
            let thread = later.as_ref().and_then(|later| later.scheduled);
            threads
                .push(thread.map(|now| {
                    now.since(earlier.scheduled.unwrap_or_else(ThreadFigures::default))
                }));
            workers
                .push(later.map(|later| Box::new(later.snapshot(earlier, &counted, stall, clock))));
        }
        let at = |point: Option<&Point>, or: Duration| point.map_or(or, |point| point.at);
        let window = Window {
            since: now.uptime.saturating_sub(at(first_point, Duration::ZERO)),
            until: now.uptime.saturating_sub(at(last_point, now.uptime)),
        };
        let mut slowest =
            self.slowest(Span { since: window.since, until: window.until }, now.uptime);
        if last.is_none() {
            slowest.extend(now.uncollected.iter().copied());
        }
        let earlier = first_point.map_or_else(KernelCounters::default, |point| point.kernel);
        let later = last_point.map_or_else(|| now.kernel.counters(), |point| point.kernel);
        let log = now.access_log.map(|log| {
            let later = last_point.map_or(log, |point| point.log);
            later.since(first_point.map_or_else(Totals::default, |point| point.log))
        });
        let kernel = match first_point {
            // Nothing is known of the kernel's counters at the start.
            None => now.kernel.clone(),
            Some(_) => now.kernel.between(earlier, later),
        };
        now.of_window(window, workers, threads, kernel, log, slowest)
    }
}

/// The longer of two.
fn longer(one: Option<Stall>, other: Option<Stall>) -> Option<Stall> {
    one.into_iter().chain(other).max_by_key(|stall| stall.took)
}

#[cfg(test)]
mod tests;
