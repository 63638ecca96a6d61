//! The limit on open files: raised to what the process may have, and the configuration fitted
//! to it, so that the server runs out of its own bounds before it runs out of descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Limits;

/// Raises the soft limit on open files to the hard one, and answers with the limit that holds
/// then. A refusal leaves the limit as it was.
pub(super) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let holds = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    holds.current.unwrap_or(u64::MAX)
}

/// Fits `limits` to `open_files`. The answer is what there is to say about it, if anything.
///
/// # Errors
///
/// If the descriptors do not suffice for a single connection; the message says what would help.
pub(super) fn fit(
    limits: &mut Limits,
    open_files: u64,
    workers: usize,
    listeners: usize,
) -> Result<Option<String>, String> {
    let wanted = limits.open_files_wanted(workers, listeners);
    let Some(fitted) = limits.fitted(open_files, workers, listeners) else {
        return Err(format!(
            "{open_files} open files are too few for {workers} workers; raise the hard limit to \
             {wanted} (ulimit -Hn as root, or LimitNOFILE={wanted} in the systemd unit) or lower \
             --workers"
        ));
    };
    let said = (fitted != *limits).then(|| {
        format!(
            "the limit of {open_files} open files allows {} connections and {} cached files per \
             worker; for all {} and {} raise it to {wanted} (LimitNOFILE={wanted})",
            fitted.connections,
            fitted.file_cache_entries,
            limits.connections,
            limits.file_cache_entries
        )
    });
    *limits = fitted;
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::{fit, raise};
    use crate::config::Limits;

    #[test]
    fn plenty_needs_no_words() {
        let mut limits = Limits::default();
        assert_eq!(fit(&mut limits, u64::MAX, 2, 2), Ok(None));
        assert_eq!(limits, Limits::default());
    }

    #[test]
    fn scarcity_lowers_the_limits_and_says_so() {
        let mut limits = Limits::default();
        let said = fit(&mut limits, 4_096, 2, 2).unwrap().unwrap();
        assert!(limits.connections < Limits::default().connections);
        assert!(said.contains("LimitNOFILE=48348"), "{said}");
        assert!(fit(&mut limits, 24, 2, 2).unwrap_err().contains("--workers"));
    }

    #[test]
    fn the_soft_limit_reaches_the_hard_one() {
        let limit = raise();
        assert!(limit > 0);
        assert_eq!(raise(), limit);
    }
}
