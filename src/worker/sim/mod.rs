//! Whole connections over a scripted ring: a real worker, real clients, and between them a kernel
//! that does what the input says.
//!
//! [`play`] reads its input as a program: clients connect, ask, say nonsense, read or do not; the
//! kernel delivers pieces, sends short, fails, completes late or not at all; the clock jumps; the
//! worker drains. When the input is used up the kernel becomes an honest one, and what was promised
//! must come true. The same input always plays the same way: the clock is the script's, flights have
//! one length, and whatever is random has no influence.
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
#[cfg(feature = "service")]
mod service;
mod site;
#[cfg(test)]
mod tests;

use std::{os::fd::OwnedFd, rc::Rc, sync::Arc, time::Duration};

use super::{Command, Inbox, Listener, Plan, SharedLimits, Worker, ring_config};
use crate::{
    accept::Total,
    config::{Config, Limits, Timeouts},
    conn::{KtlsPlan, SitePlan, Via},
    files::Pool,
    ring::{
        Io, RingConfig, RingOptions,
        sim::{Asked, SimKernel, socket_pair},
    },
    tls::SharedConfig,
};
use input::Input;
use peer::{Peer, client_config, identity};

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

/// Plays an input to its end.
///
/// # Panics
/// The worker did what it must not do.
pub fn play(input: &[u8]) -> Played {
    let mut input = Input::new(input);
    let mut play = Play::new(&mut input);
    while play.ended.is_none() && play.act(&mut input).is_some() {
        play.assert_bounds();
    }
    play.end()
}

struct Play {
    kernel: SimKernel,
    worker: Worker,
    limits: Limits,
    inbox: Arc<Inbox>,
    /// The other end of what stands for the listener, which has to stay open.
    _listener: OwnedFd,
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

impl Play {
    /// Sets a worker up as the first bytes say.
    fn new(input: &mut Input<'_>) -> Self {
        let (pools, bounds, client) =
            (input.byte_or_zero(), input.byte_or_zero(), input.byte_or_zero());
        let bit = |byte: u8, bit: u8| (byte >> bit) & 1 == 1;
        let few_operations = bit(bounds, 0);
        let few_connections = bit(bounds, 1);
        let few_handshakes = bit(bounds, 2);
        let few_in_all = bit(bounds, 6);
        let limits = Limits {
            connections: if few_connections { 2 } else { 16 },
            connections_in_all: if few_in_all { 2 } else { 0 },
            handshakes: if few_handshakes { 2 } else { 16 },
            receive_buffers: [2, 4, 8, 16][usize::from(pools & 3)],
            receive_buffer_bytes: [300, 2048, 16 << 10, 17 << 10][usize::from(pools >> 2 & 3)],
            leases_per_connection: [1, 2, 3, 4][usize::from(pools >> 4 & 3)],
            send_memory_bytes: 0,
            head_bytes: 4096,
            body_bytes: 1 << 14,
            requests_per_connection: if bit(bounds, 3) { 3 } else { 1000 },
            file_cache_max_file: if bit(bounds, 4) { 16 << 10 } else { 100 },
            file_cache_entries: if bit(bounds, 5) { 2 } else { 64 },
            ..Limits::default()
        };
        let mut config = Config {
            root: site::folder().clone(),
            limits: limits.clone(),
            timeouts: Timeouts::default(),
            ..Config::default()
        };
        #[cfg(feature = "service")]
        let applications = super::Applied {
            applications: service::mount(&mut config),
            ..super::Applied::default()
        };
        // Its tables cost more than the rest of a short play.
        config.observe.anatomy = bit(client, 5);
        let queues = RingOptions { submissions: 1 + u32::from(pools >> 6) * 5, completions: 256 };
        let ring = RingConfig { queues, ..ring_config(&config, 1, Io::default()) };
        let operations = if few_operations { 12 } else { ring.operations };
        let kernel = SimKernel::new(&RingConfig { operations, ..ring }).expect("memory for pools");
        let inbox = Arc::new(Inbox::new().expect("an eventfd"));
        // Nothing is ever accepted from it but what the kernel of this play brings.
        let (listener, other) = socket_pair().expect("a pair of sockets");
        let sites = Arc::new(SitePlan::open(&config).expect("the folder is there"));
        let plan = Plan {
            #[cfg(feature = "service")]
            applications,
            config: Arc::new(config),
            sites,
            tls: Arc::new(SharedConfig::new(Arc::clone(&identity().server))),
            ktls: KtlsPlan::default(),
            listeners: vec![Listener {
                via: Via::Tls,
                address: ([127, 0, 0, 1], 443).into(),
                wanted: ([127, 0, 0, 1], 443).into(),
                socket: Arc::new(listener),
            }],
            inbox: Arc::clone(&inbox),
            shared: SharedLimits {
                total: Total::new(limits.connections_in_all),
                per_address: None,
            },
            neighbours: Vec::new(),
            io: Io::default(),
            cpu: None,
            log: None,
            spans: None,
            pool: Pool::default(),
            hashing: Pool::default(),
        };
        let worker = Worker::over(Rc::clone(kernel.ring()), plan);
        Self {
            kernel,
            worker,
            limits,
            inbox,
            _listener: other,
            told: false,
            peers: Vec::new(),
            clients: client_config(usize::from(client & 7), bit(client, 6)),
            window: if bit(client, 3) { 1 << 20 } else { 64 << 10 },
            gentle: !bit(client, 4),
            excused: few_operations || few_connections || few_handshakes || few_in_all,
            elapsed: 0,
            ended: None,
        }
    }

    /// Turns until the worker would sleep.
    fn run(&mut self) {
        for _ in 0..PATIENCE {
            if self.step() || self.kernel.is_at_rest() {
                return;
            }
        }
        panic!("the worker does not come to rest");
    }

    /// One turn. True if the worker has ended.
    fn step(&mut self) -> bool {
        if self.ended.is_none() {
            self.worker.context.observer.script_clock(self.kernel.now());
            let stepped = self.worker.step().expect("a scripted ring does not fail");
            self.ended = stepped.is_break().then_some(());
        }
        self.kernel.absorb();
        self.ended.is_some()
    }

    /// Does what an honest kernel would do, until there is nothing to do. `rounds` bounds it.
    fn be_honest(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.run();
            #[cfg(feature = "service")]
            let mut progress = service::wake_late();
            #[cfg(not(feature = "service"))]
            let mut progress = false;
            let mut at = 0;
            while at < self.kernel.held() {
                let held = self.kernel.held();
                let done = self.complete(at, usize::MAX, true);
                progress |= done;
                // What goes on stays where it is, and has done what it can for now.
                at += usize::from(!done || self.kernel.held() == held);
            }
            if !progress {
                return;
            }
        }
    }

    /// Completes an operation as an honest kernel would, with at most `most` bytes. False if it
    /// has to wait.
    fn complete(&mut self, at: usize, most: usize, more: bool) -> bool {
        let Some(asked) = self.kernel.asked(at) else { return false };
        if self.kernel.ends_soon(at) {
            self.kernel.end(at, -libc::ECANCELED);
            return true;
        }
        match asked {
            Asked::Accept => return self.accept(at, more),
            Asked::Receive(of) => return self.receive(at, of, most, more),
            Asked::Send(of) => return self.send(at, of, most),
            Asked::Writable(of) => {
                let queue = self.peers[of].queue();
                if queue.free() * 3 < queue.limit {
                    return false;
                }
                self.kernel.writable(at);
            }
            Asked::Open | Asked::Read => self.kernel.perform(at, most),
            Asked::Inbox if std::mem::take(&mut self.told) => self.kernel.perform(at, most),
            // No site of the simulation has upstream servers, and kernel TLS is off.
            Asked::Inbox | Asked::Connect | Asked::Control(_) => return false,
            Asked::Cancel => self.kernel.cancel(at, true),
        }
        true
    }

    fn accept(&mut self, at: usize, more: bool) -> bool {
        let Some(number) = self.peers.iter().position(|peer| peer.socket.is_some()) else {
            return false;
        };
        if let Some(socket) = self.peers[number].socket.take() {
            self.kernel.accept(at, socket, number, more);
            self.tell_queue(number);
        }
        true
    }

    fn receive(&mut self, at: usize, of: usize, most: usize, more: bool) -> bool {
        let peer = &mut self.peers[of];
        peer.pump();
        let count = most.min(peer.outbound.len());
        if count > 0 {
            let taken = self.kernel.receive(at, &peer.outbound[..count], more);
            peer.outbound.drain(..taken);
        } else if peer.finished && peer.outbound.is_empty() {
            self.kernel.end(at, 0);
        } else {
            return false;
        }
        true
    }

    fn send(&mut self, at: usize, of: usize, most: usize) -> bool {
        let peer = &mut self.peers[of];
        let most = most.min(peer.queue().free());
        if most == 0 {
            return false;
        }
        self.kernel.send(at, most, &mut peer.inbound);
        peer.take(self.excused);
        self.tell_queue(of);
        true
    }

    /// Lets the ring know how full the way to a client is.
    fn tell_queue(&self, of: usize) {
        let peer = &self.peers[of];
        if peer.socket.is_none() && !peer.is_closed() {
            self.kernel.set_send_queue(peer.descriptor, peer.queue());
        }
    }

    fn advance(&mut self, milliseconds: u64) {
        self.kernel.advance(Duration::from_millis(milliseconds));
        self.elapsed += milliseconds;
        self.excused |= self.elapsed > HARMLESS_MS;
    }

    fn tell(&mut self, command: Command) {
        self.inbox.send(command);
        self.told = true;
    }

    fn assert_bounds(&self) {
        let (context, ring) = (&self.worker.context, self.kernel.ring());
        let pool = ring.receive_pool();
        assert!(context.occupancy.live() <= self.limits.connections_of(1), "too many connections");
        assert!(context.occupancy.handshakes() <= self.limits.handshakes, "too many handshakes");
        let most = self.limits.receive_buffers * self.limits.receive_buffer_bytes;
        assert!(pool.aside() <= most, "too much is set aside");
        let (entries, _, _) = context.stores.usage();
        assert!(entries <= self.limits.file_cache_entries, "too many files are known");
    }
}
