//! `process_*`: the metrics that every Prometheus client library has.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use super::gauge;
use crate::observe::process::ProcessFigures;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(figures) = ProcessFigures::sample() else { return Ok(()) };
        let cpu = "Total user and system CPU time spent";
        to.encode_descriptor("cpu", cpu, Some(&Unit::Seconds), MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&figures.cpu.as_secs_f64(), None)?;
        for (name, help, value) in [
            ("start_time_seconds", "Start time since the epoch", figures.started),
            ("virtual_memory_bytes", "Virtual memory size", figures.virtual_bytes as f64),
            ("resident_memory_bytes", "Resident memory size", figures.resident_bytes as f64),
            ("open_fds", "Open file descriptors", figures.open_files as f64),
            ("max_fds", "Most open file descriptors", figures.most_files as f64),
            ("threads", "Threads", figures.threads as f64),
        ] {
            gauge(&mut to, name, help, value)?;
        }
        Ok(())
    }
}
