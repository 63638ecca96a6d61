//! The rounds.
//!
//! The invariant: within a round every peer has its turn before any has a second one, each round
//! begins with another peer, and each turn starts a fresh server.

use std::process::Command;
use std::time::{Duration, Instant};

use ringway_load::report::Report;

use crate::calls;
use crate::disturbed::{Spare, degree};
use crate::ledger;
use crate::machine::Machine;
use crate::material::Material;
use crate::options::Options;
use crate::peers::{self, Peer, RINGWAY};
use crate::process::{Running, free_port, output_on};
use crate::results::{Calls, Entry, PeerResult, Results, WorkloadResult};
use crate::summary::{REQUESTS, range};
use crate::workloads::{self, About, CAPACITY, Workload};

/// Measures all that `options` ask for.
///
/// # Errors
///
/// If there is nothing to measure or nothing to measure with; what goes wrong with a single peer
/// stands in the results.
pub(crate) fn all(options: &Options) -> Result<Results, String> {
    let machine = Machine::this();
    if machine.cpus < 2 {
        return Err("a benchmark needs two CPUs: one for the server, one for the load".into());
    }
    let material = Material::make().map_err(|error| format!("temporary files: {error}"))?;
    let mut results = Results {
        machine,
        rounds: options.rounds(),
        seconds: options.seconds(),
        command: options.command(),
        ..Results::default()
    };
    let mut present = Vec::new();
    for peer in peers::chosen(options) {
        let version =
            peer.version(options).and_then(|version| peer.wanted(options).map(|()| version));
        if let (RINGWAY, Err(why)) = (peer.name, &version) {
            return Err(format!("there is no Ringway to be measured: {why}"));
        }
        if version.is_ok() {
            present.push(peer);
        }
        results.peers.push(PeerResult {
            name: peer.name.into(),
            what: peer.what.into(),
            passes: peer.passes.into(),
            missing: version.as_ref().err().cloned(),
            version: version.unwrap_or_default(),
        });
    }
    let workloads = workloads::chosen(options);
    let expected = expected(options, &present, &workloads);
    let (began, limit) = (Instant::now(), options.limit(expected));
    eprintln!(
        "This takes about {expected:.0} s, and up to {:.0} s more to repeat what is disturbed.",
        limit - expected
    );
    for (place, workload) in workloads.iter().enumerate() {
        let all = &present;
        let present: Vec<Peer> =
            all.iter().copied().filter(|peer| peer.takes_part(workload)).collect();
        let rate = match workload.about {
            About::Rate { percent } => Some(rate(&results, &present, percent)?),
            _ => None,
        };
        material.fill(workload.file).map_err(|error| format!("temporary files: {error}"))?;
        let rest = &workloads[place..];
        let left = limit - began.elapsed().as_secs_f64() - self::expected(options, all, rest);
        let mut spare = Spare::new(left / rest.len() as f64);
        let turns = Turns { options, material: &material, workload, rate };
        results.workloads.push(turns.all(&present, &mut spare));
    }
    Ok(results)
}

/// Seconds that `workloads` take with those present, about.
pub(crate) fn expected(options: &Options, present: &[Peer], workloads: &[Workload]) -> f64 {
    workloads
        .iter()
        .map(|workload| {
            let peers = present.iter().filter(|peer| peer.takes_part(workload)).count();
            peers as f64 * options.turns(workload)
        })
        .sum()
}

/// A share of the capacity of the slowest serious peer.
fn rate(results: &Results, present: &[Peer], percent: u32) -> Result<f64, String> {
    let capacity = results.workloads.iter().find(|workload| workload.name == CAPACITY);
    let entries = capacity.map_or(&[][..], |workload| &workload.entries);
    let serious = |name: &str| present.iter().any(|peer| peer.name == name && peer.serious);
    entries
        .iter()
        .filter(|entry| serious(&entry.peer))
        .filter_map(|entry| range(entry, REQUESTS))
        .map(|range| range.median)
        .min_by(f64::total_cmp)
        .map(|slowest| (slowest * f64::from(percent) / 100.0).round())
        .ok_or_else(|| format!("no serious peer finished {CAPACITY}, so no rate can be fixed"))
}

/// What the turns of a workload have in common.
struct Turns<'a> {
    options: &'a Options,
    material: &'a Material,
    workload: &'a Workload,
    rate: Option<f64>,
}

impl Turns<'_> {
    /// All rounds, then those again that were disturbed while there is time, then the calls.
    fn all(&self, present: &[Peer], spare: &mut Spare) -> WorkloadResult {
        let Self { options, workload, rate, .. } = *self;
        let entry = |peer: &Peer| Entry {
            peer: peer.name.into(),
            rounds: Vec::new(),
            calls: None,
            uncounted: None,
            repeated: 0,
            failure: None,
        };
        let mut entries: Vec<Entry> = present.iter().map(entry).collect();
        for round in 0..options.rounds_of(workload) {
            for turn in 0..present.len() {
                let index = (turn + round) % present.len();
                let (peer, entry) = (&present[index], &mut entries[index]);
                eprintln!("{}: round {}, {}", workload.name, round + 1, peer.name);
                // What has failed twice from the start would fail again.
                if round < 2 || !entry.rounds.is_empty() {
                    match self.turn(peer) {
                        Ok(report) => entry.rounds.push(report),
                        Err(what) => entry.failure = Some(what),
                    }
                }
            }
        }
        while self.repeat(present, &mut entries, spare) {}
        if workload.about != About::Idle {
            for (peer, entry) in present.iter().zip(&mut entries) {
                if entry.failure.is_none() {
                    eprintln!("{}: calls, {}", workload.name, peer.name);
                    let counted = count_calls(options, self.material, peer, workload, rate);
                    match counted {
                        Ok(calls) => entry.calls = Some(calls),
                        Err(what) => entry.uncounted = Some(what),
                    }
                }
            }
        }
        let (name, title) = (workload.name.into(), workload.title.into());
        WorkloadResult { name, title, rate, entries, skipped: None }
    }

    /// Measures once again each round that was disturbed, and keeps what was disturbed less; answers
    /// whether there was such a round and time for it.
    fn repeat(&self, present: &[Peer], entries: &mut [Entry], spare: &mut Spare) -> bool {
        let about = self.workload.about;
        let mut repeated = false;
        for (peer, entry) in present.iter().zip(entries) {
            for round in 0..entry.rounds.len() {
                let before = degree(about, &entry.rounds[round]);
                if before <= 1.0 || !spare.take(self.options.turn(self.workload)) {
                    continue;
                }
                repeated = true;
                entry.repeated += 1;
                eprintln!("{}: round {} again, {}", self.workload.name, round + 1, peer.name);
                if let Ok(report) = self.turn(peer)
                    && degree(about, &report) < before
                {
                    entry.rounds[round] = report;
                }
            }
        }
        repeated
    }

    /// A fresh server, loaded once.
    fn turn(&self, peer: &Peer) -> Result<Report, String> {
        let Self { options, material, workload, rate } = *self;
        turn_of(options, material, peer, workload, rate)
    }
}

/// A fresh server, with one more option if that is wanted.
fn start(
    options: &Options,
    material: &Material,
    peer: &Peer,
    workload: &Workload,
    more: Option<&str>,
) -> Result<(Running, u16), String> {
    let port = free_port().map_err(|error| error.to_string())?;
    let mut command = peer.command(options, material, port, workload.file)?;
    command.args(more);
    let mut cpus = vec![options.server_cpu];
    if peer.cpus() > 1 {
        cpus.push(options.second_cpu.unwrap_or_else(|| {
            let third = std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 2);
            if third { 2 } else { options.client_cpu }
        }));
    }
    Running::start(&cpus, &mut command, port).map(|running| (running, port))
}

/// A fresh server, loaded once.
fn turn_of(
    options: &Options,
    material: &Material,
    peer: &Peer,
    workload: &Workload,
    rate: Option<f64>,
) -> Result<Report, String> {
    let (server, port) = start(options, material, peer, workload, None)?;
    let mut command = load(options, material, peer, workload, rate, port)?;
    command.args(["--server-pid", &server.pid().to_string()]);
    checked(workload.options.contains(&"resumed"), report(options.client_cpu, &mut command)?)
}

/// The load generator's command.
fn load(
    options: &Options,
    material: &Material,
    peer: &Peer,
    workload: &Workload,
    rate: Option<f64>,
    port: u16,
) -> Result<Command, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(this.with_file_name("ringway-load"));
    let file = workload.file.unwrap_or_default();
    command.arg(format!("https://127.0.0.1:{port}/{file}"));
    command.args(["--cpus", &options.client_cpu.to_string(), "--json", "-"]);
    command.args(["--duration", &format!("{}s", options.seconds_of(workload))]);
    command.args(["--warm-up", &format!("{}s", options.warm_up())]);
    command.arg("--root").arg(material.root()).arg("--cert").arg(material.cert());
    command.args(peer.loaded_with(workload));
    if let Some(rate) = rate {
        command.args(["--rate", &rate.to_string()]);
    }
    Ok(command)
}

/// Runs the load generator on `cpu`.
pub(crate) fn report(cpu: usize, command: &mut Command) -> Result<Report, String> {
    let output = output_on(cpu, command).map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        said.lines().last().unwrap_or("the load generator said nothing").to_owned()
    })
}

/// A report in which everything went as it should; `resumes` says that sessions were to be resumed.
pub(crate) fn checked(resumes: bool, report: Report) -> Result<Report, String> {
    if let Some((kind, failed)) = report.failures.iter().next() {
        return Err(format!("{kind}: {} times, {}", failed.count, failed.first));
    }
    if report.requests == 0 {
        return Err("no request was answered".into());
    }
    if report.server.is_none() {
        return Err("nothing is known of what the server spent".into());
    }
    if report.idle_closed > 0 {
        return Err(format!("closed {} of {} idle connections", report.idle_closed, report.idle));
    }
    let handshakes = report.full_handshakes + report.resumed_handshakes;
    if resumes && report.resumed_handshakes * 100 < handshakes * 99 {
        return Err(format!("resumed {} of {handshakes} sessions", report.resumed_handshakes));
    }
    Ok(report)
}

/// A round of its own in which system calls are counted: counting slows a server down.
fn count_calls(
    options: &Options,
    material: &Material,
    peer: &Peer,
    workload: &Workload,
    rate: Option<f64>,
) -> Result<Calls, String> {
    // Its metrics say which bytes it moved; they are not open while anything is timed.
    let admin = free_port().map_err(|error| error.to_string())?;
    let more = peer.tells_copies().then(|| format!("--admin=127.0.0.1:{admin}"));
    let (server, port) = start(options, material, peer, workload, more.as_deref())?;
    let mut command = load(options, material, peer, workload, rate, port)?;
    command.args(["--duration", &format!("{}s", options.counting(workload))]);
    let delay = Duration::from_secs_f64(options.warm_up() + 0.15);
    let window = Duration::from_secs_f64(options.counting(workload) / 2.0);
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| report(options.client_cpu, &mut command));
        let counted = calls::count(server.pid(), delay, window);
        let report = loading.join().map_err(|_| "the load generator's thread panicked")??;
        let moved_per_byte = more.and_then(|_| ledger::moved_per_byte(admin));
        counted.map(|counted| Calls {
            moved_per_byte,
            ..counted.per_request(report.requests_per_second)
        })
    })
}
