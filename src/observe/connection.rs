//! The clock of one connection: one line for each step of the journey.

use std::{net::SocketAddr, rc::Rc};

use super::{
    Moved, Observer, Route, Sending, Stage, Taken, Work,
    observer::{LOOK_BACK_EVERY, Noted},
    open_requests::Pending,
    request::OpenRequest,
    slow::Finished,
    stage::REQUEST_STAGES,
};

/// The clock of one connection. Each method is called where the step happens; none waits.
#[derive(Debug)]
pub struct ConnectionClock {
    observer: Rc<Observer>,
    peer: Option<SocketAddr>,
    accepted: u64,
    accept_queue: Option<u64>,
    handshake_cpu: u64,
    handshake: u64,
    resumed: bool,
    /// The end of the handshake or of the last answer.
    since: u64,
    number: u64,
    pending: Pending,
}

impl ConnectionClock {
    /// A connection was accepted, after so many nanoseconds in the accept queue, if that is known.
    pub fn accepted(
        observer: &Rc<Observer>,
        peer: Option<SocketAddr>,
        accept_queue: Option<u64>,
    ) -> Self {
        if let Some(waited) = accept_queue {
            observer.noted.borrow_mut().recorder.record(Stage::AcceptQueue, waited);
        }
        observer.connections.set(observer.connections.get() + 1);
        Self {
            accepted: observer.turn_began(),
            observer: Rc::clone(observer),
            peer,
            accept_queue,
            handshake_cpu: 0,
            handshake: 0,
            resumed: false,
            since: 0,
            number: 0,
            pending: Pending::default(),
        }
    }

    /// The worker's clock, in nanoseconds.
    pub fn now(&self) -> u64 {
        self.observer.now()
    }

    /// A part of the handshake was worked on since `began`; it took and gave so many bytes.
    pub fn handshake_step(&mut self, began: u64, received: usize, sent: usize) {
        if !self.observer.is_enabled() {
            return;
        }
        self.handshake_cpu += self.observer.spend(Work::Stage(Stage::HandshakeCpu), began);
        let ledger = &mut self.observer.noted.borrow_mut().ledger;
        ledger.handshake_received += received as u64;
        ledger.handshake_sent += sent as u64;
    }

    /// The handshake is complete.
    pub fn shaken(&mut self) {
        self.since = self.now();
        self.handshake = self.since.saturating_sub(self.accepted);
    }

    /// The keys are where they belong.
    pub fn handed_over(&mut self, resumed: bool) {
        if !self.observer.is_enabled() {
            return;
        }
        self.resumed = resumed;
        let hand_over = self.observer.spend(Work::Stage(Stage::HandOver), self.since);
        self.since += hand_over;
        let kind = if resumed { Stage::HandshakeResumed } else { Stage::HandshakeFull };
        let recorder = &mut self.observer.noted.borrow_mut().recorder;
        recorder.record(kind, self.handshake);
        recorder.record(Stage::HandshakeCpu, self.handshake_cpu);
        recorder.record(Stage::HandOver, hand_over);
    }

    /// The first bytes of a request are there. They count from the turn of the loop in which the
    /// task got to see them.
    pub fn begin(&mut self) {
        if !self.observer.is_enabled() {
            return;
        }
        self.number += 1;
        let Some(mut request) = self.observer.noted.borrow_mut().open.take() else {
            self.observer.missed();
            return;
        };
        let now = self.observer.now();
        let arrived = self.observer.turn_began().max(self.since).min(now);
        request.begin(arrived, now);
        request.number = self.number;
        // Behind another request that has not been answered there was nothing to wait for.
        let waits = self.pending.is_empty();
        request.first_byte = if waits { arrived.saturating_sub(self.since) } else { 0 };
        (request.requests_before, request.turns_before) = self.observer.progress();
        self.pending.push(request);
    }

    /// The time since the last mark went to `stage`.
    #[inline]
    pub fn mark(&mut self, stage: Stage) {
        if let Some(request) = self.pending.unanswered() {
            let passed = request.mark(stage, self.observer.now());
            if stage == Stage::Decode {
                self.observer.spent(Work::Stage(stage), passed);
            }
        }
    }

    /// The first `length` of these bytes are the request's head, or what there is of it.
    #[inline]
    pub fn head(&mut self, bytes: &[u8], length: usize) {
        if let Some(request) = self.pending.unanswered() {
            request.keep_head(bytes, length, self.observer.logged);
        }
    }

    /// The answer was queued: its status, and what was done with its content.
    pub fn answered(&mut self, status: u16, kernel: bool, moved: Moved) {
        if !self.observer.is_enabled() {
            return;
        }
        let route = self.observer.noted.borrow_mut().ledger.sent(kernel, moved);
        if let Some(request) = self.pending.unanswered() {
            request.answered = true;
            request.status = status;
            request.route = route;
            request.bytes = moved.content();
        }
    }

    /// What is queued is about to leave. Says when; 0 if nothing is.
    pub fn leaving(&mut self) -> u64 {
        let Some(request) = self.pending.youngest() else { return 0 };
        let now = self.observer.now();
        if request.answered {
            let responding = now.saturating_sub(request.marked());
            self.observer.spent(Work::Stage(Stage::Respond), responding);
        }
        now
    }

    /// What was queued has left, as `sending` tells, which begins anew; `taken` is what was read
    /// since.
    pub fn left(&mut self, sending: &mut Sending, taken: Taken) {
        let Some(mut request) = self.pending.take_in_order() else { return };
        let observer = &*self.observer;
        let noted = &mut *observer.noted.borrow_mut();
        noted.ledger.received(taken);
        loop {
            let next = request.before.take();
            if request.answered {
                self.since = self.since.max(self.ended(noted, &mut request, sending));
                noted.open.put_back(request);
            } else {
                self.pending.push(request);
            }
            match next {
                Some(next) => request = next,
                None => break,
            }
        }
        sending.reset();
    }

    /// The answer to a request has left. Says when.
    #[inline]
    fn ended(&self, noted: &mut Noted, request: &mut OpenRequest, sending: &Sending) -> u64 {
        let total = request.settle(sending);
        let ended = request.arrived + total;
        noted.enter(request.first_byte, request.parts(), total);
        if self.observer.count_end().is_multiple_of(LOOK_BACK_EVERY) {
            noted.look_back(ended);
        }
        if noted.log.is_some() || noted.slowest.wants(total) {
            self.tell(noted, request, total, true);
        }
        ended
    }

    /// Tells of a request that has ended those who want to know each.
    #[cold]
    fn tell(&self, noted: &mut Noted, request: &OpenRequest, total: u64, complete: bool) {
        let Noted { log, slowest, .. } = noted;
        let finished = self.finished(request, total, complete);
        if let Some(log) = log {
            log.push(&finished, self.peer.as_ref(), request.logged_head());
        }
        if slowest.wants(total) {
            slowest.keep(finished, request.head(), self.observer.connections.get());
        }
    }

    /// What is told of a request that has ended, `total` nanoseconds after it arrived.
    fn finished(&self, request: &OpenRequest, total: u64, complete: bool) -> Finished {
        let (requests, turns) = self.observer.progress();
        let first = request.number == 1 && complete;
        Finished {
            arrived: request.arrived,
            ended: request.arrived + total,
            parts: *request.parts(),
            total,
            first_byte: request.first_byte,
            accept_queue: self.accept_queue.filter(|_| first),
            handshake: first.then_some(self.handshake),
            status: request.status,
            bytes: request.bytes,
            route: request.route,
            number: request.number,
            resumed: self.resumed,
            complete,
            // Itself not among them.
            beside: (requests - request.requests_before).saturating_sub(1),
            turns: turns - request.turns_before,
        }
    }

    /// What is known of the present request and its connection before its answer leaves: each
    /// stage with its nanoseconds.
    pub fn so_far(&self, mut each: impl FnMut(Stage, u64)) {
        let Some(request) = self.pending.youngest() else { return };
        if request.number == 1 {
            if let Some(waited) = self.accept_queue {
                each(Stage::AcceptQueue, waited);
            }
            let kind = if self.resumed { Stage::HandshakeResumed } else { Stage::HandshakeFull };
            each(kind, self.handshake);
            each(Stage::HandshakeCpu, self.handshake_cpu);
        }
        for (stage, time) in REQUEST_STAGES.into_iter().zip(request.parts()) {
            if *time > 0 {
                each(stage, *time);
            }
        }
    }

    /// The connection is about to be closed. `round_trip` is the kernel's last estimate, `taken`
    /// what was read since the last answer left.
    pub fn closing(&mut self, round_trip: Option<u64>, taken: Taken) {
        if !self.observer.is_enabled() {
            return;
        }
        self.since = self.observer.now();
        let noted = &mut *self.observer.noted.borrow_mut();
        noted.ledger.received(taken);
        if let Some(round_trip) = round_trip {
            noted.recorder.record(Stage::RoundTrip, round_trip);
        }
    }

    /// It is closed.
    pub fn closed(&mut self) {
        if self.observer.is_enabled() {
            let closing = self.observer.now().saturating_sub(self.since);
            self.observer.noted.borrow_mut().recorder.record(Stage::Close, closing);
        }
    }
}

impl Drop for ConnectionClock {
    /// Requests whose answers did not leave completely end with their connection.
    fn drop(&mut self) {
        let observer = Rc::clone(&self.observer);
        observer.connections.set(observer.connections.get() - 1);
        let mut pending = self.pending.take_in_order();
        let noted = &mut *observer.noted.borrow_mut();
        while let Some(mut request) = pending {
            pending = request.before.take();
            let now = observer.now();
            request.mark(if request.answered { Stage::LastWrite } else { Stage::Body }, now);
            observer.count_end();
            self.tell(noted, &request, now.saturating_sub(request.arrived), false);
            noted.open.put_back(request);
        }
    }
}

/// How [`Route`] is told in a log or header: `-` if there was no content.
pub(super) fn route_name(route: Option<Route>) -> &'static str {
    route.map_or("-", Route::name)
}
