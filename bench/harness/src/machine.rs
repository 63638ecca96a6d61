//! What the results were measured on.

use std::fs;

use serde::{Deserialize, Serialize};

/// A machine and its settings that matter.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) kernel: String,
    pub(crate) memory_mib: u64,
    pub(crate) congestion_control: String,
    /// Whether the kernel can do TLS.
    pub(crate) kernel_tls: bool,
    /// Mitigations in force, as the kernel reports them.
    pub(crate) mitigations: Vec<String>,
    /// The load average before the first round: above 0.5 the machine was not quiet.
    pub(crate) load_before: f64,
    /// Seconds since 1970.
    pub(crate) measured_at: u64,
}

impl Machine {
    /// This one. What cannot be found out stays empty.
    pub(crate) fn this() -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let memory = read("/proc/meminfo");
        let kib = memory.split_ascii_whitespace().nth(1).and_then(|number| number.parse().ok());
        let ulps = read("/proc/sys/net/ipv4/tcp_available_ulp");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            cpu: model
                .map(|text| text.trim_start_matches([' ', '\t', ':']).into())
                .unwrap_or_default(),
            cpus: std::thread::available_parallelism().map_or(0, Into::into),
            // What follows names a build, which says nothing to a reader.
            kernel: read("/proc/sys/kernel/osrelease").split('-').next().unwrap_or_default().into(),
            memory_mib: kib.unwrap_or(0u64) / 1024,
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control"),
            kernel_tls: ulps.split(' ').any(|ulp| ulp == "tls"),
            mitigations: mitigations(),
            load_before: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(0.0),
            measured_at: now.map_or(0, |time| time.as_secs()),
        }
    }
}

fn mitigations() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let state = fs::read_to_string(entry.path()).ok()?;
            let state = state.trim();
            (state != "Not affected").then(|| format!("{}: {state}", entry.file_name().display()))
        })
        .collect();
    names.sort();
    names
}
