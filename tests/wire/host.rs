//! What this host has, and how a test says that it could not run.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;

/// Records that a test did not run, and why. `RINGWAY_SKIPS` names the file that collects this for
/// a summary, since the test runner shows nothing of a test that does not fail.
pub(crate) fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os("RINGWAY_SKIPS") {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{test}: {why}").unwrap();
    }
}

/// Whether this is a guest that is there to test kernel TLS.
pub(crate) fn kernel_tls_is_required() -> bool {
    std::env::var_os("RINGWAY_REQUIRE_KTLS").is_some_and(|value| value == "1")
}

/// Whether the kernel offers its TLS; if it does not, the test is skipped or fails.
pub(crate) fn has_kernel_tls() -> bool {
    let offered = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp").unwrap_or_default();
    let has = offered.split_whitespace().any(|ulp| ulp == "tls");
    if !has {
        assert!(
            !kernel_tls_is_required(),
            "RINGWAY_REQUIRE_KTLS=1, and the kernel offers no tls ULP: {offered:?}"
        );
        skip("the kernel offers no tls ULP; scripts/test runs this in a guest that has it");
    }
    has
}

/// Whether the kernel offers its TLS at this moment, with nothing said.
pub(crate) fn kernel_tls_is_offered() -> bool {
    fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp")
        .is_ok_and(|offered| offered.split_whitespace().any(|ulp| ulp == "tls"))
}

/// Whether a program can be run; if it cannot, the test is skipped.
pub(crate) fn has_program(name: &str) -> bool {
    let has = Command::new(name).arg("version").output().is_ok();
    if !has {
        skip(&format!("this host has no {name}"));
    }
    has
}

/// The kernel's version, as (major, minor).
pub(crate) fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|part| part.trim().parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// A counter of `/proc/net/tls_stat` (Documentation/networking/tls.rst).
pub(crate) fn tls_stat(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/net/tls_stat").unwrap_or_default();
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}
