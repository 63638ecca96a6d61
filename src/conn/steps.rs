//! Handshakes take turns: each step of one computes for as long as many requests take together.
//!
//! The invariant: between two turns of the loop at most [`A_TURN`] steps are taken, and one while
//! established connections send requests, so that a request waits for no more of them, however many
//! ClientHellos arrive at once. Handshakes wait for their turn in a line, first come, first served;
//! one that ends leaves it at once, so it is never longer than there are handshakes.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    task::Poll,
};

use crate::ring::{Ring, TaskId};

/// Steps between two turns of the loop. Each takes some 0.1 ms; with fewer, a system call is shared
/// by less, and a handshake takes an eighth more CPU.
const A_TURN: usize = 4;

/// Turns of the loop with one step each after an established connection has sent another request.
const SPARED_FOR: u32 = 64;

/// The line of one worker.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// Steps that were taken, or promised to the head of the line, since the last turn of the loop.
    taken: Cell<usize>,
    /// Turns for which one step at a time is taken.
    spared: Cell<u32>,
    /// The handshakes that wait, by number.
    line: RefCell<VecDeque<(u64, TaskId)>>,
    /// The next number to give.
    next: Cell<u64>,
}

impl Steps {
    /// Waits until the task that is being polled may take a step.
    pub(super) async fn turn(&self, ring: &Ring) {
        if self.line.borrow().is_empty() && self.taken.get() < self.a_turn() {
            self.taken.set(self.taken.get() + 1);
            return;
        }
        let number = self.next.replace(self.next.get() + 1);
        self.line.borrow_mut().push_back((number, ring.current()));
        let place = Place { steps: self, number };
        poll_fn(|_| if place.is_waiting() { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// The loop is about to turn: wakes the head of the line, whose steps are the next turn's.
    pub(super) fn next(&self, ring: &Ring) {
        // Counts turns down to none.
        self.spared.set(self.spared.get().saturating_sub(1));
        let mut line = self.line.borrow_mut();
        let promised = self.a_turn().min(line.len());
        self.taken.set(promised);
        for (_, task) in line.drain(..promised) {
            ring.wake(task);
        }
    }

    /// A connection has asked again.
    pub(super) fn spare(&self) {
        // Counts turns down to none.
        self.spared.set(SPARED_FOR);
    }

    fn a_turn(&self) -> usize {
        if self.spared.get() > 0 { 1 } else { A_TURN }
    }

    fn position(&self, number: u64) -> Option<usize> {
        self.line.borrow().binary_search_by_key(&number, |(number, _)| *number).ok()
    }
}

/// A place in the line, given up when it is dropped.
struct Place<'s> {
    steps: &'s Steps,
    number: u64,
}

impl Place<'_> {
    fn is_waiting(&self) -> bool {
        self.steps.position(self.number).is_some()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(position) = self.steps.position(self.number) {
            self.steps.line.borrow_mut().remove(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::{Pin, pin},
        rc::Rc,
        task::{Context, Waker},
    };

    use super::*;
    use crate::ring::RingConfig;

    fn ring() -> Rc<Ring> {
        Ring::new(&RingConfig { operations: 8, ..RingConfig::small() }).expect("a small ring")
    }

    fn goes(future: Pin<&mut impl Future<Output = ()>>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// The tasks that are ready.
    fn woken(ring: &Ring) -> Vec<usize> {
        let mut tasks = Vec::new();
        ring.take_ready(&mut tasks, 100);
        tasks.iter().map(|task| task.index()).collect()
    }

    #[test]
    fn a_few_steps_a_turn_in_the_order_in_which_they_came() {
        let (ring, steps) = (ring(), Steps::default());
        let as_task = |index: usize| ring.set_current(TaskId::first(index as u32));
        for index in 0..A_TURN {
            as_task(index);
            assert!(goes(pin!(steps.turn(&ring))), "nobody was there before");
        }
        let mut waiting = Vec::new();
        for index in 0..2 * A_TURN {
            as_task(100 + index);
            let mut turn = Box::pin(steps.turn(&ring));
            assert!(!goes(turn.as_mut()));
            waiting.push(turn);
        }
        steps.next(&ring);
        assert_eq!(woken(&ring), (100..100 + A_TURN).collect::<Vec<_>>());
        // Who comes now does not overtake those who wait.
        as_task(200);
        let mut last = pin!(steps.turn(&ring));
        assert!(!goes(last.as_mut()));
        let gone: Vec<_> = waiting.iter_mut().map(|turn| goes(turn.as_mut())).collect();
        assert_eq!(gone, [[true; A_TURN], [false; A_TURN]].concat());
        steps.next(&ring);
        assert_eq!(woken(&ring), (100 + A_TURN..100 + 2 * A_TURN).collect::<Vec<_>>());
        assert!(waiting.iter_mut().skip(A_TURN).all(|turn| goes(turn.as_mut())));
        steps.next(&ring);
        assert_eq!(woken(&ring), [200]);
        assert!(goes(last.as_mut()));
        steps.next(&ring);
        assert!(woken(&ring).is_empty());
        assert!(goes(pin!(steps.turn(&ring))), "the line is empty again");
    }

    #[test]
    fn one_step_a_turn_while_a_connection_asks_again() {
        let (ring, steps) = (ring(), Steps::default());
        steps.spare();
        assert!(goes(pin!(steps.turn(&ring))));
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(steps.turn(&ring))).collect();
        let mut go = || waiting.iter_mut().map(|turn| goes(turn.as_mut())).collect::<Vec<_>>();
        assert_eq!(go(), [false; 3]);
        steps.next(&ring);
        assert_eq!(go(), [true, false, false]);
        drop(waiting);
        for _ in 0..SPARED_FOR {
            steps.next(&ring);
        }
        assert_eq!(steps.a_turn(), A_TURN, "it has not asked for long");
    }

    #[test]
    fn who_gives_up_takes_no_turn() {
        let (ring, steps) = (ring(), Steps::default());
        for _ in 0..A_TURN {
            assert!(goes(pin!(steps.turn(&ring))));
        }
        let mut waiting = Vec::new();
        for index in 1..4 {
            ring.set_current(TaskId::first(index));
            let mut turn = Box::pin(steps.turn(&ring));
            assert!(!goes(turn.as_mut()));
            waiting.push(turn);
        }
        waiting.drain(..2).for_each(drop);
        steps.next(&ring);
        assert_eq!(woken(&ring), [3]);
        // And one that was called and did not come leaves the turn after it to others.
        waiting.clear();
        steps.next(&ring);
        assert!(goes(pin!(steps.turn(&ring))));
    }
}
