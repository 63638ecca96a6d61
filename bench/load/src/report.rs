//! The report of a run: plain figures as JSON, and a table for people.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::observe::Sample;
use crate::plan::Plan;
use crate::run::{Outcome, Server};
use crate::tally::Tally;

/// The percentiles in the report.
pub const PERCENTILES: [f64; 12] =
    [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 100.0];

const MEBIBYTE: f64 = 1_048_576.0;

/// A run's figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The load generator's version.
    pub version: String,
    /// What was asked.
    pub url: String,
    /// Connections that asked.
    pub connections: usize,
    /// Whether they spoke HTTP/2.
    #[serde(default)]
    pub http2: bool,
    /// Requests in flight on each at most.
    pub depth: usize,
    /// Requests a second that were due; nothing in a closed loop.
    pub rate: Option<f64>,
    /// Seconds that were measured.
    pub seconds: f64,
    /// Requests answered as they should be.
    pub requests: u64,
    /// The same per second.
    pub requests_per_second: f64,
    /// Bytes of bodies per second.
    pub body_bytes_per_second: f64,
    /// Requests that failed, by kind.
    pub failures: BTreeMap<String, Failed>,
    /// At a fixed rate: requests that fell due in the measured time. With those carried over they
    /// are as many as were answered, failed, missed or left unfinished.
    #[serde(default)]
    pub due: Option<u64>,
    /// Requests without an answer when the measured time began.
    #[serde(default)]
    pub carried: u64,
    /// How evenly the connections were served.
    #[serde(default)]
    pub served: Served,
    /// Requests without an answer at the end.
    pub unfinished: u64,
    /// Requests dropped because too many waited.
    pub missed: u64,
    /// Latencies in microseconds, by percentile.
    pub latency_us: Vec<Point>,
    /// The mean latency in microseconds.
    pub latency_mean_us: f64,
    /// Connections opened.
    pub opened: u64,
    /// Full handshakes.
    pub full_handshakes: u64,
    /// Resumed handshakes.
    pub resumed_handshakes: u64,
    /// Idle connections.
    pub idle: usize,
    /// Idle connections that the server closed.
    pub idle_closed: u64,
    /// Slow connections.
    pub slow: usize,
    /// Slow connections that the server closed.
    pub slow_closed: u64,
    /// Bytes that slow connections read.
    pub slow_bytes: u64,
    /// What each answer brought along.
    #[serde(default)]
    pub came: Came,
    /// What the load generator itself spent.
    pub client: Client,
    /// What the server spent, if its processes were named and had any CPU time.
    pub server: Option<Spent>,
    /// What else the machine did meanwhile.
    #[serde(default)]
    pub interference: Interference,
}

/// What came from the server for each request: whether servers do equal work.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Came {
    /// Bytes of a response's head.
    pub head_bytes: f64,
    /// Bytes on the wire for each request answered: handshakes, heads, bodies, records' overhead.
    pub wire_bytes: f64,
    /// Records for each request answered.
    #[serde(default)]
    pub records: f64,
    /// Session tickets for each handshake that fell into the measured time.
    pub tickets: f64,
    /// The share of the connections opened in the measured time that the server ended with a
    /// close_notify before the client had closed.
    pub close_notifies: f64,
}

/// What disturbs a measurement, as shares of the measured time: each is 0 on a quiet machine.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Interference {
    /// The server's threads could have run and did not, for others or for each other.
    pub server_waited: f64,
    /// This tool's threads could have run and did not.
    pub client_waited: f64,
    /// The CPUs of both sides were given to other machines.
    pub stolen: f64,
    /// The CPUs of both sides were busy with neither, one CPU's worth being 1; in steps of a clock
    /// tick.
    pub others: f64,
}

/// Failures of a kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failed {
    /// How many.
    pub count: u64,
    /// What the first said.
    pub first: String,
}

/// Requests that a connection had answered in the measured time: of the one that had the fewest, of
/// the middle one, and of the one that had the most. A connection that is opened anew for each
/// request counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The fewest.
    pub least: u64,
    /// The middle.
    pub median: u64,
    /// The most.
    pub most: u64,
}

impl Served {
    fn new(tally: &Tally) -> Self {
        let mut served = tally.served.clone();
        served.sort_unstable();
        let at = |place: usize| served.get(place).copied().unwrap_or(0);
        Self {
            least: at(0),
            median: at(served.len() / 2),
            most: at(served.len().saturating_sub(1)),
        }
    }
}

/// A point of the latency curve.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Point {
    /// Of a hundred.
    pub percentile: f64,
    /// Microseconds.
    pub us: f64,
}

/// What the load generator spent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Client {
    /// Threads.
    pub threads: usize,
    /// The share of the time in which they had something to do. Well below 1 means that the
    /// server, not this tool, was the limit.
    pub busy: f64,
    /// Busy microseconds for each request.
    pub us_per_request: f64,
}

/// What the server spent in the measured interval, and the memory it held.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Spent {
    /// CPU seconds.
    pub cpu_seconds: f64,
    /// CPU seconds of a second: 1 is one core's worth.
    pub cpu_share: f64,
    /// The share of the CPU time that was spent in user mode.
    pub user_share: f64,
    /// Requests for each CPU second.
    pub requests_per_cpu_second: f64,
    /// CPU microseconds for each request.
    pub cpu_us_per_request: f64,
    /// Bytes of bodies for each CPU second.
    pub body_bytes_per_cpu_second: f64,
    /// Context switches for each thousand requests.
    pub switches_per_1000: f64,
    /// Threads.
    pub threads: u64,
    /// Resident memory before the first connection, in bytes.
    pub resident_at_rest: u64,
    /// Resident memory at the end, in bytes.
    pub resident: u64,
    /// The highest that resident memory has been, in bytes.
    pub resident_peak: u64,
    /// Of each idle connection, if there were any.
    pub idle_connection: Option<IdleConnection>,
}

/// The memory that an idle connection holds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct IdleConnection {
    /// Resident bytes of the server's processes.
    pub user: f64,
    /// Bytes of the kernel's slabs, of both ends of the connection and of anything else that the
    /// machine did meanwhile.
    pub kernel_slab: f64,
    /// Bytes of TCP's buffers, both ends.
    pub kernel_tcp: f64,
}

impl Report {
    /// Makes the figures of a run.
    pub fn new(plan: &Plan, outcome: &Outcome) -> Self {
        let tally = &outcome.tally;
        let seconds = tally.measured.as_secs_f64();
        let us = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        let latency = |percentile: f64| match tally.latency.len() {
            0 => 0,
            _ if percentile == 0.0 => tally.latency.min(),
            _ => tally.latency.value_at_percentile(percentile).min(tally.latency.max()),
        };
        let failures = tally.failures().filter(|(_, failures)| failures.count > 0);
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            url: plan.url.clone(),
            connections: plan.connections,
            http2: plan.http2,
            depth: plan.depth,
            rate: plan.rate,
            seconds,
            requests: tally.requests,
            requests_per_second: tally.requests as f64 / seconds,
            body_bytes_per_second: tally.body_bytes as f64 / seconds,
            failures: failures
                .map(|(kind, failures)| {
                    let first = failures.first.clone().unwrap_or_default();
                    (kind.name().to_owned(), Failed { count: failures.count, first })
                })
                .collect(),
            due: plan.rate.map(|_| tally.due),
            carried: tally.carried,
            served: Served::new(tally),
            unfinished: tally.unfinished,
            missed: tally.missed,
            latency_us: PERCENTILES
                .map(|percentile| Point { percentile, us: us(latency(percentile)) })
                .to_vec(),
            latency_mean_us: tally.latency.mean() / 1000.0,
            opened: tally.opened,
            full_handshakes: tally.full,
            resumed_handshakes: tally.resumed,
            idle: plan.idle,
            idle_closed: tally.idle_closed,
            slow: plan.slow.map_or(0, |slow| slow.connections),
            slow_closed: tally.slow_closed,
            slow_bytes: tally.slow_bytes,
            client: Client {
                threads: plan.threads,
                busy: tally.busy.as_secs_f64() / (seconds * plan.threads as f64),
                us_per_request: tally.busy.as_secs_f64() * 1e6 / tally.requests.max(1) as f64,
            },
            came: Came::new(tally),
            server: outcome.server.as_ref().and_then(|server| Spent::new(plan, outcome, server)),
            interference: Interference::new(plan, outcome),
        }
    }

    /// The latency at a percentile of [`PERCENTILES`], in microseconds.
    pub fn latency_at(&self, percentile: f64) -> f64 {
        let near = |point: &&Point| (point.percentile - percentile).abs() < 1e-9;
        self.latency_us.iter().find(near).map_or(0.0, |point| point.us)
    }
}

impl Came {
    fn new(tally: &Tally) -> Self {
        let by = |sum: u64, count: u64| sum as f64 / count.max(1) as f64;
        Self {
            head_bytes: by(tally.heads.0, tally.heads.1),
            wire_bytes: by(tally.wire_bytes, tally.requests),
            records: by(tally.records, tally.requests),
            tickets: by(tally.tickets, tally.full + tally.resumed),
            close_notifies: by(tally.close_notifies, tally.opened),
        }
    }
}

impl Interference {
    fn new(plan: &Plan, outcome: &Outcome) -> Self {
        let (tally, ticks) = (&outcome.tally, &outcome.ticks);
        let seconds = tally.measured.as_secs_f64();
        let server = outcome.server.as_ref();
        let server = |figure: fn(&Sample) -> u64| {
            server.map_or(0, |server| figure(&server.after).saturating_sub(figure(&server.before)))
        };
        // A tick is a share of the time that all of the CPUs had.
        let tick = ticks.cpus as f64 * seconds / ticks.all.max(1) as f64;
        let ours = server(|sample| sample.cpu) as f64 / 1e9 + tally.ran.as_secs_f64();
        let others = ticks.busy as f64 * tick - ours;
        Self {
            server_waited: server(|sample| sample.waited) as f64 / 1e9 / seconds,
            client_waited: tally.waited.as_secs_f64() / plan.threads as f64 / seconds,
            stolen: ticks.stolen as f64 * tick / seconds,
            others: (others / seconds).max(0.0),
        }
    }
}

impl Spent {
    /// Nothing if the server had no CPU time: then nothing was measured.
    fn new(plan: &Plan, outcome: &Outcome, server: &Server) -> Option<Self> {
        let tally = &outcome.tally;
        let Server { at_rest, idle, before, after } = server;
        let cpu = after.cpu.saturating_sub(before.cpu);
        if cpu == 0 || tally.requests == 0 {
            return None;
        }
        let cpu_seconds = cpu as f64 / 1e9;
        let user = after.user_ticks.saturating_sub(before.user_ticks) as f64;
        let system = after.system_ticks.saturating_sub(before.system_ticks) as f64;
        let switches = |sample: &Sample| sample.voluntary_switches + sample.involuntary_switches;
        let requests = tally.requests as f64;
        let each = |before: u64, after: u64| (after as f64 - before as f64) / plan.idle as f64;
        let (kernel_before, kernel_after) = outcome.kernel;
        Some(Self {
            cpu_seconds,
            cpu_share: cpu_seconds / tally.measured.as_secs_f64(),
            user_share: user / (user + system).max(1.0),
            requests_per_cpu_second: requests / cpu_seconds,
            cpu_us_per_request: cpu_seconds * 1e6 / requests,
            body_bytes_per_cpu_second: tally.body_bytes as f64 / cpu_seconds,
            switches_per_1000: switches(after).saturating_sub(switches(before)) as f64 * 1000.0
                / requests,
            threads: after.threads,
            resident_at_rest: at_rest.resident,
            resident: after.resident,
            resident_peak: after.resident_peak,
            idle_connection: (plan.idle > 0).then(|| IdleConnection {
                user: each(at_rest.resident, idle.resident),
                kernel_slab: each(kernel_before.slab, kernel_after.slab),
                kernel_tcp: each(kernel_before.tcp, kernel_after.tcp),
            }),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let loop_kind = self.rate.map_or("closed loop".to_owned(), |rate| {
            format!("{rate:.0} requests/s due, latency from then")
        });
        writeln!(
            f,
            "{}  {}, {} connections, depth {}, {loop_kind}",
            self.url,
            if self.http2 { "HTTP/2" } else { "HTTP/1.1" },
            self.connections,
            self.depth
        )?;
        writeln!(
            f,
            "requests    {} in {:.2} s: {:.0}/s, {:.1} MB/s of bodies",
            self.requests,
            self.seconds,
            self.requests_per_second,
            self.body_bytes_per_second / 1e6
        )?;
        writeln!(
            f,
            "latency     p50 {:.0} us  p90 {:.0}  p99 {:.0}  p99.9 {:.0}  max {:.0}  mean {:.0}",
            self.latency_at(50.0),
            self.latency_at(90.0),
            self.latency_at(99.0),
            self.latency_at(99.9),
            self.latency_at(100.0),
            self.latency_mean_us
        )?;
        writeln!(
            f,
            "fairness    {} to {} requests for each connection, median {}",
            self.served.least, self.served.most, self.served.median
        )?;
        writeln!(
            f,
            "connections {} opened, {} full and {} resumed handshakes",
            self.opened, self.full_handshakes, self.resumed_handshakes
        )?;
        if self.idle > 0 {
            writeln!(f, "idle        {} of {} closed by the server", self.idle_closed, self.idle)?;
        }
        if self.slow > 0 {
            writeln!(
                f,
                "slow        {} of {} closed by the server, {} bytes read",
                self.slow_closed, self.slow, self.slow_bytes
            )?;
        }
        writeln!(
            f,
            "client      {:.0} % busy on {} thread(s), {:.2} us/request",
            self.client.busy * 100.0,
            self.client.threads,
            self.client.us_per_request
        )?;
        writeln!(
            f,
            "came        {:.0} bytes a request, {:.0} of them the head; {:.2} records a request, \
             {:.2} tickets a handshake",
            self.came.wire_bytes, self.came.head_bytes, self.came.records, self.came.tickets
        )?;
        if let Some(server) = &self.server {
            write!(f, "{server}")?;
        }
        let interference = &self.interference;
        writeln!(
            f,
            "disturbed   {:.1} % stolen, {:.1} % of a CPU for others; server waited {:.1} %, client \
             {:.1} %",
            interference.stolen * 100.0,
            interference.others * 100.0,
            interference.server_waited * 100.0,
            interference.client_waited * 100.0
        )?;
        if self.unfinished + self.missed > 0 {
            writeln!(f, "unfinished  {} at the end, {} never sent", self.unfinished, self.missed)?;
        }
        for (kind, failed) in &self.failures {
            writeln!(f, "FAILED      {kind}: {} ({})", failed.count, failed.first)?;
        }
        Ok(())
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "server      {:.0} requests and {:.1} MB per CPU second; {:.2} us/request, {:.0} % in \
             user mode, {:.2} cores",
            self.requests_per_cpu_second,
            self.body_bytes_per_cpu_second / 1e6,
            self.cpu_us_per_request,
            self.user_share * 100.0,
            self.cpu_share
        )?;
        writeln!(
            f,
            "            {:.1} MiB resident, peak {:.1}, {} threads, {:.1} switches per 1000 requests",
            self.resident as f64 / MEBIBYTE,
            self.resident_peak as f64 / MEBIBYTE,
            self.threads,
            self.switches_per_1000
        )?;
        if let Some(idle) = &self.idle_connection {
            writeln!(
                f,
                "            each idle connection: {:.1} KiB user; kernel, both ends: {:.1} KiB slab, \
                 {:.1} KiB TCP",
                idle.user / 1024.0,
                idle.kernel_slab / 1024.0,
                idle.kernel_tcp / 1024.0
            )?;
        }
        Ok(())
    }
}
