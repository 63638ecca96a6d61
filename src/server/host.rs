//! What the control groups of this process allow it: memory and CPU time (cgroups(7)), version 2 and
//! version 1.
//!
//! Everything comes from files that may be missing or unreadable; what cannot be read limits nothing.

use std::{
    fs::File,
    io::Read as _,
    path::{Component, Path, PathBuf},
};

/// The most that is read of one file.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Control groups that are looked at on the way to the root.
const MAX_DEPTH: usize = 32;

/// Version 1 has no word for "no limit", but a number near 2^63 (`PAGE_COUNTER_MAX`).
const NO_LIMIT: u64 = 1 << 60;

/// The limits of the process's control groups; the smallest on the way to the root holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ControlGroups {
    /// Bytes of memory.
    pub(crate) memory: Option<u64>,
    /// CPU time, in hundredths of a CPU.
    pub(crate) cpu_percent: Option<u64>,
}

impl ControlGroups {
    /// Reads them below `root`, which is `/` but in tests.
    pub(crate) fn read(root: &Path) -> Self {
        let groups = text(&root.join("proc/self/cgroup")).unwrap_or_else(String::new);
        let top = root.join("sys/fs/cgroup");
        let unified = folders(&top, own_group(&groups, ""));
        let memory_v1 = folders(&top.join("memory"), own_group(&groups, "memory"));
        let cpu_v1 = folders(&top.join("cpu"), own_group(&groups, "cpu"));
        let number = |folder: &PathBuf, name: &str| text(&folder.join(name))?.parse::<u64>().ok();
        let v2 = unified.iter().filter_map(|group| number(group, "memory.max"));
        let v1 = memory_v1.iter().filter_map(|group| number(group, "memory.limit_in_bytes"));
        let memory = v2.chain(v1).filter(|bytes| *bytes < NO_LIMIT).min();
        let v2 = unified.iter().filter_map(|group| cpu_max(&text(&group.join("cpu.max"))?));
        let v1 = cpu_v1.iter().filter_map(|group| {
            // -1 stands for no limit, and is no number here.
            percent(number(group, "cpu.cfs_quota_us")?, number(group, "cpu.cfs_period_us")?)
        });
        Self { memory, cpu_percent: v2.chain(v1).min() }
    }
}

/// The path of the process's group in the hierarchy of a controller of version 1, or in that of
/// version 2 for none: lines are `ID:CONTROLLERS:PATH`.
fn own_group<'t>(groups: &'t str, controller: &str) -> &'t str {
    groups
        .lines()
        .filter_map(|line| line.split_once(':')?.1.split_once(':'))
        .find(|(controllers, _)| controllers.split(',').any(|name| name == controller))
        .map_or("/", |(_, path)| path)
}

/// The folders of a group and of those above it. In a container the path may be that of the host,
/// where only the top is there to be read.
fn folders(top: &Path, group: &str) -> Vec<PathBuf> {
    let own: PathBuf =
        Path::new(group).components().filter(|part| matches!(part, Component::Normal(_))).collect();
    own.ancestors().take(MAX_DEPTH).map(|group| top.join(group)).collect()
}

/// `cpu.max` is `QUOTA PERIOD` in microseconds, or `max PERIOD`.
fn cpu_max(text: &str) -> Option<u64> {
    let (quota, period) = text.split_once(' ')?;
    percent(quota.parse().ok()?, period.parse().ok()?)
}

fn percent(quota: u64, period: u64) -> Option<u64> {
    quota.checked_mul(100)?.checked_div(period)
}

/// A file's text without white space around it; `None` if it is missing or not text.
fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_FILE_BYTES).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn host(files: &[(&str, &str)]) -> ControlGroups {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        ControlGroups::read(root.path())
    }

    #[test]
    fn the_smallest_limit_on_the_way_to_the_root_holds() {
        let found = host(&[
            ("proc/self/cgroup", "0::/a.slice/b.service\n"),
            ("sys/fs/cgroup/a.slice/memory.max", "67108864\n"),
            ("sys/fs/cgroup/a.slice/b.service/memory.max", "max\n"),
            ("sys/fs/cgroup/a.slice/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/a.slice/b.service/cpu.max", "150000 100000\n"),
        ]);
        assert_eq!(found, ControlGroups { memory: Some(64 << 20), cpu_percent: Some(150) });
    }

    #[test]
    fn version_1_has_a_hierarchy_for_each_controller() {
        let found = host(&[
            ("proc/self/cgroup", "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/\n"),
            ("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "536870912\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(found, ControlGroups { memory: Some(512 << 20), cpu_percent: Some(50) });
    }

    #[test]
    fn in_a_container_the_top_is_its_own_group() {
        let found = host(&[
            ("proc/self/cgroup", "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(found, ControlGroups { memory: Some(1 << 20), cpu_percent: None });
        assert_eq!(host(&[]), ControlGroups::default());
    }
}
