//! Sites as they are served: from the configuration to what a request takes.
//!
//! A [`SitePlan`] is made once, before the workers have it; each makes a [`Generation`] of it, with
//! stores of its own. The invariant: a request takes one [`Served`] and keeps it to its end, so that
//! it sees one configuration, and a generation is changed only by replacing it whole.

mod choice;
mod generation;
mod plan;
mod served;
mod terms;

#[cfg(feature = "fuzzing")]
pub use choice::hold;
pub(crate) use generation::Generation;
pub(super) use plan::ErrorPage;
pub(crate) use plan::{Rates, SitePlan};
pub(super) use served::{Act, CodedForms, Served};
pub(crate) use terms::Terms;
pub(in crate::conn) use terms::Waits;
