//! What a ring that polls does without on an older kernel, found by trying each call once.
//!
//! Polling needs what Linux 4.18 has, and nothing newer. Each newer call has a substitute, which
//! gives the same answers at a greater cost.

use std::fmt;

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

use crate::ring::residency;

/// The calls newer than Linux 4.18 that a ring uses when it polls. Displays as those that are
/// missing, each with its substitute, as one line for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PollFeatures {
    /// openat2(2) (Linux 5.6): the kernel keeps a path below its folder. Else each path is walked
    /// name by name, by a thread.
    pub(crate) openat2: bool,
    /// `RESOLVE_CACHED` of openat2(2) (5.12): what is in the kernel's caches is opened by the worker.
    /// Else a thread opens it.
    pub(crate) resolve_cached: bool,
    /// cachestat(2) (6.5): whether a range of a file is in memory. Else a read of its first and last
    /// page that does not wait (`RWF_NOWAIT`) decides.
    pub(crate) cachestat: bool,
}

impl PollFeatures {
    /// Tries each call on the current folder.
    pub(crate) fn probe() -> Self {
        let opens = |rules| {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            openat2(CWD, ".", flags, Mode::empty(), rules)
        };
        // A folder that may not be opened says nothing of the call; EPERM is a filter's answer, since
        // openat2(2) gives it for no path.
        let openat2 = !matches!(opens(ResolveFlags::BENEATH), Err(Errno::NOSYS | Errno::PERM));
        let cached = opens(ResolveFlags::BENEATH | ResolveFlags::CACHED);
        let resolve_cached = openat2 && cached.err() != Some(Errno::INVAL);
        Self { openat2, resolve_cached, cachestat: residency::has_cachestat() }
    }

    /// Whether nothing is missing.
    pub(crate) fn is_complete(self) -> bool {
        self.openat2 && self.resolve_cached && self.cachestat
    }

    /// What is missing: name, the Linux that has it, and what Ringway does instead.
    pub(crate) fn missing(
        self,
    ) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        let opening = if self.openat2 {
            ("RESOLVE_CACHED", "5.12", "a thread opens each file")
        } else {
            ("openat2(2)", "5.6", "a thread opens each file and walks its path name by name")
        };
        let counting = ("cachestat(2)", "6.5", "reads that do not wait look for cached files");
        let opens = self.openat2 && self.resolve_cached;
        [(opens, opening), (self.cachestat, counting)]
            .into_iter()
            .filter_map(|(there, what)| (!there).then_some(what))
    }
}

impl fmt::Display for PollFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, since, instead)) in self.missing().enumerate() {
            let comma = if at == 0 { "" } else { "; " };
            write!(f, "{comma}no {name} (Linux {since}): {instead}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_substitute() {
        let all = PollFeatures { openat2: true, resolve_cached: true, cachestat: true };
        assert!(all.is_complete() && all.to_string().is_empty());
        let old = PollFeatures { openat2: false, resolve_cached: false, cachestat: false };
        assert!(!old.is_complete());
        assert_eq!(
            old.to_string(),
            "no openat2(2) (Linux 5.6): a thread opens each file and walks its path name by name; \
             no cachestat(2) (Linux 6.5): reads that do not wait look for cached files"
        );
        let middle = PollFeatures { openat2: true, ..old };
        assert!(middle.to_string().starts_with("no RESOLVE_CACHED (Linux 5.12): "));
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn a_probe_is_the_same_twice() {
        assert_eq!(PollFeatures::probe(), PollFeatures::probe());
    }
}
