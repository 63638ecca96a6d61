//! The stages of a request as a client sees them. They follow each other without gaps, so that
//! their durations are all there is to know.

use std::time::Duration;

/// One stage, in the order in which they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The resolver's answer; the first connection only.
    Lookup,
    /// From SYN to SYN-ACK: one round trip, and the kernels at both ends.
    Connect,
    /// From the `ClientHello` until our `Finished` is ready; in TLS 1.3 it leaves with the request.
    Handshake,
    /// Until the socket has taken the request.
    Request,
    /// Until the first byte of the response: the server, and a round trip.
    Wait,
    /// From the first byte of the head to its last.
    Head,
    /// From there to the last byte of the content.
    Body,
    /// From our `close_notify` to the server's.
    Close,
}

impl Stage {
    pub(super) const ALL: [Self; 8] = [
        Self::Lookup,
        Self::Connect,
        Self::Handshake,
        Self::Request,
        Self::Wait,
        Self::Head,
        Self::Body,
        Self::Close,
    ];

    /// For people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Lookup => "name lookup",
            Self::Connect => "TCP connect",
            Self::Handshake => "TLS handshake",
            Self::Request => "request sent",
            Self::Wait => "first byte",
            Self::Head => "rest of the head",
            Self::Body => "last byte",
            Self::Close => "close",
        }
    }

    /// For programs.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Connect => "connect",
            Self::Handshake => "handshake",
            Self::Request => "request",
            Self::Wait => "first_byte",
            Self::Head => "head",
            Self::Body => "body",
            Self::Close => "close",
        }
    }
}

/// What each stage took; `None` for one that did not happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stages([Option<Duration>; 8]);

impl Stages {
    pub(super) fn set(&mut self, stage: Stage, took: Duration) {
        self.0[stage as usize] = Some(took);
    }

    pub(super) fn get(&self, stage: Stage) -> Option<Duration> {
        self.0[stage as usize]
    }

    /// All together.
    pub(super) fn total(&self) -> Duration {
        self.0.iter().flatten().sum()
    }

    /// Each stage that happened, with its begin and its duration.
    pub(super) fn spans(&self) -> impl Iterator<Item = (Stage, Duration, Duration)> {
        let mut begin = Duration::ZERO;
        Stage::ALL.into_iter().filter_map(move |stage| {
            let took = self.get(stage)?;
            let span = (stage, begin, took);
            begin += took;
            Some(span)
        })
    }

    /// The median of each stage over several runs; of two in the middle the lower.
    pub(super) fn medians(runs: &[&Self]) -> Self {
        let mut medians = Self::default();
        for stage in Stage::ALL {
            if let Some(middle) = median(runs.iter().filter_map(|run| run.get(stage)).collect()) {
                medians.set(stage, middle);
            }
        }
        medians
    }
}

/// The median; of two in the middle the lower.
pub(super) fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn stages_follow_each_other() {
        let mut stages = Stages::default();
        stages.set(Stage::Wait, micros(5));
        stages.set(Stage::Connect, micros(2));
        let spans: Vec<_> = stages.spans().collect();
        assert_eq!(
            spans,
            [(Stage::Connect, micros(0), micros(2)), (Stage::Wait, micros(2), micros(5)),]
        );
        assert_eq!(stages.total(), micros(7));
    }

    #[test]
    fn medians_are_per_stage() {
        let runs: Vec<_> = [(1, 9), (2, 8), (100, 7)]
            .map(|(connect, wait)| {
                let mut stages = Stages::default();
                stages.set(Stage::Connect, micros(connect));
                stages.set(Stage::Wait, micros(wait));
                stages
            })
            .into();
        let medians = Stages::medians(&runs.iter().collect::<Vec<_>>());
        assert_eq!(medians.get(Stage::Connect), Some(micros(2)));
        assert_eq!(medians.get(Stage::Wait), Some(micros(8)));
        assert_eq!(medians.get(Stage::Close), None);
        assert_eq!(median(vec![micros(4), micros(1)]), Some(micros(1)));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn each_stage_has_its_place_and_its_names() {
        for (place, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, place);
            assert!(!stage.title().is_empty() && !stage.key().is_empty());
        }
    }
}
