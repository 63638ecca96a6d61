//! All that was measured, as it is kept in a file.

use std::fs;
use std::path::Path;

use ringway_load::report::Report;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// The results of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    /// The command that gave them.
    #[serde(default)]
    pub(crate) command: String,
    pub(crate) peers: Vec<PeerResult>,
    pub(crate) workloads: Vec<WorkloadResult>,
}

/// Who took part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PeerResult {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) what: String,
    /// How often user space and kernel pass over a byte of a body, as follows from how it works.
    pub(crate) passes: String,
    /// Why it did not take part.
    pub(crate) missing: Option<String>,
}

/// A workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WorkloadResult {
    pub(crate) name: String,
    pub(crate) title: String,
    /// The rate at which requests were due.
    pub(crate) rate: Option<f64>,
    pub(crate) entries: Vec<Entry>,
    /// Why nothing was measured.
    #[serde(default)]
    pub(crate) skipped: Option<String>,
}

/// A peer in a workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) peer: String,
    /// One report for each round.
    pub(crate) rounds: Vec<Report>,
    pub(crate) calls: Option<Calls>,
    /// Why they are not counted.
    #[serde(default)]
    pub(crate) uncounted: Option<String>,
    /// Rounds that were measured again because something disturbed them.
    #[serde(default)]
    pub(crate) repeated: usize,
    /// Why there are no rounds, or fewer.
    pub(crate) failure: Option<String>,
}

/// What is counted of a server in a round of its own: system calls, and copies if it reports them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Calls {
    pub(crate) per_request: f64,
    /// Those among them that entered an io_uring.
    pub(crate) enters_per_request: f64,
    /// Bytes copied or enciphered for each byte of a body, by Ringway's ledger; no other server has one.
    #[serde(default)]
    pub(crate) moved_per_byte: Option<f64>,
}

impl Results {
    /// Reads a file of results.
    pub(crate) fn load(file: &Path) -> Result<Self, String> {
        let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let json = fs::read_to_string(file).map_err(|error| in_file(&error))?;
        serde_json::from_str(&json).map_err(|error| in_file(&error))
    }
}
