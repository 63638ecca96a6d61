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
    accept::{AddressPlace, Admission, PerAddress, Total, TotalPlace},
    config::ProxyProtocol,
    conn::{self, Accepted, Context, Via},
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

    /// A connection of this address is refused.
    fn refused(&self, address: IpAddr, limit: usize) {
        self.context.count(|counts| counts.refused_by_address += 1);
        if let Some(refused) = self.refusals.to_be_said(self.context.ring.now()) {
            log::warn!(
                "accept: {refused} connections refused, the last of {address}, which has \
                 {limit} open (--max-connections-per-address)"
            );
        }
    }

    /// A place among the connections of an address, where these are limited.
    ///
    /// # Errors
    /// The address has as many as it may have, which is counted.
    fn place_of(&self, address: IpAddr) -> Result<Option<AddressPlace>, Refused> {
        let Some(table) = &self.limits.per_address else { return Ok(None) };
        let place = table.admit(address);
        if place.is_none() {
            self.refused(address, table.limit());
            return Err(Refused);
        }
        Ok(place)
    }

    /// Serves a connection that came in by a listener of this kind, which is `wanted` in the
    /// configuration.
    ///
    /// # Errors
    /// As [`Admission::serve`] has it.
    pub(super) fn serve(
        self: &Rc<Self>,
        socket: OwnedFd,
        via: Via,
        wanted: Option<&SocketAddr>,
    ) -> Result<(), OwnedFd> {
        let context = Rc::clone(&self.context);
        let in_all = match self.limits.total.as_ref().map(Total::admit) {
            Some(None) => return Err(socket),
            place => place.flatten(),
        };
        let terms = context.terms();
        let announces =
            wanted.and_then(|wanted| ProxyProtocol::of_listener(&terms.proxy_protocol, wanted));
        let mut of_address = None;
        if announces.is_some() || self.limits.per_address.is_some() {
            let Some(address) = peer(&socket) else {
                // It was reset before it was accepted.
                context.ring.close(socket);
                return Ok(());
            };
            if announces.is_some_and(|setting| setting.trusts(address)) {
                self.serve_announced(socket, via, in_all);
                return Ok(());
            }
            let Ok(place) = self.place_of(address) else {
                // By a reset, as it has no memory of ours yet, so that nothing of it stays in the
                // kernel either. Should that fail, the connection ends by FIN.
                let _ = rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
                context.ring.close(socket);
                return Ok(());
            };
            of_address = place;
        }
        let places = (in_all, of_address);
        self.go_on(move |context| Accepted::new(context, socket), via, places);
        Ok(())
    }

    /// Serves a connection whose balancer has to announce the client first: the limit of addresses
    /// holds for that client.
    fn serve_announced(self: &Rc<Self>, socket: OwnedFd, via: Via, in_all: Option<TotalPlace>) {
        let door = Rc::clone(self);
        self.spawner.spawn(async move {
            let accepted = Accepted::new(&door.context, socket);
            let announced = conn::await_announcement(&door.context, accepted).await;
            let Some(accepted) = announced else { return };
            let Some(client) = accepted.client() else { return };
            let Ok(of_address) = door.place_of(client) else { return accepted.refuse() };
            door.go_on(move |_| accepted, via, (in_all, of_address));
        });
    }

    /// Waits for what a connection sends first, by a task; another one then serves it. The tasks own
    /// the places: however a task ends, they are free then.
    fn go_on(
        &self,
        accepted: impl FnOnce(&Context) -> Accepted + 'static,
        via: Via,
        places: Places,
    ) {
        let (context, spawner) = (Rc::clone(&self.context), self.spawner.clone());
        if via == Via::Tls {
            self.spawner.spawn(async move {
                if let Some(hello) = conn::await_hello(&context, accepted(&context)).await {
                    spawner.spawn(conn::serve(context, hello, places));
                }
            });
            return;
        }
        self.spawner.spawn(async move {
            if let Some(first) = conn::await_first_bytes(&context, accepted(&context)).await {
                spawner.spawn(conn::serve_plain(context, first, via, places));
            }
        });
    }
}

/// The address has as many connections as it may have.
#[derive(Debug)]
struct Refused;

/// Places among all connections, and among those of an address.
type Places = (Option<TotalPlace>, Option<AddressPlace>);

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
        Door::serve(self, socket, Via::Tls, None)
    }

    fn paused(&self) {
        self.context.count(|counts| counts.accept_pauses += 1);
    }

    fn warn(&self, what: &dyn fmt::Display) {
        if self.context.may_log() {
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
