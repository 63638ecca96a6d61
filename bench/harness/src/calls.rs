//! System calls of a server, counted by perf(1) on the kernel's tracepoints. io_uring's operations
//! are no system calls: only entering the ring is.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use ringway_load::observe;

use crate::results::Calls;

const ALL: &str = "raw_syscalls:sys_enter";
const ENTERS: &str = "syscalls:sys_enter_io_uring_enter";

/// Calls in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PerSecond {
    all: f64,
    enters: f64,
}

/// Counts the calls of `pid` and its children while a load is on: for a time of `window`, after a
/// `delay` in which the load has warmed up.
///
/// # Errors
///
/// If perf is not there or may not look.
pub(crate) fn count(pid: u32, delay: Duration, window: Duration) -> Result<PerSecond, String> {
    sleep(delay);
    let family = observe::family(&[pid]).map_err(|error| error.to_string())?;
    let pids: Vec<String> = family.iter().map(u32::to_string).collect();
    let output = Command::new("perf")
        .args(["stat", "-x", ",", "-e", ALL, "-e", ENTERS, "-p", &pids.join(",")])
        .args(["--", "sleep", &window.as_secs_f64().to_string()])
        .output()
        .map_err(|error| format!("perf: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    // Not the time that perf ran: it takes a while to begin, and counts while `sleep` runs alone.
    let event = |name| {
        let count = counted(&text, name).ok_or_else(|| format!("perf: {text}"));
        count.map(|count| count / window.as_secs_f64())
    };
    Ok(PerSecond { all: event(ALL)?, enters: event(ENTERS)? })
}

/// The count of an event in perf's comma-separated output.
fn counted(text: &str, event: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.split(',').nth(2) == Some(event))?;
    line.split(',').next()?.parse().ok()
}

impl PerSecond {
    /// Calls for each of so many requests a second.
    pub(crate) fn per_request(self, requests: f64) -> Calls {
        Calls {
            per_request: self.all / requests,
            enters_per_request: self.enters / requests,
            moved_per_byte: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, ENTERS, counted};

    #[test]
    fn perf_is_understood() {
        let text = "# started on a day\n\n\
            1234,,raw_syscalls:sys_enter,500,100.00,,\n\
            <not supported>,,syscalls:sys_enter_io_uring_enter,0,100.00,,\n";
        assert_eq!(counted(text, ALL), Some(1234.0));
        assert_eq!(counted(text, ENTERS), None);
    }
}
