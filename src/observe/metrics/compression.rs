//! What was compressed while it was served.

use std::fmt;

use prometheus_client::{encoding::DescriptorEncoder, metrics::MetricType, registry::Unit};

use super::{count, counter};
use crate::observe::Counts;

pub(super) fn totals(counts: &Counts, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let codings = [
        ("zstd", [counts.zstd_answers, counts.zstd_in, counts.zstd_out]),
        ("br", [counts.br_answers, counts.br_in, counts.br_out]),
        ("gzip", [counts.gzip_answers, counts.gzip_in, counts.gzip_out]),
    ];
    for (place, name, help, unit) in [
        (0, "compressed_answers", "Answers that Ringway has compressed, by coding", None),
        (1, "compressed_in", "Bytes of their content before that", Some(&Unit::Bytes)),
        (2, "compressed_out", "Bytes of their content after that", Some(&Unit::Bytes)),
    ] {
        let mut metric = to.encode_descriptor(name, help, unit, MetricType::Counter)?;
        for (coding, figures) in codings {
            count(&mut metric, &[("coding", coding)], figures[place])?;
        }
    }
    let help = "Answers that went as they are, since the worker or the queue of files was busy";
    counter(to, "compression_shed", help, counts.compress_shed)?;
    let help = "Contents of files that were compressed once and kept";
    counter(to, "compressed_files_cached", help, counts.compress_cached)?;
    let help = "Bytes of these";
    let mut bytes = to.encode_descriptor(
        "compressed_files_cached",
        help,
        Some(&Unit::Bytes),
        MetricType::Counter,
    )?;
    bytes.encode_counter::<prometheus_client::encoding::NoLabelSet, _, u64>(
        &counts.compress_cached_bytes,
        None,
    )
}
