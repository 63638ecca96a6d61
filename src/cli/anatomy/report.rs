//! What was found, as a person reads it.

use std::fmt::Write as _;
use std::time::Duration;

use super::Round;
use super::exchange::{Ending, Exchange};
use super::server_timing::Metric;
use super::stages::{Stage, Stages, median};
use super::tracks;
use super::trust::Verdict;
use super::unexplained::{Wait, parent};
use super::waterfall::{Bar, Canvas, Kind, grouped, time};

/// All rounds of a question.
pub(super) struct Report<'a> {
    pub(super) url: String,
    pub(super) method: &'a str,
    pub(super) verdict: Verdict,
    /// At least one.
    pub(super) rounds: Vec<Round>,
}

/// The medians of several exchanges, and the last of them for what does not vary.
pub(super) struct Summary<'a> {
    pub(super) stages: Stages,
    pub(super) handshake_work: Duration,
    pub(super) metrics: Vec<Metric>,
    pub(super) last: &'a Exchange,
}

impl<'a> Summary<'a> {
    /// `None` of none.
    pub(super) fn of(runs: &[&'a Exchange]) -> Option<Self> {
        let last = *runs.last()?;
        let mut metrics = last.head.metrics.clone();
        for metric in &mut metrics {
            let said = runs.iter().flat_map(|run| &run.head.metrics);
            let same = said.filter(|other| other.name == metric.name);
            metric.duration = median(same.filter_map(|other| other.duration).collect());
        }
        Some(Self {
            stages: Stages::medians(&runs.iter().map(|run| &run.stages).collect::<Vec<_>>()),
            handshake_work: median(runs.iter().map(|run| run.handshake_work).collect())?,
            metrics,
            last,
        })
    }
}

impl Report<'_> {
    /// The summary of the first connections, and that of the second ones.
    pub(super) fn summaries(&self) -> (Option<Summary<'_>>, Option<Summary<'_>>) {
        let full: Vec<_> = self.rounds.iter().map(|round| &round.full).collect();
        let resumed: Vec<_> = self.rounds.iter().map(|round| &round.resumed).collect();
        (Summary::of(&full), Summary::of(&resumed))
    }

    pub(super) fn render(&self, canvas: &Canvas) -> String {
        let (full, resumed) = self.summaries();
        let mut text = canvas.title(&format!("{} {}", self.method, self.url));
        if let Some(summary) = &full {
            text += &canvas.note(&format!("at {}", summary.last.address));
        }
        match &self.verdict {
            Verdict::Verified => {}
            Verdict::NotInsisted(None) => {
                text += &canvas.note("certificate: right, though --insecure did not insist on it");
            }
            Verdict::NotInsisted(Some(complaint)) => {
                text +=
                    &canvas.note(&format!("certificate: NOT verified (--insecure): {complaint}"));
            }
        }
        if self.rounds.len() > 1 {
            text += &canvas.note(&format!(
                "medians of {} rounds, each a full and a resumed connection",
                self.rounds.len()
            ));
        }
        for (ordinal, summary) in [("First", full), ("Second", resumed)] {
            let Some(summary) = summary else { continue };
            let agreed = &summary.last.agreed;
            let kind = match (agreed.resumed, ordinal) {
                (true, _) => "resumed",
                (false, "Second") => "full again: the server gave no ticket that it takes",
                (false, _) => "full handshake",
            };
            let _ = write!(text, "\n{}", canvas.title(&format!("{ordinal} connection, {kind}")));
            text += &canvas.draw(&bars(&summary), summary.stages.total());
            if summary.metrics.iter().any(|metric| parent(&metric.name).is_some()) {
                text += &canvas.note(
                    "└ is the server's own word (Server-Timing): how long, not when; it is drawn in \
                     the middle of our wait",
                );
            }
            if let Some(wait) = Wait::of(&summary.stages, &summary.metrics) {
                text += &canvas.note(&account(&wait));
            }
            if let [_, _, ..] = &summary.last.streams[..] {
                text += &tracks::draw(canvas, &summary.last.streams);
            }
            text += &canvas.note(&tls(&summary));
            text += &canvas.note(&response(summary.last));
        }
        let legend = canvas.legend();
        if !legend.is_empty() {
            let _ = write!(text, "\n{legend}");
        }
        text
    }
}

fn bars(summary: &Summary<'_>) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (stage, begin, took) in summary.stages.spans() {
        let label = stage.title().to_owned();
        bars.push(Bar { label, kind: kind(stage), begin, took });
        let inside = summary.metrics.iter().filter(|metric| parent(&metric.name) == Some(stage));
        bars.extend(server_bars(inside, begin, took));
    }
    bars
}

/// The server's own stages inside a stage of ours. It says how long each took and not when: they
/// are drawn one after the other, in the middle of the time that we waited, half of which we take
/// to be the way there.
fn server_bars<'a>(
    metrics: impl Iterator<Item = &'a Metric> + Clone,
    begin: Duration,
    took: Duration,
) -> Vec<Bar> {
    let timed = metrics.filter_map(|metric| Some((metric, metric.duration?)));
    let sum: Duration = timed.clone().map(|(_, duration)| duration).sum();
    let mut at = begin + took.saturating_sub(sum) / 2;
    timed
        .map(|(metric, took)| {
            let kind = server_kind(&metric.name);
            let label = format!("└ {}", metric.name.replace('_', " "));
            let bar = Bar { label, kind, begin: at, took };
            at += took;
            bar
        })
        .collect()
}

fn kind(stage: Stage) -> Kind {
    match stage {
        Stage::Lookup | Stage::Wait => Kind::Waiting,
        Stage::Handshake => Kind::Pure,
        _ => Kind::Kernel,
    }
}

fn server_kind(name: &str) -> Kind {
    match name {
        "accept_queue" | "run_queue" | "turn" | "head" | "body" | "window" | "buffer" => {
            Kind::Waiting
        }
        "hand_over" | "process" | "first_write" | "last_write" => Kind::Kernel,
        _ => Kind::Pure,
    }
}

/// Where our wait for the first byte went.
fn account(wait: &Wait) -> String {
    let (ours, way) = (time(wait.ours), time(wait.way));
    match (wait.admitted, wait.unexplained()) {
        (Some(admitted), Some(rest)) => format!(
            "our wait {ours}: {way} the way there and back, {} that the server admits, {} unexplained",
            time(admitted),
            time(rest),
        ),
        _ => format!(
            "our wait {ours}: {way} the way there and back; the server says nothing of its own time \
             (ringway serve --server-timing)"
        ),
    }
}

fn tls(summary: &Summary<'_>) -> String {
    let agreed = &summary.last.agreed;
    let group = agreed.group.as_deref().unwrap_or("no key exchange");
    let protocol = if summary.last.streams.is_empty() { "HTTP/1.1" } else { "HTTP/2" };
    let retried = if agreed.retried { ", after another key share was asked for" } else { "" };
    format!(
        "{protocol} over {}, {}, {group}{retried}; {} of the handshake was this client's own work",
        agreed.version,
        agreed.suite,
        time(summary.handshake_work),
    )
}

fn response(exchange: &Exchange) -> String {
    let head = &exchange.head;
    let server = head.server.as_deref().map_or_else(String::new, |name| format!(" from {name}"));
    let ending = match exchange.ending {
        Ending::Notified => "closed with close_notify",
        Ending::Silent => "closed without close_notify",
        Ending::Open => "not closed by the server within 2 s of our close_notify",
    };
    let reason = if head.reason.is_empty() { "" } else { " " };
    format!(
        "{}{reason}{}{server}: head {} and content {} bytes; {} records and {} bytes on the wire; {ending}",
        head.status,
        head.reason,
        grouped(head.bytes as u64),
        grouped(exchange.content),
        grouped(exchange.received.records),
        grouped(exchange.received.bytes),
    )
}
