//! What a route demands of a request before anything is done for it.
//!
//! The invariant: a request passes its route's guard once, with all its fields, before a file is looked
//! up, a responder begins or an answer is made; what is refused costs neither.

mod auth;
mod gcra;
mod rate;

use std::{rc::Rc, sync::Arc};

pub(crate) use auth::{Auth, Keeper, Verification};
pub(crate) use rate::Rate;

use auth::Checked;

use super::{Context, client::Sender};
use crate::{observe::Why, respond::Status};

/// What a route demands.
#[derive(Debug, Default)]
pub(super) struct Guard {
    pub(super) rate: Option<Arc<Rate>>,
    pub(super) auth: Option<Rc<Keeper>>,
}

/// Why a request does not pass, and what its client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: Status,
    pub(super) why: Why,
    /// Seconds after which the same request would pass.
    pub(super) retry_after: Option<u64>,
    /// `WWW-Authenticate`.
    pub(super) challenge: Option<Arc<str>>,
}

impl Refused {
    /// Credentials are missing or wrong.
    pub(super) fn unauthorized(keeper: &Keeper) -> Self {
        Self {
            status: Status::Unauthorized,
            why: Why::ClientCredentials,
            retry_after: None,
            challenge: Some(Arc::clone(keeper.challenge())),
        }
    }

    /// Too many others are being checked.
    pub(super) fn busy() -> Self {
        let (status, why) = (Status::ServiceUnavailable, Why::ServerBusy);
        Self { status, why, retry_after: Some(1), challenge: None }
    }
}

impl Guard {
    /// Whether every request passes.
    pub(super) fn is_open(&self) -> bool {
        self.rate.is_none() && self.auth.is_none()
    }

    /// Lets a request pass; one whose credentials are yet to be checked, once these are found right.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn pass(
        &self,
        context: &Context,
        sender: &Sender<'_>,
    ) -> Result<Option<Verification>, Refused> {
        // First, so that it bounds guesses at passwords too. A client that is gone needs no answer.
        if let Some(rate) = &self.rate
            && let Some(key) = key(rate, sender)
        {
            rate.admit(key).map_err(|seconds| Refused {
                status: Status::TooManyRequests,
                why: Why::ClientRate,
                retry_after: Some(seconds),
                challenge: None,
            })?;
        }
        let Some(keeper) = &self.auth else { return Ok(None) };
        let Some(credentials) = only_authorization(sender) else {
            return Err(Refused::unauthorized(keeper));
        };
        match keeper.check(credentials, &context.ring, &context.hashing) {
            Checked::Right => Ok(None),
            Checked::Wait(verification) => Ok(Some(verification)),
            Checked::Busy => Err(Refused::busy()),
            Checked::Wrong => Err(Refused::unauthorized(keeper)),
        }
    }
}

/// The value of `Authorization`, which a request has once (RFC 9110 section 11.6.2). Of several none is
/// looked at: which of them others believe nobody knows.
fn only_authorization<'s>(sender: &'s Sender<'_>) -> Option<&'s [u8]> {
    let (mut only, mut count) = (None, 0_u32);
    sender.fields.each(&mut |name, value| {
        if name.eq_ignore_ascii_case("authorization") {
            (only, count) = (Some(value), count + 1);
        }
    });
    only.filter(|_| count == 1)
}

/// The hash of what a rate counts a request by.
fn key(rate: &Rate, sender: &Sender<'_>) -> Option<u64> {
    let mut hash = None;
    if let Some(wanted) = rate.field() {
        sender.fields.each(&mut |name, value| {
            if hash.is_none() && name.eq_ignore_ascii_case(wanted) {
                hash = Some(rate.of_value(value));
            }
        });
    }
    hash.or_else(|| sender.address().map(|client| rate.of_client(client)))
}
