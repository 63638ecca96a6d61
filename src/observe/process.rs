//! What the kernel says of this process, under the names that every Prometheus client library uses.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};

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
        // Of the first thread: a confined process reaches its threads' folders alone
        // (`Prepared::allowed`). What is read there is the whole process's, but for its CPU time.
        let thread = format!("/proc/self/task/{}", std::process::id());
        let stat = fs::read_to_string(format!("{thread}/stat")).ok()?;
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = Duration::new(u64::try_from(cpu.tv_sec).ok()?, u32::try_from(cpu.tv_nsec).ok()?);
        let up = clock_gettime(ClockId::Boottime);
        let up = up.tv_sec as f64 + up.tv_nsec as f64 / 1e9;
        // `/proc/stat` has the time of the boot, but is out of reach once the process is confined.
        let booted = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64() - up;
        let ticks = rustix::param::clock_ticks_per_second();
        let page = rustix::param::page_size() as u64;
        let open_files = fs::read_dir(format!("{thread}/fd")).ok()?.count() as u64;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let figures = Self::of(&stat, booted, ticks, page)?;
        // The descriptor that reads the folder is not counted.
        let open_files = open_files.saturating_sub(1);
        Some(Self { cpu, open_files, most_files: limit.unwrap_or(u64::MAX), ..figures })
    }

    /// From `stat` (proc_pid_stat(5)) on a host that booted at `boot`.
    fn of(stat: &str, boot: f64, ticks: u64, page: u64) -> Option<Self> {
        // The second field is a name in parentheses, which may hold anything; the next is the third.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
        let number = |field: usize| -> Option<u64> { fields.get(field - 3)?.parse().ok() };
        Some(Self {
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
        let figures = ProcessFigures::of(stat, 1_700_000_000.0, 100, 4096).unwrap();
        assert_eq!((figures.virtual_bytes, figures.resident_bytes), (8192, 12_288));
        assert_eq!((figures.threads, figures.started), (7, 1_700_000_010.0));
        assert_eq!(ProcessFigures::of("42 (a", 1.0, 100, 4096), None);
    }

    #[test]
    fn this_process_has_figures() {
        let figures = ProcessFigures::sample().unwrap();
        assert!(figures.resident_bytes > 0 && figures.resident_bytes <= figures.virtual_bytes);
        assert!(figures.open_files > 0 && figures.open_files <= figures.most_files);
        assert!(figures.threads > 0 && figures.started > 1e9);
    }
}
