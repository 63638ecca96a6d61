//! What the kernel says of this process, under the names that every Prometheus client library uses.

use std::{fs, time::Duration};

/// The process, as the kernel sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ProcessFigures {
    /// Time on processors, of all threads, in user and kernel mode.
    pub(super) cpu: Duration,
    /// When it began, in seconds since 1970.
    pub(super) started: f64,
    /// Bytes of memory that are mapped.
    pub(super) virtual_bytes: u64,
    /// Bytes of memory that are in use.
    pub(super) resident_bytes: u64,
    /// Descriptors that are open.
    pub(super) open_files: u64,
    /// How many may be.
    pub(super) most_files: u64,
    /// Threads.
    pub(super) threads: u64,
}

impl ProcessFigures {
    /// Reads them. None if the kernel has no `/proc`.
    pub(super) fn sample() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let booted = fs::read_to_string("/proc/stat").ok()?;
        let ticks = rustix::param::clock_ticks_per_second();
        let page = rustix::param::page_size() as u64;
        let open_files = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let figures = Self::of(&stat, &booted, ticks, page)?;
        // The descriptor that reads the folder is not counted.
        let open_files = open_files.saturating_sub(1);
        Some(Self { open_files, most_files: limit.unwrap_or(u64::MAX), ..figures })
    }

    /// From `/proc/self/stat` and `/proc/stat` (proc_pid_stat(5), proc_stat(5)).
    fn of(stat: &str, booted: &str, ticks: u64, page: u64) -> Option<Self> {
        // The second field is a name in parentheses, which may hold anything; the next is the third.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
        let number = |field: usize| -> Option<u64> { fields.get(field - 3)?.parse().ok() };
        let boot = booted.lines().find_map(|line| line.strip_prefix("btime "))?;
        let boot: f64 = boot.trim().parse().ok()?;
        let cpu = number(14)? + number(15)?;
        Some(Self {
            cpu: Duration::from_secs_f64(cpu as f64 / ticks as f64),
            started: boot + number(22)? as f64 / ticks as f64,
            virtual_bytes: number(23)?,
            resident_bytes: number(24)? * page,
            threads: number(20)?,
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_the_kernel_are_found() {
        let stat = "42 (a) b) S 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 7 0 1000 8192 3 rest";
        let figures = ProcessFigures::of(stat, "cpu 1\nbtime 1700000000\n", 100, 4096).unwrap();
        assert_eq!(figures.cpu, Duration::from_secs(2));
        assert_eq!((figures.virtual_bytes, figures.resident_bytes), (8192, 12_288));
        assert_eq!((figures.threads, figures.started), (7, 1_700_000_010.0));
        assert_eq!(ProcessFigures::of("42 (a", "btime 1\n", 100, 4096), None);
        assert_eq!(ProcessFigures::of(stat, "", 100, 4096), None);
    }

    #[test]
    fn this_process_has_figures() {
        let figures = ProcessFigures::sample().unwrap();
        assert!(figures.resident_bytes > 0 && figures.resident_bytes <= figures.virtual_bytes);
        assert!(figures.open_files > 0 && figures.open_files <= figures.most_files);
        assert!(figures.threads > 0 && figures.started > 1e9);
    }
}
