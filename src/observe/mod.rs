//! What the server says about itself: where the time of each request went, which bytes were
//! copied by whom, what its rings did, and who asked for what.
//!
//! The invariant: observing changes nothing that a peer can see and holds up nothing. Each worker
//! notes what happens in an [`Observer`] of its own, without locks and without allocating; other
//! threads look at copies, and everything has a bound.

#![forbid(unsafe_code)]

pub mod access_log;
mod account;
pub mod admin;
mod anatomy;
mod attention;
mod blame;
#[cfg(test)]
mod clock_tests;
mod coarse;
mod connection;
mod counts;
mod exposition;
mod flow;
mod histograms;
mod history;
pub(crate) mod json;
mod kernel;
mod lateness;
mod ledger;
pub mod log;
mod metrics;
mod observer;
mod open_requests;
mod page;
mod pools;
mod process;
mod processor;
mod report;
mod request;
mod request_clock;
mod route;
mod sending;
mod server_timing;
mod slow;
mod stage;
mod statuses;
mod trace;
mod why;
mod work;

pub use account::RingAccount;
pub use anatomy::{Anatomy, CertificateFacts, ServerFacts, SlowOnWorker};
pub use attention::{Attention, attention};
pub use blame::{Blame, Delivery, Shares};
pub use coarse::Coarse;
pub use connection::{Agreed, ConnectionClock};
pub use counts::Counts;
pub use exposition::Exposition;
pub use flow::Flow;
pub use histograms::{HISTOGRAM_BYTES, HISTOGRAMS_BYTES, Histograms, LONGEST};
pub use history::{EVERY, History, Span, Summary, Window};
pub use kernel::{KernelFigures, ListenerQueue, ThreadFigures};
pub use ledger::{Carried, Ledger, Moved, Taken};
pub use observer::{OBSERVER_BYTES, Observer, TAIL, Tail, WorkerSnapshot};
pub use open_requests::OPEN_REQUEST_BYTES;
pub use pools::{PoolFigures, UpstreamFigures};
pub use request::{HEAD_KEPT, HEAD_LOGGED};
pub use request_clock::RequestClock;
pub use route::Route;
pub use sending::Sending;
pub use server_timing::ServerTiming;
pub use slow::{Finished, MOST, REMEMBERED, STALL, Slow, Stall};
pub use stage::{Basis, REQUEST_STAGES, Stage};
pub use statuses::Statuses;
pub use why::{End, Ended, Ends, Phase, Why};
pub use work::{Turn, Work};
