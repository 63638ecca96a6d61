//! The history in a few figures for each moment that was kept.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    History, Point,
    grown::{Counted, Figures},
};
use crate::observe::{Anatomy, Ended, Route, Stage, stage::REQUEST_STAGES};

/// The number of the shape. Members may be added under the same number.
const FORMAT: u64 = 1;

/// What happened between two moments, in a few figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Summary {
    /// How long that was.
    pub lasted: Duration,
    /// Requests whose answer left.
    pub requests: u64,
    /// Their total that half of them did not exceed, in nanoseconds; None without requests.
    pub p50: Option<u64>,
    /// The same of 99 of 100.
    pub p99: Option<u64>,
    /// Nanoseconds that they spent in each stage of [`REQUEST_STAGES`].
    pub parts: [u64; REQUEST_STAGES.len()],
    /// Answers with a status from 400 to 499.
    pub refused: u64,
    /// Answers with a status from 500 on.
    pub failed: u64,
    /// Requests without their whole answer.
    pub aborted: u64,
    /// Requests and handshakes that a deadline ended.
    pub timed_out: u64,
    /// Handshakes that failed or ran out of time.
    pub failed_handshakes: u64,
    /// Handshakes that completed.
    pub handshakes: u64,
    /// Bytes of content that were sent.
    pub payload: u64,
    /// Nanoseconds in which workers did not run although they had something to do.
    pub lost: u64,
    /// Connections that were open at the end.
    pub connections: u64,
}

impl Summary {
    /// Of a report on a window of time.
    pub(crate) fn of(anatomy: &Anatomy, lasted: Duration) -> Self {
        let total = anatomy.histograms.stage(Stage::Total);
        let at = |quantile| (!total.is_empty()).then(|| total.value_at_quantile(quantile));
        let answers = |from, to| {
            let statuses =
                anatomy.statuses.iter().filter(|(status, _)| (from..to).contains(status));
            statuses.map(|(_, count)| count).sum()
        };
        let ends = |wanted: &dyn Fn(Ended, bool) -> bool| {
            let ends = anatomy.ends.iter();
            let ends = ends.filter(|(what, end, _)| wanted(*what, end.why.is_deadline()));
            ends.map(|(_, _, count)| count).sum()
        };
        Self {
            lasted,
            requests: total.len(),
            p50: at(0.5),
            p99: at(0.99),
            parts: REQUEST_STAGES.map(|stage| anatomy.histograms.sum(stage)),
            refused: answers(400, 500),
            failed: answers(500, u16::MAX),
            aborted: ends(&|what, _| what == Ended::Aborted),
            timed_out: ends(&|what, deadline| what != Ended::Refused && deadline),
            failed_handshakes: anatomy.counts.failed_handshakes,
            handshakes: anatomy.counts.handshakes,
            payload: Route::ALL.map(|route| anatomy.ledger.carried(route).payload()).iter().sum(),
            lost: anatomy.workers.iter().flatten().map(|worker| worker.lost).sum(),
            connections: anatomy.connections() as u64,
        }
    }

    fn to_value(&self, ago: Duration) -> Value {
        let stages: Map<String, Value> = REQUEST_STAGES
            .into_iter()
            .zip(self.parts)
            .filter(|(_, time)| *time > 0)
            .map(|(stage, time)| (stage.name().to_owned(), time.into()))
            .collect();
        json!({
            "seconds_ago": ago.as_millis() as f64 / 1e3,
            "seconds": self.lasted.as_millis() as f64 / 1e3,
            "requests": self.requests,
            "p50_ns": self.p50,
            "p99_ns": self.p99,
            "refused": self.refused,
            "failed": self.failed,
            "aborted": self.aborted,
            "timed_out": self.timed_out,
            "handshakes": self.handshakes,
            "failed_handshakes": self.failed_handshakes,
            "payload_bytes": self.payload,
            "lost_ns": self.lost,
            "connections": self.connections,
            "stages_ns": stages,
        })
    }
}

impl History {
    /// The hour in a few figures for each moment that was kept, oldest first, as seen at `now`.
    pub(crate) fn to_json(&self, now: Duration) -> String {
        let points = self.points.iter().enumerate().filter_map(|(place, point)| {
            let before = place.checked_sub(1).and_then(|before| self.points.get(before));
            // What lies before the oldest one is not known, unless that is the start.
            let known = before.is_some() || !self.forgotten;
            known.then(|| summary(before, point).to_value(now.saturating_sub(point.at)))
        });
        let points: Vec<Value> = points.collect();
        let every = super::EVERY.as_secs();
        format!("{}\n", json!({ "format": FORMAT, "every_seconds": every, "points": points }))
    }
}

/// What happened between two moments that follow each other, or from the start.
fn summary(before: Option<&Point>, point: &Point) -> Summary {
    let nothing = Figures::default();
    let mut all = Anatomy::empty();
    for (number, worker) in point.workers.iter().enumerate() {
        let earlier = before.and_then(|before| before.workers.get(number));
        let earlier = earlier.map_or(&nothing, |earlier| &*earlier.figures);
        let mut counted = Counted::default();
        counted.add(&worker.added);
        all.workers.push(Some(Box::new(worker.figures.snapshot(earlier, &counted, None, 0))));
    }
    all.add_up();
    let lasted = point.at.saturating_sub(before.map_or(Duration::ZERO, |before| before.at));
    Summary::of(&all, lasted)
}
