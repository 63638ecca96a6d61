//! Places for handshakes: a worker has at most `Limits::handshakes` in flight.
//!
//! The invariant: a client whose ClientHello has arrived is never refused because no place is free. It
//! waits in a queue, first come, first served. While the queue is not empty, the handshake whose client
//! has been silent longest is closed, if that is longer than [`SPARED`]. So clients
//! that stop in the middle of their handshakes hold all places for a second at most.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    task::Poll,
    time::Duration,
};

use super::idle::{Idle, Waiting};
use crate::{
    observe::give_back,
    ring::{Ring, TaskId},
};

/// How long a handshake may wait for its client while others wait for a place, in milliseconds:
/// several round trips around the world.
const SPARED: u64 = 1000;

/// How often the first in line looks for a handshake to close.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The places of one worker.
#[derive(Debug)]
pub(super) struct Places {
    limit: Cell<usize>,
    taken: Cell<usize>,
    /// Handshakes that wait for their clients.
    stalled: Idle,
    /// The connections that wait for a place, by number.
    line: RefCell<VecDeque<(u64, TaskId)>>,
    /// The next number to give.
    next: Cell<u64>,
}

impl Places {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: Cell::new(limit),
            taken: Cell::new(0),
            stalled: Idle::default(),
            line: RefCell::default(),
            next: Cell::new(0),
        }
    }

    /// Changes how many there are. Those that are taken stay so.
    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
    }

    /// Handshakes in flight.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn taken(&self) -> usize {
        self.taken.get()
    }

    /// A place, unless all are taken or somebody waits for one.
    pub(super) fn try_take<'p>(&'p self, ring: &'p Ring) -> Option<Place<'p>> {
        (self.is_free() && self.line.borrow().is_empty()).then(|| self.occupy(ring))
    }

    /// Waits in line for a place.
    pub(super) async fn take<'p>(&'p self, ring: &'p Ring) -> Place<'p> {
        let waiter = self.join(ring);
        loop {
            if !waiter.is_first() {
                poll_fn(|_| if waiter.is_first() { Poll::Ready(()) } else { Poll::Pending }).await;
                continue;
            }
            if self.is_free() {
                return self.occupy(ring);
            }
            let before = ring.now().checked_sub(SPARED);
            if let Some(stalled) = before.and_then(|before| self.stalled.evict(before)) {
                ring.wake(stalled);
            }
            let free = poll_fn(|_| if self.is_free() { Poll::Ready(()) } else { Poll::Pending });
            // Free or not, the loop looks again.
            let _ = ring.within(LOOK_AGAIN, free).await;
        }
    }

    /// The handshake of the current task waits for its client as long as the result lives.
    pub(super) fn stalls(&self, ring: &Ring) -> Waiting<'_> {
        self.stalled.join(ring.current(), ring.now())
    }

    fn is_free(&self) -> bool {
        self.taken.get() < self.limit.get()
    }

    fn occupy<'p>(&'p self, ring: &'p Ring) -> Place<'p> {
        self.taken.set(self.taken.get() + 1);
        Place { places: self, ring }
    }

    fn join<'p>(&'p self, ring: &'p Ring) -> Waiter<'p> {
        let number = self.next.replace(self.next.get() + 1);
        self.line.borrow_mut().push_back((number, ring.current()));
        Waiter { places: self, ring, number }
    }

    fn wake_first(&self, ring: &Ring) {
        if let Some((_, task)) = self.line.borrow().front() {
            ring.wake(*task);
        }
    }
}

/// A handshake's place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place<'p> {
    places: &'p Places,
    ring: &'p Ring,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        give_back(&self.places.taken, 1);
        self.places.wake_first(self.ring);
    }
}

/// A place in the line, given up when it is dropped.
struct Waiter<'p> {
    places: &'p Places,
    ring: &'p Ring,
    number: u64,
}

impl Waiter<'_> {
    fn is_first(&self) -> bool {
        self.places.line.borrow().front().is_some_and(|(number, _)| *number == self.number)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let was_first = self.is_first();
        let mut line = self.places.line.borrow_mut();
        if let Ok(at) = line.binary_search_by_key(&self.number, |(number, _)| *number) {
            line.remove(at);
        }
        drop(line);
        if was_first {
            self.places.wake_first(self.ring);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::{Pin, pin},
        task::{Context, Waker},
    };

    use super::*;
    use crate::ring::{RingConfig, sim::SimKernel};

    fn kernel() -> SimKernel {
        SimKernel::new(&RingConfig { operations: 8, ..RingConfig::small() }).unwrap()
    }

    /// Polls as the task of this index would.
    fn poll<F: Future>(ring: &Ring, task: u32, future: Pin<&mut F>) -> Option<F::Output> {
        ring.set_current(TaskId::first(task));
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn pass(kernel: &SimKernel, milliseconds: u64) {
        kernel.advance(Duration::from_millis(milliseconds));
        kernel.ring().turn().unwrap();
    }

    fn woken(ring: &Ring) -> Vec<usize> {
        let mut tasks = Vec::new();
        ring.take_ready(&mut tasks, 100);
        tasks.iter().map(|task| task.index()).collect()
    }

    #[test]
    fn places_are_given_in_the_order_of_the_line() {
        let kernel = kernel();
        let (ring, places) = (&**kernel.ring(), Places::new(1));
        let held = places.try_take(ring).unwrap();
        assert!(places.try_take(ring).is_none());
        let (mut first, mut gone, mut last) =
            (pin!(places.take(ring)), Box::pin(places.take(ring)), pin!(places.take(ring)));
        assert!(poll(ring, 1, first.as_mut()).is_none());
        assert!(poll(ring, 2, gone.as_mut()).is_none());
        assert!(poll(ring, 3, last.as_mut()).is_none());
        drop(gone);
        drop(held);
        assert_eq!(woken(ring), [1]);
        assert!(places.try_take(ring).is_none(), "nobody overtakes the line");
        let held = poll(ring, 1, first.as_mut()).expect("its turn");
        assert_eq!((woken(ring), places.taken()), (vec![3], 1));
        assert!(poll(ring, 3, last.as_mut()).is_none(), "first in line, and nothing is free");
        drop(held);
        assert_eq!(woken(ring), [3]);
        drop(poll(ring, 3, last.as_mut()).expect("its turn"));
        assert_eq!(places.taken(), 0);
    }

    #[test]
    fn the_longest_stalled_handshake_is_closed_for_the_first_in_line() {
        let kernel = kernel();
        let ring = std::rc::Rc::clone(kernel.ring());
        let (ring, places) = (&*ring, Places::new(2));
        ring.set_current(TaskId::first(7));
        let (old, stalled) = (places.try_take(ring).unwrap(), places.stalls(ring));
        pass(&kernel, SPARED / 2);
        ring.set_current(TaskId::first(8));
        let (_young, _stalled) = (places.try_take(ring).unwrap(), places.stalls(ring));
        let mut newcomer = pin!(places.take(ring));
        assert!(poll(ring, 1, newcomer.as_mut()).is_none());
        assert!(woken(ring).is_empty(), "both are spared");
        pass(&kernel, SPARED / 2);
        assert_eq!(woken(ring), [1], "it looks again");
        assert!(poll(ring, 1, newcomer.as_mut()).is_none());
        assert_eq!(woken(ring), [7]);
        assert!(
            poll(ring, 7, pin!(stalled.unless_evicted(std::future::pending::<()>()))) == Some(None)
        );
        drop((stalled, old));
        assert_eq!(woken(ring), [1]);
        assert!(poll(ring, 1, newcomer.as_mut()).is_some());
    }
}
