//! `/anatomy.json`: everything that is known, as one object. `docs/anatomy-json.md` says what each
//! member means; a test holds this to the example in `tests/fixtures/anatomy.json`.

mod ledger;
mod slow;
mod worker;

use std::time::Duration;

use super::{
    Anatomy, Stage, TAIL,
    anatomy::days_left,
    histograms::buckets,
    json::{Array, Object, push_object},
    log::push_time,
    slow::Stall,
    stage::REQUEST_STAGES,
};
use ledger::push_ledger;
use slow::push_slow;
use worker::{push_thread, push_worker};

/// The number of the shape. Members may be added under the same number.
const FORMAT: u64 = 2;

impl Anatomy {
    /// The report as JSON.
    pub fn to_json(&self) -> String {
        let mut text = String::with_capacity(64 << 10);
        push_object(&mut text, |report| {
            report.number("format", FORMAT);
            report.object("server", |server| self.push_server(server));
            match self.window {
                None => report.null("window"),
                Some(window) => report.object("window", |object| {
                    object.float("since_seconds", seconds(window.since));
                    object.float("until_seconds", seconds(window.until));
                    object.float("seconds", seconds(window.since.saturating_sub(window.until)));
                }),
            }
            report.array("attention", |list| {
                for attention in &self.attention {
                    list.object(|each| {
                        each.string("what", attention.what);
                        each.boolean("bad", attention.bad);
                        each.string("says", &attention.says);
                    });
                }
            });
            report.object("totals", |totals| self.push_totals(totals));
            report.array("statuses", |statuses| {
                for (status, count) in self.statuses.iter() {
                    statuses.object(|each| {
                        each.number("status", u64::from(status));
                        each.number("count", count);
                    });
                }
            });
            report.array("ends", |ends| {
                for (what, end, count) in self.ends.iter() {
                    ends.object(|each| {
                        each.string("of", what.name());
                        each.string("code", &end.to_string());
                        each.string("phase", end.phase.name());
                        each.string("meaning", end.why.meaning());
                        each.number("count", count);
                    });
                }
            });
            report.array("stages", |stages| self.push_stages(stages));
            report.object("tail", |tail| self.push_tail(tail));
            report.object("ledger", |ledger| {
                push_ledger(ledger, &self.ledger, self.server.whole_records);
            });
            report.array("workers", |workers| {
                let threads = self.threads.iter().copied().chain(std::iter::repeat(None));
                for ((number, worker), thread) in self.workers.iter().enumerate().zip(threads) {
                    let worker = worker.as_deref();
                    workers.object(|each| {
                        push_worker(each, number, worker);
                        push_thread(each, worker, thread);
                    });
                }
            });
            report.object("kernel", |kernel| self.push_kernel(kernel));
            report.array("slowest", |slowest| {
                for slow in &self.slowest {
                    slowest.object(|each| push_slow(each, slow, self.time));
                }
            });
            match self.access_log {
                None => report.null("access_log"),
                Some(lines) => report.object("access_log", |log| {
                    log.number("written", lines.written);
                    log.number("dropped", lines.dropped);
                    log.number("failed", lines.failed);
                    log.number("reopened", lines.reopened);
                }),
            }
        });
        text.push('\n');
        text
    }

    fn push_server(&self, server: &mut Object<'_>) {
        let mut time = String::new();
        push_time(&mut time, self.time);
        server.string("name", "Ringway");
        server.string("version", env!("CARGO_PKG_VERSION"));
        server.string("time", &time);
        server.float("uptime_seconds", seconds(self.uptime));
        server.number("workers", self.workers.len() as u64);
        server.array("addresses", |addresses| {
            for address in &self.server.addresses {
                addresses.string(&address.to_string());
            }
        });
        server.string("tls", &self.server.tls);
        server.string("io", self.server.io);
        server.boolean("anatomy", self.server.anatomy);
        server.boolean("root_missing", self.server.root_missing);
        server.number("root_replaced", self.server.root_replaced);
        server.array("certificates", |certificates| {
            for certificate in &self.server.certificates {
                certificates.object(|each| {
                    each.string("name", &certificate.name);
                    each.string("file", &certificate.file);
                    let days = certificate.not_after.map(|last| days_left(last, self.time));
                    match days {
                        None => each.null("days_left"),
                        Some(days) => each.float("days_left", rounded(days)),
                    }
                });
            }
        });
    }

    fn push_totals(&self, totals: &mut Object<'_>) {
        let counts = self.counts;
        totals.number("accepted", counts.accepted);
        totals.number("open", self.connections() as u64);
        totals.number("handshakes", counts.handshakes);
        totals.number("resumed", counts.resumed);
        totals.number("failed_handshakes", counts.failed_handshakes);
        totals.number("kernel_transmit", counts.kernel_transmit);
        totals.number("kernel_receive", counts.kernel_receive);
        totals.number("requests", counts.requests);
        totals.number("refused", counts.refused);
        totals.number("timed_out", counts.timed_out);
        totals.number("refused_by_address", counts.refused_by_address);
        totals.number("evicted", counts.evicted);
        totals.number("evicted_silent", counts.evicted_silent);
        totals.number("evicted_handshakes", counts.evicted_handshakes);
        totals.number("defects", counts.defects);
        totals.number("accept_pauses", counts.accept_pauses);
        totals.number("unobserved", self.unobserved());
    }

    fn push_stages(&self, stages: &mut Array<'_>) {
        for stage in Stage::ALL {
            let histogram = self.histograms.stage(stage);
            let known = |value: u64| (!histogram.is_empty()).then_some(value);
            stages.object(|each| {
                each.string("name", stage.name());
                each.string("title", stage.title());
                let of = if stage.is_of_connection() { "connection" } else { "request" };
                each.string("of", of);
                each.string("basis", stage.basis().name());
                each.string("kind", stage.kind().name());
                each.string("meaning", stage.meaning());
                each.number("count", histogram.len());
                each.number("sum_ns", self.histograms.sum(stage));
                each.number_or_null("min_ns", known(histogram.min()));
                for (name, quantile) in
                    [("p50_ns", 0.5), ("p90_ns", 0.9), ("p99_ns", 0.99), ("p999_ns", 0.999)]
                {
                    each.number_or_null(name, known(histogram.value_at_quantile(quantile)));
                }
                each.number_or_null("max_ns", known(histogram.max()));
                each.array("buckets", |list| push_buckets(list, buckets(histogram)));
                for (name, coarse) in [("aborted", &self.aborted), ("timed_out", &self.timed_out)] {
                    each.object(name, |each| {
                        each.number("count", coarse.len(stage));
                        each.number("sum_ns", coarse.sum(stage));
                        each.array("buckets", |list| push_buckets(list, coarse.buckets(stage)));
                    });
                }
            });
        }
    }

    fn push_tail(&self, object: &mut Object<'_>) {
        let tail = &self.tail;
        let sum: u64 = tail.parts.iter().sum();
        object.float("quantile", TAIL);
        object.number_or_null("threshold_ns", (tail.threshold > 0).then_some(tail.threshold));
        object.number("requests", tail.requests);
        object.number("sum_ns", sum);
        object.array("stages", |stages| {
            for (stage, time) in REQUEST_STAGES.into_iter().zip(tail.parts) {
                stages.object(|each| {
                    each.string("name", stage.name());
                    each.number("sum_ns", time);
                    each.float("share", if sum == 0 { 0.0 } else { time as f64 / sum as f64 });
                });
            }
        });
    }

    fn push_kernel(&self, object: &mut Object<'_>) {
        let kernel = &self.kernel;
        object.array("listeners", |listeners| {
            for listener in &kernel.listeners {
                listeners.object(|each| {
                    each.string("address", &listener.address.to_string());
                    each.number("worker", listener.worker as u64);
                    each.number("queued", u64::from(listener.queued));
                    each.number("limit", u64::from(listener.limit));
                });
            }
        });
        object.number_or_null("listen_overflows", kernel.listen_overflows);
        object.number_or_null("listen_drops", kernel.listen_drops);
        object.number_or_null("retransmitted_segments", kernel.retransmitted_segments);
        object.number_or_null("syn_cookies_sent", kernel.syn_cookies_sent);
        match &kernel.tls {
            None => object.null("tls"),
            Some(counters) => object.object("tls", |tls| {
                for (name, count) in counters {
                    tls.number(name, *count);
                }
            }),
        }
    }
}

fn push_buckets(list: &mut Array<'_>, buckets: impl IntoIterator<Item = (u64, u64)>) {
    for (bound, count) in buckets {
        list.array(|pair| {
            pair.number(bound);
            pair.number(count);
        });
    }
}

/// With milliseconds, which is what a person wants of a time since.
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1e3
}

fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn push_stall(object: &mut Object<'_>, stall: Stall) {
    object.number("ns", stall.took);
    match stall.work {
        Some(work) => object.string("stage", work.name()),
        None => object.null("stage"),
    }
}
