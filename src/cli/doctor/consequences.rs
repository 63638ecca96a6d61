//! What `ringway serve` would do on this host, as far as that was tried.

use super::facts::Facts;
use super::report::{Line, Mark, Section};
use crate::config::{Config, IoMode};
use crate::ring::probe::{RingFeatures, RingUnavailable};
use crate::server::StartError;

/// What it depends on.
pub(super) struct Consequences<'a> {
    pub(super) facts: &'a Facts,
    pub(super) ring: &'a Result<RingFeatures, RingUnavailable>,
    /// Who protects records.
    pub(super) tls_path: String,
    /// The configuration with the limits that the host allows, if all workers could be set up.
    pub(super) start: Option<&'a Result<Config, StartError>>,
}

impl Consequences<'_> {
    pub(super) fn section(self, config: &Config) -> Section {
        let facts = self.facts;
        let mut lines = Vec::new();
        if let Some(runs_on) = runs_on(self.ring) {
            lines.push(match self.start {
                Some(Err(error)) => {
                    let text = error.to_string();
                    let (problem, remedy) = text.split_once("; ").unwrap_or((&text, ""));
                    let line = Line::new(Mark::Fail, "workers", problem);
                    if remedy.is_empty() { line } else { line.remedy(remedy) }
                }
                Some(Ok(_)) | None => {
                    Line::note("workers", format!("{}, each {runs_on}", facts.cpus))
                }
            });
        }
        lines.push(Line::note("TLS", self.tls_path));
        let fitted = match self.start {
            Some(Ok(fitted)) => fitted,
            Some(Err(_)) | None => config,
        };
        lines.push(Line::note(
            "connections",
            format!("at most {} per worker", fitted.limits.connections),
        ));
        let ceiling = fitted.memory_ceiling_where(facts.cpus, they_poll(fitted, self.ring));
        let over = facts.cgroup_memory.is_some_and(|bound| ceiling.total() > bound);
        let mark = if over { Mark::No } else { Mark::Note };
        let memory = Line::new(mark, "memory", ceiling.to_string());
        lines.push(if over {
            memory.remedy(
                "lower --connections or set --max-connections, or raise the control group's \
                 memory.max",
            )
        } else {
            memory
        });
        let backlog = facts.somaxconn.map_or_else(
            || "what the host allows".to_owned(),
            |most| format!("{most}, as much as the host allows"),
        );
        lines.push(Line::note("listen backlog", backlog));
        Section { title: "What Ringway will therefore do", lines }
    }
}

/// Whether the workers will run on epoll.
fn they_poll(config: &Config, ring: &Result<RingFeatures, RingUnavailable>) -> bool {
    match (config.io, ring) {
        (IoMode::Poll, _) => true,
        (IoMode::Ring, _) => false,
        (IoMode::Auto, Ok(features)) => features.require().is_err(),
        (IoMode::Auto, Err(error)) => error.is_of_the_host(),
    }
}

/// What the workers will run on; None where something stands in the way that the operator can change.
fn runs_on(ring: &Result<RingFeatures, RingUnavailable>) -> Option<&'static str> {
    match ring {
        Ok(features) if features.require().is_ok() => {
            Some(match (features.defer_taskrun, features.coop_taskrun) {
                (true, _) => "with one DEFER_TASKRUN ring",
                (false, true) => "with one COOP_TASKRUN ring",
                (false, false) => "with one plain ring",
            })
        }
        Err(error) if !error.is_of_the_host() => None,
        Ok(_) | Err(_) => Some("on epoll, which costs more CPU for each small request"),
    }
}
