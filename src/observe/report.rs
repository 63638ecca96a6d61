//! `/anatomy.json`: everything that is known, as one object. `docs/anatomy-json.md` says what each
//! member means; a test holds this to the example in `tests/fixtures/anatomy.json`.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::{
    Anatomy, Flow, Route, Stage, TAIL, ThreadFigures, WorkerSnapshot,
    anatomy::SlowOnWorker,
    connection::route_name,
    histograms::buckets,
    json::{Array, Object, push_object},
    log::push_time,
    slow::{STALL, Stall},
    stage::REQUEST_STAGES,
};

/// The number of the shape. Members may be added under the same number.
const FORMAT: u64 = 1;

impl Anatomy {
    /// The report as JSON.
    pub fn to_json(&self) -> String {
        let mut text = String::with_capacity(64 << 10);
        push_object(&mut text, |report| {
            report.number("format", FORMAT);
            report.object("server", |server| self.push_server(server));
            report.object("totals", |totals| self.push_totals(totals));
            report.array("stages", |stages| self.push_stages(stages));
            report.object("tail", |tail| self.push_tail(tail));
            report.object("ledger", |ledger| self.push_ledger(ledger));
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
                    slowest.object(|each| self.push_slow(each, slow));
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
        server.boolean("anatomy", self.server.anatomy);
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
                each.array("buckets", |list| {
                    for (bound, count) in buckets(histogram) {
                        list.array(|pair| {
                            pair.number(bound);
                            pair.number(count);
                        });
                    }
                });
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

    fn push_ledger(&self, object: &mut Object<'_>) {
        let ledger = &self.ledger;
        let mut all = Vec::new();
        let mut payload = 0;
        object.array("paths", |paths| {
            for route in Route::ALL {
                let carried = ledger.carried(route);
                let flows = ledger.flows(route);
                payload += carried.payload();
                paths.object(|path| {
                    path.string("name", route.name());
                    path.string("tls", route.tls());
                    path.string("body", route.body());
                    path.string("title", route.title());
                    path.number("responses", carried.responses);
                    push_flows(path, carried.payload(), &flows);
                });
                all.extend(flows);
            }
        });
        object.array("receive", |ways| {
            for (kernel, name, tls, title) in [
                (false, "user_tls/receive", "user", "user-space TLS, requests"),
                (true, "kernel_tls/receive", "kernel", "kernel TLS, requests"),
            ] {
                let (payload, flows) = ledger.receive_flows(kernel, self.server.whole_records);
                ways.object(|way| {
                    way.string("name", name);
                    way.string("tls", tls);
                    way.string("title", title);
                    push_flows(way, payload, &flows);
                });
            }
        });
        object.number("heads_bytes", ledger.heads);
        object.object("handshake", |handshake| {
            let (received, sent) = (ledger.handshake_received, ledger.handshake_sent);
            handshake.number("received_bytes", received);
            handshake.number("sent_bytes", sent);
            handshake.number("user_copied_bytes", received + sent);
        });
        object.object("total", |total| {
            total.number("payload_bytes", payload);
            let of = |by: &str, kind: &str| -> u64 {
                let flows = all.iter().filter(|flow| flow.by == by && flow.kind == kind);
                flows.map(|flow| flow.bytes).sum()
            };
            total.number("user_copied_bytes", of("user", "copy"));
            total.number("crossed_bytes", of("kernel", "copy"));
            total.number("user_cipher_bytes", of("user", "cipher"));
            total.number("kernel_cipher_bytes", of("kernel", "cipher"));
            push_passes(total, payload, &all);
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

    fn push_slow(&self, object: &mut Object<'_>, on: &SlowOnWorker) {
        let finished = &on.slow.finished;
        let mut time = String::new();
        push_time(&mut time, self.time - on.ago);
        let head = on.slow.head.get(..on.slow.head_len).unwrap_or_default();
        let (method, path) = method_and_path(head);
        object.string("time", &time);
        object.float("seconds_ago", seconds(on.ago));
        object.number("worker", on.worker as u64);
        object.string("method", &method);
        object.string("path", &path);
        object.number("status", u64::from(finished.status));
        object.number("bytes", finished.bytes);
        match finished.route {
            None => object.null("taken"),
            Some(_) => object.string("taken", route_name(finished.route)),
        }
        object.boolean("resumed", finished.resumed);
        object.boolean("complete", finished.complete);
        object.number("number", finished.number);
        object.number("total_ns", finished.total);
        object.string("dominant", finished.dominant().name());
        object.array("stages", |stages| {
            let mut start = 0;
            for (stage, time) in REQUEST_STAGES.into_iter().zip(finished.parts) {
                stages.object(|each| {
                    each.string("name", stage.name());
                    each.number("start_ns", start);
                    each.number("ns", time);
                });
                start += time;
            }
        });
        object.object("before", |before| {
            before.number_or_null("accept_queue_ns", finished.accept_queue);
            before.number_or_null("handshake_ns", finished.handshake);
            before.number("first_byte_ns", finished.first_byte);
        });
        object.object("beside", |beside| {
            beside.number("requests", finished.beside);
            beside.number("turns", finished.turns);
            beside.number("connections", on.slow.connections as u64);
            match on.slow.stall {
                None => beside.null("stall"),
                Some(stall) => beside.object("stall", |each| push_stall(each, stall)),
            }
        });
    }
}

fn push_stall(object: &mut Object<'_>, stall: Stall) {
    object.number("ns", stall.took);
    match stall.work {
        Some(work) => object.string("stage", work.name()),
        None => object.null("stage"),
    }
}

fn push_flows(object: &mut Object<'_>, payload: u64, flows: &[Flow]) {
    object.number("payload_bytes", payload);
    object.array("flows", |list| {
        for flow in flows {
            list.object(|each| {
                each.string("from", flow.from);
                each.string("to", flow.to);
                each.string("kind", flow.kind);
                each.string("by", flow.by);
                each.string("place", flow.place);
                each.number("bytes", flow.bytes);
                each.string("basis", flow.basis.name());
            });
        }
    });
    push_passes(object, payload, flows);
}

fn push_passes(object: &mut Object<'_>, payload: u64, flows: &[Flow]) {
    let bytes: u64 = flows.iter().map(|flow| flow.bytes).sum();
    if payload == 0 {
        object.null("passes_per_byte");
    } else {
        object.float("passes_per_byte", rounded(bytes as f64 / payload as f64));
    }
}

fn push_worker(object: &mut Object<'_>, number: usize, worker: Option<&WorkerSnapshot>) {
    object.number("worker", number as u64);
    object.boolean("answered", worker.is_some());
    let ring = worker.map(|worker| worker.ring).unwrap_or_default();
    let requests = worker.map_or(0, |worker| worker.counts.requests);
    let per_request =
        |count: u64| if requests == 0 { f64::NAN } else { rounded(count as f64 / requests as f64) };
    object.number("connections", worker.map_or(0, |worker| worker.connections as u64));
    object.number("requests", requests);
    object.number("open_requests", worker.map_or(0, |worker| u64::from(worker.open_requests)));
    object.number("enters", ring.enters);
    object.number("submissions", ring.submissions);
    object.number("completions", ring.completions);
    object.float("enters_per_request", per_request(ring.enters));
    object.float("submissions_per_request", per_request(ring.submissions));
    object.float("completions_per_request", per_request(ring.completions));
    object.number("full_queue", ring.full_queue);
    object.number("out_of_buffers", ring.out_of_buffers);
    object.number("re_arms", ring.re_arms);
    object.number("overflows", ring.overflows);
    object.number("refused_enters", ring.refused_enters);
    object.number("completion_overflows", ring.completion_overflows);
    object.number("cancels", ring.cancels);
    object.number("operations_in_flight", u64::from(ring.in_flight));
    object.number("receive_buffers", u64::from(ring.receive_buffers));
    object.number("receive_buffers_free", u64::from(ring.receive_buffers_free));
    object.number("receive_buffers_low_water", u64::from(ring.receive_buffers_low_water));
    object.number("write_queue_bytes", ring.write_queue_bytes);
    object.number("accept_pauses", worker.map_or(0, |worker| worker.counts.accept_pauses));
    let turns = worker.map(|worker| worker.histograms.turns());
    let queue = worker.map(|worker| worker.histograms.stage(Stage::RunQueue));
    object.number("turns", turns.map_or(0, Histogram::len));
    for (name, histogram) in [("turn", turns), ("run_queue", queue)] {
        let histogram = histogram.filter(|histogram| !histogram.is_empty());
        for (quantile, value) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let value = histogram.map(|histogram| histogram.value_at_quantile(value));
            object.number_or_null(&format!("{name}_{quantile}_ns"), value);
        }
    }
    match worker.and_then(|worker| Some((worker.longest_stall?, worker.now))) {
        Some((stall, now)) if stall.took >= STALL => object.object("longest_stall", |each| {
            push_stall(each, stall);
            let ago = Duration::from_nanos(now.saturating_sub(stall.ended));
            each.float("seconds_ago", seconds(ago));
        }),
        _ => object.null("longest_stall"),
    }
}

/// Where a worker's thread was: in its turns, in sendfile(2), in io_uring_enter(2), waiting for a
/// processor. What it ran and did not spend in turns it spent in io_uring_enter(2), there being
/// nothing else in its loop.
fn push_thread(
    object: &mut Object<'_>,
    worker: Option<&WorkerSnapshot>,
    thread: Option<ThreadFigures>,
) {
    let turns = worker.map_or(0, |worker| worker.histograms.turns_sum());
    object.number("turn_sum_ns", turns);
    object.number("sendfile_ns", worker.map_or(0, |worker| worker.sendfile));
    object.number_or_null("cpu_ns", thread.map(|thread| thread.ran));
    object.number_or_null("cpu_wait_ns", thread.map(|thread| thread.waited));
    object.number_or_null("enter_cpu_ns", thread.map(|thread| thread.in_enter(turns)));
    object.number_or_null("kernel_workers", thread.map(|thread| thread.kernel_workers as u64));
}

/// The first two words of a head, and `…` behind a path that was cut.
fn method_and_path(head: &[u8]) -> (String, String) {
    const PATH: usize = 96;
    let line_end = head.iter().position(|byte| *byte == b'\r' || *byte == b'\n');
    let line = head.get(..line_end.unwrap_or(head.len())).unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let method = String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
    let path = words.next().unwrap_or_default();
    // A path that nothing follows, in a line that does not end, goes on beyond what was kept.
    let cut = path.len() > PATH || (line_end.is_none() && words.next().is_none());
    let path = path.get(..PATH).unwrap_or(path);
    let path = String::from_utf8_lossy(path).into_owned() + if cut { "…" } else { "" };
    (method, path)
}

/// With milliseconds, which is what a person wants of a time since.
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1e3
}

fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::method_and_path;

    #[test]
    fn a_long_path_is_cut_and_says_so() {
        let path = |head: &str| method_and_path(head.as_bytes()).1;
        assert_eq!(path("GET /a HTTP/1.1\r\nHost: b\r\n"), "/a");
        assert_eq!(path("GET /a HTTP"), "/a");
        assert_eq!(path("GET /aaaa"), "/aaaa…");
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(200));
        assert_eq!(path(&long[..112]), format!("/{}…", "x".repeat(95)));
        assert_eq!(method_and_path(b""), (String::new(), "…".to_owned()));
    }
}
