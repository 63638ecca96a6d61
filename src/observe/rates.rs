//! What is known of the rates that limit requests: plain figures, taken when a report is made.

use std::time::Duration;

/// A rate, as all workers share it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateFigures {
    /// Its name.
    pub name: String,
    /// Requests of a key in each `per`.
    pub requests: u32,
    /// The time for which these count.
    pub per: Duration,
    /// Requests that were refused with 429 since the start, or since the rate was changed.
    pub refused: u64,
}

impl RateFigures {
    /// Those of a rate.
    pub(crate) fn new(name: &str, requests: u32, per: Duration, refused: u64) -> Self {
        Self { name: name.to_owned(), requests, per, refused }
    }
}
