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
mod lookups;
#[cfg(feature = "service")]
mod native;
mod proxied;
mod reply;
mod streamed;

pub(super) use asked::KeptAsked;
pub(super) use begin::{About, begin, first};
pub(super) use decide::{Decided, decide, find_out, guard};
pub(super) use lookups::{Lookups, Want};
pub(super) use reply::Reply;
pub(super) use streamed::{
    Answered, EachField, Failure, Fields, Incoming, Intake, Responder, StreamedHead,
};
