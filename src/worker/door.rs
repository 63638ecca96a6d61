//! Admission of accepted connections to a worker, under its own limit and those of all workers.

use std::{
    cell::Cell,
    fmt,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use super::{executor::Spawner, neighbours::Neighbours};
use crate::{
    accept::{Admission, PerAddress, Total},
    conn::{self, Context, Via},
};

/// Least time between two log lines about refused connections of an address, in milliseconds.
const SAY_EVERY: u64 = 10_000;

/// Admits connections to a worker.
pub(super) struct Door {
    context: Rc<Context>,
    spawner: Spawner,
    limits: SharedLimits,
    neighbours: Neighbours,
    refusals: Refusals,
}

/// What limits the connections of all workers together, if anything does.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedLimits {
    /// How many there are.
    pub(crate) total: Option<Arc<Total>>,
    /// How many each address has.
    pub(crate) per_address: Option<Arc<PerAddress>>,
}

impl Door {
    pub(super) fn new(
        context: &Rc<Context>,
        spawner: &Spawner,
        limits: SharedLimits,
        neighbours: Neighbours,
    ) -> Self {
        Self {
            context: Rc::clone(context),
            spawner: spawner.clone(),
            limits,
            neighbours,
            refusals: Refusals::default(),
        }
    }

    /// Further connections under this worker's own limit.
    fn own_room(&self) -> usize {
        // A connection counts as live once its task has begun.
        let taken = self.context.occupancy.live() + self.spawner.waiting();
        self.context.terms().limits.connections.saturating_sub(taken)
    }

    /// Resets a connection that has no memory of ours yet, so that nothing of it stays in the kernel
    /// either.
    fn refuse(&self, socket: OwnedFd, address: IpAddr, limit: usize) {
        self.context.count(|counts| counts.refused_by_address += 1);
        // Should this fail, the connection ends by FIN.
        let _ = rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
        self.context.ring.close(socket);
        if let Some(refused) = self.refusals.to_be_said(self.context.ring.now()) {
            log::warn!(
                "accept: {refused} connections refused, the last of {address}, which has \
                 {limit} open (--max-connections-per-address)"
            );
        }
    }

    /// Serves a connection that came in by a listener of this kind.
    ///
    /// # Errors
    /// As [`Admission::serve`] has it.
    pub(super) fn serve(&self, socket: OwnedFd, via: Via) -> Result<(), OwnedFd> {
        let context = Rc::clone(&self.context);
        let SharedLimits { total, per_address } = &self.limits;
        let in_all = match total.as_ref().map(Total::admit) {
            Some(None) => return Err(socket),
            place => place.flatten(),
        };
        let mut of_address = None;
        if let Some(table) = per_address {
            let Some(address) = peer(&socket) else {
                // It was reset before it was accepted.
                context.ring.close(socket);
                return Ok(());
            };
            of_address = table.admit(address);
            if of_address.is_none() {
                self.refuse(socket, address, table.limit());
                return Ok(());
            }
        }
        // The tasks own the places: however a task ends, they are free then.
        let (spawner, places) = (self.spawner.clone(), (in_all, of_address));
        if via != Via::Tls {
            self.spawner.spawn(async move {
                if let Some(first) = conn::await_first_bytes(&context, socket).await {
                    spawner.spawn(async move {
                        conn::serve_plain(context, first, via).await;
                        drop(places);
                    });
                }
            });
            return Ok(());
        }
        self.spawner.spawn(async move {
            if let Some(hello) = conn::await_hello(&context, socket).await {
                spawner.spawn(async move {
                    conn::serve(context, hello).await;
                    drop(places);
                });
            }
        });
        Ok(())
    }
}

impl Admission for Rc<Door> {
    fn room(&self) -> usize {
        let own = self.own_room();
        self.limits.total.as_ref().map_or(own, |total| own.min(total.room()))
    }

    fn make_room(&self) -> bool {
        self.context.evict()
    }

    fn close_silent(&self) -> bool {
        self.context.evict_silent()
    }

    fn ask_others(&self, wanted: u32) {
        // Other workers cannot help one that has reached its own limit.
        if self.own_room() > 0 {
            self.neighbours.ask_for_room(wanted);
        }
    }

    fn is_draining(&self) -> bool {
        self.context.is_draining()
    }

    fn serve(&self, socket: OwnedFd) -> Result<(), OwnedFd> {
        Door::serve(self, socket, Via::Tls)
    }

    fn paused(&self) {
        self.context.count(|counts| counts.accept_pauses += 1);
    }

    fn warn(&self, what: &dyn fmt::Display) {
        if self.context.may_tell() {
            log::warn!("{what}");
        }
    }
}

fn peer(socket: &OwnedFd) -> Option<IpAddr> {
    let peer = rustix::net::getpeername(socket).ok().flatten()?;
    // An IPv4 address that came by a listener of both families is that address.
    SocketAddr::try_from(peer).ok().map(|peer| peer.ip().to_canonical())
}

/// Refused connections that were not logged yet, and when the last line was logged.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    unsaid: Cell<u64>,
    said: Cell<Option<u64>>,
}

impl Refusals {
    /// Counts one more. The number to log, if a line is due.
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
    fn refusals_are_logged_now_and_then() {
        let refusals = Refusals::default();
        assert_eq!(refusals.to_be_said(5), Some(1));
        assert_eq!(refusals.to_be_said(6), None);
        assert_eq!(refusals.to_be_said(10_004), None);
        assert_eq!(refusals.to_be_said(10_005), Some(3));
        assert_eq!(refusals.to_be_said(10_006), None);
    }
}
