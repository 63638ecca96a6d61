//! From a request to the call of an application, and to what its first poll brings.

use std::{
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{self, Poll, Waker},
};

use bytes::Bytes;
use http::Request;

use super::{
    super::{
        begin::{About, Begun, Coming, defect},
        handed::Borrower,
        heads::{self, Unfit, whole},
        streamed::{Answered, Intake, Responder},
    },
    Answering, Entered, is_short, names_a_file, never,
};
use crate::{
    conn::{
        Context, client,
        sites::{Act, Served},
    },
    observe::{ConnectionClock, Endpoint, LayerTimes, RequestClock, Stage},
    respond::Status,
    ring::Socket,
    service::{Ahead, Answer, Application, Body, Call, Connection, Facts, Upgrade},
};

/// Has an application answer a request.
///
/// # Errors
/// 400 for a head that `http` does not take, 501 for an extended CONNECT to a protocol that cannot be
/// offered.
pub(in crate::conn::exchange) fn begin(
    coming: Coming<'_>,
    about: &mut About,
    served: &Rc<Served>,
) -> Result<Box<dyn Responder>, Status> {
    let Coming { context, incoming, .. } = coming;
    let (application, endpoint) = application(context, served)?;
    let intake = Intake::new(incoming.body);
    let waker = context.ring.waker();
    let (body, feeder) = if intake.is_ended() {
        (Body::empty(), None)
    } else {
        let (body, feeder) = Body::stream(intake.length(), waker.clone());
        (body, Some(feeder))
    };
    let mut request = Request::new(body);
    let upgrade = fill(&mut request, coming, about, feeder.is_some(), &waker)?;
    let call = Some(application.call(request));
    let mut answering = Answering::new(coming, served, call, endpoint, waker);
    (answering.feeder, answering.upgrade) = (feeder, upgrade);
    answering.keep(coming);
    Ok(Box::new(answering))
}

/// Has an application answer a request without content, or with all of it, and polls it once. Nothing is
/// kept of a call whose answer is whole by then.
///
/// # Errors
/// As [`begin`].
pub(in crate::conn::exchange) fn begin_at_once(
    coming: Coming<'_>,
    about: &mut About,
    served: &Rc<Served>,
    clock: &mut RequestClock,
) -> Result<Begun, Status> {
    let Coming { context, incoming, .. } = coming;
    let (application, endpoint) = application(context, served)?;
    let waker = context.ring.waker();
    let body = match incoming.here {
        None => Body::empty(),
        Some(content) => whole_body(context, content),
    };
    let mut request = None;
    let (filled, has_content) = (request.insert(Request::new(body)), incoming.here.is_some());
    let upgrade = fill(filled, coming, about, has_content, &waker)?;
    clock.of(endpoint);
    clock.enter(Stage::Handler);
    let is_short = if incoming.method == b"HEAD" { never } else { is_short };
    let mut cx = task::Context::from_waker(&waker);
    let entered = Entered::enter(context, endpoint, LayerTimes::NONE);
    let mut polled = Poll::Pending;
    let call = application.call_at_once(&mut request, &mut cx, is_short, &mut polled);
    let (endpoint, layers) = entered.leave(context);
    let polled = match polled {
        Poll::Ready(Ok((head, Ahead::Whole(content)))) if upgrade.is_none() => {
            match whole(served, head, content) {
                Ok(reply) => {
                    clock.of(endpoint);
                    clock.layers(&layers);
                    return Ok(Begun::Answered(reply));
                }
                Err((head, content)) => Poll::Ready(Ok((head, Ahead::Whole(content)))),
            }
        }
        polled => polled,
    };
    Ok(go_on(coming, served, (call, polled), upgrade, (endpoint, layers, waker), clock))
}

/// Content that came with its head.
#[inline(never)]
fn whole_body(context: &Context, content: &[u8]) -> Body {
    context.observer.handed_over(0, content.len() as u64);
    Body::whole(Bytes::copy_from_slice(content))
}

/// Goes on from a first poll that did not bring all of an answer. A function of its own, so that what runs
/// for one that did lies together.
#[inline(never)]
fn go_on(
    coming: Coming<'_>,
    served: &Rc<Served>,
    (call, polled): (Option<Pin<Box<dyn Call>>>, Poll<Answer>),
    upgrade: Option<Upgrade>,
    (endpoint, layers, waker): (Endpoint, LayerTimes, Waker),
    clock: &mut RequestClock,
) -> Begun {
    let mut answering = Answering::new(coming, served, call, endpoint, waker);
    (answering.layers, answering.upgrade) = (layers, upgrade);
    // Only who waits, or looks for a file, comes back to what was asked.
    let comes_back = match &polled {
        Poll::Pending => true,
        Poll::Ready(Ok((head, _))) => names_a_file(&head.parts.extensions),
        Poll::Ready(Err(_)) => false,
    };
    if comes_back {
        answering.keep(coming);
    }
    // The context wakes nobody: the ring names the task, and others have its waker.
    let mut cx = task::Context::from_waker(Waker::noop());
    match answering.go_on(polled, &mut cx) {
        Poll::Ready(Ok(Answered::Whole(reply))) if !answering.ends_connection => {
            clock.of(answering.endpoint);
            clock.layers(&answering.layers);
            Begun::Answered(if answering.to_head { reply.head_only() } else { reply })
        }
        first => Begun::Polled(Box::new(answering), first),
    }
}

/// The application of a route, and the endpoint that it is.
fn application<'c>(
    context: &'c Context,
    served: &Served,
) -> Result<(&'c dyn Application, Endpoint), Status> {
    match &served.act {
        Act::Service(service) => context.applications.get(service.0),
        _ => None,
    }
    .ok_or_else(|| defect(context, "a route names a service that is not there"))
}

/// Fills a request with its head and its connection, and offers the other protocol that it may ask for: not
/// if it has content.
fn fill(
    request: &mut Request<Body>,
    coming: Coming<'_>,
    about: &mut About,
    has_content: bool,
    waker: &Waker,
) -> Result<Option<Upgrade>, Status> {
    let Coming { context, socket, clock, incoming, .. } = coming;
    let asks = heads::fill(request, incoming).map_err(|unfit| match unfit {
        Unfit::Refused => Status::BadRequest,
        Unfit::Elsewhere => defect(context, "a part of a head lies outside of it"),
    })?;
    let connection =
        about.connection.get_or_insert_with(|| self::about(context, socket, clock)).clone();
    #[cfg(feature = "axum")]
    if let Some(peer) = connection.peer() {
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    }
    request.extensions_mut().insert(connection);
    if incoming.protocol.is_none() && (has_content || !asks) {
        return Ok(None);
    }
    let offered =
        if has_content { None } else { Upgrade::offer(request, incoming.protocol, waker) };
    if incoming.protocol.is_some() && offered.is_none() {
        return Err(Status::NotImplemented);
    }
    Ok(offered)
}

impl Answering {
    /// The answer of a call, of whose request nothing is to come.
    fn new(
        coming: Coming<'_>,
        served: &Rc<Served>,
        call: Option<Pin<Box<dyn Call>>>,
        endpoint: Endpoint,
        waker: Waker,
    ) -> Self {
        let Coming { context, incoming, .. } = coming;
        let limit = context.applications.handler_timeout;
        let until = limit.map(|limit| context.ring.now().saturating_add(limit.as_millis() as u64));
        Self {
            context: Rc::clone(context),
            served: Rc::clone(served),
            call,
            feeder: None,
            borrower: Borrower::default(),
            waker,
            until,
            endpoint,
            layers: LayerTimes::default(),
            to_head: incoming.method == b"HEAD",
            first: Ahead::Nothing,
            trailers: None,
            kept: None,
            finding: None,
            upgrade: None,
            connects: incoming.protocol.is_some(),
            ends_connection: false,
        }
    }
}

/// What applications learn of a connection. Asked for once.
#[cold]
pub(in crate::conn::exchange) fn about(
    context: &Context,
    socket: &Socket,
    clock: &ConnectionClock,
) -> Connection {
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
