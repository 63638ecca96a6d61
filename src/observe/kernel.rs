//! Counters of the kernel, read when somebody asks. They are those of the host's network namespace
//! since it exists, not of this server alone.

use std::{fs, net::SocketAddr};

use super::processor::schedstat;

/// The accept queue of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerQueue {
    /// Its address.
    pub address: SocketAddr,
    /// Whose it is.
    pub worker: usize,
    /// Connections that wait to be accepted.
    pub queued: u32,
    /// How many may wait.
    pub limit: u32,
}

/// A worker's thread, as the kernel sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadFigures {
    /// Nanoseconds on a processor.
    pub ran: u64,
    /// Nanoseconds ready to run, while others had the processor.
    pub waited: u64,
    /// Kernel threads that work for its ring (`iou-wrk-*`): operations that the kernel could not
    /// do at once were handed to them, which are opens of names that it does not remember. They leave
    /// when they have had nothing to do for five seconds, all but the last; how many operations there
    /// were is visible to a tracepoint only (`io_uring:io_uring_queue_async_work`).
    pub kernel_workers: usize,
}

impl ThreadFigures {
    /// Nanoseconds on a processor that a worker's turns do not account for, which last so many
    /// nanoseconds with all that they waited for a processor: at least so long it was in
    /// io_uring_enter(2).
    pub fn in_enter(&self, turns: u64) -> u64 {
        self.ran.saturating_sub(turns)
    }

    /// What was counted since `earlier`, figures of the same thread.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(earlier.ran),
            waited: self.waited.saturating_sub(earlier.waited),
            ..self
        }
    }

    /// Reads them for one thread of this process.
    pub fn sample(thread: u32) -> Option<Self> {
        let text = fs::read(format!("/proc/self/task/{thread}/schedstat")).ok()?;
        let [ran, waited] = schedstat(&text)?;
        let name = format!("iou-wrk-{thread}");
        let named = |task: fs::DirEntry| {
            // A thread that has ended meanwhile has no name.
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
        };
        let tasks = fs::read_dir("/proc/self/task").ok()?;
        let kernel_workers = tasks.filter_map(Result::ok).map(named);
        Some(Self { ran, waited, kernel_workers: kernel_workers.filter(|is| *is).count() })
    }
}

/// What the kernel says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelFigures {
    /// The accept queues of this server.
    pub listeners: Vec<ListenerQueue>,
    /// Connections that found their accept queue full (`ListenOverflows`, proc_net_netstat).
    pub listen_overflows: Option<u64>,
    /// Connections that were dropped by their listener for any reason (`ListenDrops`).
    pub listen_drops: Option<u64>,
    /// Segments that were sent again (`RetransSegs`).
    pub retransmitted_segments: Option<u64>,
    /// SYN cookies sent, which is what happens when the SYN queue is full (`SyncookiesSent`).
    pub syn_cookies_sent: Option<u64>,
    /// `/proc/net/tls_stat`, if the kernel has TLS.
    pub tls: Option<Vec<(String, u64)>>,
}

/// Counters of the kernel that only grow: see [`KernelFigures`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KernelCounters([Option<u64>; 4]);

impl KernelFigures {
    pub(super) fn counters(&self) -> KernelCounters {
        KernelCounters([
            self.listen_overflows,
            self.listen_drops,
            self.retransmitted_segments,
            self.syn_cookies_sent,
        ])
    }

    /// Between two moments at which the counters were these.
    pub(super) fn between(
        &self,
        KernelCounters(earlier): KernelCounters,
        KernelCounters(later): KernelCounters,
    ) -> Self {
        let grown = |place: usize| Some(later[place]?.saturating_sub(earlier[place].unwrap_or(0)));
        Self {
            listen_overflows: grown(0),
            listen_drops: grown(1),
            retransmitted_segments: grown(2),
            syn_cookies_sent: grown(3),
            ..self.clone()
        }
    }

    /// Reads the counters; `listeners` are what the server knows of its own.
    pub fn sample(listeners: Vec<ListenerQueue>) -> Self {
        let netstat =
            fs::read_to_string("/proc/self/net/netstat").unwrap_or_else(|_| String::new());
        let snmp = fs::read_to_string("/proc/self/net/snmp").unwrap_or_else(|_| String::new());
        let tls = fs::read_to_string("/proc/self/net/tls_stat").ok();
        Self {
            listeners,
            listen_overflows: paired(&netstat, "TcpExt:", "ListenOverflows"),
            listen_drops: paired(&netstat, "TcpExt:", "ListenDrops"),
            retransmitted_segments: paired(&snmp, "Tcp:", "RetransSegs"),
            syn_cookies_sent: paired(&netstat, "TcpExt:", "SyncookiesSent"),
            tls: tls.map(|text| columns(&text)),
        }
    }
}

/// A counter of a file in which a line of names stands above a line of numbers.
fn paired(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let place = lines.next()?.split_whitespace().position(|word| word == name)?;
    lines.next()?.split_whitespace().nth(place)?.parse().ok()
}

/// The counters of a file with a name and a number on each line.
fn columns(text: &str) -> Vec<(String, u64)> {
    let line = |line: &str| {
        let (name, number) = line.split_once(char::is_whitespace)?;
        Some((name.to_owned(), number.trim().parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETSTAT: &str = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\n\
                           TcpExt: 3 14 15\nIpExt: InNoRoutes\nIpExt: 0\n";

    #[test]
    fn counters_are_found_by_name() {
        assert_eq!(paired(NETSTAT, "TcpExt:", "ListenDrops"), Some(15));
        assert_eq!(paired(NETSTAT, "IpExt:", "InNoRoutes"), Some(0));
        assert_eq!(paired(NETSTAT, "TcpExt:", "Absent"), None);
        assert_eq!(paired("", "TcpExt:", "ListenDrops"), None);
        assert_eq!(paired("Tcp: A\n", "Tcp:", "A"), None);
    }

    #[test]
    fn columns_are_name_and_number() {
        let text = "TlsCurrTxSw                     \t2\nnonsense\nTlsTxSw  x\n";
        assert_eq!(columns(text), [("TlsCurrTxSw".to_owned(), 2)]);
    }

    #[test]
    fn a_thread_has_run() {
        let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        let sample = || ThreadFigures::sample(thread).expect("this kernel has schedstat");
        // What it ran is added up in ticks of the scheduler's clock, which may be 10 ms long, and
        // when it leaves the processor.
        let mut work = 0_u64;
        let ran = (0..1000).any(|_| {
            work = (0..100_000).fold(work, |sum, next| std::hint::black_box(sum ^ next));
            std::thread::sleep(std::time::Duration::from_millis(1));
            sample().ran > 0
        });
        assert!(ran);
        assert_eq!(sample().kernel_workers, 0);
        assert_eq!(ThreadFigures::sample(u32::MAX), None);
    }

    #[test]
    fn this_kernel_has_them() {
        let figures = KernelFigures::sample(Vec::new());
        assert!(figures.listen_overflows.is_some() && figures.retransmitted_segments.is_some());
    }
}
