//! The clock of one request, held by whatever serves the exchange: the loop of HTTP/1, a stream of
//! HTTP/2.
//!
//! The invariant: every request that began ends exactly once. It ends when the batch with its last
//! byte has left ([`Sending::carries`](super::Sending::carries)), or when its clock is dropped.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use super::{
    End, Ended, Endpoint, FromServer, LayerTimes, Passed, Phase, Route, Sending, Shares, Stage,
    Why, Work,
    connection::Connection,
    give_back,
    observer::{LOOK_BACK_EVERY, Noted},
    request::{OpenRequest, Particulars},
    slow::{Class, Finished},
    stage::REQUEST_STAGES,
    streams::{NO_PLACE, Siblings, StreamNow},
};

/// The clock of one request; empty if requests are not observed, if too many are open, or once a
/// batch carries it. One word; its state is in the worker's store, so that beginning allocates
/// nothing.
#[derive(Debug, Default)]
pub(crate) struct RequestClock(Option<Box<OpenRequest>>);

impl RequestClock {
    #[inline]
    pub(super) fn begin(
        connection: &Rc<Connection>,
        stream: u32,
        fresh: bool,
        received_ago: impl FnOnce() -> Option<u64>,
    ) -> Self {
        let observer = &*connection.observer;
        if !observer.is_enabled() {
            return Self(None);
        }
        let number = connection.requests.get() + 1;
        connection.requests.set(number);
        let Some(mut request) = observer.noted.borrow_mut().open.take() else {
            observer.missed();
            return Self(None);
        };
        // Where records were opened the clock was read, at the end of that.
        let opened = connection.opening.get() > 0;
        let now = if opened { observer.just_now() } else { observer.now() };
        let since = connection.since.get();
        let turn = if fresh {
            let arrived = observer.arrival(received_ago).max(since).min(now);
            connection.came(arrived, now);
            request.begin(arrived, now);
            request.opened(connection.opening.take());
            arrived
        } else {
            // It waited for the worker until that came to the bytes, and then for the requests before it.
            let arrived = connection.received.get().min(now);
            request.begin_behind(arrived, connection.reached.get(), now);
            arrived
        };
        request.lost_before = connection.lost_before.get();
        // Beside a request that has not been answered there was nothing to wait for.
        let open = connection.open.get();
        request.first_byte = if open == 0 { turn.saturating_sub(since) } else { 0 };
        connection.open.set(open + 1);
        (request.number, request.stream) = (number, stream);
        request.siblings_before = connection.ended();
        (request.requests_before, request.turns_before) = observer.progress();
        connection.phase.set(Phase::Idle);
        request.connection = Some(Rc::clone(connection));
        Self(Some(request))
    }

    /// From now on time belongs to `stage`; what passed until now, to the stage that was entered
    /// before. A request begins in [`Stage::Parse`].
    #[inline]
    pub(crate) fn enter(&mut self, stage: Stage) {
        let Some(request) = &mut self.0 else { return };
        let Some(connection) = &request.connection else { return };
        let observer = &connection.observer;
        let now = observer.now();
        let passed = now.saturating_sub(request.entered());
        // Each request leaves these two, for what is no wait if it is one of most.
        match request.stage() {
            Stage::Parse if !stage.is_apart() => {
                observer.spent(Work::Stage(Stage::Parse), passed);
                request.leave(Stage::Parse, passed, stage);
            }
            Stage::Decode if !stage.is_apart() => {
                observer.spent(Work::Stage(Stage::Decode), passed);
                request.leave(Stage::Decode, passed, stage);
            }
            left => leaves_seldom(request, left, passed, stage),
        }
        if request.place != NO_PLACE {
            request.notes_stage(now);
        }
    }

    /// The request takes this place among the open streams of its connection. Until its answer has been
    /// gathered, [`flows`](Self::flows) notes how it goes on.
    pub(crate) fn stays(&mut self, place: u16) {
        let Some(request) = &mut self.0 else { return };
        let Some(connection) = &request.connection else { return };
        request.place = place;
        let stream = StreamNow {
            stream: request.stream,
            window: 0,
            bytes: 0,
            arrived: request.arrived,
            entered: request.entered(),
            stage: request.stage(),
        };
        connection.observer.multiplexing.opens(connection, place, stream);
    }

    /// Of its answer so many bytes of content have been gathered, and its own window and its
    /// connection's allow so many more.
    #[inline]
    pub(crate) fn flows(&self, bytes: u64, own: u32, connections: u32) {
        let Some(request) = self.0.as_ref().filter(|request| request.place != NO_PLACE) else {
            return;
        };
        if let Some(connection) = &request.connection {
            let mut streams = connection.streams.borrow_mut();
            streams.note(request.place, |noted| (noted.bytes, noted.window) = (bytes, own));
            streams.set_window(connections);
        }
    }

    /// A wait for bytes of the client ends, and `stage` begins. What lies between their arrival and
    /// now was the worker's time. `received_ago` as for
    /// [`begin`](super::ConnectionClock::begin).
    #[inline]
    pub(crate) fn resumes(&mut self, stage: Stage, received_ago: impl FnOnce() -> Option<u64>) {
        let Some(request) = &mut self.0 else { return };
        let Some(connection) = &request.connection else { return };
        let (now, arrived) = (connection.observer.now(), connection.observer.arrival(received_ago));
        connection.came(arrived.min(now), now);
        let opening = connection.opening.take();
        // `arrival` has asked how late the turn began.
        let (lost, in_turn) = (connection.observer.lost(), connection.observer.lost_in_turn());
        request.waits_apart(request.stage(), lost, in_turn);
        request.enter(Stage::RunQueue, arrived.min(now));
        request.enter(stage, now);
        request.opened(opening);
    }

    /// The first `length` of these bytes are the request's head, or what there is of it. The first
    /// call with bytes counts.
    #[inline]
    pub(crate) fn head(&mut self, bytes: &[u8], length: usize) {
        if let Some(request) = &mut self.0 {
            let logged = request.connection.as_ref().map_or(0, |of| of.observer.logged);
            request.keep_head(bytes, length, logged);
        }
    }

    /// What the request asks for, where there is no head in the form of HTTP/1. `fields`, names with
    /// their colons and values, are called for only if they are logged.
    pub(crate) fn asked<'f, const N: usize>(
        &mut self,
        method: &[u8],
        target: &[u8],
        fields: impl FnOnce() -> [(&'static [u8], &'f [u8]); N],
    ) {
        if let Some(request) = &mut self.0 {
            let logged = request.connection.as_ref().map_or(0, |of| of.observer.logged);
            request.keep_asked([method, target], logged);
            if logged > 0 {
                request.keep_fields(&fields(), logged);
            }
        }
    }

    /// A proxy in front names this client.
    pub(crate) fn comes_from(&mut self, client: IpAddr) {
        if let Some(request) = &mut self.0 {
            request.particulars_mut().client = Some(client);
        }
    }

    /// Why the request is refused, in the stage that it is in. The first reason counts.
    pub(crate) fn refused(&mut self, why: Why) {
        if let Some(request) = &mut self.0 {
            request.ends(why);
        }
    }

    /// An endpoint of an application answers.
    #[inline]
    pub(crate) fn of(&mut self, endpoint: Endpoint) {
        if let Some(request) = &mut self.0 {
            request.particulars_mut().endpoint = endpoint;
        }
    }

    /// What was done with the content that a server of a pool answered with, before it was sent; None: the
    /// answer is not a server's.
    pub(super) fn content_of_server(&self) -> Option<FromServer> {
        let passed = self.0.as_ref()?.has_particulars()?.passed;
        passed.answered.then_some(passed.content)
    }

    /// It was passed on to a server of a pool.
    #[inline]
    pub(crate) fn passed(&mut self, passed: Passed) {
        if let Some(request) = &mut self.0 {
            request.particulars_mut().passed = passed;
        }
    }

    /// The layers of the application have taken so much until now.
    #[inline]
    pub(crate) fn layers(&mut self, layers: &LayerTimes) {
        if let Some(request) = &mut self.0
            && !layers.is_empty()
        {
            request.particulars_mut().layers = *layers;
        }
    }

    /// So many nanoseconds until now went into compressing its answer, as a part of the stages that it
    /// was in.
    #[inline]
    pub(crate) fn compressed(&mut self, nanoseconds: u64) {
        if nanoseconds == 0 {
            return;
        }
        let Some(request) = &mut self.0 else { return };
        let Some(connection) = &request.connection else { return };
        let now = connection.observer.now();
        request.compressed(nanoseconds, now);
    }

    /// The own times of the application's layers.
    pub(super) fn layer_times(&self) -> LayerTimes {
        self.0.as_ref().map_or_else(LayerTimes::default, |request| request.particulars().layers)
    }

    /// The endpoint of an application that answers.
    pub(super) fn endpoint(&self) -> Endpoint {
        self.0.as_ref().map_or(Endpoint::UNNAMED, |request| request.particulars().endpoint)
    }

    #[inline]
    pub(super) fn note_answer(&mut self, status: u16, route: Option<Route>, bytes: u64) {
        if let Some(request) = &mut self.0 {
            (request.status, request.route, request.bytes) = (status, route, bytes);
        }
    }

    /// What is known of the request and its connection before its answer leaves: each stage with
    /// its nanoseconds.
    pub(crate) fn so_far(&self, mut each: impl FnMut(Stage, u64)) {
        let Some(request) = &self.0 else { return };
        let Some(connection) = &request.connection else { return };
        if request.number == 1 {
            if let Some(waited) = connection.accept_queue {
                each(Stage::AcceptQueue, waited);
            }
            let resumed = connection.agreed.get().resumed;
            let kind = if resumed { Stage::HandshakeResumed } else { Stage::HandshakeFull };
            each(kind, connection.handshake.get());
            each(Stage::HandshakeCpu, connection.handshake_cpu.get());
        }
        for (stage, time) in REQUEST_STAGES.into_iter().zip(request.parts()) {
            if *time > 0 {
                each(stage, *time);
            }
        }
    }

    /// The request ends without its answer, for a reason of its own.
    pub(crate) fn abandon(mut self, why: Why) {
        self.refused(why);
    }

    /// What a batch carries from here on.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Box<OpenRequest>> {
        let mut request = self.0.take()?;
        leaves_its_place(&mut request);
        Some(request)
    }
}

impl Drop for RequestClock {
    #[inline]
    fn drop(&mut self) {
        if let Some(request) = self.0.take() {
            abandoned(request, None);
        }
    }
}

/// A request leaves a stage that few pass, or begins a wait: see [`RequestClock::enter`].
#[inline(never)]
fn leaves_seldom(request: &mut OpenRequest, left: Stage, passed: u64, stage: Stage) {
    let Some(connection) = &request.connection else { return };
    let observer = &connection.observer;
    if matches!(left, Stage::Parse | Stage::Decode) {
        observer.spent(Work::Stage(left), passed);
    }
    if left.is_apart() || stage.is_apart() {
        let (lost, in_turn) = (observer.lost(), observer.lost_in_turn());
        request.waits_apart(left, lost, in_turn);
    }
    request.leave(left, passed, stage);
}

/// The request is no longer among the open streams of its connection.
#[inline]
fn leaves_its_place(request: &mut OpenRequest) {
    if request.place != NO_PLACE
        && let Some(connection) = &request.connection
    {
        connection.observer.multiplexing.closes(connection, request.place);
        request.place = NO_PLACE;
    }
}

/// The answer to a request has left, as `sending` noted.
#[inline]
pub(super) fn left(mut request: Box<OpenRequest>, sending: &Sending) {
    let Some(connection) = request.connection.take() else { return };
    let observer = &*connection.observer;
    let total = request.settle(sending);
    let ended = request.arrived + total;
    connection.answered(ended);
    give_back(&connection.open, 1);
    let noted = &mut *observer.noted.borrow_mut();
    noted.enter(&request, total);
    noted.statuses.count(request.status);
    if observer.count_end().is_multiple_of(LOOK_BACK_EVERY) {
        noted.look_back(ended);
    }
    let refused = request.has_particulars().and_then(|particulars| particulars.end);
    if let Some(end) = refused {
        refused_completely(&connection, noted, end);
    }
    let queued = if request.number == 1 { connection.accept_queue.unwrap_or(0) } else { 0 };
    let class = Class::of_complete(&request, total, queued);
    let (status, ended) = (request.status, refused.is_some());
    let logged = noted.log.as_mut().is_some_and(|log| log.wants(status, total, ended));
    if logged || noted.slowest.looks_at(class, total + queued) {
        tell(&connection, noted, &request, total, (true, logged));
    }
    noted.open.put_back(request);
}

/// The answer that has left was a refusal.
#[cold]
fn refused_completely(connection: &Connection, noted: &mut Noted, end: End) {
    connection.phase.set(end.phase);
    noted.ends.count(Ended::Refused, end);
}

/// A request ends without its answer, or with a part of it, which had begun to leave as `sending`
/// noted.
#[cold]
pub(super) fn abandoned(mut request: Box<OpenRequest>, sending: Option<&Sending>) {
    leaves_its_place(&mut request);
    let Some(connection) = request.connection.take() else { return };
    let observer = &*connection.observer;
    give_back(&connection.open, 1);
    if let Some(sending) = sending {
        request.begins_to_leave(sending);
    }
    request.waits_apart(request.stage(), observer.lost(), observer.lost_in_turn());
    request.enter(request.stage(), observer.now());
    observer.count_end();
    let noted = &mut *observer.noted.borrow_mut();
    // A refusal that did not leave ends with its connection.
    let end = End { why: connection.why(), phase: Phase::Request(request.stage()) };
    let end = *request.particulars_mut().end.get_or_insert(end);
    connection.phase.set(end.phase);
    noted.ends.count(Ended::Aborted, end);
    let total = request.entered().saturating_sub(request.arrived);
    noted.enter_incomplete(end, request.parts(), total);
    tell(&connection, noted, &request, total, (false, true));
    noted.open.put_back(request);
}

/// Notes a request that has ended in the access log, if it is `logged`, among the slowest, and for the
/// collector of spans.
#[cold]
fn tell(
    connection: &Connection,
    noted: &mut Noted,
    request: &OpenRequest,
    total: u64,
    (complete, logged): (bool, bool),
) {
    let Noted { log, slowest, spans, .. } = noted;
    let finished = finished(connection, request, total, complete);
    // A proxy names no port, or none that is of use.
    let named = request.particulars().client.map(|client| SocketAddr::new(client, 0));
    let client = named.as_ref().or(connection.client());
    if let Some(log) = log.as_mut().filter(|_| logged) {
        log.push(&finished, client, request.logged_head());
    }
    if let Some(spans) = spans.as_ref().filter(|spans| spans.wants(&finished)) {
        spans.push(&finished, client, request.logged_head());
    }
    if slowest.wants(finished.class(), finished.waited()) {
        let logged = request.logged_head();
        let head = if logged.is_empty() { request.head() } else { logged };
        // It has been counted among those that ended.
        let ended = connection.ended().saturating_sub(request.siblings_before + 1);
        let siblings = (request.stream > 0)
            .then(|| Siblings::of(&connection.streams.borrow(), request.stream, ended));
        slowest.keep(&finished, head, connection.observer.connections.get(), siblings);
    }
}

/// What is reported of a request that has ended, `total` nanoseconds after it arrived.
fn finished(
    connection: &Connection,
    request: &OpenRequest,
    total: u64,
    complete: bool,
) -> Finished {
    let (requests, turns) = connection.observer.progress();
    let lost = connection.observer.lost().saturating_sub(request.lost_before).min(total);
    let Particulars { end, delivery, endpoint, layers, passed, .. } = *request.particulars();
    Finished {
        arrived: request.arrived,
        ended: request.arrived + total,
        parts: *request.parts(),
        total,
        first_byte: request.first_byte,
        status: request.status,
        bytes: request.bytes,
        lost,
        shares: Shares::of(request.parts(), lost, delivery),
        route: request.route,
        endpoint,
        layers,
        passed,
        stream: request.stream,
        end,
        complete,
        // Itself not among them.
        beside: (requests - request.requests_before).saturating_sub(1),
        turns: turns - request.turns_before,
        ..connection.facts(request.number)
    }
}

/// How [`Route`] is named in a log or header: `-` if there was no content.
pub(super) fn route_name(route: Option<Route>) -> &'static str {
    route.map_or("-", Route::name)
}
