//! What a route demands of a request before anything is done for it.
//!
//! The invariant: a request passes its route's guard once, with all its fields, before a file is looked
//! up, a responder begins or an answer is made; what is refused costs neither.

mod gcra;
mod rate;

use std::sync::Arc;

pub(crate) use rate::Rate;

use super::client::Sender;
use crate::{observe::Why, respond::Status};

/// What a route demands.
#[derive(Debug, Default)]
pub(super) struct Guard {
    pub(super) rate: Option<Arc<Rate>>,
}

/// Why a request does not pass, and what its client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: Status,
    pub(super) why: Why,
    /// Seconds after which the same request would pass.
    pub(super) retry_after: Option<u64>,
}

impl Guard {
    /// Whether every request passes.
    pub(super) fn is_open(&self) -> bool {
        self.rate.is_none()
    }

    /// Lets a request pass.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn pass(&self, sender: &Sender<'_>) -> Result<(), Refused> {
        let Some(rate) = &self.rate else { return Ok(()) };
        // A client that is gone needs no answer.
        let Some(key) = key(rate, sender) else { return Ok(()) };
        rate.admit(key).map_err(|seconds| Refused {
            status: Status::TooManyRequests,
            why: Why::ClientRate,
            retry_after: Some(seconds),
        })
    }
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
