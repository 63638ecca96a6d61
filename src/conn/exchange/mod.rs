//! An exchange, whatever protocol carries it: from what is asked to a status, fields and content.
//!
//! The protocol turns bytes into an [`Asked`](crate::process::site::Asked) and a [`Reply`] into
//! bytes; what lies between is the same for all. The invariant: nothing here knows how a message is
//! framed, and a [`Reply`]'s content owns what it is made of.

#[cfg(feature = "service")]
mod application;
mod asked;
mod begin;
mod decide;
#[cfg(feature = "service")]
mod found;
#[cfg(feature = "service")]
mod handed;
mod lookups;
#[cfg(feature = "service")]
mod native;
mod proxied;
mod reply;
mod streamed;
mod verified;

pub(super) use asked::KeptAsked;
pub(super) use begin::{About, Coming, ask_handler, begin};
pub(super) use decide::{Decided, Passage, decide, find_out, guard};
pub(super) use lookups::{Lookups, Want};
pub(super) use reply::Reply;
pub(super) use streamed::{
    Answered, EachField, Failure, Fields, Incoming, Intake, Responder, StreamedHead,
};

use std::rc::Rc;

use super::{Context, guard::Verification, sites::Served};
use verified::Verified;

/// A responder of a route that begins once these credentials are found right, if they are to be checked.
pub(super) fn behind(
    context: &Rc<Context>,
    served: &Rc<Served>,
    verification: Option<Verification>,
    responder: Box<dyn Responder>,
) -> Box<dyn Responder> {
    match verification {
        Some(verification) => Box::new(Verified::new(context, served, verification, responder)),
        None => responder,
    }
}
