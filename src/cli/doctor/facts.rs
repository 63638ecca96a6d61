//! The facts, read from `/proc`, `/sys` and the process itself. Everything that comes from a file
//! may be missing, and is then `None`.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use crate::privilege::{self, Absence};
use crate::server::host::ControlGroups;
use crate::server::placement;

/// What could be found out about the host. Files are read at most once, up to a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The kernel's release, such as `6.12.95`.
    pub(super) release: Option<String>,
    /// The machine, such as `x86_64`.
    pub(super) machine: Option<String>,
    /// The CPUs that this process may use.
    pub(super) cpus: usize,
    /// The processor's name.
    pub(super) processor: Option<String>,
    /// The processor's feature flags.
    pub(super) flags: Option<Vec<String>>,
    /// The sysctl `kernel.io_uring_disabled`.
    pub(super) io_uring_disabled: Option<u64>,
    /// The mode of seccomp: 0 none, 1 strict, 2 a filter.
    pub(super) seccomp: Option<u64>,
    /// The version of Landlock, or why there is none.
    pub(super) landlock: Option<Result<u32, Absence>>,
    /// Whether the process may lock as much memory as it likes (`CAP_IPC_LOCK`).
    pub(super) locks_freely: bool,
    /// The container engine's mark, if one was found.
    pub(super) container: Option<&'static str>,
    /// The driver that the kernel would use for AES-GCM, if any is loaded.
    pub(super) gcm_driver: Option<String>,
    /// Bytes that may be locked, soft limit; `None` for no limit.
    pub(super) locked_memory: Option<u64>,
    /// Open files, soft limit; `None` for no limit.
    pub(super) open_files: Option<u64>,
    /// Open files, hard limit; `None` for no limit.
    pub(super) open_files_hard: Option<u64>,
    /// The sysctl `net.core.somaxconn`.
    pub(super) somaxconn: Option<u64>,
    /// The sysctl `net.ipv4.tcp_max_syn_backlog`.
    pub(super) syn_backlog: Option<u64>,
    /// The sysctl `net.ipv4.tcp_rmem`.
    pub(super) tcp_rmem: Option<String>,
    /// The sysctl `net.ipv4.tcp_wmem`.
    pub(super) tcp_wmem: Option<String>,
    /// The control group's bound on memory, in bytes.
    pub(super) cgroup_memory: Option<u64>,
    /// The control group's bound on CPU time, in hundredths of a CPU.
    pub(super) cgroup_cpu_percent: Option<u64>,
}

/// The most that is read of one file.
const MAX_FILE_BYTES: u64 = 1 << 20;

impl Facts {
    /// Gathers what can be found below `root`, which is `/` but in tests.
    pub(super) fn gather(root: &Path) -> Self {
        let host = Host { root };
        let name = rustix::system::uname();
        let cpuinfo = host.text("proc/cpuinfo").unwrap_or_else(String::new);
        let locked = getrlimit(Resource::Memlock);
        let files = getrlimit(Resource::Nofile);
        let groups = ControlGroups::read(root);
        let release = host.text("proc/sys/kernel/osrelease");
        let status = host.text("proc/self/status").unwrap_or_else(String::new);
        Self {
            release: release.or_else(|| Some(name.release().to_string_lossy().into_owned())),
            machine: Some(name.machine().to_string_lossy().into_owned()),
            cpus: std::thread::available_parallelism().map_or(1, Into::into),
            processor: field(&cpuinfo, "model name").map(str::to_owned),
            flags: field(&cpuinfo, "flags").or_else(|| field(&cpuinfo, "Features")).map(words),
            io_uring_disabled: host.number("proc/sys/kernel/io_uring_disabled"),
            seccomp: field(&status, "Seccomp").and_then(|mode| mode.parse().ok()),
            landlock: Some(privilege::extent()),
            locks_freely: field(&status, "CapEff").is_some_and(has_ipc_lock),
            container: placement::container(root),
            gcm_driver: host.text("proc/crypto").and_then(|crypto| gcm_driver(&crypto)),
            locked_memory: locked.current,
            open_files: files.current,
            open_files_hard: files.maximum,
            somaxconn: host.number("proc/sys/net/core/somaxconn"),
            syn_backlog: host.number("proc/sys/net/ipv4/tcp_max_syn_backlog"),
            tcp_rmem: host.text("proc/sys/net/ipv4/tcp_rmem").map(|text| words(&text).join(" ")),
            tcp_wmem: host.text("proc/sys/net/ipv4/tcp_wmem").map(|text| words(&text).join(" ")),
            cgroup_memory: groups.memory,
            cgroup_cpu_percent: groups.cpu_percent,
        }
    }

    /// Whether the processor names the feature `flag`; `None` if it could not be asked.
    pub(super) fn has_flag(&self, flag: &str) -> Option<bool> {
        Some(self.flags.as_ref()?.iter().any(|known| known == flag))
    }
}

/// The files of a host.
struct Host<'a> {
    root: &'a Path,
}

impl Host<'_> {
    /// A file's text without white space around it; `None` if it is missing or not text.
    fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        use std::io::Read;
        let file = fs::File::open(self.root.join(path)).ok()?;
        let mut text = String::new();
        file.take(MAX_FILE_BYTES).read_to_string(&mut text).ok()?;
        Some(text.trim().to_owned())
    }

    fn number(&self, path: impl AsRef<Path>) -> Option<u64> {
        self.text(path)?.parse().ok()
    }
}

/// The value of the first `key : value` line.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
}

/// Whether a set of capabilities, in hexadecimal, holds `CAP_IPC_LOCK` (capabilities(7)).
fn has_ipc_lock(capabilities: &str) -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    u64::from_str_radix(capabilities, 16).is_ok_and(|set| set >> CAP_IPC_LOCK & 1 == 1)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The `gcm(aes)` implementation of the highest priority in `/proc/crypto`, which is the one that
/// the kernel takes.
fn gcm_driver(crypto: &str) -> Option<String> {
    crypto
        .split("\n\n")
        .filter(|entry| field(entry, "name") == Some("gcm(aes)"))
        .filter(|entry| field(entry, "internal") != Some("yes"))
        .max_by_key(|entry| field(entry, "priority").and_then(|p| p.parse::<i64>().ok()))
        .and_then(|entry| field(entry, "driver").map(str::to_owned))
}
