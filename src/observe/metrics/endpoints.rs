//! Endpoints of applications, and the own time of their named layers.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use super::{counter, gauge, seconds};
use crate::observe::{Anatomy, EndpointFigures, OffloadFigures, layers};

type Figure = fn(&EndpointFigures) -> u64;

const COUNTS: [(&str, &str, Figure); 3] = [
    ("endpoint_requests", "Requests answered by an endpoint of an application", |of| of.requests),
    ("endpoint_tail_requests", "Of these, among the slowest of their worker", |of| {
        of.tail_requests
    }),
    ("endpoint_held", "Polls of an endpoint that held a worker for 200 ms and more", |of| of.held),
];

const TIMES: [(&str, &str, Figure); 4] = [
    ("endpoint_total", "Time of an endpoint's requests", |of| of.total),
    ("endpoint_handler", "Of this, in code of the application", |of| of.handler),
    ("endpoint_waiting", "Of this, waiting for what the application waits for", |of| of.waiting),
    ("endpoint_tail", "Time of those among the slowest of their worker", |of| of.tail),
];

pub(super) fn endpoints(anatomy: &Anatomy, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let ranked = anatomy.endpoints.ranked();
    if !ranked.is_empty() {
        let names: Vec<_> = ranked.iter().map(|(endpoint, _)| endpoint.name()).collect();
        for (name, help, figure) in COUNTS {
            let mut metric = to.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (name, (_, figures)) in names.iter().zip(&ranked) {
                let labels = [("endpoint", name.as_str())];
                let mut family = metric.encode_family(&labels)?;
                family.encode_counter::<NoLabelSet, _, u64>(&figure(figures), None)?;
            }
        }
        for (name, help, figure) in TIMES {
            let unit = Some(&Unit::Seconds);
            let mut metric = to.encode_descriptor(name, help, unit, MetricType::Counter)?;
            for (name, (_, figures)) in names.iter().zip(&ranked) {
                let labels = [("endpoint", name.as_str())];
                let mut family = metric.encode_family(&labels)?;
                let value = seconds(figure(figures));
                family.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            }
        }
    }
    layers_of_all(to)?;
    offload(to)
}

fn layers_of_all(to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let layers = layers::figures();
    if layers.is_empty() {
        return Ok(());
    }
    let help = "Own time of a named layer of an application, without what it wraps by name";
    let unit = Some(&Unit::Seconds);
    let mut metric = to.encode_descriptor("layer", help, unit, MetricType::Counter)?;
    for (name, time) in &layers {
        let labels = [("layer", name.as_str())];
        let mut family = metric.encode_family(&labels)?;
        family.encode_counter::<NoLabelSet, _, u64>(&seconds(*time), None)?;
    }
    Ok(())
}

/// Jobs on the threads for work that computes or blocks, once there were any.
fn offload(to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Some(figures) = OffloadFigures::read() else { return Ok(()) };
    gauge(to, "offload_threads", "Threads for offloaded work", figures.threads as f64)?;
    gauge(to, "offload_waiting", "Offloaded jobs that wait for a thread", figures.waiting as f64)?;
    counter(to, "offload_jobs", "Offloaded jobs that a thread has begun", figures.begun)?;
    let help = "Offloaded jobs that were refused, since as many waited as may";
    counter(to, "offload_refused", help, figures.refused)?;
    let help = "Offloaded jobs whose future was dropped before a thread had begun them";
    counter(to, "offload_taken_back", help, figures.taken_back)?;
    for (name, help, time) in [
        ("offload_wait", "Time that offloaded jobs waited for a thread", figures.waited),
        ("offload_run", "Time that threads spent in offloaded jobs", figures.ran),
    ] {
        let mut metric =
            to.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&seconds(time), None)?;
    }
    Ok(())
}
