//! What of the wait for an answer nobody accounts for: our wait, less the way there and back, less
//! what the server says of its own time. Pure.

use std::time::Duration;

use super::server_timing::Metric;
use super::stages::{Stage, Stages};

/// Where the wait for an answer went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// From the request until the first byte of its answer.
    pub(super) ours: Duration,
    /// The way there and back: what the kernels needed for the TCP handshake, in which no program
    /// takes part.
    pub(super) way: Duration,
    /// What the server says that it spent on the request; None if it says nothing.
    pub(super) admitted: Option<Duration>,
    /// What the server says it spent most on.
    pub(super) mostly: Option<String>,
}

impl Wait {
    /// Of one exchange, or of medians.
    pub(super) fn of(stages: &Stages, metrics: &[Metric]) -> Option<Self> {
        let own = metrics.iter().filter(|metric| parent(&metric.name) == Some(Stage::Wait));
        let timed = own.filter_map(|metric| Some((metric, metric.duration?)));
        let mostly = timed.clone().max_by_key(|(_, duration)| *duration);
        Some(Self {
            ours: stages.get(Stage::Wait)?,
            way: stages.get(Stage::Connect)?,
            admitted: mostly.is_some().then(|| timed.map(|(_, duration)| duration).sum()),
            mostly: mostly.map(|(metric, _)| metric.name.clone()),
        })
    }

    /// What is left; None if the server says nothing of its time.
    pub(super) fn unexplained(&self) -> Option<Duration> {
        Some(self.ours.saturating_sub(self.way).saturating_sub(self.admitted?))
    }

    /// Whether so much is left that it deserves a look: more than a slow system call and most of
    /// the wait.
    pub(super) fn is_suspect(&self) -> bool {
        self.unexplained()
            .is_some_and(|rest| rest > Duration::from_millis(5) && rest * 2 > self.ours)
    }
}

/// The stage of ours during which the server does this; `None` for what contains others, and for
/// the time that the server waited for us. The names are those of `/anatomy.json`; other servers'
/// stages are taken for parts of the answer.
pub(super) fn parent(name: &str) -> Option<Stage> {
    match name {
        "total" | "first_byte" | "handshake_cpu" => None,
        "accept_queue" | "handshake" | "handshake_full" | "handshake_resumed" | "hand_over" => {
            Some(Stage::Handshake)
        }
        _ => Some(Stage::Wait),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(connect: u64, wait: u64) -> Stages {
        let mut stages = Stages::default();
        stages.set(Stage::Connect, Duration::from_millis(connect));
        stages.set(Stage::Wait, Duration::from_millis(wait));
        stages
    }

    fn metric(name: &str, milliseconds: u64) -> Metric {
        let duration = Some(Duration::from_millis(milliseconds));
        Metric { name: name.to_owned(), duration, description: None }
    }

    #[test]
    fn what_nobody_accounts_for_is_left() {
        let said = [metric("handshake_full", 70), metric("process", 30), metric("parse", 1)];
        let wait = Wait::of(&stages(20, 500), &said).unwrap();
        assert_eq!(wait.admitted, Some(Duration::from_millis(31)));
        assert_eq!(wait.mostly.as_deref(), Some("process"));
        assert_eq!(wait.unexplained(), Some(Duration::from_millis(449)));
        assert!(wait.is_suspect());
        let wait = Wait::of(&stages(20, 52), &said).unwrap();
        assert_eq!(
            (wait.unexplained(), wait.is_suspect()),
            (Some(Duration::from_millis(1)), false)
        );
        // More than our wait cannot be explained.
        let wait = Wait::of(&stages(20, 40), &said).unwrap();
        assert_eq!(wait.unexplained(), Some(Duration::ZERO));
    }

    #[test]
    fn a_server_that_says_nothing_explains_nothing() {
        let wait = Wait::of(&stages(20, 500), &[metric("handshake_full", 70)]).unwrap();
        assert_eq!((wait.admitted, wait.unexplained(), wait.is_suspect()), (None, None, false));
        assert_eq!(Wait::of(&Stages::default(), &[]), None);
    }
}
