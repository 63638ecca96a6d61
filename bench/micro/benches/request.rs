//! From the bytes of a request to those of the response's head, step by step and as a whole.

#![forbid(unsafe_code)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ringway::internals::parse::Method;
use ringway::internals::parse::{FieldStorage, HeadLimits, Target, request_head};
use ringway::internals::process::answer::{Answer, FieldSink};
use ringway::internals::process::conditional;
use ringway::internals::process::facts::{FileFacts, Found};
use ringway::internals::process::interest::Interest;
use ringway::internals::process::negotiate::{self, Coding};
use ringway::internals::process::path::SitePath;
use ringway::internals::process::range;
use ringway::internals::process::site::{Asked, Decision, Plan, Site, Via};
use ringway::internals::process::validator::{FileStat, Validators};
use ringway::internals::respond::{DateCache, HeadWriter};

const MODIFIED: i64 = 1_700_000_000;
const NOW: i64 = MODIFIED + 1_000_000;

/// What the load generator and simple clients send.
const SHORT: &[u8] = b"GET /1k.bin HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What a browser sends.
const BROWSER: &[u8] = b"GET /assets/site.css?v=12 HTTP/1.1\r\n\
    Host: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/css,*/*;q=0.1\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Connection: keep-alive\r\n\
    Referer: https://www.example.org/news/2024/a-page\r\n\
    Sec-Fetch-Dest: style\r\n\
    Sec-Fetch-Mode: no-cors\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    If-None-Match: \"0-0-0\"\r\n\
    Priority: u=2\r\n\r\n";

fn stat(length: u64) -> FileStat {
    FileStat {
        length,
        device: 1,
        inode: 4711,
        modified: MODIFIED,
        modified_nanos: 123_456_789,
        changed: MODIFIED,
        changed_nanos: 123_456_789,
    }
}

fn heads(criterion: &mut Criterion) {
    let limits = HeadLimits::default();
    let mut group = criterion.benchmark_group("head");
    for (name, bytes) in [("short", SHORT), ("of a browser", BROWSER)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut storage = FieldStorage::new();
                let head = request_head(black_box(bytes), &mut storage, &limits);
                head.is_ok_and(|head| head.is_some())
            });
        });
    }
    group.finish();
}

fn paths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("path");
    for (name, path) in [
        ("plain", &b"/assets/fonts/site.css"[..]),
        ("percent-encoded", b"/caf%C3%A9/men%C3%BC%20of%20the%20day.html"),
        ("refused", b"/assets/../../etc/passwd"),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| SitePath::resolve(black_box(path)).is_ok());
        });
    }
    group.finish();
}

fn ranges(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("range");
    for (name, value) in [
        ("one", &b"bytes=1048576-2097151"[..]),
        ("the end", b"bytes=-500"),
        ("three", b"bytes=0-99, 500-599, 9000-"),
        ("none of ours", b"lines=1-2"),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| range::select(black_box(value), black_box(100 << 20)));
        });
    }
    group.finish();
}

fn conditions(criterion: &mut Criterion) {
    let validators = Validators::new(&stat(1024), Coding::Identity);
    let current = validators.entity_tag.as_bytes().to_vec();
    let dated = validators.date(NOW).expect("it is of the past").as_bytes().to_vec();
    let listed = [b"\"a\", W/\"b\", \"c\", ".as_slice(), &current].concat();
    let mut group = criterion.benchmark_group("conditions");
    for (name, field, value) in [
        ("none", "Accept", &b"*/*"[..]),
        ("If-None-Match", "If-None-Match", &current),
        ("If-None-Match of four", "If-None-Match", &listed),
        ("If-Modified-Since", "If-Modified-Since", &dated),
    ] {
        let interest = Interest::collect([(field, value)]);
        group.bench_function(name, |bencher| {
            bencher.iter(|| conditional::evaluate(black_box(&interest), &validators, NOW));
        });
    }
    group.finish();
}

fn negotiation(criterion: &mut Criterion) {
    let facts = coded();
    let mut group = criterion.benchmark_group("negotiation");
    for (name, value) in [
        ("of a browser", &b"gzip, deflate, br, zstd"[..]),
        ("weighed", b"br;q=0.8, gzip;q=1.0, identity;q=0.5, *;q=0"),
    ] {
        let interest = Interest::collect([("Accept-Encoding", value)]);
        group.bench_function(name, |bencher| {
            bencher
                .iter(|| negotiate::choose(black_box(&interest.accept_encoding), facts.siblings()));
        });
    }
    group.finish();
}

fn coded() -> FileFacts {
    FileFacts::new(b"site.css", &stat(31_700))
        .with_sibling(Coding::Gzip, &stat(8_000))
        .with_sibling(Coding::Brotli, &stat(7_000))
}

struct Sink<'a, 'b>(&'a mut HeadWriter<'b>);

impl FieldSink for Sink<'_, '_> {
    fn field(&mut self, name: &str, value: &[u8]) {
        self.0.field(name, value);
    }

    fn field_u64(&mut self, name: &str, number: u64) {
        self.0.field_u64(name, number);
    }
}

/// The head of the response, in `room`: its length.
fn write(answer: &Answer<'_>, site: &Site, date: &DateCache, room: &mut [u8]) -> usize {
    let status = answer.head.status;
    let mut head = HeadWriter::new(room, status);
    head.server().date(date);
    answer.head.write_fields(site, &mut Sink(&mut head));
    head.finish().expect("room enough")
}

/// What a GET over TLS asks for.
#[allow(clippy::default_trait_access, reason = "the type of the demand has no public path")]
fn get<'r>(path: &'r [u8], query: Option<&'r [u8]>, interest: &'r Interest<'r>) -> Asked<'r> {
    Asked {
        via: Via::Tls,
        demand: Default::default(),
        method: Method::Get,
        host: Some(b"localhost"),
        path,
        query,
        interest,
        now: NOW,
    }
}

/// The answer of a file that is there.
fn decide<'f>(asked: &Asked<'_>, found: Found<'f>, site: &Site) -> Answer<'f> {
    let Plan::<FileFacts>::Find(path) = asked.plan() else { unreachable!("a GET of a path") };
    match site.decide(asked, &path, found) {
        Decision::Answer(answer) => answer,
        Decision::List | Decision::Fallback(_) => unreachable!("the file is there"),
    }
}

/// A request of which only its bytes are known becomes a head: all that lies between a record
/// opened and one sealed, but for the look into the file store.
fn whole(
    request: &[u8],
    found: Found<'_>,
    site: &Site,
    date: &DateCache,
    room: &mut [u8],
) -> usize {
    let mut storage = FieldStorage::new();
    let head = request_head(request, &mut storage, &HeadLimits::default())
        .expect("a good request")
        .expect("a whole one");
    let Target::Origin { path, query } = head.target else { unreachable!("a path") };
    let interest = Interest::collect(head.fields.iter());
    let asked = get(path, query, &interest);
    write(&decide(&asked, found, site), site, date, room)
}

fn answers(criterion: &mut Criterion) {
    let site = Site::default();
    let mut date = DateCache::new();
    date.update(NOW as u64);
    let mut room = [0; 1024];
    let (plain, coded) = (FileFacts::new(b"1k.bin", &stat(1024)), coded());

    let mut group = criterion.benchmark_group("answer");
    let interest = Interest::default();
    let asked = get(b"/1k.bin", None, &interest);
    group.bench_function("decided", |bencher| {
        bencher.iter(|| decide(black_box(&asked), Found::File(&plain), &site).head.status);
    });
    let answer = decide(&asked, Found::File(&plain), &site);
    group.bench_function("its head", |bencher| {
        bencher.iter(|| write(black_box(&answer), &site, &date, &mut room));
    });
    for (name, request, facts) in
        [("the whole way, short", SHORT, &plain), ("the whole way, of a browser", BROWSER, &coded)]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| whole(black_box(request), Found::File(facts), &site, &date, &mut room));
        });
    }
    group.finish();
}

criterion_group!(benches, heads, paths, ranges, conditions, negotiation, answers);
criterion_main!(benches);
