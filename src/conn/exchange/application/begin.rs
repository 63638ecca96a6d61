//! From a request to the call of an application, and to what its first poll brings.

use std::{
    net::SocketAddr,
    rc::Rc,
    task::{self, Poll, Waker},
};

use bytes::Bytes;

use super::{
    super::{
        begin::{About, Begun, Coming, defect},
        handed::Borrower,
        heads::request_of,
        streamed::{Answered, Intake, Responder},
    },
    Answering,
};
use crate::{
    conn::{
        Context, client,
        sites::{Act, Served},
    },
    observe::{ConnectionClock, LayerTimes, RequestClock, Stage},
    parse::BodyLength,
    respond::Status,
    ring::Socket,
    service::{Body, Connection, Facts, Head, OfSite, Upgrade},
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
    let mut answering = call(coming, about, served)?;
    answering.keep(coming);
    Ok(Box::new(answering))
}

/// Has an application answer a request without content, or with all of it, and polls it once.
///
/// # Errors
/// As [`begin`].
pub(in crate::conn::exchange) fn begin_at_once(
    coming: Coming<'_>,
    about: &mut About,
    served: &Rc<Served>,
    clock: &mut RequestClock,
) -> Result<Begun, Status> {
    let mut answering = call(coming, about, served)?;
    clock.of(answering.endpoint);
    clock.enter(Stage::Handler);
    let mut intake = Intake::new(BodyLength::None);
    let polled = answering.poll_answer(&mut intake);
    // Only who waits, or looks for a file, comes back to what was asked.
    let names_a_file = |head: &Head| head.parts.extensions.get::<OfSite>().is_some();
    if !matches!(&polled, Poll::Ready(answer) if !answer.as_ref().is_ok_and(names_a_file)) {
        answering.keep(coming);
    }
    // The context wakes nobody: the ring names the task, and others have its waker.
    let mut cx = task::Context::from_waker(Waker::noop());
    match answering.go_on(polled, &mut cx, &mut intake) {
        Poll::Ready(Ok(Answered::Whole(reply))) => {
            clock.of(answering.endpoint);
            clock.layers(&answering.layers);
            Ok(Begun::Answered(if answering.to_head { reply.head_only() } else { reply }))
        }
        first => Ok(Begun::Polled(Box::new(answering), first)),
    }
}

/// Calls the application of a route.
fn call(coming: Coming<'_>, about: &mut About, served: &Rc<Served>) -> Result<Answering, Status> {
    let Coming { context, socket, clock, incoming, .. } = coming;
    let (application, endpoint) = match &served.act {
        Act::Service(service) => context.applications.get(service.0),
        _ => None,
    }
    .ok_or_else(|| defect(context, "a route names a service that is not there"))?;
    let connection =
        about.connection.get_or_insert_with(|| self::about(context, socket, clock)).clone();
    let intake = Intake::new(incoming.body);
    let (body, feeder) = if let Some(content) = incoming.here {
        context.observer.handed_over(0, content.len() as u64);
        (Body::whole(Bytes::copy_from_slice(content)), None)
    } else if intake.is_ended() {
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
    let waker = context.ring.waker();
    let upgrade = match feeder {
        None if incoming.here.is_none() => Upgrade::offer(&mut request, incoming.protocol, &waker),
        _ => None,
    };
    if incoming.protocol.is_some() && upgrade.is_none() {
        return Err(Status::NotImplemented);
    }
    let limit = context.applications.handler_timeout;
    let until = limit.map(|limit| context.ring.now().saturating_add(limit.as_millis() as u64));
    Ok(Answering {
        context: Rc::clone(context),
        served: Rc::clone(served),
        call: application.call(request),
        feeder,
        borrower: Borrower::default(),
        waker,
        until,
        endpoint,
        layers: LayerTimes::default(),
        to_head: incoming.method == b"HEAD",
        first: None,
        ended: false,
        ahead: Poll::Pending,
        trailers: None,
        kept: None,
        finding: None,
        upgrade,
        connects: incoming.protocol.is_some(),
    })
}

/// What applications learn of a connection.
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
