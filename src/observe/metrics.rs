//! `/metrics`: what is known, as text for Prometheus and whatever speaks OpenMetrics.
//! Base units, seconds and bytes; counters end in `_total`.

mod bounds;
mod compression;
mod endpoints;
mod ends;
mod exemplars;
mod http2;
mod pools;
mod process;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use hdrhistogram::Histogram;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use super::{
    Anatomy, Basis, Exposition, Flow, Histograms, Route, Stage, ThreadFigures, WorkerSnapshot,
};

use bounds::{BOUNDS, buckets};
use process::Process;

impl Anatomy {
    /// The report as metrics.
    pub fn to_metrics(self: &Arc<Self>, exposition: Exposition) -> String {
        let mut registry = Registry::with_prefix("ringway");
        registry.register_collector(Box::new(Report(Arc::clone(self))));
        let mut text = String::with_capacity(64 << 10);
        let mut process = Registry::with_prefix("process");
        process.register_collector(Box::new(Process));
        // Writing to a string does not fail.
        let _ = text::encode_registry(&mut text, &registry)
            .and_then(|()| text::encode_registry(&mut text, &process))
            .and_then(|()| text::encode_eof(&mut text));
        if exposition == Exposition::OpenMetrics {
            text = exemplars::add(text, self);
        }
        exposition.of(text)
    }
}

#[derive(Debug)]
struct Report(Arc<Anatomy>);

impl Collector for Report {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (anatomy, to) = (&*self.0, &mut encoder);
        totals(anatomy, to)?;
        ends::ends(anatomy, to)?;
        stages(anatomy, to)?;
        ledger(anatomy, to)?;
        workers(anatomy, to)?;
        kernel(anatomy, to)?;
        pools::pools(anatomy, to)?;
        rates(anatomy, to)?;
        endpoints::endpoints(anatomy, to)
    }
}

/// Requests that each rate has refused.
fn rates(anatomy: &Anatomy, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    if anatomy.server.rates.is_empty() {
        return Ok(());
    }
    let help = "Requests that a rate has refused with 429";
    let mut metric = to.encode_descriptor("rate_refused", help, None, MetricType::Counter)?;
    for rate in &anatomy.server.rates {
        count(&mut metric, &[("rate", rate.name.as_str())], rate.refused)?;
    }
    Ok(())
}

fn count(to: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
    to.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn counter(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let mut metric = to.encode_descriptor(name, help, None, MetricType::Counter)?;
    metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn gauge(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    to.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn totals(anatomy: &Anatomy, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let counts = anatomy.counts;
    let info = [("version", env!("CARGO_PKG_VERSION"))];
    // A gauge, as is the custom: the older format has no type for it.
    to.encode_descriptor("build_info", "The version that runs", None, MetricType::Gauge)?
        .encode_family(&info)?
        .encode_gauge(&1_i64)?;
    let help = "What the workers run on: ring (io_uring) or poll (epoll)";
    to.encode_descriptor("io_backend", help, None, MetricType::Gauge)?
        .encode_family(&[("backend", anatomy.server.io)])?
        .encode_gauge(&1_i64)?;
    gauge(to, "uptime_seconds", "Time since the start", anatomy.uptime.as_secs_f64())?;
    let help = "The last second of a served certificate's validity, since 1970";
    let name = "certificate_not_after_timestamp_seconds";
    let mut expiry = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for certificate in &anatomy.server.certificates {
        if let Some(last) = certificate.not_after {
            let labels = [("name", &*certificate.name), ("file", &*certificate.file)];
            expiry.encode_family(&labels)?.encode_gauge(&last)?;
        }
    }
    let missing = if anatomy.server.root_missing { 1.0 } else { 0.0 };
    gauge(to, "root_missing", "1 if there is no folder at the path of the served one", missing)?;
    let replaced = anatomy.server.root_replaced;
    counter(to, "root_replaced", "Times that the served folder was replaced", replaced)?;
    gauge(to, "connections", "Open connections", anatomy.connections() as f64)?;
    counter(to, "connections_accepted", "Connections accepted", counts.accepted)?;
    let mut handshakes = to.encode_descriptor(
        "handshakes",
        "TLS handshakes by their outcome",
        None,
        MetricType::Counter,
    )?;
    count(&mut handshakes, &[("outcome", "full")], counts.handshakes - counts.resumed)?;
    count(&mut handshakes, &[("outcome", "resumed")], counts.resumed)?;
    count(&mut handshakes, &[("outcome", "failed")], counts.failed_handshakes)?;
    let mut kernel_tls = to.encode_descriptor(
        "kernel_tls_connections",
        "Connections of which the kernel seals or opens the records",
        None,
        MetricType::Counter,
    )?;
    count(&mut kernel_tls, &[("direction", "transmit")], counts.kernel_transmit)?;
    count(&mut kernel_tls, &[("direction", "receive")], counts.kernel_receive)?;
    counter(to, "requests", "Requests answered, refusals among them", counts.requests)?;
    counter(to, "requests_refused", "Requests refused as malformed or too large", counts.refused)?;
    let help = "Requests that came more often than a rate allows";
    counter(to, "requests_rate_limited", help, counts.rate_limited)?;
    let help = "Requests without a name and password that their route accepts";
    counter(to, "requests_unauthorized", help, counts.unauthorized)?;
    counter(to, "requests_unobserved", "Requests without a clock", anatomy.unobserved())?;
    counter(to, "connections_timed_out", "Connections ended by a deadline", counts.timed_out)?;
    let help = "Connections refused because their address had too many";
    counter(to, "connections_refused_by_address", help, counts.refused_by_address)?;
    let help = "Connections whose client a balancer announced by a PROXY header";
    counter(to, "connections_announced", help, counts.announced)?;
    let help = "Connections refused for a PROXY header: missing, malformed or not trusted";
    counter(to, "announcements_refused", help, counts.refused_announcements)?;
    counter(to, "connections_evicted", "Idle connections closed for others", counts.evicted)?;
    let help = "Connections without a whole ClientHello closed for others";
    counter(to, "silent_connections_evicted", help, counts.evicted_silent)?;
    let help = "Handshakes closed for others, since their clients did not go on";
    counter(to, "handshakes_evicted", help, counts.evicted_handshakes)?;
    let help = "Answers and connections given up because of a defect of the server";
    counter(to, "defects", help, counts.defects)?;
    compression::totals(&counts, to)?;
    http2::totals(&counts, to)?;
    counter(to, "accept_pauses", "Times that accepting paused", counts.accept_pauses)?;
    if let Some(lines) = anatomy.access_log {
        let mut log = to.encode_descriptor(
            "access_log_lines",
            "Lines of the access log by what became of them",
            None,
            MetricType::Counter,
        )?;
        for (fate, lines) in
            [("written", lines.written), ("dropped", lines.dropped), ("failed", lines.failed)]
        {
            count(&mut log, &[("fate", fate)], lines)?;
        }
    }
    if let Some(spans) = anatomy.spans {
        let help = "Slow and failed requests that became spans, by what became of those";
        let mut family = to.encode_descriptor("spans", help, None, MetricType::Counter)?;
        for (fate, requests) in
            [("exported", spans.exported), ("dropped", spans.dropped), ("failed", spans.failed)]
        {
            count(&mut family, &[("fate", fate)], requests)?;
        }
    }
    Ok(())
}

fn stages(anatomy: &Anatomy, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = to.encode_descriptor(
        "stage_duration",
        "Time by stage of the journey; docs/anatomy-json.md says what each stage is",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for stage in Stage::ALL {
        let histogram = anatomy.histograms.stage(stage);
        let sum = seconds(anatomy.histograms.sum(stage));
        let labels = [("stage", stage.name())];
        family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
            sum,
            histogram.len(),
            &buckets(histogram, bounds::of(stage)),
            None,
        )?;
    }
    Ok(())
}

fn ledger(anatomy: &Anatomy, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let ledger = &anatomy.ledger;
    let bytes = Some(&Unit::Bytes);
    let mut responses = to.encode_descriptor(
        "responses",
        "Responses with content, by the path that most of it took",
        None,
        MetricType::Counter,
    )?;
    for route in Route::ALL {
        count(&mut responses, &[("path", route.name())], ledger.carried(route).responses)?;
    }
    let mut payload =
        to.encode_descriptor("payload", "Content sent, by path", bytes, MetricType::Counter)?;
    for route in Route::ALL {
        count(&mut payload, &[("path", route.name())], ledger.carried(route).payload())?;
    }
    let mut moved = to.encode_descriptor(
        "moved",
        "Bytes that were copied or enciphered, by path, by whom and where",
        bytes,
        MetricType::Counter,
    )?;
    let sent = Route::ALL.map(|route| (route.name(), ledger.flows(route)));
    let received = [("user_tls/receive", false), ("kernel_tls/receive", true)]
        .map(|(name, tls)| (name, ledger.receive_flows(tls, anatomy.server.whole_records).1));
    let uploaded = [("uploaded", ledger.upload_flows().1)];
    for (path, flows) in sent.into_iter().chain(received).chain(uploaded) {
        for flow in &flows {
            let Flow { kind, by, place, basis, bytes, .. } = *flow;
            let basis = Basis::name(basis);
            let labels =
                [("path", path), ("kind", kind), ("by", by), ("place", place), ("basis", basis)];
            count(&mut moved, &labels, bytes)?;
        }
    }
    let mut handed = to.encode_descriptor(
        "application_content",
        "Request content handed to applications: lent where it lies, or copied",
        bytes,
        MetricType::Counter,
    )?;
    let taken = ledger.taken();
    for (how, bytes) in [("lent", taken.lent), ("copied", taken.copied_for_application)] {
        count(&mut handed, &[("how", how)], bytes)?;
    }
    let heads = "Response heads sent";
    to.encode_descriptor("heads", heads, bytes, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, u64>(&ledger.heads, None)
}

/// How a figure is taken from what a worker noted.
type Figure = fn(&WorkerSnapshot) -> u64;

fn workers(anatomy: &Anatomy, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let each: Vec<_> = anatomy
        .workers
        .iter()
        .enumerate()
        .map(|(number, worker)| (number.to_string(), worker.as_deref()))
        .collect();
    let mut up = to.encode_descriptor(
        "worker_answers",
        "Whether the worker answered this question in time",
        None,
        MetricType::Gauge,
    )?;
    for (number, worker) in &each {
        let labels = [("worker", number.as_str())];
        up.encode_family(&labels)?.encode_gauge(&i64::from(worker.is_some()))?;
    }
    let counters: [(&str, &str, Figure); 11] = [
        ("ring_enters", "Calls of io_uring_enter, or turns of epoll", |worker| worker.ring.enters),
        ("ring_submissions", "Operations submitted", |worker| worker.ring.submissions),
        ("ring_completions", "Completions taken", |worker| worker.ring.completions),
        ("ring_cancels", "Cancels submitted", |worker| worker.ring.cancels),
        ("ring_out_of_buffers", "Receives that found no buffer", |worker| {
            worker.ring.out_of_buffers
        }),
        ("ring_full_queue", "Submissions that found the queue full", |worker| {
            worker.ring.full_queue
        }),
        ("ring_re_arms", "Multishot operations that ended early", |worker| worker.ring.re_arms),
        ("ring_overflows", "Of these, because completions found no room", |worker| {
            worker.ring.overflows
        }),
        ("ring_refused_enters", "System calls that the kernel refused for the moment", |worker| {
            worker.ring.refused_enters
        }),
        ("ring_completion_overflows", "Turns that found completions held back", |worker| {
            worker.ring.completion_overflows
        }),
        ("worker_requests", "Requests answered", |worker| worker.counts.requests),
    ];
    for (name, help, figure) in counters {
        let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (number, worker) in &each {
            if let Some(worker) = worker {
                count(&mut family, &[("worker", number.as_str())], figure(worker))?;
            }
        }
    }
    let help = "System calls of the ring: io_uring_enter, or those of polling; `file` is an open or a \
        read tried in the kernel's caches, `thread` one that a thread does";
    let mut calls = to.encode_descriptor("ring_system_calls", help, None, MetricType::Counter)?;
    for (number, worker) in &each {
        for (name, value) in worker.iter().flat_map(|worker| worker.ring.calls()) {
            count(&mut calls, &[("worker", number.as_str()), ("call", name)], value)?;
        }
    }
    let gauges: [(&str, &str, Figure); 7] = [
        ("worker_connections", "Open connections", |worker| worker.connections as u64),
        ("worker_open_requests", "Requests that are not done", |worker| {
            u64::from(worker.open_requests)
        }),
        ("ring_in_flight", "Operations in flight", |worker| u64::from(worker.ring.in_flight)),
        ("receive_buffers", "Receive buffers", |worker| u64::from(worker.ring.receive_buffers)),
        ("receive_buffers_free", "Receive buffers that hold nothing", |worker| {
            u64::from(worker.ring.receive_buffers_free)
        }),
        ("receive_buffers_low_water", "The fewest that were ever free", |worker| {
            u64::from(worker.ring.receive_buffers_low_water)
        }),
        ("write_queue_bytes", "Send memory that is taken", |worker| worker.ring.write_queue_bytes),
    ];
    for (name, help, figure) in gauges {
        let mut family = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (number, worker) in &each {
            if let Some(worker) = worker {
                let labels = [("worker", number.as_str())];
                family.encode_family(&labels)?.encode_gauge(&(figure(worker) as f64))?;
            }
        }
    }
    threads(anatomy, to)?;
    worker_histogram(
        to,
        &each,
        ("turn_duration", "Time of one turn of a worker's loop, without its system call"),
        |histograms| (histograms.turns(), histograms.turns_sum()),
    )?;
    worker_histogram(
        to,
        &each,
        ("wake_delay", "How late a worker woke that slept for a tick of the kernel or longer"),
        |histograms| (histograms.wakes(), histograms.wakes_sum()),
    )
}

fn worker_histogram(
    to: &mut DescriptorEncoder<'_>,
    each: &[(String, Option<&WorkerSnapshot>)],
    (name, help): (&str, &str),
    of: fn(&Histograms) -> (&Histogram<u64>, u64),
) -> fmt::Result {
    let mut family =
        to.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    for (number, worker) in each {
        let Some(worker) = worker else { continue };
        let (histogram, sum) = of(&worker.histograms);
        let labels = [("worker", number.as_str())];
        family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
            seconds(sum),
            histogram.len(),
            &buckets(histogram, &BOUNDS),
            None,
        )?;
    }
    Ok(())
}

/// How a figure is taken from what is known of a worker's thread.
type ThreadFigure = fn(&WorkerSnapshot, Option<ThreadFigures>) -> Option<u64>;

fn threads(anatomy: &Anatomy, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let each = || {
        let threads = anatomy.workers.iter().zip(&anatomy.threads).enumerate();
        threads.filter_map(|(number, (worker, thread))| {
            Some((number.to_string(), worker.as_deref()?, *thread))
        })
    };
    let times: [(&str, &str, ThreadFigure); 6] = [
        ("worker_lost", "Time without a processor while there was something to do", |worker, _| {
            Some(worker.lost)
        }),
        ("worker_turns", "Time in turns of the loop, without their system calls", |worker, _| {
            Some(worker.histograms.turns_sum())
        }),
        ("worker_sendfile", "Of this, in sendfile", |worker, _| Some(worker.sendfile)),
        ("worker_cpu", "Time on a processor", |_, thread| Some(thread?.ran)),
        ("worker_cpu_wait", "Time ready to run without a processor", |_, thread| {
            Some(thread?.waited)
        }),
        (
            "worker_enter_cpu",
            "Time on a processor in io_uring_enter, at least",
            |worker, thread| Some(thread?.in_enter(worker.histograms.turns_sum())),
        ),
    ];
    for (name, help, figure) in times {
        let mut family =
            to.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Counter)?;
        for (number, worker, thread) in each() {
            if let Some(value) = figure(worker, thread) {
                family
                    .encode_family(&[("worker", number.as_str())])?
                    .encode_counter::<NoLabelSet, _, u64>(&seconds(value), None)?;
            }
        }
    }
    let help = "Threads of the kernel that work for the ring now";
    let mut family = to.encode_descriptor("ring_kernel_workers", help, None, MetricType::Gauge)?;
    for (number, _, thread) in each() {
        if let Some(thread) = thread {
            family
                .encode_family(&[("worker", number.as_str())])?
                .encode_gauge(&(thread.kernel_workers as i64))?;
        }
    }
    Ok(())
}

fn kernel(anatomy: &Anatomy, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let kernel = &anatomy.kernel;
    for (name, help) in [
        ("accept_queue_length", "Connections that wait to be accepted"),
        ("accept_queue_limit", "How many may wait"),
    ] {
        let mut family = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for listener in &kernel.listeners {
            let (address, worker) = (listener.address.to_string(), listener.worker.to_string());
            let labels = [("address", address.as_str()), ("worker", worker.as_str())];
            let limit = name == "accept_queue_limit";
            let value = if limit { listener.limit } else { listener.queued };
            family.encode_family(&labels)?.encode_gauge(&i64::from(value))?;
        }
    }
    for (name, help, value) in [
        ("host_listen_overflows", "Accept queues found full", kernel.listen_overflows),
        ("host_listen_drops", "Connections dropped by listeners", kernel.listen_drops),
        ("host_retransmitted_segments", "Segments sent again", kernel.retransmitted_segments),
        ("host_syn_cookies", "SYN cookies sent", kernel.syn_cookies_sent),
    ] {
        if let Some(value) = value {
            counter(to, name, help, value)?;
        }
    }
    if let Some(counters) = &kernel.tls {
        let help = "Counters of /proc/net/tls_stat";
        let mut family = to.encode_descriptor("host_tls_stat", help, None, MetricType::Gauge)?;
        for (name, value) in counters {
            let labels = [("counter", name.as_str())];
            family.encode_family(&labels)?.encode_gauge(&(*value as f64))?;
        }
    }
    Ok(())
}
