//! How many connections all workers have open together, when that is limited.
//!
//! One number, without a lock: it changes when a connection is admitted and when it has
//! ended, never in between. Whatever a connection held is free before its place is, on whichever
//! worker the next one takes it.

use std::sync::{
    Arc,
    atomic::{
        AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// The connections of all workers together.
#[derive(Debug)]
pub(crate) struct Total {
    limit: AtomicUsize,
    open: AtomicUsize,
}

impl Total {
    /// A count that allows so many connections; None for 0, which is no limit.
    pub(crate) fn new(limit: usize) -> Option<Arc<Self>> {
        (limit > 0).then(|| Arc::new(Self { limit: limit.into(), open: AtomicUsize::new(0) }))
    }

    /// Changes the limit. Connections beyond a lower one stay.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    /// Counts a connection for as long as the result lives. None if there are as many as there may
    /// be, whichever worker's they are.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<TotalPlace> {
        let limit = self.limit.load(Relaxed);
        let taken = |open| (open < limit).then_some(open + 1);
        self.open.fetch_update(Acquire, Relaxed, taken).ok()?;
        Some(TotalPlace(Arc::clone(self)))
    }

    /// Further connections that there may be at this moment. Another worker may take them first, so
    /// [`Self::admit`] alone decides.
    pub(crate) fn room(&self) -> usize {
        self.limit.load(Relaxed).saturating_sub(self.open.load(Relaxed))
    }
}

/// A connection among all.
#[derive(Debug)]
pub(crate) struct TotalPlace(Arc<Total>);

impl Drop for TotalPlace {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Release);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn places_are_taken_and_given_back() {
        let total = Total::new(2).unwrap();
        let one = total.admit().unwrap();
        assert_eq!(total.room(), 1);
        let two = total.admit().unwrap();
        assert_eq!(total.room(), 0);
        assert!(total.admit().is_none());
        assert_eq!(total.room(), 0, "who got none has taken none");
        drop(one);
        assert_eq!(total.room(), 1);
        let again = total.admit().unwrap();
        assert!(total.admit().is_none());
        drop((two, again));
        assert_eq!(total.room(), 2);
    }

    #[test]
    fn zero_is_no_limit() {
        assert!(Total::new(0).is_none());
    }

    #[test]
    fn threads_together_never_pass_the_limit_and_can_reach_it() {
        const LIMIT: usize = 10;
        let total = Total::new(LIMIT).unwrap();
        let held: Vec<_> = thread::scope(|scope| {
            let take = || (0..1_000).filter_map(|_| total.admit()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!((held.len(), total.room()), (LIMIT, 0));
        drop(held);
        assert_eq!(total.room(), LIMIT);
    }

    /// Places come and go on four threads while each counts what all of them hold.
    #[test]
    fn threads_that_come_and_go_never_pass_the_limit() {
        const LIMIT: usize = 3;
        let total = Total::new(LIMIT).unwrap();
        let held = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut had = 0;
                    while had < 5_000 {
                        let Some(place) = total.admit() else {
                            thread::yield_now();
                            continue;
                        };
                        had += 1;
                        // Counted within the place's life, so never more than there are places.
                        most.fetch_max(held.fetch_add(1, Relaxed) + 1, Relaxed);
                        if had % 64 == 0 {
                            thread::yield_now();
                        }
                        held.fetch_sub(1, Relaxed);
                        drop(place);
                    }
                });
            }
        });
        assert!((1..=LIMIT).contains(&most.into_inner()));
        assert_eq!(total.room(), LIMIT);
    }
}
