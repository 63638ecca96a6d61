//! The history in a few figures for each moment that was kept.

use std::time::Duration;

use super::{
    History, Point,
    grown::{Counted, Figures},
};
use crate::observe::{
    Anatomy, Ended, Route, Stage,
    json::{Object, push_object},
    stage::REQUEST_STAGES,
};

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

    fn push(&self, point: &mut Object<'_>) {
        point.number("requests", self.requests);
        point.number_or_null("p50_ns", self.p50);
        point.number_or_null("p99_ns", self.p99);
        point.number("refused", self.refused);
        point.number("failed", self.failed);
        point.number("aborted", self.aborted);
        point.number("timed_out", self.timed_out);
        point.number("handshakes", self.handshakes);
        point.number("failed_handshakes", self.failed_handshakes);
        point.number("payload_bytes", self.payload);
        point.number("lost_ns", self.lost);
        point.number("connections", self.connections);
        point.object("stages_ns", |stages| {
            for (stage, time) in REQUEST_STAGES.into_iter().zip(self.parts) {
                if time > 0 {
                    stages.number(stage.name(), time);
                }
            }
        });
    }
}

impl History {
    /// The hour in a few figures for each moment that was kept, oldest first, as seen at `now`.
    pub(crate) fn to_json(&self, now: Duration) -> String {
        let mut text = String::with_capacity(16 << 10);
        push_object(&mut text, |report| {
            report.number("format", FORMAT);
            report.number("every_seconds", super::EVERY.as_secs());
            report.array("points", |points| {
                for (place, point) in self.points.iter().enumerate() {
                    let before = place.checked_sub(1).and_then(|before| self.points.get(before));
                    // What lies before the oldest one is not known, unless that is the start.
                    if before.is_none() && self.forgotten {
                        continue;
                    }
                    let ago = now.saturating_sub(point.at);
                    let summary = summary(before, point);
                    points.object(|each| {
                        each.float("seconds_ago", ago.as_millis() as f64 / 1e3);
                        each.float("seconds", summary.lasted.as_millis() as f64 / 1e3);
                        summary.push(each);
                    });
                }
            });
        });
        text.push('\n');
        text
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
