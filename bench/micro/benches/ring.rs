//! The op table and the buffer pools, without a kernel: what an operation costs beside its system
//! call, alone and among many others in flight.

#![forbid(unsafe_code)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ringway::internals::ring::SendClass;
use ringway::internals::ring::parts::Parts;

/// Operations in flight besides: none, and those of ten thousand connections.
const OTHERS: [(&str, u32); 2] = [("alone", 0), ("among 20,000", 20_000)];

fn table(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("operation");
    for (name, others) in OTHERS {
        let mut parts = Parts::new(others).expect("memory for the pools");
        group.bench_function(name, |bencher| bencher.iter(|| parts.operation(black_box(7))));
    }
    group.finish();
}

fn pools(criterion: &mut Criterion) {
    let mut parts = Parts::new(0).expect("memory for the pools");
    let mut group = criterion.benchmark_group("pool");
    for (name, class) in [
        ("send buffer, small", SendClass::Small),
        ("send buffer, a record", SendClass::Record),
        ("send buffer, bulk", SendClass::Bulk),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| parts.send_buffer(black_box(class))));
    }
    let request = b"GET /1k.bin HTTP/1.1\r\nHost: localhost\r\n\r\n";
    group.bench_function("receive buffer, a request", |bencher| {
        bencher.iter(|| parts.lease(black_box(request)));
    });
    group.finish();
}

criterion_group!(benches, table, pools);
criterion_main!(benches);
