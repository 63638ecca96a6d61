//! The measurements, in order: undisturbed, an attack, undisturbed, the next attack, and so on; then
//! all over again.
//!
//! The invariant: an attack has begun in full before its measurement does, and has let go of the
//! server before the next undisturbed one.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use ringway_load::report::Report;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::attacks::{self, Attack};
use crate::honest::Honest;
use crate::options::Options;
use crate::pacer::Signals;
use crate::results::{Attacked, Machine, Results, Round, Seen};
use crate::server::Server;
use crate::site::Site;
use crate::target::Target;

/// How long an attack may take to be in place.
const IN_PLACE: Duration = Duration::from_secs(120);
/// How long a flood goes on before its measurement.
const UNDER_WAY: Duration = Duration::from_millis(500);
/// How long the server has to let go of an attack's connections.
const LET_GO: Duration = Duration::from_secs(30);
/// Descriptors that ten thousand connections need in the server, two for each, and some.
const OPEN_FILES: u64 = 32_768;

/// Runs all rounds.
pub(crate) fn measure(options: &Options) -> Result<Results, String> {
    let chosen = chosen(options)?;
    raise_open_files();
    let machine = machine();
    let honest = Honest::new(options)?;
    let site = Site::make().map_err(|error| error.to_string())?;
    let mut server = Server::start(options, &site)?;
    let target = Target::new(server.port, &site.cert())?;
    let at_first = server.descriptors();
    if !honest.ahead {
        eprintln!(
            "no real-time priority here: the honest client waits for the attackers' CPU as well"
        );
    }
    let mut bench = Bench { options, honest, site, target, most_memory: 0 };
    // Files and code are touched once before anything counts.
    bench.undisturbed(&mut server)?;
    let mut attacks: Vec<Attacked> = chosen
        .iter()
        .map(|attack| Attacked {
            name: attack.name.into(),
            what: attack.what.into(),
            unit: attack.unit.into(),
            rounds: Vec::new(),
        })
        .collect();
    let mut undisturbed = vec![bench.undisturbed(&mut server)?];
    for round in 1..=options.rounds() {
        for (attack, attacked) in chosen.iter().zip(&mut attacks) {
            let before = undisturbed.last().copied().unwrap_or_default();
            let (during, done, turned_away) = bench.attacked(&mut server, attack)?;
            Bench::let_go(&server, at_first);
            let after = bench.undisturbed(&mut server)?;
            undisturbed.push(after);
            let round_of = Round { before, during, after, done, turned_away };
            eprintln!(
                "round {round}: {:16} p99 {:8.0} us beside it, {:.2} times as without",
                attack.name,
                during.p99_us,
                round_of.ratio()
            );
            attacked.rounds.push(round_of);
        }
    }
    Ok(Results {
        server: server.version.clone(),
        kernel_tls: server.tls.clone(),
        machine,
        seconds: options.window().as_secs_f64(),
        rounds: options.rounds(),
        rate: options.rate,
        against: options.against(),
        polls: server.polls,
        connections: options.connections,
        ahead: bench.honest.ahead,
        ceiling: server.ceiling,
        most_memory: bench.most_memory,
        descriptors: (at_first, server.descriptors()),
        undisturbed,
        attacks,
    })
}

/// What all measurements share.
#[derive(Debug)]
struct Bench<'o> {
    options: &'o Options,
    honest: Honest,
    site: Site,
    target: Target,
    most_memory: u64,
}

impl Bench<'_> {
    fn undisturbed(&mut self, server: &mut Server) -> Result<Seen, String> {
        let report = self.honest.ask(self.options, server, &self.site);
        self.seen(server, report)
    }

    /// What the honest client saw, and what the attacker did a second.
    fn attacked(
        &mut self,
        server: &mut Server,
        attack: &Attack,
    ) -> Result<(Seen, f64, f64), String> {
        let signals = Signals::default();
        thread::scope(|scope| {
            let attacker = scope.spawn(|| {
                behind(self.options.client_cpu);
                (attack.run)(&self.target, &signals);
            });
            let deadline = Instant::now() + IN_PLACE;
            while !signals.is_ready() && !attacker.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
            let ready = signals.is_ready();
            thread::sleep(UNDER_WAY);
            let (began, done, away) = (Instant::now(), signals.done(), signals.away());
            let report = self.honest.ask(self.options, server, &self.site);
            let seconds = began.elapsed().as_secs_f64();
            let (done, away) = (signals.done() - done, signals.away() - away);
            // The most is held while the attack is there.
            let held = server.memory();
            signals.stop();
            if attacker.join().is_err() || !ready {
                return Err(format!("{} was not in place in {IN_PLACE:?}", attack.name));
            }
            self.most_memory = self.most_memory.max(held);
            let mut seen = report
                .map_err(|what| format!("beside {}: {what}", attack.name))
                .map(|report| seen(&report))?;
            seen.memory = held;
            if let Some(how) = server.ended() {
                return Err(format!("the server ended beside {}: {how}", attack.name));
            }
            Ok((seen, done as f64 / seconds, away as f64 / seconds))
        })
    }

    fn seen(
        &mut self,
        server: &mut Server,
        report: Result<Report, String>,
    ) -> Result<Seen, String> {
        if let Some(how) = server.ended() {
            return Err(format!("the server ended: {how}"));
        }
        let mut seen = seen(&report?);
        seen.memory = server.memory();
        self.most_memory = self.most_memory.max(seen.memory);
        Ok(seen)
    }

    /// Waits until the attack's connections are gone: the files that stay open do not count.
    fn let_go(server: &Server, at_first: usize) {
        let deadline = Instant::now() + LET_GO;
        while server.descriptors() > at_first + 4 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn seen(report: &Report) -> Seen {
    for (kind, failed) in &report.failures {
        eprintln!("FAILED: {kind}: {} ({})", failed.count, failed.first);
    }
    Seen {
        p50_us: report.latency_at(50.0),
        p99_us: report.latency_at(99.0),
        max_us: report.latency_at(100.0),
        requests: report.requests,
        failed: report.failures.values().map(|failed| failed.count).sum::<u64>() + report.missed,
        server_cpu: report.server.as_ref().map_or(0.0, |server| server.cpu_share),
        memory: 0,
    }
}

/// Puts this thread on the clients' CPU, behind everybody else there.
pub(crate) fn behind(cpu: usize) {
    let mut only = CpuSet::new();
    only.set(cpu);
    // Where it may not be put there it competes with the server, and the figures show it.
    let _ = sched_setaffinity(None, &only);
    let _ = rustix::process::nice(10);
}

fn chosen(options: &Options) -> Result<Vec<Attack>, String> {
    let all = attacks::all(options.against());
    if options.attack.is_empty() {
        return Ok(all.to_vec());
    }
    let find = |name: &String| {
        let found = all.iter().copied().find(|attack| attack.name == name);
        found.ok_or_else(|| format!("there is no attack '{name}'; --list names them"))
    };
    options.attack.iter().map(find).collect()
}

/// For this process and, inherited, the server and the honest client.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum.map(|most| most.max(OPEN_FILES));
    // Only root can raise the maximum; others have what they have.
    if setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

fn machine() -> Machine {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let load = read("/proc/loadavg");
    Machine {
        cpu: model.map(|text| text.trim_start_matches([' ', '\t', ':']).into()).unwrap_or_default(),
        cpus: thread::available_parallelism().map_or(0, Into::into),
        // What follows names a build, which says nothing to a reader.
        kernel: read("/proc/sys/kernel/osrelease")
            .trim()
            .split('-')
            .next()
            .unwrap_or_default()
            .into(),
        open_files: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        load_before: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
    }
}
