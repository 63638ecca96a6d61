//! The workloads.

use crate::material::SITE;
use crate::options::Options;

/// What a workload is about: the figure by which servers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// Requests for each second of the server's CPU.
    Requests,
    /// Bytes for each second of the server's CPU.
    Bytes,
    /// CPU for each request, and latency, at a share of the slowest serious peer's capacity.
    Rate { percent: u32 },
    /// Memory of each idle connection.
    Idle,
    /// CPU for each request of Ringway with one worker and with two, by itself.
    Workers,
}

/// A workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) about: About,
    /// The one file that is asked for; nothing for a mix, which the bounds cannot serve.
    pub(crate) file: Option<&'static str>,
    /// The load generator's options, besides address and duration.
    pub(crate) options: &'static [&'static str],
    /// Whether it is about HTTP/2; then the load generator's options when it loads Ringway
    /// over HTTP/1.1, with a connection for each stream.
    pub(crate) http1: Option<&'static [&'static str]>,
    /// Whether few requests fit into a second, so that it takes longer.
    pub(crate) long: bool,
    /// Whether it belongs to the quick set.
    pub(crate) quick: bool,
}

/// The workload by whose throughput the fixed rates are chosen.
pub(crate) const CAPACITY: &str = "1k-64";

/// The workload that shows what each server sends for an answer over HTTP/2.
pub(crate) const H2: &str = "h2-1k-10x10";

/// All workloads. The one that fixes the rates comes before those at a fixed rate.
pub(crate) const ALL: [Workload; 19] = [
    Workload {
        name: CAPACITY,
        title: "1 KB, 64 connections",
        about: About::Requests,
        file: Some("1k.bin"),
        options: &["-c", "64"],
        http1: None,
        long: false,
        quick: true,
    },
    Workload {
        name: "1k-1",
        title: "1 KB, one connection",
        about: About::Requests,
        file: Some("1k.bin"),
        options: &["-c", "1"],
        http1: None,
        long: false,
        quick: false,
    },
    Workload {
        name: "1k-1000",
        title: "1 KB, 1,000 connections",
        about: About::Requests,
        file: Some("1k.bin"),
        options: &["-c", "1000"],
        http1: None,
        long: false,
        quick: false,
    },
    Workload {
        name: "16k-64",
        title: "16 KB, 64 connections",
        about: About::Requests,
        file: Some("16k.bin"),
        options: &["-c", "64"],
        http1: None,
        long: false,
        quick: true,
    },
    Workload {
        name: "1m-16",
        title: "1 MB, 16 connections",
        about: About::Bytes,
        file: Some("1m.bin"),
        options: &["-c", "16"],
        http1: None,
        long: false,
        quick: true,
    },
    Workload {
        name: "100m-4",
        title: "100 MB, 4 connections",
        about: About::Bytes,
        file: Some("100m.bin"),
        options: &["-c", "4"],
        http1: None,
        long: true,
        quick: false,
    },
    Workload {
        name: "site",
        title: "A web site's mix of files, 64 connections",
        about: About::Requests,
        file: None,
        options: &["-c", "64", "--mix", SITE],
        http1: None,
        long: false,
        quick: false,
    },
    Workload {
        name: "full-handshakes",
        title: "A full handshake for each request of 1 KB",
        about: About::Requests,
        file: Some("1k.bin"),
        options: &["-c", "16", "--sessions", "full"],
        http1: None,
        long: false,
        quick: true,
    },
    Workload {
        name: "resumed-handshakes",
        title: "A resumed handshake for each request of 1 KB",
        about: About::Requests,
        file: Some("1k.bin"),
        options: &["-c", "16", "--sessions", "resumed"],
        http1: None,
        long: false,
        quick: true,
    },
    Workload {
        name: "rate-50",
        title: "1 KB at half the capacity of the slowest serious peer, 64 connections",
        about: About::Rate { percent: 50 },
        file: Some("1k.bin"),
        options: &["-c", "64"],
        http1: None,
        long: false,
        quick: true,
    },
    Workload {
        name: "rate-80",
        title: "1 KB at 80 % of the capacity of the slowest serious peer, 64 connections",
        about: About::Rate { percent: 80 },
        file: Some("1k.bin"),
        options: &["-c", "64"],
        http1: None,
        long: false,
        quick: false,
    },
    Workload {
        name: "idle-5000",
        title: "5,000 idle connections",
        about: About::Idle,
        file: Some("1k.bin"),
        options: &["-c", "1", "--rate", "100", "--idle", "5000"],
        http1: None,
        long: false,
        quick: false,
    },
    Workload {
        name: H2,
        title: "HTTP/2: 1 KB, 10 connections of 10 streams",
        about: About::Requests,
        file: Some("1k.bin"),
        options: &["--h2", "-c", "10", "--streams", "10"],
        http1: Some(&["-c", "100"]),
        long: false,
        quick: true,
    },
    Workload {
        name: "h2-1k-1x100",
        title: "HTTP/2: 1 KB, one connection of 100 streams",
        about: About::Requests,
        file: Some("1k.bin"),
        options: &["--h2", "-c", "1", "--streams", "100"],
        http1: Some(&["-c", "100"]),
        long: false,
        quick: false,
    },
    Workload {
        name: "h2-1k-64x10",
        title: "HTTP/2: 1 KB, 64 connections of 10 streams",
        about: About::Requests,
        file: Some("1k.bin"),
        options: &["--h2", "-c", "64", "--streams", "10"],
        http1: Some(&["-c", "640"]),
        long: false,
        quick: false,
    },
    Workload {
        name: "h2-1k-1x1",
        title: "HTTP/2: 1 KB, one connection of one stream",
        about: About::Requests,
        file: Some("1k.bin"),
        options: &["--h2", "-c", "1", "--streams", "1"],
        http1: Some(&["-c", "1"]),
        long: false,
        quick: false,
    },
    Workload {
        name: "h2-16k-10x10",
        title: "HTTP/2: 16 KB, 10 connections of 10 streams",
        about: About::Requests,
        file: Some("16k.bin"),
        options: &["--h2", "-c", "10", "--streams", "10"],
        http1: Some(&["-c", "100"]),
        long: false,
        quick: false,
    },
    Workload {
        name: "h2-1m-4x4",
        title: "HTTP/2: 1 MB, 4 connections of 4 streams",
        about: About::Bytes,
        file: Some("1m.bin"),
        options: &["--h2", "-c", "4", "--streams", "4"],
        http1: Some(&["-c", "16"]),
        long: false,
        quick: true,
    },
    Workload {
        name: "two-workers",
        title: "Ringway with one worker and with two: 1 KB, 128 connections",
        about: About::Workers,
        file: Some("1k.bin"),
        // A load generator that polls would keep the second worker from its CPU where there are two.
        options: &["-c", "128", "--sleep"],
        http1: None,
        long: false,
        quick: false,
    },
];

/// The workloads that are wanted, and the one that the fixed rates need.
pub(crate) fn chosen(options: &Options) -> Vec<Workload> {
    let wanted = |workload: &Workload| {
        Options::wanted(&options.workload, workload.name)
            && (workload.quick || !options.quick || !options.workload.is_empty())
    };
    let needs_capacity =
        ALL.iter().any(|workload| matches!(workload.about, About::Rate { .. }) && wanted(workload));
    let chosen =
        |workload: &Workload| wanted(workload) || needs_capacity && workload.name == CAPACITY;
    ALL.into_iter().filter(chosen).collect()
}
