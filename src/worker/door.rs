//! The way from the listeners into the worker: who is let in, and where.

use std::{
    cell::Cell,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use super::executor::Spawner;
use crate::{
    accept::{Admission, PerAddress},
    conn::{self, Context},
};

/// How often a worker says that it refuses connections of an address, at most, in milliseconds.
const SAY_EVERY: u64 = 10_000;

/// The way from one listener into the worker.
pub(super) struct Door {
    context: Rc<Context>,
    spawner: Spawner,
    per_address: Option<Arc<PerAddress>>,
    refusals: Rc<Refusals>,
}

impl Door {
    pub(super) fn new(
        context: &Rc<Context>,
        spawner: &Spawner,
        per_address: Option<&Arc<PerAddress>>,
        refusals: &Rc<Refusals>,
    ) -> Self {
        Self {
            context: Rc::clone(context),
            spawner: spawner.clone(),
            per_address: per_address.cloned(),
            refusals: Rc::clone(refusals),
        }
    }

    /// Ends a connection before any memory was given to it: by a reset, so that nothing of it
    /// stays in the kernel either.
    fn refuse(&self, socket: OwnedFd, address: IpAddr, limit: usize) {
        self.context.count(|counts| counts.refused_by_address += 1);
        // Without it the connection ends by FIN, which is an end too.
        let _ = rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
        self.context.ring.close(socket);
        if let Some(refused) = self.refusals.to_be_said(self.context.ring.now()) {
            log::warn!(
                "accept: {refused} connections refused, the last of {address}, which has \
                 {limit} open (--max-connections-per-address)"
            );
        }
    }
}

impl Admission for Door {
    fn room(&self) -> usize {
        // A connection counts as live once its task has begun.
        let taken = self.context.live() + self.spawner.waiting();
        self.context.config.limits.connections.saturating_sub(taken)
    }

    fn make_room(&self) -> bool {
        self.context.evict()
    }

    fn is_draining(&self) -> bool {
        self.context.is_draining()
    }

    fn serve(&self, socket: OwnedFd) {
        let context = Rc::clone(&self.context);
        let Some(table) = &self.per_address else {
            return self.spawner.spawn(conn::serve(context, socket));
        };
        let Some(address) = peer(&socket) else {
            // It was reset before it was accepted.
            return context.ring.close(socket);
        };
        let Some(place) = table.admit(address) else {
            return self.refuse(socket, address, table.limit());
        };
        self.spawner.spawn(async move {
            conn::serve(context, socket).await;
            drop(place);
        });
    }

    fn paused(&self) {
        self.context.count(|counts| counts.accept_pauses += 1);
    }
}

fn peer(socket: &OwnedFd) -> Option<IpAddr> {
    let peer = rustix::net::getpeername(socket).ok().flatten()?;
    SocketAddr::try_from(peer).ok().map(|peer| peer.ip())
}

/// Refusals that nobody was told of, and when somebody was last told.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    unsaid: Cell<u64>,
    said: Cell<Option<u64>>,
}

impl Refusals {
    /// Counts one more. How many there are to be told of, if it is time to do so.
    fn to_be_said(&self, now: u64) -> Option<u64> {
        let unsaid = self.unsaid.get() + 1;
        let due = self.said.get().is_none_or(|said| now.saturating_sub(said) >= SAY_EVERY);
        self.unsaid.set(if due { 0 } else { unsaid });
        if due {
            self.said.set(Some(now));
        }
        due.then_some(unsaid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_of_now_and_then() {
        let refusals = Refusals::default();
        assert_eq!(refusals.to_be_said(5), Some(1));
        assert_eq!(refusals.to_be_said(6), None);
        assert_eq!(refusals.to_be_said(10_004), None);
        assert_eq!(refusals.to_be_said(10_005), Some(3));
        assert_eq!(refusals.to_be_said(10_006), None);
    }
}
