//! What a worker is in, for the watchdog to see.
//!
//! A worker notes each poll of an application in two words of its own: a count that is odd while it is
//! inside, and where it is. The watchdog looks at them twenty times a second; a count that is odd and
//! does not change has been inside since. So the worker pays two stores and reads no clock.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use super::endpoint::{current, make_current};
use crate::observe::Endpoint;

/// What one worker shares with the watchdog.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// Odd while an application is polled.
    polls: AtomicU64,
    endpoint: AtomicU32,
    /// Connections of the worker.
    connections: AtomicUsize,
}

thread_local! {
    /// Those of the worker whose thread this is.
    static OWN: RefCell<Option<Arc<Watched>>> = const { RefCell::new(None) };
}

/// The endpoint of the poll under way is known now.
pub(super) fn renamed(endpoint: Endpoint) {
    let own = |own: &RefCell<Option<Arc<Watched>>>| {
        if let Some(own) = &*own.borrow() {
            own.endpoint.store(u32::from(endpoint.number()), Relaxed);
        }
    };
    // A layer may be called on any thread.
    let _ = OWN.try_with(own);
}

impl Watched {
    /// What the worker of this thread shares from here on.
    pub(crate) fn of_this_thread(self: &Arc<Self>) {
        OWN.set(Some(Arc::clone(self)));
    }

    /// An application is polled from here on, for an exchange of `endpoint`, which its layers may name
    /// meanwhile. [`Self::leave`] follows: a panic is caught within.
    pub(crate) fn enter(&self, endpoint: Endpoint, connections: usize) {
        make_current(endpoint);
        self.endpoint.store(u32::from(endpoint.number()), Relaxed);
        self.connections.store(connections, Relaxed);
        self.polls.store(self.polls.load(Relaxed) + 1, Release);
    }

    /// The poll has ended. The endpoint by now.
    pub(crate) fn leave(&self) -> Endpoint {
        self.polls.store(self.polls.load(Relaxed) + 1, Release);
        current()
    }

    /// An application is polled, as `poll` does it.
    pub(crate) fn watch<T>(
        &self,
        endpoint: &mut Endpoint,
        connections: usize,
        poll: impl FnOnce() -> T,
    ) -> T {
        self.enter(*endpoint, connections);
        let output = poll();
        *endpoint = self.leave();
        output
    }

    /// The poll under way, where it is, and how many connections the worker has. None: it is in none.
    fn inside(&self) -> Option<(u64, Endpoint, usize)> {
        let polls = self.polls.load(Acquire);
        let endpoint = Endpoint::of_number(self.endpoint.load(Relaxed) as u16);
        (!polls.is_multiple_of(2)).then(|| (polls, endpoint, self.connections.load(Relaxed)))
    }
}

/// What the watchdog knows of one worker.
#[derive(Debug)]
pub(crate) struct Suspect {
    watched: Arc<Watched>,
    /// The poll that was under way at the last look, and how many looks it has been.
    seen: Option<(u64, u32)>,
}

/// A worker that is held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The endpoint that holds it.
    pub(crate) endpoint: String,
    /// Connections of the worker, which wait.
    pub(crate) connections: usize,
}

impl Suspect {
    pub(crate) fn new(watched: Arc<Watched>) -> Self {
        Self { watched, seen: None }
    }

    /// Looks. The result says who holds the worker, once for each poll, when it has been under way for
    /// `looks` looks.
    pub(crate) fn look(&mut self, looks: u32) -> Option<Held> {
        let Some((polls, endpoint, connections)) = self.watched.inside() else {
            self.seen = None;
            return None;
        };
        let times = match self.seen {
            Some((before, times)) if before == polls => times.saturating_add(1),
            _ => 1,
        };
        self.seen = Some((polls, times));
        (times == looks).then(|| {
            endpoint.holds_its_worker();
            Held { endpoint: endpoint.name(), connections }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_worker_is_named_once_and_who_returns_is_not() {
        let watched = Arc::new(Watched::default());
        let mut suspect = Suspect::new(Arc::clone(&watched));
        let mut endpoint = Endpoint::UNNAMED;
        assert_eq!(suspect.look(1), None);
        for _ in 0..5 {
            // Often inside, never for long.
            watched.watch(&mut endpoint, 3, || assert_eq!(suspect.look(2), None));
        }
        watched.of_this_thread();
        let named = Endpoint::named("/held");
        watched.watch(&mut endpoint, 7, || {
            assert_eq!(suspect.look(3), None);
            make_current(named);
            renamed(named);
            assert_eq!(suspect.look(3), None);
            let held = Held { endpoint: named.name(), connections: 7 };
            assert_eq!(suspect.look(3), Some(held));
            assert_eq!(suspect.look(3), None, "once");
        });
        assert_eq!(endpoint, named, "its next poll begins with the name");
        assert_eq!(suspect.look(1), None);
    }
}
