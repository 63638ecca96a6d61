//! The clock of one connection: one method for each step of its journey.
//!
//! The invariant: what belongs to one request is in its [`RequestClock`], never here. A connection
//! may serve many requests at a time; each knows its connection, so the order in which they end
//! does not matter.

use std::{
    cell::{Cell, OnceCell, RefCell},
    net::SocketAddr,
    rc::Rc,
};

use super::{
    Delivery, End, Ended, Moved, Observer, Phase, Route, Sending, Stage, Taken, Why, Work,
    give_back, request_clock::RequestClock, slow::Finished, streams::OpenStreams,
};

/// What the peers of a TLS handshake agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreed {
    /// The session of an earlier connection was resumed.
    pub resumed: bool,
    /// The version of TLS, as its specification spells it.
    pub version: &'static str,
    /// The protocol that the connection speaks, as ALPN spells it.
    pub protocol: &'static str,
    /// The group of the key exchange, as the registry of TLS spells it; empty without one.
    pub group: &'static str,
}

impl Agreed {
    /// The version of a connection without TLS.
    const NO_TLS: &'static str = "none";
}

/// What is known of a connection. Shared by its clock and the clocks of its requests.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) observer: Rc<Observer>,
    /// Its number on its worker, from 1.
    id: u64,
    /// Boxed: it is kept for the log alone, and connections are many.
    peer: Option<Box<SocketAddr>>,
    /// The client, and the address that it connected to, as a balancer announced them.
    announced: OnceCell<Box<(SocketAddr, SocketAddr)>>,
    pub(super) accepted: u64,
    pub(super) accept_queue: Option<u64>,
    pub(super) handshake_cpu: Cell<u64>,
    pub(super) handshake: Cell<u64>,
    pub(super) agreed: Cell<Agreed>,
    /// The end of the handshake or of the last answer, in nanoseconds on the worker's clock.
    pub(super) since: Cell<u64>,
    /// When the bytes arrived that were received last, likewise.
    pub(super) received: Cell<u64>,
    /// When the worker came to them, likewise.
    pub(super) reached: Cell<u64>,
    /// What the worker had lost when they arrived, in nanoseconds.
    pub(super) lost_before: Cell<u64>,
    /// Spent opening records since the last request began or went on.
    pub(super) opening: Cell<u64>,
    /// Requests that have begun.
    pub(super) requests: Cell<u64>,
    /// Of them, those that have not ended.
    pub(super) open: Cell<u32>,
    /// Why it ends.
    why: Cell<Option<Why>>,
    /// Where it was when the last of it ended.
    pub(super) phase: Cell<Phase>,
    /// What the kernel said of its delivery when it was last asked.
    delivery: Cell<Delivery>,
    /// Its open streams, over HTTP/2.
    pub(super) streams: RefCell<OpenStreams>,
}

impl Connection {
    /// Its number on its worker, from 1.
    pub(super) fn number(&self) -> u64 {
        self.id
    }

    /// Requests that have ended.
    pub(super) fn ended(&self) -> u64 {
        // A request that is open may not be counted yet.
        self.requests.get().saturating_sub(self.open.get().into())
    }

    /// The client's address, if it is logged.
    pub(super) fn client(&self) -> Option<&SocketAddr> {
        self.announced.get().map(|announced| &announced.0).or(self.peer.as_deref())
    }

    /// Bytes arrived at `arrived`, and the worker came to them `now`.
    #[inline]
    pub(super) fn came(&self, arrived: u64, now: u64) {
        let observer = &self.observer;
        self.received.set(arrived);
        self.reached.set(now);
        // Of what the worker lost before this turn, the bytes waited for its end.
        let waited = observer.turn_began().saturating_sub(arrived);
        self.lost_before.set(observer.lost() - waited.min(observer.lost_in_turn()));
    }

    /// A request's answer left at `ended`.
    pub(super) fn answered(&self, ended: u64) {
        self.since.set(self.since.get().max(ended));
    }

    /// Why it ends. A task that is dropped gives no reason; a worker that stops does that.
    pub(super) fn why(&self) -> Why {
        let dropped =
            || if self.observer.is_ending() { Why::ServerDrain } else { Why::ServerAbandoned };
        self.why.get().unwrap_or_else(dropped)
    }

    /// What of a request is known from its connection; `number` is its place on it.
    pub(super) fn facts(&self, number: u64) -> Finished {
        let first = number <= 1;
        let (handshake, cpu) = (self.handshake.get(), self.handshake_cpu.get());
        Finished {
            accept_queue: self.accept_queue.filter(|_| first),
            handshake: first.then_some(handshake),
            handshake_cpu: first.then_some(cpu),
            number,
            connection: self.id,
            agreed: self.agreed.get(),
            ..Finished::default()
        }
    }

    /// What the kernel says now of its delivery. Returns what was added since it was last asked.
    pub(super) fn delivered(&self, delivery: Delivery) -> Delivery {
        delivery.since(self.delivery.replace(delivery))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let observer = &*self.observer;
        give_back(&observer.connections, 1);
        if !observer.is_enabled() {
            return;
        }
        let end = End { why: self.why(), phase: self.phase.get() };
        let noted = &mut *observer.noted.borrow_mut();
        noted.ends.count(Ended::Connection, end);
        let lasted = observer.now().saturating_sub(self.accepted);
        if end.phase == Phase::Handshake {
            noted.enter_failed_handshake(end, lasted);
        }
        // One that brought no request would else be in no line of the log.
        if self.requests.get() == 0
            && let Some(log) = &mut noted.log
        {
            let ended = self.accepted + lasted;
            let facts = self.facts(0);
            let handshake = facts.handshake.filter(|_| end.phase != Phase::Handshake);
            let finished = Finished {
                arrived: self.accepted,
                ended,
                total: lasted,
                handshake: handshake.or(Some(lasted)),
                end: Some(end),
                ..facts
            };
            log.push(&finished, self.client(), b"");
        }
    }
}

/// The clock of one connection. Each method is called where the step happens; none waits. Times are
/// in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionClock(Rc<Connection>);

impl ConnectionClock {
    /// A connection was accepted, after so many nanoseconds in the accept queue, if that is known.
    pub(crate) fn accepted(
        observer: &Rc<Observer>,
        peer: Option<SocketAddr>,
        accept_queue: Option<u64>,
    ) -> Self {
        if let Some(waited) = accept_queue {
            observer.noted.borrow_mut().recorder.record(Stage::AcceptQueue, waited);
        }
        observer.connections.set(observer.connections.get() + 1);
        Self(Rc::new(Connection {
            observer: Rc::clone(observer),
            id: observer.next_connection(),
            peer: peer.map(Box::new),
            announced: OnceCell::new(),
            accepted: observer.turn_began(),
            accept_queue,
            handshake_cpu: Cell::new(0),
            handshake: Cell::new(0),
            agreed: Cell::default(),
            since: Cell::new(0),
            received: Cell::new(0),
            reached: Cell::new(0),
            lost_before: Cell::new(0),
            opening: Cell::new(0),
            requests: Cell::new(0),
            open: Cell::new(0),
            why: Cell::new(None),
            phase: Cell::new(Phase::Handshake),
            delivery: Cell::default(),
            streams: RefCell::new(OpenStreams::NONE),
        }))
    }

    /// A balancer has announced the client, and the address that it connected to. The first
    /// announcement counts.
    pub(crate) fn announce(&self, client: SocketAddr, local: SocketAddr) {
        self.0.announced.get_or_init(|| Box::new((client, local)));
    }

    /// The client and the address that it connected to, if a balancer announced them.
    pub(crate) fn announced(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.0.announced.get().map(|announced| **announced)
    }

    /// The worker's clock.
    pub(crate) fn now(&self) -> u64 {
        self.0.observer.now()
    }

    /// A part of the handshake was worked on since `began`; it took and gave so many bytes.
    pub(crate) fn handshake_step(&mut self, began: u64, received: usize, sent: usize) {
        let observer = &self.0.observer;
        if !observer.is_enabled() {
            return;
        }
        let spent = observer.spend(Work::Stage(Stage::HandshakeCpu), began);
        self.0.handshake_cpu.set(self.0.handshake_cpu.get() + spent);
        let ledger = &mut observer.noted.borrow_mut().ledger;
        ledger.handshake_received += received as u64;
        ledger.handshake_sent += sent as u64;
    }

    /// The handshake is complete.
    pub(crate) fn shaken(&mut self) {
        let now = self.now();
        self.0.since.set(now);
        self.0.handshake.set(now.saturating_sub(self.0.accepted));
        self.0.phase.set(Phase::Idle);
    }

    /// The first bytes have come on a connection without TLS.
    pub(crate) fn without_tls(&mut self) {
        self.0.since.set(self.now());
        self.0.phase.set(Phase::Idle);
        self.0.agreed.set(Agreed {
            resumed: false,
            version: Agreed::NO_TLS,
            protocol: "http/1.1",
            group: "",
        });
    }

    /// The keys are where they belong.
    pub(crate) fn handed_over(&mut self, agreed: Agreed) {
        let Connection { observer, since, .. } = &*self.0;
        self.0.agreed.set(agreed);
        if !observer.is_enabled() {
            return;
        }
        let hand_over = observer.spend(Work::Stage(Stage::HandOver), since.get());
        since.set(since.get() + hand_over);
        let kind = if agreed.resumed { Stage::HandshakeResumed } else { Stage::HandshakeFull };
        let recorder = &mut observer.noted.borrow_mut().recorder;
        recorder.record(kind, self.0.handshake.get());
        recorder.record(Stage::HandshakeCpu, self.0.handshake_cpu.get());
        recorder.record(Stage::HandOver, hand_over);
    }

    /// What the peers agreed on.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(crate) fn agreed(&self) -> Agreed {
        self.0.agreed.get()
    }

    /// Records that came were opened, in so many nanoseconds.
    #[inline]
    pub(crate) fn opened(&self, nanoseconds: u64) {
        self.0.opening.set(self.0.opening.get() + nanoseconds);
    }

    /// A request of HTTP/1 begins. `fresh`: its first bytes were received in this turn of the loop;
    /// else they came with those of an earlier request, behind which it waited.
    /// `received_ago` asks the kernel how long ago it received data on the connection last; it is
    /// called only if the turn began late.
    #[inline]
    pub(crate) fn begin(
        &self,
        fresh: bool,
        received_ago: impl FnOnce() -> Option<u64>,
    ) -> RequestClock {
        RequestClock::begin(&self.0, 0, fresh, received_ago)
    }

    /// A request of HTTP/2 begins: the first bytes of its HEADERS are there. Otherwise as
    /// [`Self::begin`].
    #[inline]
    pub(crate) fn begin_stream(
        &self,
        stream: u32,
        fresh: bool,
        received_ago: impl FnOnce() -> Option<u64>,
    ) -> RequestClock {
        RequestClock::begin(&self.0, stream, fresh, received_ago)
    }

    /// The answer to a request was queued, as far as it fits: its status, and what was done with its
    /// content.
    pub(crate) fn answered(
        &self,
        request: &mut RequestClock,
        status: u16,
        kernel: bool,
        moved: Moved,
    ) {
        if !self.0.observer.is_enabled() {
            return;
        }
        let ledger = &mut self.0.observer.noted.borrow_mut().ledger;
        let plain = self.0.agreed.get().version == Agreed::NO_TLS;
        let route = match request.content_of_server() {
            Some(before) => {
                let route = match (plain, kernel) {
                    (true, _) => Route::PlainProxied,
                    (false, true) => Route::KernelProxied,
                    (false, false) => Route::UserProxied,
                };
                ledger.sent_proxied(route, moved, before)
            }
            None if plain => ledger.sent_plain(moved),
            None => ledger.sent(kernel, moved),
        };
        if request.endpoint().is_named() {
            ledger.sent_for_application(moved);
        }
        request.note_answer(status, route, moved.content());
    }

    /// What is queued is about to leave, as `sending` notes.
    pub(crate) fn leaving(&self, sending: &mut Sending) {
        if let Some(youngest) = sending.youngest() {
            let now = self.0.observer.now();
            let responding = now.saturating_sub(youngest.entered());
            self.0.observer.spent(Work::Stage(Stage::Respond), responding);
            sending.submitted(now);
        }
    }

    /// What was queued has left; `taken` is what was read since.
    pub(crate) fn left(&self, taken: Taken) {
        if self.0.observer.is_enabled() {
            self.0.observer.noted.borrow_mut().ledger.received(taken);
        }
    }

    /// Why the connection ends. The first reason counts: what follows from it is no other. Requests
    /// that end without their answer after this have the same reason.
    pub(crate) fn ends(&self, why: Why) {
        if self.0.why.get().is_none() {
            self.0.why.set(Some(why));
        }
    }

    /// Why the connection ends, if that has been said.
    pub(crate) fn why(&self) -> Option<Why> {
        self.0.why.get()
    }

    /// The connection is about to be closed. `round_trip` is the kernel's last estimate, `taken`
    /// what was read since the last answer left.
    pub(crate) fn closing(&mut self, round_trip: Option<u64>, taken: Taken) {
        let Connection { observer, since, .. } = &*self.0;
        if !observer.is_enabled() {
            return;
        }
        since.set(observer.now());
        let noted = &mut *observer.noted.borrow_mut();
        noted.ledger.received(taken);
        if let Some(round_trip) = round_trip {
            noted.recorder.record(Stage::RoundTrip, round_trip);
        }
    }

    /// It is closed.
    pub(crate) fn closed(&mut self) {
        let Connection { observer, since, .. } = &*self.0;
        if observer.is_enabled() {
            let closing = observer.now().saturating_sub(since.get());
            observer.noted.borrow_mut().recorder.record(Stage::Close, closing);
        }
    }
}
