//! `/anatomy.json`: everything that is known, as one object. `docs/anatomy-json.md` says what each
//! member means; a test holds this to the example in `tests/fixtures/anatomy.json`.

mod http2;
mod ledger;
mod pools;
mod slow;
mod streams;
mod worker;

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{
    Anatomy, OffloadFigures, Stage, TAIL, Work, anatomy::days_left, histograms::buckets,
    log::push_time, slow::Stall, stage::REQUEST_STAGES,
};

/// The number of the shape. Members may be added under the same number.
const FORMAT: u64 = 2;

impl Anatomy {
    /// The report as JSON, with a line's end.
    pub fn to_json(&self) -> String {
        let threads = self.threads.iter().copied().chain(std::iter::repeat(None));
        let workers = self.workers.iter().enumerate().zip(threads);
        let report = json!({
            "format": FORMAT,
            "server": self.server_value(),
            "window": self.window.map(|window| json!({
                "since_seconds": seconds(window.since),
                "until_seconds": seconds(window.until),
                "seconds": seconds(window.since.saturating_sub(window.until)),
            })),
            "attention": each(&self.attention, |attention| json!({
                "what": attention.what,
                "bad": attention.bad,
                "says": attention.says,
            })),
            "totals": self.totals(),
            "statuses": each(self.statuses.iter(), |(status, count)| json!({
                "status": status,
                "count": count,
            })),
            "ends": each(self.ends.iter(), |(what, end, count)| json!({
                "of": what.name(),
                "code": end.to_string(),
                "phase": end.phase.name(),
                "meaning": end.why.meaning(),
                "count": count,
            })),
            "stages": each(Stage::ALL, |stage| self.stage(stage)),
            "tail": self.tail_value(),
            "endpoints": self.endpoints_value(),
            "offload": OffloadFigures::read().map(|figures| json!({
                "threads": figures.threads,
                "waiting": figures.waiting,
                "begun": figures.begun,
                "refused": figures.refused,
                "taken_back": figures.taken_back,
                "waited_ns": figures.waited,
                "ran_ns": figures.ran,
            })),
            "ledger": ledger::value(&self.ledger, self.server.whole_records),
            "workers": each(workers, |((number, worker), thread)| {
                worker::value(number, worker.as_deref(), thread)
            }),
            "pools": each(&self.server.pools, pools::value),
            "rates": each(&self.server.rates, |rate| json!({
                "name": rate.name,
                "requests": rate.requests,
                "per_seconds": rate.per.as_secs_f64(),
                "refused": rate.refused,
            })),
            "kernel": self.kernel_value(),
            "streams": each(&self.streams, streams::value),
            "http2": http2::value(&self.counts),
            "slowest": each(&self.slowest, |slow| slow::value(slow, self.time)),
            "access_log": self.access_log.map(|lines| json!({
                "written": lines.written,
                "dropped": lines.dropped,
                "failed": lines.failed,
                "reopened": lines.reopened,
            })),
        });
        format!("{report}\n")
    }

    fn server_value(&self) -> Value {
        json!({
            "name": "Ringway",
            "version": env!("CARGO_PKG_VERSION"),
            "time": time(self.time),
            "uptime_seconds": seconds(self.uptime),
            "workers": self.workers.len(),
            "addresses": each(&self.server.addresses, |address| address.to_string().into()),
            "tls": self.server.tls,
            "io": self.server.io,
            "anatomy": self.server.anatomy,
            "root_missing": self.server.root_missing,
            "root_replaced": self.server.root_replaced,
            "certificates": each(&self.server.certificates, |certificate| json!({
                "name": certificate.name,
                "file": certificate.file,
                "days_left": certificate.not_after.map(|last| rounded(days_left(last, self.time))),
            })),
        })
    }

    fn totals(&self) -> Value {
        let counts = self.counts;
        json!({
            "accepted": counts.accepted,
            "open": self.connections(),
            "handshakes": counts.handshakes,
            "resumed": counts.resumed,
            "failed_handshakes": counts.failed_handshakes,
            "kernel_transmit": counts.kernel_transmit,
            "kernel_receive": counts.kernel_receive,
            "requests": counts.requests,
            "refused": counts.refused,
            "rate_limited": counts.rate_limited,
            "unauthorized": counts.unauthorized,
            "compressed_answers": counts.zstd_answers + counts.br_answers + counts.gzip_answers,
            "compressed_in": counts.zstd_in + counts.br_in + counts.gzip_in,
            "compressed_out": counts.zstd_out + counts.br_out + counts.gzip_out,
            "compression_shed": counts.compress_shed,
            "compressed_files": counts.compress_cached,
            "timed_out": counts.timed_out,
            "refused_by_address": counts.refused_by_address,
            "announced": counts.announced,
            "refused_announcements": counts.refused_announcements,
            "evicted": counts.evicted,
            "evicted_silent": counts.evicted_silent,
            "evicted_handshakes": counts.evicted_handshakes,
            "defects": counts.defects,
            "accept_pauses": counts.accept_pauses,
            "unobserved": self.unobserved(),
        })
    }

    fn stage(&self, stage: Stage) -> Value {
        let histogram = self.histograms.stage(stage);
        let known = |value: u64| (!histogram.is_empty()).then_some(value);
        let quantile = |quantile| known(histogram.value_at_quantile(quantile));
        let coarse = |of: &super::Coarse| {
            json!({
                "count": of.len(stage),
                "sum_ns": of.sum(stage),
                "buckets": each(of.buckets(stage), bucket),
            })
        };
        json!({
            "name": stage.name(),
            "title": stage.title(),
            "of": if stage.is_of_connection() { "connection" } else { "request" },
            "basis": stage.basis().name(),
            "kind": stage.kind().name(),
            "meaning": stage.meaning(),
            "count": histogram.len(),
            "sum_ns": self.histograms.sum(stage),
            "min_ns": known(histogram.min()),
            "p50_ns": quantile(0.5),
            "p90_ns": quantile(0.9),
            "p99_ns": quantile(0.99),
            "p999_ns": quantile(0.999),
            "max_ns": known(histogram.max()),
            "buckets": each(buckets(histogram), bucket),
            "aborted": coarse(&self.aborted),
            "timed_out": coarse(&self.timed_out),
        })
    }

    fn tail_value(&self) -> Value {
        let tail = &self.tail;
        let sum: u64 = tail.parts.iter().sum();
        json!({
            "quantile": TAIL,
            "threshold_ns": (tail.threshold > 0).then_some(tail.threshold),
            "requests": tail.requests,
            "sum_ns": sum,
            "stages": each(REQUEST_STAGES.into_iter().zip(tail.parts), |(stage, time)| json!({
                "name": stage.name(),
                "sum_ns": time,
                "share": if sum == 0 { 0.0 } else { time as f64 / sum as f64 },
            })),
        })
    }

    fn endpoints_value(&self) -> Value {
        let ranked = self.endpoints.ranked();
        let tail: u64 = ranked.iter().map(|(_, figures)| figures.tail).sum();
        each(ranked, |(endpoint, figures)| {
            json!({
                "name": endpoint.name(),
                "requests": figures.requests,
                "sum_ns": figures.total,
                "handler_ns": figures.handler,
                "waiting_ns": figures.waiting,
                "tail_requests": figures.tail_requests,
                "tail_ns": figures.tail,
                "tail_share": if tail == 0 { 0.0 } else { figures.tail as f64 / tail as f64 },
                "held": figures.held,
            })
        })
    }

    fn kernel_value(&self) -> Value {
        let kernel = &self.kernel;
        json!({
            "listeners": each(&kernel.listeners, |listener| json!({
                "address": listener.address.to_string(),
                "worker": listener.worker,
                "queued": listener.queued,
                "limit": listener.limit,
            })),
            "listen_overflows": kernel.listen_overflows,
            "listen_drops": kernel.listen_drops,
            "retransmitted_segments": kernel.retransmitted_segments,
            "syn_cookies_sent": kernel.syn_cookies_sent,
            "tls": kernel.tls.as_ref().map(|counters| {
                let counters = counters.iter().map(|(name, count)| (name.clone(), (*count).into()));
                Value::Object(counters.collect())
            }),
        })
    }
}

/// An array with one value for each of `items`.
fn each<T>(items: impl IntoIterator<Item = T>, value: impl FnMut(T) -> Value) -> Value {
    items.into_iter().map(value).collect()
}

/// A bound, and how many values lie up to it.
fn bucket((bound, count): (u64, u64)) -> Value {
    json!([bound, count])
}

/// In UTC as RFC 3339 has it.
fn time(time: SystemTime) -> String {
    let mut text = String::new();
    push_time(&mut text, time);
    text
}

/// With milliseconds, which is what a person wants of a time since.
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1e3
}

fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn stall(stall: Stall) -> Value {
    json!({ "ns": stall.took, "stage": stall.work.map(Work::name) })
}
