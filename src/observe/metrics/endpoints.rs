//! Endpoints of applications, and the own time of their named layers.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use super::seconds;
use crate::observe::{Anatomy, EndpointFigures, layers};

type Figure = fn(&EndpointFigures) -> u64;

const COUNTS: [(&str, &str, Figure); 2] = [
    ("endpoint_requests", "Requests answered by an endpoint of an application", |of| of.requests),
    ("endpoint_tail_requests", "Of these, among the slowest of their worker", |of| {
        of.tail_requests
    }),
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
