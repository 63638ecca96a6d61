//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Benchmarks Ringway beside its peers.
#[derive(Clone, Debug, Parser)]
#[command(name = "ringway-bench", version, max_term_width = 100)]
pub(crate) struct Options {
    /// The most telling workloads only, one short round: three minutes
    #[arg(long)]
    pub(crate) quick: bool,

    /// Only workloads whose name contains this; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) workload: Vec<String>,

    /// Only peers whose name contains this; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) peer: Vec<String>,

    /// Interleaved rounds [default: 3, or 1 with --quick]
    #[arg(long)]
    pub(crate) rounds: Option<usize>,

    /// Seconds that each round measures [default: 2, or 1 with --quick]
    #[arg(long)]
    pub(crate) seconds: Option<f64>,

    /// The CPU of the servers
    #[arg(long, default_value_t = 0)]
    pub(crate) server_cpu: usize,

    /// The CPU of the load generator
    #[arg(long, default_value_t = 1)]
    pub(crate) client_cpu: usize,

    /// Ringway's program
    #[arg(long, value_name = "FILE")]
    pub(crate) ringway: PathBuf,

    /// The directory of the other programs [default: where this one is]
    #[arg(long, value_name = "DIR")]
    pub(crate) programs: Option<PathBuf>,

    /// Write all results to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write a page with figures to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Say what has moved beyond noise since the results in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,

    /// Measure nothing: tell the results in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) show: Option<PathBuf>,
}

impl Options {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 }).max(1)
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 1.0 } else { 2.0 })
    }

    /// Whether `name` is wanted among `filters`, of which none means all.
    pub(crate) fn wanted(filters: &[String], name: &str) -> bool {
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
    }
}
