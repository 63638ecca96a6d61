//! Whose time a request took: the client's, the network's, this server's, this host's, or that of a
//! server behind it.
//!
//! The invariant: the five parts add up to the request's total, and each has its evidence in what
//! was counted or what the kernel said.

use super::{
    request::Parts,
    stage::{WHOSE, Whose},
};

/// Whose time it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Blame {
    /// It did not send what was awaited, or did not take what was sent.
    Client,
    /// What was sent was not acknowledged yet, though the client had room for it.
    Network,
    /// Ringway worked on it, or on other things before.
    Server,
    /// The worker's thread did not run, although it had something to do.
    Host,
    /// A server of a pool worked on it.
    Upstream,
}

impl Blame {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Client, Self::Network, Self::Server, Self::Host, Self::Upstream];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Network => "network",
            Self::Server => "server",
            Self::Host => "host",
            Self::Upstream => "upstream",
        }
    }
}

/// What the kernel says of how a connection's bytes left (`TCP_INFO`), since the connection began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// Nanoseconds in which there was something to send or to be acknowledged.
    pub busy: u64,
    /// Of these, with the client's receive window shut.
    pub window_shut: u64,
    /// Of these, with nothing left to send because the socket's buffer was too small.
    pub buffer_empty: u64,
    /// Segments sent again.
    pub retransmits: u32,
}

impl Delivery {
    /// What was added since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            busy: self.busy.saturating_sub(earlier.busy),
            window_shut: self.window_shut.saturating_sub(earlier.window_shut),
            buffer_empty: self.buffer_empty.saturating_sub(earlier.buffer_empty),
            retransmits: self.retransmits.saturating_sub(earlier.retransmits),
        }
    }
}

/// A request's total by whose time it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shares {
    /// Nanoseconds, see [`Blame::ALL`].
    pub time: [u64; 5],
    /// What the kernel said while the answer left; None if it was not asked, since the last byte
    /// left soon.
    pub delivery: Option<Delivery>,
}

impl Shares {
    /// Divides the parts of a request. While it lasted, the worker did not run for `lost` nanoseconds
    /// although it had something to do.
    pub(super) fn of(parts: &Parts, lost: u64, delivery: Option<Delivery>) -> Self {
        let mut shares = Self { time: [0; 5], delivery };
        let mut awaited = 0;
        for (whose, time) in WHOSE.into_iter().zip(*parts) {
            match whose {
                Whose::Client => awaited += time,
                Whose::Server => *shares.of_mut(Blame::Server) += time,
                Whose::Upstream => *shares.of_mut(Blame::Upstream) += time,
                Whose::Delivery => shares.divide(time),
            }
        }
        // What is lost was lost in those stages: the server's first, then where bytes were on
        // their way. While the client was awaited, or had shut its window, nothing was lost: the worker
        // could not have done anything. What lies between the arrival of its bytes and the worker's turn
        // is the server's already.
        let mut lost = lost;
        for blame in [Blame::Server, Blame::Network, Blame::Upstream] {
            let part = lost.min(shares.time[blame as usize]);
            *shares.of_mut(blame) -= part;
            *shares.of_mut(Blame::Host) += part;
            lost -= part;
        }
        *shares.of_mut(Blame::Client) += awaited;
        shares
    }

    fn of_mut(&mut self, blame: Blame) -> &mut u64 {
        &mut self.time[blame as usize]
    }

    /// Divides the time until the last byte left as the kernel divides the connection's. What it says
    /// is of the connection since it was last asked, so earlier answers may be in it: these left
    /// soon, with the window open, and add to `busy` alone. Where nothing was on its way, the server had
    /// given the kernel nothing to send.
    fn divide(&mut self, time: u64) {
        let Some(Delivery { busy, window_shut, buffer_empty, .. }) =
            self.delivery.filter(|delivery| delivery.busy > 0)
        else {
            *self.of_mut(Blame::Client) += time;
            return;
        };
        let client = window_shut.min(time);
        let starved = buffer_empty.min(time - client);
        let under_way = busy.saturating_sub(window_shut).saturating_sub(buffer_empty);
        let network = under_way.min(time - client - starved);
        *self.of_mut(Blame::Client) += client;
        *self.of_mut(Blame::Network) += network;
        *self.of_mut(Blame::Server) += time - client - network;
    }

    /// Whose most of it was.
    pub fn blame(&self) -> Blame {
        // Of equal shares the first one counts.
        let mut most = Blame::Client;
        for blame in Blame::ALL {
            if self.time[blame as usize] > self.time[most as usize] {
                most = blame;
            }
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::observe::{Stage, request::place};

    fn parts(times: &[(Stage, u64)]) -> Parts {
        let mut parts = Parts::default();
        for (stage, time) in times {
            parts[place(*stage)] = *time;
        }
        parts
    }

    #[test]
    fn the_party_that_took_most_of_the_time_is_named() {
        let last = |time| [(Stage::Process, 5), (Stage::LastWrite, time)];
        let delivery = |window_shut, buffer_empty, retransmits| {
            Some(Delivery { busy: 1_000, window_shut, buffer_empty, retransmits })
        };
        for (times, lost, delivery, blame) in [
            (&[(Stage::Head, 90), (Stage::Parse, 10)][..], 0, None, Blame::Client),
            (&[(Stage::Process, 90), (Stage::Head, 10)], 0, None, Blame::Server),
            (&[(Stage::Upstream, 50), (Stage::Process, 40)], 0, None, Blame::Upstream),
            (&[(Stage::RunQueue, 90), (Stage::Head, 10)], 80, None, Blame::Host),
            (&[(Stage::RunQueue, 90), (Stage::Head, 10)], 0, None, Blame::Server),
            // A worker that did not run while it had to wait for the client anyway.
            (&[(Stage::RunQueue, 10), (Stage::Head, 90)], 80, None, Blame::Client),
            (&[(Stage::RunQueue, 10), (Stage::Body, 90)], 80, None, Blame::Client),
            (&last(100), 0, None, Blame::Client),
            (&last(1_000), 0, delivery(900, 0, 0), Blame::Client),
            (&last(1_000), 0, delivery(26, 0, 62), Blame::Network),
            (&last(1_000), 0, delivery(26, 800, 0), Blame::Server),
            // Earlier answers on their way are in what the kernel says.
            (&last(500), 0, delivery(400, 0, 0), Blame::Client),
            // For most of its time the kernel had nothing to send.
            (&last(5_000), 0, delivery(600, 0, 0), Blame::Server),
            (&last(5_000), 4_000, delivery(600, 0, 0), Blame::Host),
            // The worker did not run, and could not have done anything.
            (&last(1_000), 900, delivery(900, 0, 0), Blame::Client),
            (&last(1_000), 900, delivery(100, 0, 0), Blame::Host),
        ] {
            let shares = Shares::of(&parts(times), lost, delivery);
            assert_eq!(shares.blame(), blame, "{times:?} {lost} {delivery:?} {shares:?}");
        }
    }

    proptest! {
        #[test]
        fn the_parts_add_up(
            times in any::<[u32; WHOSE.len()]>(), lost in any::<u64>(), asked in any::<bool>(), kernel in any::<[u32; 3]>(),
        ) {
            let parts: Parts = times.map(u64::from);
            let [busy, window_shut, buffer_empty] = kernel.map(u64::from);
            let delivery = asked.then_some(Delivery { busy, window_shut, buffer_empty, retransmits: 0 });
            let shares = Shares::of(&parts, lost, delivery);
            prop_assert_eq!(shares.time.iter().sum::<u64>(), parts.iter().sum::<u64>());
        }
    }
}
