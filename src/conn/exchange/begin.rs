//! Who answers a streamed exchange.

use std::rc::Rc;

use super::streamed::{Incoming, Responder};
use crate::{
    conn::{
        Context,
        sites::{Act, Served},
    },
    observe::ConnectionClock,
    respond::Status,
    ring::Socket,
};

/// What applications learn of a connection, once one has answered on it. One word.
#[derive(Debug, Default)]
pub(in crate::conn) struct About(
    #[cfg(feature = "service")] pub(super) Option<crate::service::Connection>,
);

/// Begins to answer a request that a route hands to a responder.
///
/// # Errors
/// What the client gets instead: 400 for a head that the responder cannot take, 501 if there is no
/// responder for such routes.
pub(in crate::conn) fn begin(
    context: &Rc<Context>,
    socket: &Socket,
    clock: &ConnectionClock,
    about: &mut About,
    served: &Served,
    incoming: &Incoming<'_>,
) -> Result<Box<dyn Responder>, Status> {
    match &served.act {
        #[cfg(feature = "service")]
        Act::Service(service) => {
            let application = context.applications.get(service.0).ok_or(Status::NotImplemented)?;
            let connection = about
                .0
                .get_or_insert_with(|| super::application::about(context, socket, clock))
                .clone();
            super::application::begin(context, application, incoming, connection)
        }
        _ => Err(Status::NotImplemented),
    }
}
