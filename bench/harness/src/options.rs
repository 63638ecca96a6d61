//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::workloads::{About, Workload};

/// Seconds that a set may take, with rounds that are repeated because something disturbed them.
const LIMIT: f64 = 2640.0;
const QUICK_LIMIT: f64 = 230.0;

/// How many times as long a round takes where few requests fit into it.
const LONGER: f64 = 3.0;

/// Rounds of idle connections at most: opening them takes long, and memory moves little.
const IDLE_ROUNDS: usize = 3;

/// Seconds that starting and stopping a server and the load generator take, about.
const START: f64 = 0.3;

/// Seconds that it takes to open the idle connections, where there are any, about.
const OPENING: f64 = 2.5;

/// Benchmarks Ringway beside its peers.
#[derive(Clone, Debug, Parser)]
#[command(name = "ringway-bench", version, max_term_width = 100)]
pub(crate) struct Options {
    /// The most important workloads and peers only, in shorter rounds: four minutes
    #[arg(long)]
    pub(crate) quick: bool,

    /// Only workloads whose name contains this, or is it after a `=`; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) workload: Vec<String>,

    /// Only peers whose name contains this, or is it after a `=`, and Ringway; may be given several
    /// times
    #[arg(long, value_name = "NAME")]
    pub(crate) peer: Vec<String>,

    /// Interleaved rounds [default: 7, or 3 with --quick]
    #[arg(long)]
    pub(crate) rounds: Option<usize>,

    /// Seconds that each round measures [default: 0.6, or 0.3 with --quick]
    #[arg(long)]
    pub(crate) seconds: Option<f64>,

    /// Repeat no round that something else on the machine disturbed
    #[arg(long)]
    pub(crate) no_repeats: bool,

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

    /// Count instructions instead of measuring, and write them to this file; only in a guest as
    /// scripts/count-instructions starts it
    #[arg(long, value_name = "FILE", conflicts_with = "show")]
    pub(crate) count: Option<PathBuf>,

    /// With --markdown and --html: include the instruction counts of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) instructions: Option<PathBuf>,

    /// Measure nothing: print the results of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) show: Option<PathBuf>,
}

impl Options {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 7 }).max(1)
    }

    /// The rounds of a workload.
    pub(crate) fn rounds_of(&self, workload: &Workload) -> usize {
        let idle = workload.about == About::Idle;
        if idle { self.rounds().min(IDLE_ROUNDS) } else { self.rounds() }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 0.3 } else { 0.6 })
    }

    /// Seconds that each round of a workload measures: more where few requests fit.
    pub(crate) fn seconds_of(&self, workload: &Workload) -> f64 {
        self.seconds() * if workload.long { LONGER } else { 1.0 }
    }

    /// Seconds that each round warms up.
    pub(crate) fn warm_up(&self) -> f64 {
        if self.quick { 0.15 } else { 0.25 }
    }

    /// Seconds of load in which system calls are counted, for half of the time.
    pub(crate) fn counting(&self, workload: &Workload) -> f64 {
        (if self.quick { 0.4 } else { 0.6 }) * if workload.long { LONGER } else { 1.0 }
    }

    /// Seconds that one round takes with one server.
    pub(crate) fn turn(&self, workload: &Workload) -> f64 {
        let opening = if workload.about == About::Idle { OPENING } else { 0.0 };
        START + opening + self.warm_up() + self.seconds_of(workload)
    }

    /// Seconds that one server takes in one workload, all rounds together, the one in which calls
    /// are counted too.
    pub(crate) fn turns(&self, workload: &Workload) -> f64 {
        let rounds = self.rounds_of(workload) as f64 * self.turn(workload);
        if workload.about == About::Idle {
            rounds
        } else {
            rounds + START + self.warm_up() + self.counting(workload)
        }
    }

    /// Seconds that all may take, where it takes about `expected` without repeating anything: what is
    /// less than a set is repeated in proportion, and so is what is asked for beyond one.
    pub(crate) fn limit(&self, expected: f64) -> f64 {
        let limit = if self.quick { QUICK_LIMIT } else { LIMIT };
        match expected {
            _ if self.no_repeats => expected,
            _ if expected < limit => limit.min(expected * 2.0),
            _ => expected * 1.2,
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
        words.extend(self.no_repeats.then(|| "--no-repeats".into()));
        words.join(" ")
    }

    /// Whether `name` is wanted among `filters`, of which none means all. One that begins with `=` is
    /// the whole name, else a part of it.
    pub(crate) fn wanted(filters: &[String], name: &str) -> bool {
        let fits = |filter: &String| match filter.strip_prefix('=') {
            Some(whole) => name == whole,
            None => name.contains(filter.as_str()),
        };
        filters.is_empty() || filters.iter().any(fits)
    }
}
