//! The results as text.

use std::fmt::Write as _;

use crate::disturbed;
use crate::results::{Entry, Results, WorkloadResult};
use crate::summary::{
    BYTES, BYTES_PER_CPU, CLIENT_BUSY, CPU_PER_REQUEST, FAIRNESS, Figure, IDLE_KERNEL, IDLE_USER,
    MAX, P50, P99, P999, PEAK, REQUESTS, REQUESTS_PER_CPU, USER_SHARE, range,
};
use crate::verdict::{self, contests};
use crate::workloads::{self, About};

/// A column: its heading, its figure, the unit that the figure is divided by, decimals.
pub(crate) type Column = (&'static str, Figure, f64, usize);

const MEBI: f64 = 1_048_576.0;
const LATENCIES: [Column; 4] =
    [("p50 us", P50, 1.0, 0), ("p99", P99, 1.0, 0), ("p99.9", P999, 1.0, 0), ("max", MAX, 1.0, 0)];
const REQUESTED: [Column; 2] =
    [("CPU us/req", CPU_PER_REQUEST, 1.0, 2), ("req/CPU-s", REQUESTS_PER_CPU, 1.0, 0)];
const SENT: [Column; 2] =
    [("CPU us/req", CPU_PER_REQUEST, 1.0, 0), ("MB/CPU-s", BYTES_PER_CPU, 1e6, 0)];
const HELD: [Column; 2] =
    [("KiB/conn", IDLE_USER, 1024.0, 1), ("kernel KiB", IDLE_KERNEL, 1024.0, 1)];
const REST: [Column; 4] = [
    ("user %", USER_SHARE, 0.01, 0),
    ("peak MiB", PEAK, MEBI, 1),
    ("least/mid", FAIRNESS, 1.0, 2),
    ("client %", CLIENT_BUSY, 0.01, 0),
];

/// What a workload is about; unknown ones count requests.
pub(crate) fn about(workload: &WorkloadResult) -> About {
    let known = workloads::ALL.iter().find(|known| known.name == workload.name);
    known.map_or(About::Requests, |known| known.about)
}

/// The figure by which servers are compared, and whether more of it is better.
pub(crate) fn primary_figure(about: About) -> (Figure, bool) {
    match about {
        About::Requests => (REQUESTS_PER_CPU, true),
        About::Bytes => (BYTES_PER_CPU, true),
        About::Rate { .. } | About::Workers => (CPU_PER_REQUEST, false),
        About::Idle => (IDLE_USER, false),
    }
}

/// The columns of a workload's table, but for throughput, calls and ratios.
pub(crate) fn columns(about: About) -> Vec<Column> {
    let middle = match about {
        About::Requests | About::Rate { .. } | About::Workers => REQUESTED,
        About::Bytes => SENT,
        About::Idle => HELD,
    };
    LATENCIES.into_iter().chain(middle).chain(REST).collect()
}

/// How throughput is printed: the figure, its unit's name, and what it is divided by.
pub(crate) fn throughput(about: About) -> (Figure, &'static str, f64) {
    if about == About::Bytes { (BYTES, "MB/s", 1e6) } else { (REQUESTS, "req/s", 1.0) }
}

/// All tables.
pub(crate) fn render(results: &Results) -> String {
    let mut out = String::new();
    let machine = &results.machine;
    let _ = writeln!(
        out,
        "{}, {} CPUs, Linux {}, {}, kernel TLS {}; {} round(s) of {} s, load before {:.2}",
        machine.cpu,
        machine.cpus,
        machine.kernel,
        machine.congestion_control,
        if machine.kernel_tls { "there" } else { "not there" },
        results.rounds,
        results.seconds,
        machine.load_before
    );
    for peer in &results.peers {
        let state = match &peer.missing {
            Some(why) => format!("MISSING: {why}"),
            None => format!("{} - {}", peer.version, peer.what),
        };
        let _ = writeln!(out, "  {:<12} {state}", peer.name);
    }
    out.push_str(
        "Ringway is so many times as good as each: the median of pairs, and where half of them lie.\n",
    );
    for workload in &results.workloads {
        table(&mut out, workload);
    }
    out
}

fn table(out: &mut String, workload: &WorkloadResult) {
    let about = about(workload);
    let columns = columns(about);
    let (throughput, throughput_name, unit) = throughput(about);
    let rate = workload.rate.map_or(String::new(), |rate| format!(", {rate} requests/s due"));
    let _ = write!(out, "\n{} ({}{rate})\n{:<12}", workload.title, workload.name, "");
    let _ = write!(out, "{throughput_name:>9}{:>19}", "min-max");
    for (heading, ..) in &columns {
        let _ = write!(out, "{heading:>11}");
    }
    let _ = writeln!(out, "{:>10}{:>10}{:>20}", "calls/req", "enters", "ringway is");
    if let Some(why) = &workload.skipped {
        let _ = writeln!(out, "SKIPPED: {why}");
    }
    let (ringway, contest) = (verdict::ringway(workload), contests(workload)[0]);
    for entry in &workload.entries {
        let _ = write!(out, "{:<12}", entry.peer);
        if let Some(range) = range(entry, throughput) {
            let reach = format!("{:.0}-{:.0}", range.min / unit, range.max / unit);
            let _ = write!(out, "{:>9.0}{reach:>19}", range.median / unit);
            for (_, figure, unit, decimals) in &columns {
                let _ = write!(out, "{:>11}", number(entry, *figure, *unit, *decimals));
            }
            let calls = |value: f64| format!("{value:>10.2}");
            let [all, enters] =
                entry.calls.map_or([10; 2].map(|width| " ".repeat(width)), |counted| {
                    [calls(counted.per_request), calls(counted.enters_per_request)]
                });
            let against = ringway
                .filter(|ringway| ringway.peer != entry.peer)
                .and_then(|ringway| contest.advantage(ringway, entry));
            let against = against.map_or(String::new(), |is| {
                format!("{:.2} x ({:.2}-{:.2})", is.median, is.low, is.high)
            });
            let _ = write!(out, "{all}{enters}{against:>20}");
        }
        let _ = match &entry.failure {
            Some(why) => writeln!(out, "  FAILED: {why}"),
            None => writeln!(out),
        };
    }
    if let Some(sentence) = disturbed::remark(workload) {
        let _ = writeln!(out, "{sentence}");
    }
    for entry in &workload.entries {
        if let Some(why) = &entry.uncounted {
            let _ = writeln!(out, "{}: calls are not counted: {why}", entry.peer);
        }
    }
}

fn number(entry: &Entry, figure: Figure, unit: f64, decimals: usize) -> String {
    range(entry, figure)
        .map_or(String::new(), |range| format!("{:.decimals$}", range.median / unit))
}
