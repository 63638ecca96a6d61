//! Which CPU each worker runs on. A worker keeps a CPU only where that CPU is not taken from others
//! by accident: every process that shares a mask would otherwise choose its first CPUs.

use std::{fmt, path::Path};

use super::host::ControlGroups;

/// The CPUs of the workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Worker `n` keeps the CPU `n`, modulo their number.
    Pinned(Vec<usize>),
    /// The scheduler chooses, for this reason.
    Free(Why),
}

/// Why workers are not pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// `--no-pin`.
    SwitchedOff,
    /// A control group limits CPU time, to so many hundredths of a CPU: a worker whose CPU is busy
    /// must be able to use the time on another.
    Quota(u64),
    /// So many CPUs are allowed, and there are fewer workers: any choice would be arbitrary.
    FewWorkers(usize),
    /// A container may use every CPU of its host, as others beside it may.
    SharedMask,
    /// The mask cannot be read.
    UnknownMask,
}

impl Placement {
    /// Decides for so many workers on this host.
    pub(crate) fn choose(pin: bool, workers: usize) -> Self {
        if !pin {
            return Self::Free(Why::SwitchedOff);
        }
        let Ok(set) = rustix::thread::sched_getaffinity(None) else {
            return Self::Free(Why::UnknownMask);
        };
        let cpus = (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect();
        let online = std::fs::read_to_string("/sys/devices/system/cpu/online");
        Facts {
            cpus,
            online: online.ok().and_then(|list| count(list.trim())),
            quota: ControlGroups::read(Path::new("/")).cpu_percent,
            in_container: container(Path::new("/")).is_some(),
        }
        .place(workers)
    }

    /// The CPU of a worker, if it keeps one.
    pub(super) fn cpu(&self, worker: usize) -> Option<usize> {
        match self {
            Self::Pinned(cpus) => cpus.get(worker % cpus.len().max(1)).copied(),
            Self::Free(_) => None,
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned(_) => f.write_str("each pinned to a CPU"),
            Self::Free(Why::SwitchedOff) => f.write_str("not pinned (--no-pin)"),
            Self::Free(Why::Quota(percent)) => write!(
                f,
                "not pinned: the control group allows {}.{:02} CPUs",
                percent / 100,
                percent % 100
            ),
            Self::Free(Why::FewWorkers(cpus)) => {
                write!(f, "not pinned: {cpus} CPUs are allowed, and nothing says which to take")
            }
            Self::Free(Why::SharedMask) => {
                f.write_str("not pinned: the container shares all CPUs of its host")
            }
            Self::Free(Why::UnknownMask) => {
                f.write_str("not pinned: the CPUs that are allowed cannot be read")
            }
        }
    }
}

/// What decides.
struct Facts {
    /// The CPUs of the process's mask.
    cpus: Vec<usize>,
    /// How many CPUs the host has, if that can be read.
    online: Option<usize>,
    quota: Option<u64>,
    in_container: bool,
}

impl Facts {
    fn place(self, workers: usize) -> Placement {
        let allowed = self.cpus.len();
        let whole_host = self.online.is_none_or(|online| allowed >= online);
        Placement::Free(match self.quota {
            _ if allowed == 0 => Why::UnknownMask,
            Some(percent) => Why::Quota(percent),
            None if workers < allowed => Why::FewWorkers(allowed),
            None if self.in_container && whole_host => Why::SharedMask,
            None => return Placement::Pinned(self.cpus),
        })
    }
}

/// The CPUs of a list such as `0-3,8` (cpuset(7)).
fn count(list: &str) -> Option<usize> {
    list.split(',').try_fold(0_usize, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

/// The container engine's mark below `root`, if there is one.
pub(crate) fn container(root: &Path) -> Option<&'static str> {
    let marks = [
        (".dockerenv", "Docker"),
        ("run/.containerenv", "Podman"),
        ("run/systemd/container", "systemd-nspawn or the like"),
        ("var/run/secrets/kubernetes.io", "Kubernetes"),
    ];
    marks.into_iter().find(|(path, _)| root.join(path).exists()).map(|(_, engine)| engine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(
        cpus: usize,
        online: usize,
        workers: usize,
        quota: Option<u64>,
        in_container: bool,
    ) -> Placement {
        Facts { cpus: (0..cpus).collect(), online: Some(online), quota, in_container }
            .place(workers)
    }

    #[test]
    fn workers_are_pinned_only_to_cpus_that_are_theirs() {
        let pinned = |count: usize| Placement::Pinned((0..count).collect());
        assert_eq!(place(4, 4, 4, None, false), pinned(4));
        assert_eq!(place(4, 4, 6, None, false), pinned(4));
        // A mask of the process's own, in a container too.
        assert_eq!(place(2, 8, 2, None, true), pinned(2));
        for (placement, why) in [
            (place(4, 4, 4, Some(150), false), Why::Quota(150)),
            (place(4, 4, 2, None, false), Why::FewWorkers(4)),
            (place(4, 4, 4, None, true), Why::SharedMask),
            (place(0, 4, 4, None, false), Why::UnknownMask),
        ] {
            assert_eq!(placement, Placement::Free(why));
            assert_eq!(placement.cpu(0), None);
            assert!(placement.to_string().starts_with("not pinned: "), "{placement}");
        }
        assert_eq!((pinned(2).cpu(0), pinned(2).cpu(3)), (Some(0), Some(1)));
        assert_eq!(Placement::choose(false, 1), Placement::Free(Why::SwitchedOff));
    }

    #[test]
    fn lists_of_cpus_are_counted() {
        assert_eq!(count("0-3,8"), Some(5));
        assert_eq!(count("0"), Some(1));
        assert_eq!(count(""), None);
        assert_eq!(count("3-1"), None);
    }
}
