//! What a player does with a scripted ring, whatever carries its operations out.

use std::{rc::Rc, time::Duration};

use super::Scripted;
use crate::ring::{Backend, Ring, op::Wait};

/// A scripted ring, its clock, and what it waits for.
#[derive(Debug)]
pub(crate) struct Reins {
    pub(super) ring: Rc<Ring>,
    /// Submissions for one enter, at most.
    most_room: usize,
}

impl Reins {
    /// Of a ring whose backend is a script.
    pub(super) fn new(ring: Ring, most_room: usize) -> Self {
        Self { ring: Rc::new(ring), most_room }
    }

    /// The ring.
    pub(crate) fn ring(&self) -> &Rc<Ring> {
        &self.ring
    }

    pub(super) fn script<T>(&self, act: impl FnOnce(&mut Scripted) -> T) -> T {
        match &mut self.ring.state.borrow_mut().backend {
            Backend::Scripted(script) => act(script),
            Backend::Kernel(_) | Backend::Poll(_) => unreachable!("made with a script"),
        }
    }

    /// Whether no task is ready and the last turn would have put the thread to sleep.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.ring.ready.borrow().is_empty() && self.script(|script| script.slept) != Wait::Not
    }

    /// What the worker's clock shows, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        self.script(|script| script.clock.as_nanos() as u64)
    }

    /// Moves the worker's clock.
    pub(crate) fn advance(&self, by: Duration) {
        self.script(|script| script.clock += by);
    }

    /// From now on the queue takes so many submissions per enter.
    pub(crate) fn set_room(&self, room: usize) {
        self.script(|script| script.room = room.clamp(1, self.most_room));
    }

    /// Whether nothing is in flight, every buffer is home, and nothing is set aside.
    pub(crate) fn is_clean(&self) -> bool {
        let receive = &self.ring.receive;
        self.ring.in_flight() == 0
            && self.ring.send.is_whole()
            && receive.available() == receive.count()
            && receive.aside() == 0
    }
}
