//! The other workers, as far as one worker has business with them: where the places of all together
//! are taken, it asks them for room that it cannot make itself.

use std::{cell::Cell, sync::Arc};

use super::inbox::Inbox;

/// The other workers of the server.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    inboxes: Vec<Arc<Inbox>>,
    next: Cell<usize>,
}

impl Neighbours {
    pub(super) fn new(inboxes: Vec<Arc<Inbox>>) -> Self {
        Self { inboxes, next: Cell::new(0) }
    }

    /// Asks the next of them, each in its turn, to evict so many idle connections. One at a
    /// time, so that who waits costs no more idle connections than it needs, and so that many who
    /// wait do not wake everybody.
    pub(super) fn ask_for_room(&self, wanted: u32) {
        let next = self.next.get();
        if let Some(inbox) = self.inboxes.get(next) {
            inbox.ask_for_room(wanted);
            self.next.set((next + 1) % self.inboxes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_asked_in_its_turn_and_requests_are_not_added_up() {
        let inboxes: Vec<_> = (0..3).map(|_| Arc::new(Inbox::new().unwrap())).collect();
        let neighbours = Neighbours::new(inboxes.clone());
        for wanted in [5, 1, 2, 3, 4] {
            neighbours.ask_for_room(wanted);
        }
        let asked: Vec<_> = inboxes.iter().map(|inbox| inbox.take_room()).collect();
        assert_eq!(asked, [5, 4, 2]);
        assert!(inboxes.iter().all(|inbox| inbox.take_room() == 0), "it is asked for once");
        // Each was woken, and the second one once for both.
        let mut woken = [0; 8];
        rustix::io::read(inboxes[1].event(), &mut woken).unwrap();
        assert_eq!(u64::from_ne_bytes(woken), 1);
    }

    #[test]
    fn who_is_alone_asks_nobody() {
        Neighbours::default().ask_for_room(1);
    }
}
