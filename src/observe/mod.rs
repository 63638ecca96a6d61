//! What the server reports about itself: where the time of each request went, which bytes were
//! copied by whom, what its rings did, and which client asked for what.
//!
//! The invariant: observing changes nothing that a peer can see and holds up nothing. Each worker
//! notes what happens in an [`Observer`] of its own, without locks and without allocating; other
//! threads look at copies, and everything has a bound.

#![forbid(unsafe_code)]

pub(crate) mod access_log;
mod account;
pub(crate) mod admin;
mod anatomy;
mod attention;
mod blame;
#[cfg(test)]
mod clock_tests;
mod coarse;
mod connection;
mod counts;
mod endpoint;
mod exposition;
mod flow;
mod histograms;
mod history;
pub(crate) mod json;
mod kernel;
mod lateness;
mod layers;
mod ledger;
pub(crate) mod log;
mod metrics;
mod observer;
mod offloaded;
mod open_requests;
mod page;
mod passed;
mod pools;
mod process;
mod processor;
mod rates;
mod report;
mod request;
mod request_clock;
mod route;
mod sending;
mod server_timing;
mod slow;
pub(crate) mod spans;
mod stage;
mod statuses;
mod streams;
mod trace;
mod why;
mod work;

pub(crate) use crate::defects::{defect, defects, give_back};
pub use access_log::{AccessLogError, Totals};
pub use account::RingAccount;
pub use admin::AdminError;
pub use anatomy::{Anatomy, CertificateFacts, ServerFacts, SlowOnWorker, StreamsOnWorker};
pub use attention::Attention;
pub(crate) use attention::attention;
pub use blame::{Blame, Delivery, Shares};
pub use coarse::Coarse;
pub use connection::Agreed;
pub(crate) use connection::ConnectionClock;
pub use counts::Counts;
#[cfg(feature = "axum")]
pub(crate) use endpoint::MOST as MOST_ENDPOINTS;
pub use endpoint::{Endpoint, EndpointFigures, Endpoints};
pub use exposition::Exposition;
pub use flow::Flow;
pub use histograms::Histograms;
pub use history::Window;
pub(crate) use history::{EVERY, History, Span, Summary};
pub use kernel::{KernelFigures, ListenerQueue, ThreadFigures};
#[cfg(feature = "service")]
pub(crate) use layers::Layer;
pub use layers::LayerTimes;
pub use ledger::{ApplicationContent, Carried, FromServer, Ledger, Moved, PassedOn, Taken};
pub(crate) use observer::{Observer, TAIL};
pub use observer::{Tail, WorkerSnapshot};
pub use offloaded::OffloadFigures;
#[cfg(feature = "service")]
pub(crate) use offloaded::{Job, count as count_job, count_thread as count_offload_thread};
pub use passed::{Passed, PassedTo};
pub use pools::{PoolFigures, UpstreamFigures};
pub use rates::RateFigures;
pub(crate) use request_clock::RequestClock;
pub use route::Route;
pub(crate) use sending::Sending;
pub(crate) use server_timing::ServerTiming;
pub use slow::{Finished, Slow, Stall};
pub use spans::SpanTotals;
pub use stage::{Basis, REQUEST_STAGES, Stage};
pub use statuses::Statuses;
#[cfg(test)]
pub(crate) use streams::STREAM_NOTE_BYTES;
pub use streams::{ConnectionStreams, Siblings, StreamNow};
pub(crate) use why::Why;
pub use why::{End, Ended, Ends, Phase};
pub(crate) use work::Turn;
pub use work::Work;
