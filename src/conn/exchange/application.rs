//! An application as the responder of an exchange: from a head to an `http::Request`, and from frames
//! to chunks.

use std::{
    net::SocketAddr,
    rc::Rc,
    task::{self, Poll, Waker, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE},
};

use super::{
    KeptAsked, Reply,
    found::Finding,
    handed::{Borrower, map_of},
    reply::Given,
    streamed::{
        Answered, Failure, Fields, Incoming, Intake, Relay, Report, Responder, ResponseContent,
        StreamedHead,
    },
};
use crate::{
    conn::{Context, client, sites::Served},
    observe::{ConnectionClock, Endpoint, LayerTimes, Stage, Why, Work},
    parse::Version,
    process::site::Asked,
    respond::Status,
    ring::{Chunk, Content, OpenFile, Socket},
    service::{
        Application, Body, Call, CallError, Connection, Facts, Feeder, Frame, Head, OfSite, Token,
        Upgrade,
    },
    write::Source,
};

/// Frames without content that are passed over in one poll.
const EMPTY_FRAMES: u32 = 16;

/// Has an application answer a request.
///
/// # Errors
/// 400 for a head that `http` does not take, 501 for an extended CONNECT to a protocol that cannot be
/// offered.
pub(super) fn begin(
    context: &Rc<Context>,
    served: &Rc<Served>,
    (application, endpoint): (&dyn Application, Endpoint),
    asked: &Asked<'_>,
    incoming: &Incoming<'_>,
    connection: Connection,
) -> Result<Box<dyn Responder>, Status> {
    let intake = Intake::new(incoming.body);
    let (body, feeder) = if intake.is_ended() {
        (Body::empty(), None)
    } else {
        let (body, feeder) = Body::stream(intake.length(), context.ring.waker());
        (body, Some(feeder))
    };
    let mut request = request_of(incoming, body).ok_or(Status::BadRequest)?;
    #[cfg(feature = "axum")]
    if let Some(peer) = connection.peer() {
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    }
    request.extensions_mut().insert(connection);
    let upgrade = match feeder {
        None => Upgrade::offer(&mut request, incoming.protocol, &context.ring.waker()),
        Some(_) => None,
    };
    if incoming.protocol.is_some() && upgrade.is_none() {
        return Err(Status::NotImplemented);
    }
    let limit = context.applications.handler_timeout;
    let until = limit.map(|limit| context.ring.now().saturating_add(limit.as_millis() as u64));
    Ok(Box::new(Answering {
        context: Rc::clone(context),
        served: Rc::clone(served),
        call: application.call(request),
        feeder,
        borrower: Borrower::default(),
        waker: context.ring.waker(),
        until,
        endpoint,
        layers: LayerTimes::default(),
        trailers: None,
        kept: context.has_files().then(|| KeptAsked::new(asked)),
        finding: None,
        upgrade,
        connects: incoming.protocol.is_some(),
    }))
}

/// What applications learn of a connection.
pub(super) fn about(context: &Context, socket: &Socket, clock: &ConnectionClock) -> Connection {
    let agreed = clock.agreed();
    let own = || SocketAddr::try_from(rustix::net::getsockname(socket).ok()?).ok();
    let local = clock.announced().map(|(_, local)| local).or_else(own);
    Connection::new(Facts {
        peer: client(socket, clock),
        local: local.map(|local| SocketAddr::new(local.ip().to_canonical(), local.port())),
        tls_version: agreed.version,
        protocol: agreed.protocol,
        resumed: agreed.resumed,
        worker: context.applications.worker.number,
        drain: context.applications.drain.clone(),
    })
}

/// A request whose fields are slices of one copy of the head. None if `http` refuses a part of it.
fn request_of(incoming: &Incoming<'_>, body: Body) -> Option<Request<Body>> {
    let target = incoming.path.len() + incoming.query.map_or(0, |query| query.len() + 1);
    let (mut length, mut count) = (target, 0);
    incoming.fields.each(&mut |_, value| {
        length += value.len();
        count += 1;
    });
    let mut text = Vec::with_capacity(length);
    text.extend_from_slice(incoming.path);
    if let Some(query) = incoming.query {
        text.push(b'?');
        text.extend_from_slice(query);
    }
    incoming.fields.each(&mut |_, value| text.extend_from_slice(value));
    let text = Bytes::from(text);

    let mut fields = HeaderMap::with_capacity(count);
    let (mut at, mut refused) = (target, false);
    incoming.fields.each(&mut |name, value| {
        let value = text.slice(at..at + value.len());
        at += value.len();
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_maybe_shared(value)) {
            (Ok(name), Ok(value)) => refused |= fields.try_append(name, value).is_err(),
            _ => refused = true,
        }
    });
    if refused {
        return None;
    }
    let mut request = Request::new(body);
    *request.method_mut() = Method::from_bytes(incoming.method).ok()?;
    *request.uri_mut() = uri(incoming, text.slice(..target))?;
    *request.version_mut() = match incoming.version {
        Some(Version::Http10) => http::Version::HTTP_10,
        Some(Version::Http11) => http::Version::HTTP_11,
        None => http::Version::HTTP_2,
    };
    *request.headers_mut() = fields;
    Some(request)
}

/// The target: path and query alone, or behind the authority if the target has one.
fn uri(incoming: &Incoming<'_>, target: Bytes) -> Option<Uri> {
    let Some(authority) = incoming.authority else { return Uri::from_maybe_shared(target).ok() };
    let mut parts = http::uri::Parts::default();
    let scheme = if incoming.secure { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP };
    parts.scheme = Some(scheme);
    parts.authority = Some(http::uri::Authority::try_from(authority).ok()?);
    parts.path_and_query = Some(http::uri::PathAndQuery::from_maybe_shared(target).ok()?);
    Uri::from_parts(parts).ok()
}

/// One call of an application.
struct Answering {
    context: Rc<Context>,
    served: Rc<Served>,
    call: Box<dyn Call>,
    /// Where the request's content goes; None once it has ended, or if there is none.
    feeder: Option<Feeder>,
    borrower: Borrower,
    waker: Waker,
    /// When the head has to be there, in milliseconds on the worker's clock.
    until: Option<u64>,
    /// Where in the application the request is, as far as it says so.
    endpoint: Endpoint,
    layers: LayerTimes,
    trailers: Option<HeaderMap>,
    /// What was asked, for a file of the site, if there are any.
    kept: Option<KeptAsked>,
    /// The file of the site that is the answer.
    finding: Option<Finding>,
    /// The upgrade that the request asks for. Once it was accepted it is the content.
    upgrade: Option<Upgrade>,
    /// The request is an extended CONNECT, which 2xx accepts and not 101.
    connects: bool,
}

impl Answering {
    /// Polls the application, and hands it what content it asks for meanwhile.
    fn poll<T>(
        &mut self,
        intake: &mut Intake,
        mut poll: impl FnMut(&mut dyn Call, &mut task::Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        loop {
            if let Some(feeder) = &self.feeder {
                feeder.attend(true);
            }
            let Self { context, call, waker, endpoint, layers, .. } = self;
            let mut cx = task::Context::from_waker(waker);
            let watched = &context.applications.watched;
            let live = context.occupancy.live();
            let began = context.observer.now();
            let polled =
                layers.gather(|| watched.watch(endpoint, live, || poll(&mut **call, &mut cx)));
            context.observer.spend(Work::Application, began);
            if let Some(feeder) = &self.feeder {
                feeder.attend(false);
            }
            if polled.is_ready() || !self.feed(intake) {
                return polled;
            }
        }
    }

    /// Moves a piece of content on, if one is wanted and there. False if there is nothing new.
    fn feed(&mut self, intake: &mut Intake) -> bool {
        let Some(feeder) = self.feeder.take_if(|feeder| feeder.is_wanted()) else { return false };
        let Poll::Ready(piece) = intake.poll_piece() else {
            self.feeder = Some(feeder);
            return false;
        };
        if let Some(piece) = piece {
            feeder.put(self.borrower.take(&self.context, piece));
        }
        if intake.is_drained() {
            match map_of(&intake.take_trailers()) {
                Ok(trailers) => feeder.end_with(trailers),
                // The content fails, as its feeder is dropped.
                Err(fault) => self.context.defect(&fault),
            }
        } else {
            self.feeder = Some(feeder);
        }
        true
    }

    /// Whether an answer with this status accepts the upgrade that the request asks for.
    fn accepts(&self, status: http::StatusCode) -> bool {
        if self.connects {
            status.is_success()
        } else {
            status == http::StatusCode::SWITCHING_PROTOCOLS
        }
    }

    /// The answer, now that its head is there: its content may be a file.
    fn answered(&mut self, mut head: Head) -> Result<Option<Answered>, Failure> {
        if let Some(OfSite(path)) = head.parts.extensions.remove()
            && head.parts.status == http::StatusCode::OK
        {
            let Some(kept) = self.kept.take() else {
                return Err(self.unusable(&"an application names a file, and no files are served"));
            };
            remove_ours(&mut head.parts.headers);
            let more = head.parts.headers;
            self.finding = Some(Finding::new(&self.context, kept, path.into_bytes(), more));
            return Ok(None);
        }
        let token: Option<Token> = head.parts.extensions.remove();
        let file = token.and_then(|token| token.untouched(head.length));
        let head = streamed(head).map_err(|what| self.unusable(&what))?;
        let Some((file, range)) = file.filter(|_| !matches!(head.status, 204 | 304)) else {
            return Ok(Some(Answered::Streamed(head)));
        };
        let (mut lines, mut dated, mut named) = (Vec::new(), false, false);
        head.fields.each(|name, value| {
            dated |= name.eq_ignore_ascii_case("date");
            named |= name.eq_ignore_ascii_case("server");
            for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
                lines.extend_from_slice(piece);
            }
        });
        let length = Some(range.end - range.start);
        if head.length != length {
            return Err(self.unusable(&"the length of a file is not what its fields say"));
        }
        let (code, lines) = (head.status, Rc::new(lines));
        let given = Given { code, lines, length, dated, named, complete: false };
        let source = match length {
            Some(0) => Source::Nothing,
            _ => Source::File(Rc::new(OpenFile::remote(file.into())), range),
        };
        let reply = Reply::given(&self.served, given, source);
        Ok(Some(Answered::Whole(Box::new(reply))))
    }

    /// What the application gave is no answer.
    fn unusable(&self, what: &dyn std::fmt::Display) -> Failure {
        self.context.warn(&format_args!("{what} ({})", self.endpoint.name()));
        Failure { status: Status::InternalServerError, why: Why::ServerError }
    }

    fn failed(&self, error: &CallError) -> Failure {
        self.unusable(error)
    }
}

impl Responder for Answering {
    fn poll_head(
        &mut self,
        cx: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Result<Answered, Failure>> {
        if self.finding.is_none() {
            let head = match self.poll(intake, |call, cx| call.poll_head(cx)) {
                Poll::Ready(Ok(head)) => head,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.failed(&error))),
                Poll::Pending => {
                    let Some(at) = self.until else { return Poll::Pending };
                    ready!(self.context.ring.poll_until(at));
                    let (status, why) = (Status::ServiceUnavailable, Why::ServerTimeout);
                    return Poll::Ready(Err(Failure { status, why }));
                }
            };
            if !self.accepts(head.parts.status) {
                self.upgrade = None;
            } else if let Some(upgrade) = &mut self.upgrade {
                upgrade.accept();
                let head = if self.connects {
                    streamed(head).map_err(|what| self.unusable(&what))?
                } else {
                    switching(head)
                };
                return Poll::Ready(Ok(Answered::Streamed(head)));
            }
            if let Some(answered) = self.answered(head).transpose() {
                return Poll::Ready(answered);
            }
        }
        match &mut self.finding {
            Some(finding) => finding.poll(&self.context, cx),
            None => Poll::Pending,
        }
    }

    fn content(&mut self) -> Option<&mut dyn ResponseContent> {
        Some(self)
    }

    fn report(&self) -> Report {
        let wants_content = self.feeder.as_ref().is_some_and(Feeder::is_wanted);
        let waits = match &self.finding {
            Some(_) => Stage::Process,
            None if wants_content => Stage::Body,
            None => Stage::Waiting,
        };
        Report {
            works: Some(Stage::Handler),
            waits: Some(waits),
            endpoint: self.endpoint,
            layers: self.layers,
            ..Report::NOTHING
        }
    }
}

impl ResponseContent for Answering {
    fn poll_chunk(
        &mut self,
        _: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Option<Result<Chunk, Failure>>> {
        if let Some(upgrade) = &mut self.upgrade {
            let hand_over = |piece| self.borrower.take(&self.context, piece);
            return poll_tunnel(upgrade, &self.waker, intake, hand_over);
        }
        for _ in 0..EMPTY_FRAMES {
            if self.trailers.is_some() {
                return Poll::Ready(None);
            }
            match ready!(self.poll(intake, |call, cx| call.poll_frame(cx))) {
                None => return Poll::Ready(None),
                Some(Ok(Frame::Data(data))) if data.is_empty() => {}
                Some(Ok(Frame::Data(data))) => {
                    return Poll::Ready(Some(Ok(Content::Bytes(data).into())));
                }
                Some(Ok(Frame::Trailers(trailers))) => self.trailers = Some(trailers),
                Some(Err(error)) => return Poll::Ready(Some(Err(self.failed(&error)))),
            }
        }
        self.waker.wake_by_ref();
        Poll::Pending
    }

    fn take_trailers(&mut self) -> Fields {
        match self.trailers.take() {
            Some(mut trailers) => {
                trailers.remove(CONTENT_LENGTH);
                remove_ours(&mut trailers);
                Fields::Map(trailers)
            }
            None => Fields::None,
        }
    }

    /// An application that is not polled makes nothing, and nobody else waits for it.
    fn take_ahead(&mut self) {}

    fn relay(&mut self) -> Option<&mut dyn Relay> {
        None
    }
}

/// The head of an answer that ends HTTP on its connection.
fn switching(head: Head) -> StreamedHead {
    let mut fields = head.parts.headers;
    let upgrade = fields.remove(UPGRADE);
    remove_ours(&mut fields);
    fields.remove(CONTENT_LENGTH);
    if let Some(upgrade) = upgrade {
        fields.insert(UPGRADE, upgrade);
    }
    StreamedHead { status: 101, fields: Fields::Map(fields), length: None }
}

/// Moves bytes both ways: those of the client as they are wanted.
fn poll_tunnel(
    upgrade: &mut Upgrade,
    waker: &Waker,
    intake: &mut Intake,
    hand_over: impl Fn(Chunk) -> Bytes,
) -> Poll<Option<Result<Chunk, Failure>>> {
    while upgrade.feeder.is_wanted() {
        match intake.poll_piece() {
            Poll::Ready(Some(piece)) => upgrade.feeder.put(hand_over(piece)),
            Poll::Ready(None) => {
                upgrade.feeder.end();
                break;
            }
            Poll::Pending => break,
        }
    }
    let outbound = ready!(upgrade.poll_outbound(&mut task::Context::from_waker(waker)));
    Poll::Ready(outbound.map(|bytes| Ok(Content::Bytes(bytes).into())))
}

/// Takes out the fields that are the connection's.
fn remove_ours(fields: &mut HeaderMap) {
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        fields.remove(name);
    }
    fields.remove("keep-alive");
    fields.remove("proxy-connection");
}

/// The head of an answer, without what belongs to the connection.
fn streamed(head: Head) -> Result<StreamedHead, &'static str> {
    let Head { parts, length } = head;
    let status = parts.status.as_u16();
    if status < 200 {
        return Err("an application answered with a status below 200");
    }
    let mut fields = parts.headers;
    remove_ours(&mut fields);
    let stated = match fields.remove(CONTENT_LENGTH) {
        None => None,
        Some(value) => {
            let number =
                value.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            let number = number.and_then(|text| text.parse().ok());
            Some(number.ok_or("an application answered with a Content-Length that is no number")?)
        }
    };
    Ok(StreamedHead { status, fields: Fields::Map(fields), length: stated.or(length) })
}

#[cfg(test)]
#[path = "application_tests.rs"]
mod tests;
