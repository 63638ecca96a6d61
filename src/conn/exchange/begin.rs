//! Choosing the responder of a streamed exchange: a native handler, an application, an upstream server.

use std::{cell::OnceCell, net::SocketAddr, rc::Rc};

use super::{
    Decided, Lookups,
    streamed::{Incoming, Responder},
};
use crate::{
    conn::{
        Context,
        sites::{Act, Served},
    },
    observe::ConnectionClock,
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
        Act::Service(service) => {
            let application = context
                .applications
                .get(service.0)
                .ok_or_else(|| defect(context, "a route names a service that is not there"))?;
            let connection = about
                .connection
                .get_or_insert_with(|| super::application::about(context, socket, clock))
                .clone();
            let asked = coming.asked;
            super::application::begin(context, served, application, asked, incoming, connection)
        }
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

fn defect(context: &Context, what: &'static str) -> Status {
    context.defect(&what);
    Status::InternalServerError
}
