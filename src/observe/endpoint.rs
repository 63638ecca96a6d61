//! Endpoints of applications by name, and what their requests took.
//!
//! A name is a number, given out once for the life of the process and to at most [`MOST`] names, so that
//! names made of what clients send cannot fill memory, metrics or logs.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{
    Stage,
    request::{Parts, place},
};

/// Names that are distinguished, at most; further ones are all `other`.
pub(crate) const MOST: usize = 256;

/// The number of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint(u16);

/// How often each endpoint has held a worker, by number: the watchdog counts, on a thread of its own.
static HELD: [AtomicU64; MOST + 2] = [const { AtomicU64::new(0) }; MOST + 2];

static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn names() -> MutexGuard<'static, Vec<String>> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Endpoint {
    /// No name was given: no application answers.
    pub(crate) const UNNAMED: Self = Self(0);
    const OTHER: Self = Self(MOST as u16 + 1);

    /// The number of a name.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(crate) fn named(name: &str) -> Self {
        let mut names = names();
        let known = names.iter().position(|known| known == name);
        let at = known.or_else(|| {
            (names.len() < MOST).then(|| {
                names.push(name.to_owned());
                names.len() - 1
            })
        });
        at.map_or(Self::OTHER, |at| Self(at as u16 + 1))
    }

    /// The name.
    pub fn name(self) -> String {
        match usize::from(self.0).checked_sub(1) {
            None => "a service".to_owned(),
            Some(at) => names().get(at).cloned().unwrap_or_else(|| "other".to_owned()),
        }
    }

    /// Whether an application has it.
    pub fn is_named(self) -> bool {
        self != Self::UNNAMED
    }

    /// One of its polls has lasted so long that the watchdog reports it.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(crate) fn holds_its_worker(self) {
        if let Some(held) = HELD.get(usize::from(self.0)) {
            held.fetch_add(1, Relaxed);
        }
    }

    /// As a word that threads can share, and back.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(crate) fn number(self) -> u16 {
        self.0
    }

    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(crate) fn of_number(number: u16) -> Self {
        Self(number)
    }
}

/// What the requests of one endpoint took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointFigures {
    /// Requests that were answered.
    pub requests: u64,
    /// Their totals, in nanoseconds.
    pub total: u64,
    /// Of this, in code of the application.
    pub handler: u64,
    /// Of this, waiting for what the application waits for.
    pub waiting: u64,
    /// Those that were among the slowest of their worker ([`Tail`](super::Tail)).
    pub tail_requests: u64,
    /// The totals of those.
    pub tail: u64,
    /// Polls that held a worker for 200 ms and more, in the process.
    pub held: u64,
}

impl EndpointFigures {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.total += other.total;
        self.handler += other.handler;
        self.waiting += other.waiting;
        self.tail_requests += other.tail_requests;
        self.tail += other.tail;
    }
}

/// The figures of all endpoints of a worker, by number: as many as were asked for.
#[derive(Clone, Debug, Default)]
pub struct Endpoints(Vec<EndpointFigures>);

impl Endpoints {
    /// Memory of one worker's.
    pub(super) const BYTES: usize = 2 * (MOST + 2) * size_of::<EndpointFigures>();

    /// Enters a request that was answered.
    #[cold]
    pub(super) fn enter(&mut self, endpoint: Endpoint, parts: &Parts, total: u64, in_tail: bool) {
        let at = usize::from(endpoint.0).min(MOST + 1);
        if self.0.len() <= at {
            self.0.resize(at + 1, EndpointFigures::default());
        }
        if let Some(figures) = self.0.get_mut(at) {
            let tail = if in_tail { (1, total) } else { (0, 0) };
            figures.add(&EndpointFigures {
                requests: 1,
                total,
                handler: parts[place(Stage::Handler)],
                waiting: parts[place(Stage::Waiting)],
                tail_requests: tail.0,
                tail: tail.1,
                held: 0,
            });
        }
    }

    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), EndpointFigures::default());
        }
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            sum.add(more);
        }
    }

    /// Those that had requests, the largest part of the tail first.
    pub fn ranked(&self) -> Vec<(Endpoint, EndpointFigures)> {
        let held = HELD.iter().map(|held| held.load(Relaxed));
        let all = self.0.iter().zip(held).enumerate();
        let all = all.map(|(at, (figures, held))| {
            (Endpoint(at as u16), EndpointFigures { held, ..*figures })
        });
        let mut ranked: Vec<_> = all.filter(|(_, figures)| figures.requests > 0).collect();
        ranked.sort_by_key(|(_, figures)| std::cmp::Reverse((figures.tail, figures.total)));
        ranked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::stage::REQUEST_STAGES;

    #[test]
    fn a_name_has_one_number_and_there_is_an_end_of_them() {
        let one = Endpoint::named("/one");
        assert_eq!((Endpoint::named("/one"), one.name().as_str()), (one, "/one"));
        assert_ne!(Endpoint::named("/two"), one);
        assert!(one.is_named() && !Endpoint::UNNAMED.is_named());
        for number in 0..2 * MOST {
            Endpoint::named(&format!("/filler/{number}"));
        }
        assert_eq!(Endpoint::named("/beyond").name(), "other");
        assert_eq!(Endpoint::of_number(one.number()), one);
    }

    #[test]
    fn the_largest_part_of_the_tail_comes_first() {
        let mut parts = [0; REQUEST_STAGES.len()];
        (parts[place(Stage::Handler)], parts[place(Stage::Waiting)]) = (3, 5);
        let (mut one, mut sum) = (Endpoints::default(), Endpoints::default());
        one.enter(Endpoint(2), &parts, 10, false);
        one.enter(Endpoint(1), &parts, 40, true);
        sum.enter(Endpoint(2), &parts, 90, false);
        sum.enter(Endpoint::OTHER, &parts, 1, true);
        sum.add(&one);
        let ranked: Vec<_> = sum.ranked().into_iter().map(|(endpoint, _)| endpoint.0).collect();
        assert_eq!(ranked, [1, Endpoint::OTHER.0, 2]);
        let expected = EndpointFigures {
            requests: 2,
            total: 100,
            handler: 6,
            waiting: 10,
            ..EndpointFigures::default()
        };
        assert_eq!(sum.ranked()[2].1, expected);
    }
}
