//! Records of TLS 1.3 with AES-128-GCM: sealed from one place to another as file contents are,
//! head and body together as small responses are, and opened in place as requests are.

#![forbid(unsafe_code)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ringway::internals::record::{
    ContentType, MAX_OVERHEAD, MAX_PLAINTEXT, Opener, Sealer, Suite, TlsVersion, TrafficKeys,
};

const LENGTHS: [usize; 2] = [1 << 10, MAX_PLAINTEXT];
const HEAD: usize = 256;

fn keys() -> TrafficKeys {
    let key = [7; 16];
    TrafficKeys::new(Suite::Aes128Gcm, TlsVersion::Tls13, &key, [9; 12], 0).expect("16 bytes")
}

fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal");
    for length in LENGTHS {
        let plaintext = vec![1; length];
        let mut out = vec![0; length + MAX_OVERHEAD];
        group.throughput(Throughput::Bytes(length as u64));
        // A key may seal only so many records; each batch has a sealer of its own, at whose cost
        // the clock does not look.
        group.bench_function(format!("{length} bytes"), |bencher| {
            bencher.iter_batched_ref(
                || Sealer::new(&keys()),
                |sealer| {
                    sealer
                        .seal(ContentType::ApplicationData, black_box(&plaintext), &mut out)
                        .expect("a fresh sealer")
                },
                BatchSize::SmallInput,
            );
        });
        let (head, body) = plaintext.split_at(HEAD);
        group.bench_function(format!("{length} bytes in two parts"), |bencher| {
            bencher.iter_batched_ref(
                || Sealer::new(&keys()),
                |sealer| {
                    sealer
                        .seal_parts(ContentType::ApplicationData, black_box(head), body, &mut out)
                        .expect("a fresh sealer")
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    for length in LENGTHS {
        let mut record = vec![0; length + MAX_OVERHEAD];
        let sealed = Sealer::new(&keys())
            .seal(ContentType::ApplicationData, &vec![1; length], &mut record)
            .expect("a fresh sealer");
        record.truncate(sealed);
        group.throughput(Throughput::Bytes(length as u64));
        // What was opened is plaintext, and an opener goes on to the next number: both are made
        // anew for each run.
        group.bench_function(format!("{length} bytes"), |bencher| {
            bencher.iter_batched_ref(
                || (Opener::new(&keys()), record.clone()),
                |(opener, record)| opener.open(black_box(record)).expect("an intact record"),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, seal, open);
criterion_main!(benches);
