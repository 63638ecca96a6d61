//! What is wrong now: the last minute compared with the hour before it.
//!
//! The invariant: each finding is of figures that stand in the report, with both sides
//! of the comparison. Few requests are no evidence, so each rule has a number below which it is
//! silent.

use std::{fmt::Write, time::Duration};

use super::{Anatomy, History, Span, Summary, anatomy::days_left};

/// Something that deserves a look.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attention {
    /// Its name in reports.
    pub what: &'static str,
    /// Whether requests fail or wait because of it; else it is worth knowing only.
    pub bad: bool,
    /// What is so, in a sentence, with what it was before.
    pub says: String,
}

/// A share is compared only if at least so many had a part in it.
const FEW: u64 = 5;

/// Quantiles are compared only if at least so many requests lie behind each.
const ENOUGH: u64 = 100;

/// A rise is one if it is at least so many times what was before.
const RISE: f64 = 3.0;

/// The same for quantiles of time, which are known to an eighth.
const SLOWER: f64 = 2.0;

/// And at least so many nanoseconds more.
const NOTABLE: u64 = 2_000_000;

/// Days before its end at which a certificate should have been renewed.
const EXPIRES: f64 = 7.0;

/// The share of its time that a worker may lose without a word.
const LOST: f64 = 0.05;

/// What counts as now.
const MINUTE: Duration = Duration::from_secs(60);

/// With what it is compared.
const HOUR: Duration = Duration::from_secs(3600);

/// What is wrong now, of a server that reports this.
pub(crate) fn attention(history: &History, now: &Anatomy) -> Vec<Attention> {
    let lasted = |of: &Anatomy| {
        of.window.map_or(Duration::ZERO, |window| window.since.saturating_sub(window.until))
    };
    let recent = history.within(now, Span { since: MINUTE, until: Duration::ZERO });
    let began = recent.window.map_or(Duration::ZERO, |window| window.since);
    let summary = Summary::of(&recent, lasted(&recent));
    // A minute at the start has nothing before it.
    let before = (now.uptime > began).then(|| {
        let before = history.within(now, Span { since: HOUR, until: began });
        Summary::of(&before, lasted(&before))
    });
    compare(&recent, &summary, before.as_ref())
}

/// A part of the whole.
type Share = fn(&Summary) -> [u64; 2];

/// Compares the last minute, `now`, with what came `before`: None if nothing did. `recent` is the
/// report of that minute.
fn compare(recent: &Anatomy, now: &Summary, before: Option<&Summary>) -> Vec<Attention> {
    let mut all = Vec::new();
    let mut say = |what, bad, says: String| all.push(Attention { what, bad, says });
    let silent = recent.workers.iter().filter(|worker| worker.is_none()).count();
    if silent > 0 {
        say("silent_worker", true, format!("{silent} workers do not answer"));
    }
    if recent.server.root_missing {
        say("root_missing", true, "the served folder is missing".to_owned());
    }
    for certificate in &recent.server.certificates {
        let left = certificate.not_after.map(|last| days_left(last, recent.time));
        if let Some(days) = left.filter(|days| *days < EXPIRES) {
            let name = &certificate.name;
            let says = format!("the certificate for {name} expires in {days:.1} days");
            say("certificate", true, says);
        }
    }
    let counts = recent.counts;
    for (what, count, words) in [
        ("defect", counts.defects, "answers or connections were given up because of a defect"),
        ("accept_pause", counts.accept_pauses, "times accepting paused for want of resources"),
    ] {
        if count > 0 {
            say(what, true, format!("{count} {words}"));
        }
    }
    if counts.compress_shed > 0 {
        let shed = counts.compress_shed;
        let says = format!("{shed} answers were not compressed, since there was no time or place");
        say("compression_shed", false, says);
    }
    let shares: [(&str, &str, Share); 5] = [
        ("failed", "of answers are 5xx", |of| [of.failed, of.requests]),
        ("aborted", "of requests end without their whole answer", |of| {
            [of.aborted, of.requests + of.aborted]
        }),
        ("timed_out", "of requests and handshakes end by a deadline", |of| {
            [of.timed_out, of.requests + of.aborted + of.handshakes + of.failed_handshakes]
        }),
        ("refused", "of answers are 4xx", |of| [of.refused, of.requests]),
        ("failed_handshakes", "of handshakes fail", |of| {
            [of.failed_handshakes, of.handshakes + of.failed_handshakes]
        }),
    ];
    for (what, words, of) in shares {
        let [part, all] = of(now);
        let was = before.map(|before| share(of(before)));
        // A thousandth is no news, whatever was before.
        let rose = share([part, all]) > (was.unwrap_or(0.0) * RISE).max(0.001);
        if part >= FEW && rose {
            let mut says = format!("{} {words}", percent(share([part, all])));
            if let Some(was) = was {
                let _ = write!(says, ", before it were {}", percent(was));
            }
            say(what, matches!(what, "failed" | "aborted" | "timed_out"), says);
        }
    }
    let seconds = now.lasted.as_secs_f64() * recent.workers.len() as f64;
    let lost = now.lost as f64 / 1e9 / seconds.max(1e-3);
    if lost > LOST {
        let says = format!(
            "workers lacked a processor for {} of the time (waits of a clock tick and more)",
            percent(lost)
        );
        say("lost", true, says);
    }
    if let Some(before) = before {
        compare_times(now, before, &mut say);
    }
    all
}

fn compare_times(
    now: &Summary,
    before: &Summary,
    say: &mut impl FnMut(&'static str, bool, String),
) {
    if now.requests < ENOUGH || before.requests < ENOUGH {
        return;
    }
    for (what, of) in [("p99", (now.p99, before.p99)), ("p50", (now.p50, before.p50))] {
        let (Some(is), Some(was)) = of else { continue };
        if is as f64 > was as f64 * SLOWER && is - was > NOTABLE {
            let says = format!("{what} of requests is {}, before it was {}", ms(is), ms(was));
            say(what, true, says);
            // The other one would say the same.
            break;
        }
    }
    let rate = |of: &Summary| of.requests as f64 / of.lasted.as_secs_f64().max(1e-3);
    if rate(now) * 10.0 < rate(before) {
        let says = format!(
            "{:.1} requests a second arrive, before it were {:.1}",
            rate(now),
            rate(before)
        );
        say("traffic", false, says);
    }
}

fn share([part, all]: [u64; 2]) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn ms(nanoseconds: u64) -> String {
    format!("{:.1} ms", nanoseconds as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::CertificateFacts;

    fn names(now: &Summary, before: Option<&Summary>) -> Vec<&'static str> {
        let mut recent = Anatomy::empty();
        recent.workers.push(Some(Box::default()));
        compare(&recent, now, before).iter().map(|one| one.what).collect()
    }

    fn usual() -> Summary {
        Summary {
            lasted: Duration::from_secs(60),
            requests: 10_000,
            p50: Some(200_000),
            p99: Some(4_000_000),
            handshakes: 1_000,
            ..Summary::default()
        }
    }

    #[test]
    fn what_is_as_before_is_not_mentioned() {
        assert!(names(&usual(), Some(&usual())).is_empty());
        assert!(names(&Summary::default(), None).is_empty());
        let refused = Summary { refused: 3_000, ..usual() };
        assert!(names(&refused, Some(&refused)).is_empty());
        // Too few to say anything of.
        let few = Summary { requests: 6, failed: 4, p99: Some(9_000_000_000), ..usual() };
        assert!(!names(&few, Some(&usual())).contains(&"failed"));
        assert!(!names(&few, Some(&usual())).contains(&"p99"));
    }

    #[test]
    fn what_has_changed_is_named() {
        type Change = fn(&mut Summary);
        let change: [(&str, Change); 8] = [
            ("failed", |now| now.failed = 50),
            ("aborted", |now| now.aborted = 50),
            ("timed_out", |now| now.timed_out = 50),
            ("refused", |now| now.refused = 50),
            ("failed_handshakes", |now| now.failed_handshakes = 50),
            ("lost", |now| now.lost = 6_000_000_000),
            ("p99", |now| now.p99 = Some(9_000_000)),
            ("traffic", |now| now.requests = 500),
        ];
        for (what, change) in change {
            let mut now = usual();
            change(&mut now);
            assert_eq!(names(&now, Some(&usual())), [what]);
        }
        let slow = Summary { p50: Some(20_000_000), ..usual() };
        assert_eq!(names(&slow, Some(&usual())), ["p50"]);
        assert_eq!(names(&Summary { failed: 50, ..usual() }, None), ["failed"]);
    }

    #[test]
    fn a_worker_that_does_not_answer_is_named() {
        let mut recent = Anatomy::empty();
        recent.workers.push(None);
        recent.counts.defects = 1;
        let mut certificate = |name: &str, not_after| {
            let name = name.to_owned();
            let facts = CertificateFacts { name, file: String::new(), not_after };
            recent.server.certificates.push(facts);
        };
        certificate("late.example", Some(1_000));
        certificate("fresh.example", Some(1 << 40));
        certificate("unknown.example", None);
        let all = compare(&recent, &usual(), None);
        let names: Vec<_> = all.iter().map(|one| (one.what, one.bad)).collect();
        assert_eq!(names, [("silent_worker", true), ("certificate", true), ("defect", true)]);
    }
}
