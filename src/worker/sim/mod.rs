//! Whole connections over a scripted ring: a real worker, real clients, and between them a kernel
//! that does what the input says; or the polling backend, which makes its system calls on sockets
//! whose other ends do what the input says.
//!
//! [`play`] reads its input as a program: clients connect, ask, say nonsense, read or do not; the
//! kernel delivers pieces, sends short, fails, completes late or not at all; the clock jumps; the
//! worker drains. When the input is used up the kernel becomes an honest one, and what was promised
//! must come true. The same input always plays the same way: the clock is the script's, flights have
//! one length, and whatever is random has no influence. [`play_polling`] does the same over epoll, as
//! far as clients can bring it about (`sockets.rs`).
//!
//! What is checked, each by a panic:
//! - the worker comes to rest after whatever happens to it (it does not spin);
//! - its bounds are kept;
//! - what a client can decrypt is what it was promised, and a connection is never closed in order
//!   in the middle of an answer;
//! - a client to which nothing happened gets all its answers;
//! - no connection outlives its deadlines;
//! - in the end every slot is free, every buffer home, every socket closed.

#![forbid(unsafe_code)]

mod acts;
mod answers;
mod ending;
mod frames;
mod input;
mod peer;
mod requests;
mod script;
#[cfg(feature = "service")]
mod service;
mod setup;
mod site;
mod sockets;
#[cfg(test)]
mod tests;

use std::{os::fd::OwnedFd, rc::Rc, sync::Arc, time::Duration};

use super::{Command, Inbox, Worker};
use crate::{config::Limits, ring::sim::Reins};
use input::Input;
use peer::Peer;
use script::Script;
use setup::Setup;
use sockets::Sockets;

/// Turns without a pause after which a worker is said to spin.
const PATIENCE: usize = 20_000;

/// Connections of one play.
const MAX_PEERS: usize = 4;

/// Time that may pass in a play before a deadline may have ended what was in order, in
/// milliseconds: the shortest of them that strikes an honest client is two seconds.
const HARMLESS_MS: u64 = 1_900;

/// What a play came to, for tests of the player itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Handshakes that were completed.
    pub handshakes: u64,
    /// Requests that the server took.
    pub requests: u64,
    /// Answers that clients got whole.
    pub answers: usize,
    /// Timeouts that struck.
    pub timed_out: u64,
    /// Milliseconds that passed on the worker's clock.
    pub elapsed: u64,
}

/// Plays an input to its end over a scripted ring.
///
/// # Panics
/// The worker did what it must not do.
pub fn play(input: &[u8]) -> Played {
    play_over::<Script>(input)
}

/// Plays an input to its end over the polling backend.
///
/// # Panics
/// The worker did what it must not do.
pub fn play_polling(input: &[u8]) -> Played {
    play_over::<Sockets>(input)
}

fn play_over<K: Kernel>(input: &[u8]) -> Played {
    let mut input = Input::new(input);
    let mut play = Play::<K>::new(&mut input);
    while play.ended.is_none() && play.act(&mut input).is_some() {
        play.assert_bounds();
    }
    play.end()
}

/// What carries the operations of a play out.
trait Kernel: Sized {
    /// A kernel, and the listener of the worker.
    fn new(setup: &Setup) -> (Self, OwnedFd);

    /// The worker's ring, and what it waits for.
    fn reins(&self) -> &Reins;

    /// Takes what was submitted. Called after every turn, and before any descriptor is opened.
    fn absorb(&mut self);

    /// A client connects.
    fn connect(play: &mut Play<Self>);

    /// Does what there is to do, without failures. `rounds` bounds it.
    fn be_honest(play: &mut Play<Self>, rounds: usize);

    /// The server gets at most `most` bytes of a client.
    fn deliver(play: &mut Play<Self>, of: usize, most: usize, more: bool);

    /// A client gets at most `most` bytes of the server.
    fn take(play: &mut Play<Self>, of: usize, most: usize);

    /// Something fails.
    fn fail(play: &mut Play<Self>, which: u8, how: u8);

    /// One operation goes on, whichever the input says.
    fn complete(play: &mut Play<Self>, input: &mut Input<'_>, detail: u8);

    /// All cancels that are held come too late.
    fn cancel_late(play: &mut Play<Self>);

    /// The worker looks into its inbox.
    fn hear(play: &mut Play<Self>);

    /// Lets the ring know how full the way to a client is.
    fn tell_queue(&self, peer: &Peer);

    /// What the worker left to the kernel is done or cancelled.
    fn settle(play: &mut Play<Self>);
}

struct Play<K> {
    kernel: K,
    worker: Worker,
    limits: Limits,
    inbox: Arc<Inbox>,
    /// The inbox holds a command.
    told: bool,
    peers: Vec<Peer>,
    clients: Arc<rustls::ClientConfig>,
    window: usize,
    /// Connections complete their handshakes before anything else happens to them.
    gentle: bool,
    /// Something happened that excuses refusals and closed connections everywhere.
    excused: bool,
    elapsed: u64,
    /// The worker has ended.
    ended: Option<()>,
}

impl<K: Kernel> Play<K> {
    /// Sets a worker up as the first bytes say.
    fn new(input: &mut Input<'_>) -> Self {
        let setup = Setup::read(input);
        let (kernel, listener) = K::new(&setup);
        let inbox = Arc::new(Inbox::new().expect("an eventfd"));
        let Setup { window, gentle, excused, .. } = setup;
        let (limits, clients) = (setup.config.limits.clone(), Arc::clone(&setup.clients));
        let plan = setup.into_plan(&inbox, listener);
        let worker = Worker::over(Rc::clone(kernel.reins().ring()), plan);
        Self {
            kernel,
            worker,
            limits,
            inbox,
            told: false,
            peers: Vec::new(),
            clients,
            window,
            gentle,
            excused,
            elapsed: 0,
            ended: None,
        }
    }

    /// Turns until the worker would sleep.
    fn run(&mut self) {
        for _ in 0..PATIENCE {
            if self.step() || self.kernel.reins().is_at_rest() {
                return;
            }
        }
        panic!("the worker does not come to rest");
    }

    /// One turn. True if the worker has ended.
    fn step(&mut self) -> bool {
        if self.ended.is_none() {
            self.worker.context.observer.script_clock(self.kernel.reins().now());
            let stepped = self.worker.step().expect("a scripted ring does not fail");
            self.ended = stepped.is_break().then_some(());
        }
        self.kernel.absorb();
        self.ended.is_some()
    }

    fn advance(&mut self, milliseconds: u64) {
        self.kernel.reins().advance(Duration::from_millis(milliseconds));
        self.elapsed += milliseconds;
        self.excused |= self.elapsed > HARMLESS_MS;
    }

    fn tell(&mut self, command: Command) {
        self.inbox.send(command);
        self.told = true;
    }

    fn assert_bounds(&self) {
        let (context, ring) = (&self.worker.context, self.kernel.reins().ring());
        let pool = ring.receive_pool();
        assert!(context.occupancy.live() <= self.limits.connections_of(1), "too many connections");
        assert!(context.occupancy.handshakes() <= self.limits.handshakes, "too many handshakes");
        let most = self.limits.receive_buffers * self.limits.receive_buffer_bytes;
        assert!(pool.aside() <= most, "too much is set aside");
        let (entries, _, _) = context.stores.usage();
        assert!(entries <= self.limits.file_cache_entries, "too many files are known");
    }
}
