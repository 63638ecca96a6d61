//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Seconds that starting and stopping a server and the load generator take, about.
const START: f64 = 0.3;

/// Seconds that it takes to open the idle connections, where there are any, about.
const OPENING: f64 = 2.5;

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

    /// Only peers whose name contains this, and Ringway; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) peer: Vec<String>,

    /// Interleaved rounds [default: 3, or 1 with --quick]
    #[arg(long)]
    pub(crate) rounds: Option<usize>,

    /// Seconds that each round measures [default: 1.7, or 0.65 with --quick]
    #[arg(long)]
    pub(crate) seconds: Option<f64>,

    /// The CPU of the servers
    #[arg(long, default_value_t = 0)]
    pub(crate) server_cpu: usize,

    /// The CPU of Ringway's second worker, where it has two [default: 2; the load generator's if
    /// there is no third]
    #[arg(long)]
    pub(crate) second_cpu: Option<usize>,

    /// The CPU of the load generator
    #[arg(long, default_value_t = 1)]
    pub(crate) client_cpu: usize,

    /// Ringway's program
    #[arg(long, value_name = "FILE", default_value = "target/release/ringway")]
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

    /// Write a text in Markdown to this file: method, tables, what was lost and why
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,

    /// Say what has moved beyond noise since the results in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,

    /// Count instructions instead of measuring, and write them to this file; only in a guest as
    /// scripts/count-instructions starts it
    #[arg(long, value_name = "FILE", conflicts_with = "show")]
    pub(crate) count: Option<PathBuf>,

    /// With --markdown and --html: tell the instructions in this file too
    #[arg(long, value_name = "FILE")]
    pub(crate) instructions: Option<PathBuf>,

    /// Measure nothing: tell the results in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) show: Option<PathBuf>,
}

impl Options {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 }).max(1)
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 0.65 } else { 1.7 })
    }

    /// Seconds that each round warms up.
    pub(crate) fn warm_up(&self) -> f64 {
        if self.quick { 0.25 } else { 0.5 }
    }

    /// Seconds of load in which system calls are counted, for half of the time.
    pub(crate) fn counting(&self) -> f64 {
        if self.quick { 0.5 } else { 0.8 }
    }

    /// Seconds that one server takes in one workload, all rounds together; `idle` connections take
    /// their time, and no calls are counted then.
    pub(crate) fn turns(&self, idle: bool) -> f64 {
        let load = |seconds: f64| START + self.warm_up() + seconds;
        let rounds = self.rounds() as f64;
        if idle {
            rounds * (OPENING + load(self.seconds()))
        } else {
            rounds * load(self.seconds()) + load(self.counting())
        }
    }

    /// The command that measures the same, without the files that it writes.
    pub(crate) fn command(&self) -> String {
        let mut words = vec!["scripts/bench".to_owned()];
        words.extend(self.quick.then(|| "--quick".into()));
        words.extend(self.workload.iter().map(|name| format!("--workload {name}")));
        words.extend(self.peer.iter().map(|name| format!("--peer {name}")));
        words.extend(self.rounds.map(|rounds| format!("--rounds {rounds}")));
        words.extend(self.seconds.map(|seconds| format!("--seconds {seconds}")));
        words.join(" ")
    }

    /// Whether `name` is wanted among `filters`, of which none means all.
    pub(crate) fn wanted(filters: &[String], name: &str) -> bool {
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
    }
}
