//! A pool as one worker has it: its unused connections, and the task that watches them.
//!
//! The invariant: each unused connection has a receive armed, so that its end, or a stray byte, is
//! noticed when it comes. While requests wait in line, no connection stays unused.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    fmt,
    future::poll_fn,
    net::IpAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
};

use super::{balance::mix, connection::Connection, shared::Shared};
use crate::{
    config::{Balance, ForwardedForm, UpstreamAddress},
    observe::{PassedOn, give_back},
    parse::HeadLimits,
    respond::forward::{Forward, Forwarding, PathRule},
    ring::{Received, Ring, TaskId},
};

/// What the pools of a worker share.
pub(super) struct Worker {
    ring: Rc<Ring>,
    /// The task that watches unused connections.
    keeper: Cell<Option<TaskId>>,
    /// Bytes of request content that are held, and of responses.
    pub(super) held: Cell<usize>,
    pub(super) held_responses: Cell<usize>,
    /// Request content that was passed on, and is not in the ledger yet.
    passed_on: Cell<PassedOn>,
    /// Connections that have switched protocols, or ask to; and how many may.
    tunnels: Cell<usize>,
    most_tunnels: usize,
    random: Cell<u64>,
}

/// The pools of a worker.
pub(crate) struct Pools {
    worker: Rc<Worker>,
    pools: RefCell<PoolMap>,
}

/// Pools of a configuration by name.
pub(crate) type PoolMap = BTreeMap<Box<str>, Rc<Pool>>;

/// One of them.
pub(crate) struct Pool {
    worker: Rc<Worker>,
    pub(super) shared: Arc<Shared>,
    /// For each server, the one that was used last at the end.
    unused: RefCell<Box<[VecDeque<Box<Connection>>]>>,
    /// Unused connections that another worker waits for, until nothing is in flight on them.
    lending: RefCell<VecDeque<Box<Connection>>>,
    pub(super) limits: HeadLimits,
    pub(crate) forward: Forward,
    /// When the keeper looks at it next, in milliseconds on the worker's clock.
    due: Cell<u64>,
    /// The keeper is among those that are woken for it.
    kept: Cell<bool>,
    /// Another configuration is in force: its connections end with their exchanges.
    retired: Cell<bool>,
}

/// Bytes that are held, until this is dropped.
pub(super) struct Held {
    pub(super) worker: Rc<Worker>,
    pub(super) of: HeldOf,
    pub(super) bytes: usize,
}

/// What is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldOf {
    Requests,
    Responses,
}

/// The place of a connection that switches protocols, until this is dropped.
pub(super) struct Tunnel {
    worker: Rc<Worker>,
    shared: Arc<Shared>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        give_back(&self.worker.tunnels, 1);
        self.shared.counts.tunnels.fetch_sub(1, Relaxed);
    }
}

impl Pools {
    /// The pools of the worker of this ring; none yet. Of its connections `most_tunnels` may switch
    /// protocols at a time.
    pub(crate) fn new(ring: &Rc<Ring>, most_tunnels: usize) -> Self {
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8);
        let worker = Rc::new(Worker {
            ring: Rc::clone(ring),
            keeper: Cell::new(None),
            held: Cell::new(0),
            held_responses: Cell::new(0),
            passed_on: Cell::default(),
            tunnels: Cell::new(0),
            most_tunnels,
            random: Cell::new(seed),
        });
        Self { pools: RefCell::default(), worker }
    }

    /// The pools of another configuration. What they share with the present ones stays, connections
    /// included.
    pub(crate) fn prepare(&self, shared: &[Arc<Shared>]) -> PoolMap {
        let present = self.pools.borrow();
        let pools = shared.iter().map(|shared| {
            let same = present.get(&shared.name).filter(|pool| Arc::ptr_eq(&pool.shared, shared));
            let pool = same.map_or_else(|| Rc::new(Pool::new(&self.worker, shared)), Rc::clone);
            (shared.name.clone(), pool)
        });
        pools.collect()
    }

    /// These are the pools from here on. Those that are left out end with their exchanges.
    pub(crate) fn switch(&self, next: PoolMap) {
        let before = self.pools.replace(next);
        let pools = self.pools.borrow();
        for (name, pool) in &before {
            if !pools.get(name).is_some_and(|next| Rc::ptr_eq(next, pool)) {
                pool.retired.set(true);
                pool.close_unused();
            }
        }
        if let Some(keeper) = self.worker.keeper.get() {
            self.worker.ring.wake(keeper);
        }
    }

    /// Watches unused connections until `is_over`, then closes them.
    pub(crate) async fn keep(self: Rc<Self>, is_over: impl Fn() -> bool) {
        let ring = Rc::clone(&self.worker.ring);
        self.worker.keeper.set(Some(ring.current()));
        poll_fn(|_| {
            let pools = self.pools.borrow();
            for pool in pools.values().filter(|pool| !pool.kept.replace(true)) {
                pool.shared.add_keeper(ring.waker());
            }
            if is_over() {
                self.worker.keeper.set(None);
                pools.values().for_each(|pool| pool.close_unused());
                return Poll::Ready(());
            }
            let next = pools.values().filter_map(|pool| pool.tend()).min();
            if let Some(at) = next {
                // Due next turn at the earliest: what was due now has been closed.
                let _ = ring.poll_until(at.max(ring.now() + 1));
            }
            Poll::Pending
        })
        .await;
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.pools.borrow().keys()).finish()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl Pool {
    fn new(worker: &Rc<Worker>, shared: &Arc<Shared>) -> Self {
        let options = &shared.options;
        // The check of the configuration lets no pool through without a server.
        let default_host = match &shared.servers()[0].address {
            UpstreamAddress::Tls(host, 443) => host.clone(),
            UpstreamAddress::Tcp(host, port) | UpstreamAddress::Tls(host, port) => {
                format!("{host}:{port}")
            }
            UpstreamAddress::Unix(_) => "localhost".to_owned(),
        };
        let forward = Forward {
            path: PathRule { as_sent: options.path_as_sent, ..PathRule::default() },
            host: options.host.as_ref().map(|host| host.as_bytes().into()),
            default_host: default_host.into_bytes().into(),
            keeps_underscores: options.underscores,
            forwarding: match options.forwarded {
                ForwardedForm::XForwarded => Forwarding::XForwarded,
                ForwardedForm::Forwarded => Forwarding::Standard,
            },
            pseudonym: shared.pseudonym.clone(),
        };
        let unused = shared.servers().iter().map(|_| VecDeque::new());
        Self {
            worker: Rc::clone(worker),
            unused: RefCell::new(unused.collect()),
            lending: RefCell::default(),
            limits: HeadLimits {
                max_head_bytes: options.head_bytes,
                max_fields: options.head_fields,
                max_target_bytes: options.head_bytes,
            },
            forward,
            due: Cell::new(u64::MAX),
            kept: Cell::new(false),
            retired: Cell::new(false),
            shared: Arc::clone(shared),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    /// Whether the forwarding fields of this peer are believed.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.shared.options.trusted.iter().any(|network| network.contains(peer))
    }

    /// Whether a request may switch to this protocol.
    pub(crate) fn allows_switch(&self, protocol: &str) -> bool {
        self.shared.options.upgrade.iter().any(|allowed| allowed == protocol)
    }

    /// A place for a connection that switches protocols, if there is one: such connections last, and
    /// leave room for others.
    pub(super) fn open_tunnel(&self) -> Option<Tunnel> {
        let (worker, counts) = (&self.worker, &self.shared.counts);
        let most = u64::from(self.shared.options.tunnels);
        let more = |open: u64| (open < most).then_some(open + 1);
        if worker.tunnels.get() >= worker.most_tunnels
            || counts.tunnels.fetch_update(Relaxed, Relaxed, more).is_err()
        {
            counts.tunnels_refused.fetch_add(1, Relaxed);
            return None;
        }
        worker.tunnels.set(worker.tunnels.get() + 1);
        Some(Tunnel { worker: Rc::clone(worker), shared: Arc::clone(&self.shared) })
    }

    /// Whether connections begin with a header that names their client.
    pub(crate) fn sends_proxy(&self) -> bool {
        self.shared.options.send_proxy
    }

    /// Whether clients get the reason why a server did not answer.
    pub(crate) fn tells_reasons(&self) -> bool {
        self.shared.options.proxy_status
    }

    /// Field lines were dropped for a `_` in their names.
    pub(crate) fn count_underscores(&self, lines: u32) {
        self.shared.counts.underscores.fetch_add(u64::from(lines), Relaxed);
    }

    /// What a pool that hashes goes by, for a request from this peer to this target.
    pub(crate) fn key(&self, peer: IpAddr, target: &[u8]) -> u64 {
        match self.shared.options.balance {
            Balance::HashClient => match peer {
                IpAddr::V4(address) => mix(u64::from(u32::from(address))),
                // By its network: a host has many addresses of one.
                IpAddr::V6(address) => mix((u128::from(address) >> 64) as u64),
            },
            Balance::HashPath => {
                let path = target.split(|&byte| byte == b'?').next().unwrap_or(target);
                path.iter().fold(0, |hash, &byte| mix(hash ^ u64::from(byte)))
            }
            Balance::Least | Balance::Ewma | Balance::RoundRobin => 0,
        }
    }

    pub(super) fn ring(&self) -> &Rc<Ring> {
        &self.worker.ring
    }

    /// A number that nobody can foresee.
    pub(crate) fn random(&self) -> u64 {
        let next = mix(self.worker.random.get());
        self.worker.random.set(next);
        next
    }

    /// Counts bytes that are held, if the worker may hold so many.
    pub(super) fn hold(&self, of: HeldOf, bytes: usize) -> Option<Held> {
        let mut held = Held { worker: Rc::clone(&self.worker), of, bytes: 0 };
        held.grow(bytes).then_some(held)
    }

    /// Notes request content that is passed on, for the ledger.
    pub(super) fn note_passed_on(&self, more: PassedOn) {
        let mut passed_on = self.worker.passed_on.get();
        passed_on.add(more);
        self.worker.passed_on.set(passed_on);
    }

    /// What the pools of this worker have noted since this was last called.
    pub(crate) fn take_passed_on(&self) -> PassedOn {
        self.worker.passed_on.take()
    }

    /// An unused connection to a server, the one that was used last, if it was unused for less than
    /// `most` milliseconds.
    pub(super) fn take_unused(&self, server: usize, most: u64) -> Option<Box<Connection>> {
        let now = self.ring().now();
        loop {
            let mut unused = self.unused.borrow_mut();
            let queue = unused.get_mut(server)?;
            let last = queue.back()?;
            if now.saturating_sub(last.unused_since) >= most {
                return None;
            }
            let mut connection = queue.pop_back()?;
            drop(unused);
            self.shared.note_unused(server, false);
            match connection.poll_unused_here() {
                Poll::Pending if self.is_used_up(&connection, now) => {}
                Poll::Pending => return Some(connection),
                Poll::Ready(what) => self.ended(&connection, &what, now),
            }
        }
    }

    /// Whether a connection has had all its exchanges, or lives for as long as it may. Each lives a little
    /// longer or shorter, so that they do not all end at once.
    fn is_used_up(&self, connection: &Connection, now: u64) -> bool {
        let options = &self.shared.options;
        let lifetime = options.lifetime.as_millis() as u64;
        let spread = (connection.server() as u64 * 7919 % 100) * lifetime / 500;
        let lifetime = lifetime - lifetime / 10 + spread;
        connection.exchanges >= options.exchanges || connection.age(now) >= lifetime
    }

    /// Takes back a connection after an ordinary exchange: for the head of the line, or to be kept.
    /// Nothing is in flight on it.
    pub(super) fn give_back(&self, mut connection: Box<Connection>) {
        let options = &self.shared.options;
        let now = self.ring().now();
        connection.exchanges += 1;
        connection.unused_since = now;
        let server = connection.server();
        let used_up = self.is_used_up(&connection, now);
        // Its request said that it ends: the server closes it, and no request in the line gets it.
        let ends = options.keep == 0 || options.keep_idle.is_zero();
        let Some(keeper) = self.worker.keeper.get().filter(|_| !used_up && !ends) else { return };
        if self.shared.is_waited_for() {
            if !connection.is_at_rest() {
                // It was read ahead: what is armed ends first.
                self.lending.borrow_mut().push_back(connection);
                self.ring().wake(keeper);
                return;
            }
            let Some(parcel) = connection.into_parcel() else { return };
            let Some(parcel) = self.shared.offer(parcel) else { return };
            connection = Connection::from_parcel(self.ring(), parcel);
        }
        let most = self.shared.keep_idle(server, connection.stated);
        if self.retired.get() || most == 0 {
            return;
        }
        connection.read_ahead();
        match connection.poll_unused(keeper) {
            Poll::Pending => {}
            Poll::Ready(what) => return self.ended(&connection, &what, now),
        }
        let oldest = {
            let mut unused = self.unused.borrow_mut();
            let Some(queue) = unused.get_mut(server) else { return };
            queue.push_back(connection);
            self.shared.note_unused(server, true);
            let oldest = (queue.len() > options.keep).then(|| queue.pop_front()).flatten();
            // The keeper sleeps until the first is due.
            if now.saturating_add(most) < self.due.get() || self.shared.is_waited_for() {
                self.ring().wake(keeper);
            }
            oldest
        };
        if oldest.is_some() {
            self.shared.note_unused(server, false);
        }
    }

    /// Something came on an unused connection.
    fn ended(&self, connection: &Connection, what: &Received, now: u64) {
        let server = connection.server();
        match what {
            Received::End | Received::Failed(_) => {
                let age = now.saturating_sub(connection.unused_since);
                self.shared.closed_unused(server, age);
            }
            Received::Data(_) => {
                if self.shared.counts.desync.fetch_add(1, Relaxed).is_multiple_of(1024) {
                    let name = &self.shared.name;
                    log::warn!("pool {name}: a server sends bytes that nobody asked for (desync)");
                }
            }
        }
    }

    /// Closes what has ended or is too old, hands on what others wait for. When it is to be called
    /// again at the latest.
    fn tend(&self) -> Option<u64> {
        let keeper = self.worker.keeper.get()?;
        let now = self.ring().now();
        let mut next = None;
        let mut gone = Vec::new();
        for (server, queue) in self.unused.borrow_mut().iter_mut().enumerate() {
            let wanted = self.shared.is_waited_for();
            let mut kept = VecDeque::with_capacity(queue.len());
            for mut connection in queue.drain(..) {
                let most = self.shared.keep_idle(server, connection.stated);
                let due = connection.unused_since.saturating_add(most);
                match connection.poll_unused(keeper) {
                    Poll::Ready(what) => {
                        self.ended(&connection, &what, now);
                        gone.push((server, connection));
                    }
                    Poll::Pending if now >= due => gone.push((server, connection)),
                    Poll::Pending if wanted => {
                        self.shared.note_unused(server, false);
                        self.lending.borrow_mut().push_back(connection);
                    }
                    Poll::Pending => {
                        next = Some(next.map_or(due, |next: u64| next.min(due)));
                        kept.push_back(connection);
                    }
                }
            }
            *queue = kept;
        }
        for (server, connection) in gone {
            self.shared.note_unused(server, false);
            drop(connection);
        }
        self.lend();
        self.due.set(next.unwrap_or(u64::MAX));
        next
    }

    /// Hands on connections once nothing is in flight on them.
    fn lend(&self) {
        let lending = std::mem::take(&mut *self.lending.borrow_mut());
        let mut back = Vec::new();
        for mut connection in lending {
            match connection.poll_disarm() {
                Poll::Pending => self.lending.borrow_mut().push_back(connection),
                // Bytes or an end came: it cannot be used again.
                Poll::Ready(false) => {}
                Poll::Ready(true) => {
                    let parcel = connection.into_parcel();
                    back.extend(parcel.and_then(|parcel| self.shared.offer(parcel)));
                }
            }
        }
        for parcel in back {
            // Nobody waits any more.
            self.put_back(Connection::from_parcel(self.ring(), parcel));
        }
    }

    /// Keeps a connection that nobody wanted after all.
    fn put_back(&self, mut connection: Box<Connection>) {
        let Some(keeper) = self.worker.keeper.get() else { return };
        let server = connection.server();
        connection.read_ahead();
        if connection.poll_unused(keeper).is_ready() {
            return;
        }
        if let Some(queue) = self.unused.borrow_mut().get_mut(server) {
            self.shared.note_unused(server, true);
            queue.push_front(connection);
        }
        self.ring().wake(keeper);
    }

    fn close_unused(&self) {
        for (server, queue) in self.unused.borrow_mut().iter_mut().enumerate() {
            for connection in queue.drain(..) {
                self.shared.note_unused(server, false);
                drop(connection);
            }
        }
        self.lending.borrow_mut().clear();
    }
}
