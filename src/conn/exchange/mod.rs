//! An exchange, whatever protocol carries it: from what is asked to a status, fields and content.
//!
//! The protocol turns bytes into an [`Asked`](crate::process::site::Asked) and a [`Reply`] into
//! bytes; what lies between is the same for all. The invariant: nothing here knows how a message is
//! framed, and a [`Reply`]'s content owns what it is made of.

#[cfg(feature = "service")]
mod application;
mod asked;
mod begin;
mod coded_page;
mod compressed;
mod decide;
#[cfg(feature = "service")]
mod field_map;
#[cfg(feature = "service")]
mod found;
#[cfg(feature = "service")]
mod handed;
#[cfg(feature = "service")]
mod head_text;
#[cfg(feature = "service")]
mod heads;
mod lookups;
#[cfg(feature = "service")]
mod native;
mod proxied;
mod recoded;
mod reply;
mod streamed;
mod verified;

pub(super) use asked::KeptAsked;
pub(super) use begin::{
    About, Begun, Coming, ask_handler, begin, begin_at_once, is_polled_at_once,
};
pub(super) use decide::{Decided, Passage, decide, find_out, guard};
pub(super) use lookups::{Lookups, Want};
pub(super) use reply::Reply;
pub(super) use streamed::{
    Answered, EachField, Failure, Fields, First, Incoming, Intake, Responder, ResponseContent,
    StreamedHead,
};

use std::rc::Rc;

use super::{guard::Verification, sites::Served};
use crate::{
    parse::{Method, Version},
    process::negotiate::Siblings,
    respond::Status,
};
use compressed::Compressed;
use verified::Verified;

/// What answers a request under a route, now that its responder has begun: the responder behind a check
/// of credentials, if they are to be checked. Its answer is compressed where the route says so.
///
/// # Errors
/// What the client gets instead of a responder that could not begin.
pub(super) fn behind(
    coming: Coming<'_>,
    served: &Rc<Served>,
    verification: Option<Verification>,
    begun: Result<Box<dyn Responder>, Status>,
) -> Result<Box<dyn Responder>, Box<Reply<'static>>> {
    let Coming { context, asked, .. } = coming;
    let begun = begun.map(|responder| compressing(coming, served, responder));
    match (begun, verification) {
        (Ok(responder), None) => Ok(responder),
        (Ok(responder), Some(verification)) => {
            Ok(Box::new(Verified::new(context, served, verification, responder)))
        }
        (Err(status), _) => {
            let reply = Reply::failure(context, served, status);
            Err(Box::new(if asked.method == Method::Head { reply.head_only() } else { reply }))
        }
    }
}

/// The responder with its answers compressed, where the route says so and the request has content to come.
fn compressing(
    coming: Coming<'_>,
    served: &Served,
    responder: Box<dyn Responder>,
) -> Box<dyn Responder> {
    let Coming { context, asked, incoming, .. } = coming;
    let codings = served.codings;
    // Behind CONNECT there is a tunnel.
    if codings.is_empty() || incoming.method == b"CONNECT" {
        return responder;
    }
    // Without chunks, a client of HTTP/1.0 could not distinguish a coded content that breaks off.
    let offered =
        if incoming.version == Some(Version::Http10) { Siblings::default() } else { codings };
    let coding = asked.coding_to_send(offered);
    Box::new(Compressed::new(context, coding, asked.method == Method::Head, responder))
}
