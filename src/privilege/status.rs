//! What the kernel says of this process in `/proc/self/status` (proc_pid_status(5)).

use std::io;

/// The lines that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) threads: usize,
    /// Real, effective, saved and file-system.
    pub(super) uids: Vec<u32>,
    pub(super) gids: Vec<u32>,
    /// Supplementary, sorted.
    pub(super) groups: Vec<u32>,
    /// Inheritable, permitted, effective and ambient capabilities together.
    pub(super) capabilities: u64,
}

impl Status {
    /// Asks the kernel.
    pub(super) fn read() -> io::Result<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/status")?)
            .ok_or_else(|| io::Error::other("/proc/self/status is not as expected"))
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines().filter_map(|line| line.split_once(':')).find(|(n, _)| *n == name)
        };
        let numbers = |name: &str| -> Option<Vec<u32>> {
            field(name)?.1.split_whitespace().map(|number| number.parse().ok()).collect()
        };
        let mut groups = numbers("Groups")?;
        groups.sort_unstable();
        let mut capabilities = 0;
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            capabilities |= u64::from_str_radix(field(set)?.1.trim(), 16).ok()?;
        }
        let (uids, gids) = (numbers("Uid")?, numbers("Gid")?);
        let threads = field("Threads")?.1.trim().parse().ok()?;
        (uids.len() == 4 && gids.len() == 4).then_some(Self {
            threads,
            uids,
            gids,
            groups,
            capabilities,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_one() {
        let status = Status::read().unwrap();
        assert!(status.threads >= 1);
        assert_eq!(status.uids[1], rustix::process::geteuid().as_raw());
        assert_eq!(status.gids[1], rustix::process::getegid().as_raw());
    }

    #[test]
    fn what_is_missing_is_no_status() {
        let text = "Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 8 \nThreads:\t1\n\
                    CapInh:\t0000000000000001\nCapPrm:\t0\nCapEff:\t2\nCapAmb:\t0\n";
        let status = Status::parse(text).unwrap();
        assert_eq!((status.groups, status.capabilities), (vec![8, 9], 3));
        for line in text.lines() {
            assert_eq!(Status::parse(&text.replace(line, "")), None, "{line}");
        }
    }
}
