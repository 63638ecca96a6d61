//! The queue of a pool, one for all workers: first come, first served.
//!
//! The invariant: a place is granted to the head of the queue or to no request; a request that leaves
//! after it was granted a place hands the place on. The lock is taken only while requests wait.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    task::Waker,
};

/// What a request in line waits for, and how its worker learns of it.
#[derive(Debug)]
struct Waiter<G> {
    turn: Mutex<Turn<G>>,
    waker: Waker,
}

#[derive(Debug)]
enum Turn<G> {
    Waits,
    Granted(G),
    Over,
}

impl<G> Waiter<G> {
    fn turn(&self) -> MutexGuard<'_, Turn<G>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line for grants of `G`.
#[derive(Debug)]
pub(super) struct Line<G> {
    waiters: Mutex<VecDeque<Arc<Waiter<G>>>>,
    /// How many there are, so that nobody has to lock who finds none.
    length: AtomicU32,
    most: u32,
}

/// The line is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl<G> Line<G> {
    /// A line of at most so many.
    pub(super) fn new(most: u32) -> Self {
        Self { waiters: Mutex::default(), length: AtomicU32::new(0), most }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Waiter<G>>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    pub(super) fn len(&self) -> u32 {
        self.length.load(SeqCst)
    }

    /// Joins at the end. `waker` is called when something is granted.
    ///
    /// # Errors
    /// The line is full.
    pub(super) fn join(self: &Arc<Self>, waker: Waker) -> Result<Ticket<G>, Full> {
        let mut waiters = self.lock();
        if waiters.len() >= self.most as usize {
            return Err(Full);
        }
        let waiter = Arc::new(Waiter { turn: Mutex::new(Turn::Waits), waker });
        waiters.push_back(Arc::clone(&waiter));
        self.length.store(waiters.len() as u32, SeqCst);
        Ok(Ticket { line: Arc::clone(self), waiter })
    }

    /// Grants to the head what `take` gives, which is asked only if somebody waits. False if nobody
    /// does, or there is nothing.
    pub(super) fn grant(&self, take: impl FnOnce() -> Option<G>) -> bool {
        if self.len() == 0 {
            return false;
        }
        let head = {
            let mut waiters = self.lock();
            if waiters.is_empty() {
                return false;
            }
            let Some(grant) = take() else { return false };
            let Some(head) = waiters.pop_front() else { return false };
            self.length.store(waiters.len() as u32, SeqCst);
            // Who leaves takes the line's lock first, so it still waits.
            *head.turn() = Turn::Granted(grant);
            head
        };
        head.waker.wake_by_ref();
        true
    }
}

/// A place in line. Dropping it leaves the line; what was granted and not taken comes back by the
/// drop of the grant.
#[derive(Debug)]
pub(super) struct Ticket<G> {
    line: Arc<Line<G>>,
    waiter: Arc<Waiter<G>>,
}

impl<G> Ticket<G> {
    /// What was granted, once.
    pub(super) fn take(&self) -> Option<G> {
        let mut turn = self.waiter.turn();
        match std::mem::replace(&mut *turn, Turn::Over) {
            Turn::Granted(grant) => Some(grant),
            other => {
                *turn = other;
                None
            }
        }
    }

    /// Whether it is the head of the line.
    #[cfg(test)]
    fn is_head(&self) -> bool {
        self.line.lock().front().is_some_and(|head| Arc::ptr_eq(head, &self.waiter))
    }
}

impl<G> Drop for Ticket<G> {
    fn drop(&mut self) {
        let granted = {
            let mut waiters = self.line.lock();
            let mut turn = self.waiter.turn();
            let before = std::mem::replace(&mut *turn, Turn::Over);
            if matches!(before, Turn::Waits) {
                waiters.retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
                self.line.length.store(waiters.len() as u32, SeqCst);
            }
            before
        };
        // Without the lock: the drop of a grant may grant again.
        drop(granted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(most: u32) -> Arc<Line<u32>> {
        Arc::new(Line::new(most))
    }

    fn join(line: &Arc<Line<u32>>) -> Ticket<u32> {
        line.join(Waker::noop().clone()).unwrap()
    }

    #[test]
    fn grants_come_in_the_order_of_joining() {
        let line = line(3);
        assert!(!line.grant(|| unreachable!("nobody waits")));
        let tickets = [join(&line), join(&line), join(&line)];
        assert_eq!(line.join(Waker::noop().clone()).unwrap_err(), Full);
        assert!(tickets[0].is_head());
        assert!(!line.grant(|| None) && tickets[0].is_head());
        assert!(line.grant(|| Some(1)) && line.grant(|| Some(2)));
        assert_eq!(line.len(), 1);
        assert_eq!(
            [tickets[1].take(), tickets[0].take(), tickets[2].take()],
            [Some(2), Some(1), None]
        );
        assert_eq!(tickets[0].take(), None, "once");
    }

    #[test]
    fn who_leaves_makes_room_at_once_and_drops_what_was_granted() {
        let line = Arc::new(Line::new(1));
        let first = line.join(Waker::noop().clone()).unwrap();
        drop(first);
        let second = line.join(Waker::noop().clone()).unwrap();
        let shared = Arc::new(());
        assert!(line.grant(|| Some(Arc::clone(&shared))));
        assert_eq!(Arc::strong_count(&shared), 2);
        drop(second);
        assert_eq!(Arc::strong_count(&shared), 1);
        assert_eq!(line.len(), 0);
    }
}
