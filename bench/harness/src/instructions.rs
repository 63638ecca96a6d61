//! Instructions for each request, with the kernel's TLS and without.
//!
//! Where the host's kernel has no TLS, a guest's may, but an emulated guest says nothing about
//! time. `scripts/count-instructions` runs this inside a guest of one CPU whose clock advances by a
//! nanosecond with each instruction: CPU time, read as everywhere, then counts instructions, of user
//! space and kernel together, and no load on the host disturbs it.
//!
//! The invariant: what is compared has run in the same guest under the same load, and a server that
//! was to leave records to the kernel and did not is a failure, not a figure.

use std::fs;
use std::path::Path;
use std::process::Command;

use ringway_load::report::Report;
use serde::{Deserialize, Serialize};

use crate::ledger;
use crate::machine::Machine;
use crate::material::Material;
use crate::measure::{checked, report};
use crate::options::Options;
use crate::peers::{self, Peer};
use crate::process::{Running, free_port};
use crate::summary::Range;

/// Nanoseconds, and so instructions, in a microsecond.
const NANOSECONDS: f64 = 1000.0;

/// A load under which instructions are counted.
struct Load {
    name: &'static str,
    title: &'static str,
    file: &'static str,
    options: &'static [&'static str],
    /// How many requests are counted.
    requests: u64,
}

/// What is asked for: small and large, the handshake, and both protocols.
const LOADS: [Load; 7] = [
    Load {
        name: "1k-16",
        title: "1 KB, 16 connections",
        file: "1k.bin",
        options: &["-c", "16"],
        requests: 5000,
    },
    Load {
        name: "64k-8",
        title: "64 KB, 8 connections",
        file: "64k.bin",
        options: &["-c", "8"],
        requests: 800,
    },
    Load {
        name: "1m-4",
        title: "1 MB, 4 connections",
        file: "1m.bin",
        options: &["-c", "4"],
        requests: 120,
    },
    Load {
        name: "full-8",
        title: "A full handshake for each request of 1 KB, 8 connections",
        file: "1k.bin",
        options: &["-c", "8", "--sessions", "full"],
        requests: 300,
    },
    Load {
        name: "resumed-8",
        title: "A resumed handshake for each request of 1 KB, 8 connections",
        file: "1k.bin",
        options: &["-c", "8", "--sessions", "resumed"],
        requests: 300,
    },
    Load {
        name: "h2-1k-10x10",
        title: "HTTP/2: 1 KB, 10 connections of 10 streams",
        file: "1k.bin",
        options: &["--h2", "-c", "10", "--streams", "10"],
        requests: 5000,
    },
    Load {
        name: "h2-1m-4x4",
        title: "HTTP/2: 1 MB, 4 connections of 4 streams",
        file: "1m.bin",
        options: &["--h2", "-c", "4", "--streams", "4"],
        requests: 120,
    },
];

/// All that was counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    pub(crate) servers: Vec<CountedServer>,
    pub(crate) loads: Vec<CountedLoad>,
}

/// A server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CountedServer {
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) version: String,
    /// Why it did not take part.
    pub(crate) missing: Option<String>,
}

/// A load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CountedLoad {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) entries: Vec<Counted>,
}

/// A server under a load.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) server: String,
    /// Instructions for each request, one figure for each round.
    pub(crate) instructions: Vec<f64>,
    /// Connections for which the kernel sealed, in the last round.
    pub(crate) sealed_by_kernel: u64,
    /// Connections for which it opened.
    pub(crate) opened_by_kernel: u64,
    /// Connections that the load generator opened.
    pub(crate) connections: u64,
    /// System calls of the rings for each request, counted by Ringway itself in a run of its own.
    #[serde(default)]
    pub(crate) calls: Option<f64>,
    pub(crate) failure: Option<String>,
}

impl Counted {
    /// The middle and the range of its rounds.
    pub(crate) fn range(&self) -> Option<Range> {
        Range::of(self.instructions.iter().copied())
    }

    /// Who protected the records.
    pub(crate) fn by_whom(&self) -> &'static str {
        match (self.sealed_by_kernel > 0, self.opened_by_kernel > 0) {
            (true, true) => "kernel, both ways",
            (true, false) => "kernel, sending only",
            (false, true) => "kernel, receiving only",
            (false, false) => "user space",
        }
    }
}

impl Counts {
    /// Reads a file of counts.
    pub(crate) fn load(file: &Path) -> Result<Self, String> {
        let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let json = fs::read_to_string(file).map_err(|error| in_file(&error))?;
        serde_json::from_str(&json).map_err(|error| in_file(&error))
    }
}

/// Counts under all loads that `options` ask for.
///
/// # Errors
///
/// If the kernel has no TLS or there is nothing to count.
pub(crate) fn count(options: &Options) -> Result<Counts, String> {
    let machine = Machine::this();
    if tls_stat().is_none() {
        return Err("this kernel has no TLS: run scripts/count-instructions, which starts one \
                    that has"
            .into());
    }
    let material = Material::make().map_err(|error| format!("temporary files: {error}"))?;
    let mut counts = Counts { machine, rounds: options.rounds(), ..Counts::default() };
    let wanted = |peer: &&Peer| Options::wanted(&options.peer, peer.name);
    let mut present = Vec::new();
    for peer in peers::COUNTED.iter().filter(wanted) {
        let version = peer.version(options);
        counts.servers.push(CountedServer {
            name: peer.name.into(),
            what: peer.what.into(),
            missing: version.as_ref().err().cloned(),
            version: version.clone().unwrap_or_default(),
        });
        if version.is_ok() {
            present.push(peer);
        }
    }
    for load in LOADS.iter().filter(|load| Options::wanted(&options.workload, load.name)) {
        material.fill(Some(load.file)).map_err(|error| format!("temporary files: {error}"))?;
        let entry = |peer: &&Peer| Counted { server: peer.name.into(), ..Counted::default() };
        let mut entries: Vec<Counted> = present.iter().map(entry).collect();
        for round in 0..options.rounds() {
            for (peer, entry) in present.iter().zip(&mut entries) {
                eprintln!("{}: round {}, {}", load.name, round + 1, peer.name);
                if let Err(what) = one(options, &material, peer, load, entry) {
                    entry.failure = Some(what);
                }
            }
        }
        counts.loads.push(CountedLoad {
            name: load.name.into(),
            title: load.title.into(),
            entries,
        });
    }
    Ok(counts)
}

/// A fresh server, loaded once.
fn one(
    options: &Options,
    material: &Material,
    peer: &Peer,
    load: &Load,
    entry: &mut Counted,
) -> Result<(), String> {
    let port = free_port().map_err(|error| error.to_string())?;
    let mut command = peer.command(options, material, port, Some(load.file))?;
    let server = Running::start(&[0], &mut command, port)?;
    let before = tls_stat().unwrap_or_default();
    let report = loaded(material, load, &server, port)?;
    let after = tls_stat().unwrap_or_default();
    entry.sealed_by_kernel = after.0.saturating_sub(before.0);
    entry.opened_by_kernel = after.1.saturating_sub(before.1);
    entry.connections = report.full_handshakes + report.resumed_handshakes;
    if peer.must_use_kernel_tls() && entry.sealed_by_kernel == 0 {
        return Err("it was to leave records to the kernel, and left none".into());
    }
    let spent = report.server.ok_or("the load generator did not say what the server spent")?;
    entry.instructions.push(spent.cpu_us_per_request * NANOSECONDS);
    drop(server);
    if entry.calls.is_none() && peer.tells_copies() {
        entry.calls = Some(calls(options, material, peer, load)?);
    }
    Ok(())
}

/// Loads a server until as many requests are answered as are counted.
fn loaded(material: &Material, load: &Load, server: &Running, port: u16) -> Result<Report, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(this.with_file_name("ringway-load"));
    command.arg(format!("https://127.0.0.1:{port}/{}", load.file));
    // By the guest's clock, which says nothing about how long it takes.
    command.args(["--duration", "600s", "--warm-up", "0.2s", "--timeout", "600s"]);
    command.args(["--sleep", "--json", "-"]).args(load.options);
    command.args(["-n", &load.requests.to_string()]);
    command.arg("--root").arg(material.root()).arg("--cert").arg(material.cert());
    command.args(["--server-pid", &server.pid().to_string()]);
    let resumes = load.options.contains(&"resumed");
    all_of(load.requests, checked(resumes, report(0, &mut command)?)?)
}

/// System calls of the rings for each request. A run of its own, since a server that is asked for its
/// metrics does more.
fn calls(options: &Options, material: &Material, peer: &Peer, load: &Load) -> Result<f64, String> {
    let (port, admin) = (free_port(), free_port());
    let (port, admin) =
        (port.map_err(|error| error.to_string())?, admin.map_err(|error| error.to_string())?);
    let mut command = peer.command(options, material, port, Some(load.file))?;
    command.arg(format!("--admin=127.0.0.1:{admin}"));
    let server = Running::start(&[0], &mut command, port)?;
    let done = || ledger::done(admin).ok_or("the server does not say what it has done");
    let before = done()?;
    loaded(material, load, &server, port)?;
    let after = done()?;
    Ok((after.calls - before.calls) / (after.requests - before.requests).max(1.0))
}

/// A report of at least `requests` answers: an interval that ended before them, as when the guest's
/// clock leaps, says nothing about what a request costs.
fn all_of(requests: u64, report: Report) -> Result<Report, String> {
    if report.requests < requests {
        return Err(format!("{} requests were answered, not {requests}", report.requests));
    }
    Ok(report)
}

/// Connections so far for which the kernel has sealed and opened records; nothing without TLS in the
/// kernel (Documentation/networking/tls.rst).
fn tls_stat() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/net/tls_stat").ok()?;
    Some((counter(&text, "TlsTxSw"), counter(&text, "TlsRxSw")))
}

fn counter(text: &str, name: &str) -> u64 {
    let mut words = text.split_ascii_whitespace();
    words.find(|word| *word == name);
    words.next().and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Counted, LOADS, all_of, counter};
    use crate::material::FILES;
    use crate::tests::report;

    #[test]
    fn an_interval_that_ended_early_is_no_figure() {
        // That report is of 100 requests.
        assert!(all_of(100, report(1.0)).is_ok());
        assert!(all_of(101, report(1.0)).unwrap_err().contains("100 requests were answered"));
    }

    #[test]
    fn the_kernels_counters_are_found() {
        let text = "TlsCurrTxSw   \t3\nTlsTxSw       \t12\nTlsRxSw x\n";
        assert_eq!(counter(text, "TlsTxSw"), 12);
        assert_eq!((counter(text, "TlsRxSw"), counter(text, "TlsDecryptError")), (0, 0));
    }

    #[test]
    fn loads_ask_for_files_that_are_there() {
        for load in LOADS {
            assert!(FILES.iter().any(|(file, _)| *file == load.file), "{}", load.name);
        }
    }

    #[test]
    fn who_protected_records_is_told() {
        let by = |sealed_by_kernel, opened_by_kernel| {
            Counted { sealed_by_kernel, opened_by_kernel, ..Counted::default() }.by_whom()
        };
        assert_eq!(by(0, 0), "user space");
        assert_eq!(by(4, 0), "kernel, sending only");
        assert_eq!(by(4, 4), "kernel, both ways");
    }
}
