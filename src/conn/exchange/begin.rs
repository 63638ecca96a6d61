//! Choosing the responder of a streamed exchange: a native handler, an application, an upstream server.

use std::{cell::OnceCell, net::SocketAddr, rc::Rc};

use super::{
    Decided, Lookups, Reply,
    streamed::{First, Incoming, Responder},
};
use crate::{
    conn::{
        Context,
        guard::Verification,
        sites::{Act, Served},
    },
    observe::{ConnectionClock, RequestClock},
    process::site::Asked,
    respond::{Status, forward::Origin},
    ring::Socket,
    write::WriteError,
};

/// What applications and servers learn of a connection, once one has answered on it.
#[derive(Debug, Default)]
pub(in crate::conn) struct About {
    /// The client of the connection, once it was asked for. Boxed, since few connections have it.
    pub(in crate::conn) peer: OnceCell<Box<SocketAddr>>,
    #[cfg(feature = "service")]
    pub(super) connection: Option<crate::service::Connection>,
    /// Where its requests come from, once one was passed on.
    pub(super) origin: Option<Box<Origin>>,
}

/// A request whose head is known, and what it came on.
#[derive(Clone, Copy)]
pub(in crate::conn) struct Coming<'r> {
    pub(in crate::conn) context: &'r Rc<Context>,
    pub(in crate::conn) socket: &'r Socket,
    pub(in crate::conn) clock: &'r ConnectionClock,
    pub(in crate::conn) asked: &'r Asked<'r>,
    pub(in crate::conn) incoming: &'r Incoming<'r>,
}

/// Asks the native handler at the path of a request that has just come. None: a route decides.
///
/// No guard of a route is passed before: a handler is asked before there is a route, and checks what
/// it answers itself. What it passes on meets the guard of its route.
///
/// # Errors
/// As [`decide()`](super::decide()).
#[cfg_attr(
    not(feature = "service"),
    allow(clippy::unnecessary_wraps, reason = "a handler may fail where there are any")
)]
pub(in crate::conn) fn ask_handler<'l>(
    coming: Coming<'_>,
    about: &mut About,
    lookups: &'l Lookups,
) -> Result<Option<Decided<'l>>, WriteError> {
    #[cfg(feature = "service")]
    return super::native::ask(coming, about, lookups);
    #[cfg(not(feature = "service"))]
    {
        // Without applications nobody asks them.
        let _ = (coming, about, lookups);
        Ok(None)
    }
}

/// What becomes of a request whose responder is polled as it begins. Made and taken apart within one poll.
#[cfg_attr(not(feature = "service"), allow(dead_code))]
#[allow(clippy::large_enum_variant, reason = "made and taken apart within one poll")]
pub(in crate::conn) enum Begun {
    /// This answers it.
    Answered(Reply<'static>),
    /// The responder goes on, from what its first poll brought.
    Polled(Box<dyn Responder>, First),
}

/// Whether the responder of a route can be polled as it begins: an application, with nothing to check
/// before and nothing to compress behind it.
pub(in crate::conn) fn is_polled_at_once(
    served: &Served,
    verification: Option<&Verification>,
) -> bool {
    matches!(served.act, Act::Service(_)) && verification.is_none() && served.codings.is_empty()
}

/// Begins to answer a request that [`is_polled_at_once`], and polls what answers it while the head still
/// lies where it was parsed: for an answer that is ready then, nothing is kept. The request has no content, or
/// has it with its head.
///
/// # Errors
/// As [`begin`].
#[cfg(feature = "service")]
pub(in crate::conn) fn begin_at_once(
    coming: Coming<'_>,
    about: &mut About,
    served: &Rc<Served>,
    clock: &mut RequestClock,
) -> Result<Begun, Status> {
    super::application::begin_at_once(coming, about, served, clock)
}

/// Without applications there are no such routes.
#[cfg(not(feature = "service"))]
pub(in crate::conn) fn begin_at_once(
    coming: Coming<'_>,
    _: &mut About,
    _: &Rc<Served>,
    _: &mut RequestClock,
) -> Result<Begun, Status> {
    Err(defect(coming.context, "a route names a service, and there are none"))
}

/// Begins to answer a request that a route hands to a responder.
///
/// # Errors
/// What the client gets instead: 400 for a head that the responder cannot take, 500 for a route that
/// no responder is for. The check of the configuration lets no such route through, so that is a
/// defect.
pub(in crate::conn) fn begin(
    coming: Coming<'_>,
    about: &mut About,
    served: &Rc<Served>,
) -> Result<Box<dyn Responder>, Status> {
    let Coming { context, socket, clock, incoming, .. } = coming;
    match &served.act {
        #[cfg(feature = "service")]
        Act::Service(_) => super::application::begin(coming, about, served),
        Act::Proxy(pool) => {
            let origin = if let Some(origin) = about.origin.take() {
                origin
            } else {
                let origin = super::proxied::origin(socket, clock, incoming.secure);
                // A client that is gone needs no answer.
                Box::new(origin.ok_or(Status::BadRequest)?)
            };
            super::proxied::begin(context, pool, incoming, about.origin.insert(origin))
        }
        Act::Missing(what) => Err(defect(context, what)),
        _ => Err(defect(context, "a route without a responder is streamed")),
    }
}

#[cold]
pub(super) fn defect(context: &Context, what: &'static str) -> Status {
    context.defect(&what);
    Status::InternalServerError
}
