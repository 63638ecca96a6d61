//! `ringway doctor`: what this host offers, what Ringway will do with it, and how to change it.
//!
//! The invariant: facts are gathered first, judged second and shown last, and a fact that cannot
//! be had is shown as unknown. No host is odd enough to make the doctor fail.

mod consequences;
mod facts;
mod report;
mod sections;

use std::path::Path;

use super::{Exit, open_files, print};
use crate::config::Config;
use crate::ring::PollFeatures;
use crate::ring::probe::{RingFeatures, RingUnavailable};
use crate::server::{self, StartError};
use crate::tls::kernel::{self as ktls, KtlsSupport, Trial};
use crate::tls::preferred_suite;
use consequences::Consequences;
use facts::Facts;
use report::Report;

/// Runs the command: exit code 0 if `ringway serve` would work here, 3 if not.
pub(super) fn run(json: bool) -> Exit {
    // Looked at before the limit on open files is raised, as `ringway serve` will do too.
    let facts = Facts::gather(Path::new("/"));
    open_files::raise();
    let (ring, ktls) = (RingFeatures::probe(), ktls::probe());
    let trial = ktls.is_available().then(|| ktls::compare(preferred_suite()).ok()).flatten();
    let report = examine(&Host {
        facts: &facts,
        ring: &ring,
        polling: PollFeatures::probe(),
        ktls: &ktls,
        trial: trial.as_ref(),
        start: may_start(&ring).then(|| server::rehearse(Config::default())),
    });
    let text = if json { report.to_json() } else { report.to_string() };
    match print(text.as_bytes()) {
        Exit::Done if !report.works() => Exit::HostLacks,
        exit => exit,
    }
}

/// Whether there is a ring, or the host refuses one, so that the workers poll.
fn may_start(ring: &Result<RingFeatures, RingUnavailable>) -> bool {
    ring.as_ref().err().is_none_or(RingUnavailable::is_of_the_host)
}

/// What is judged.
struct Host<'a> {
    facts: &'a Facts,
    ring: &'a Result<RingFeatures, RingUnavailable>,
    /// What polling would do without.
    polling: PollFeatures,
    ktls: &'a KtlsSupport,
    trial: Option<&'a Trial>,
    /// What came of setting up the workers of the default configuration, as a start does; None
    /// where something stands in the way of a ring that the operator can change.
    start: Option<Result<Config, StartError>>,
}

fn examine(host: &Host<'_>) -> Report {
    let Host { facts, ring, polling, ktls, trial, start } = host;
    let config = Config::default();
    let consequences =
        Consequences { facts, ring, tls_path: tls_path(ktls, *trial), start: start.as_ref() };
    Report {
        sections: vec![
            sections::kernel(facts),
            sections::ring(ring),
            sections::polling(*polling),
            sections::kernel_tls(facts, ktls, *trial),
            sections::limits(facts, &config),
            sections::processor(facts),
            consequences.section(&config),
        ],
    }
}

/// Who will protect records under `--ktls auto`.
fn tls_path(ktls: &KtlsSupport, trial: Option<&Trial>) -> String {
    match (ktls.unavailable(), trial) {
        (Some(obstacle), _) => format!("user-space TLS: {obstacle}"),
        (None, None) => "user-space TLS: what the kernel's costs could not be tried".to_owned(),
        (None, Some(trial)) if !trial.kernel_sends() => {
            "user-space TLS, which costs less here (--ktls on for the kernel's)".to_owned()
        }
        (None, Some(trial)) if !trial.kernel_receives() => {
            "kernel TLS for sending, for the ciphers that the kernel takes".to_owned()
        }
        (None, Some(_)) => "kernel TLS for the ciphers that the kernel takes".to_owned(),
    }
}

#[cfg(test)]
mod tests;
