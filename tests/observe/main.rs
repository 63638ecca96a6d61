//! The figures move as they should for known traffic: each request is counted once in each of its
//! stages, bytes are counted exactly, and what is reported (the report, metrics, the access log, a
//! header) agrees.

#![forbid(unsafe_code)]

mod access_log;
mod client;
#[path = "../support/io.rs"]
mod io;
mod ledger;
mod program;
mod prometheus;
mod report;
mod sends;
mod spans;
mod stages;
mod top;
#[path = "../support/trusting.rs"]
mod trusting;

use std::{
    fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use ringway::{
    config::{Config, KtlsMode},
    observe::{Anatomy, REQUEST_STAGES, Route, Stage},
    server::{Builder, RunningServer},
};

use client::{Client, tls_config};

pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// How long a client waits between two steps, at first.
const WAIT: Duration = Duration::from_millis(80);

/// Tries with longer and longer waits: a crowded machine may stand still for as long as a short one lasts, and
/// then that is what the server reports.
pub(crate) fn patiently(attempt: impl Fn(Duration)) {
    for wait in [WAIT, WAIT * 5, WAIT * 25] {
        if panic::catch_unwind(AssertUnwindSafe(|| attempt(wait))).is_ok() {
            return;
        }
    }
    attempt(WAIT * 125);
}

/// A folder with a page, and a file of 1 MiB that has been left alone long enough to be kept.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.html"), b"<p>hello").unwrap();
    let noise: Vec<u8> =
        (0..1_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(folder.path().join("mib.bin"), noise).unwrap();
    let old = SystemTime::now() - Duration::from_secs(3_600);
    for name in ["index.html", "mib.bin"] {
        let file = fs::File::options().append(true).open(folder.path().join(name)).unwrap();
        file.set_modified(old).unwrap();
    }
    // What counts is the time of the last change of the metadata, which cannot be set.
    std::thread::sleep(Duration::from_millis(150));
    folder
}

pub(crate) fn start(folder: &Path, change: impl FnOnce(&mut Config)) -> RunningServer {
    let mut config = Config::default();
    config.root = folder.into();
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.workers = Some(1);
    config.pin = false;
    config.ktls = KtlsMode::Off;
    config.io = io::io();
    let times = &mut config.timeouts;
    (times.handshake, times.head, times.body_progress) = (PATIENCE, PATIENCE, PATIENCE);
    (times.idle, times.process, times.response_stall) = (PATIENCE, PATIENCE, PATIENCE);
    change(&mut config);
    Builder::from(config).start().unwrap()
}

pub(crate) fn connect(server: &RunningServer) -> Client {
    Client::connect(server.addresses()[0].port(), &tls_config())
}

/// What the server knows once it has seen `connections` end: their last figures are noted then.
pub(crate) fn settled(server: &RunningServer, connections: u64) -> Anatomy {
    let until = Instant::now() + PATIENCE;
    loop {
        let anatomy = server.anatomy();
        if anatomy.histograms.stage(Stage::Close).len() >= connections {
            return anatomy;
        }
        assert!(Instant::now() < until, "{connections} connections do not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn stop(server: RunningServer) {
    server.handle().drain(Duration::from_secs(60));
    server.wait().unwrap();
}

#[test]
fn every_request_is_counted_once_in_every_stage() {
    let folder = folder();
    let server = start(folder.path(), |_| {});
    for _ in 0..3 {
        let mut client = connect(&server);
        for _ in 0..5 {
            assert_eq!(client.get("/").0, 200);
        }
        client.close();
    }
    let anatomy = settled(&server, 3);
    let count = |stage| anatomy.histograms.stage(stage).len();
    for stage in REQUEST_STAGES.into_iter().chain([Stage::FirstByte, Stage::Total]) {
        assert_eq!(count(stage), 15, "{}", stage.name());
    }
    for stage in [Stage::AcceptQueue, Stage::HandshakeCpu, Stage::HandOver, Stage::Close] {
        assert_eq!(count(stage), 3, "{}", stage.name());
    }
    assert_eq!(count(Stage::HandshakeFull) + count(Stage::HandshakeResumed), 3);
    let sum = |stage| anatomy.histograms.sum(stage);
    assert_eq!(REQUEST_STAGES.into_iter().map(sum).sum::<u64>(), sum(Stage::Total));
    assert!(sum(Stage::Decrypt) > 0 && sum(Stage::Parse) > 0);
    assert!(sum(Stage::Decode) > 0 && sum(Stage::FirstWrite) > 0);
    assert_eq!((anatomy.counts.requests, anatomy.unobserved()), (15, 0));
    assert_eq!(anatomy.workers[0].as_ref().unwrap().open_requests, 0);
    stop(server);
}

#[test]
fn resumption_has_a_stage_of_its_own() {
    let folder = folder();
    let server = start(folder.path(), |_| {});
    let config = tls_config();
    for _ in 0..3 {
        let mut client = Client::connect(server.addresses()[0].port(), &config);
        assert_eq!(client.get("/").0, 200);
        client.close();
    }
    let anatomy = settled(&server, 3);
    let count = |stage| anatomy.histograms.stage(stage).len();
    assert_eq!((count(Stage::HandshakeFull), count(Stage::HandshakeResumed)), (1, 2));
    stop(server);
}

#[test]
fn pipelined_requests_and_heads_in_pieces_are_counted() {
    patiently(counts_pieces);
}

fn counts_pieces(wait: Duration) {
    let folder = folder();
    let server = start(folder.path(), |_| {});
    let mut client = connect(&server);
    let one = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.send(one.repeat(50).as_bytes());
    for _ in 0..50 {
        assert_eq!(client.response().0, 200);
    }
    let (first, rest) = one.split_at(20);
    client.send(first.as_bytes());
    std::thread::sleep(wait);
    client.send(rest.as_bytes());
    assert_eq!(client.response().0, 200);
    client.send(b"nonsense\r\n\r\n");
    assert_eq!(client.response().0, 400);
    drop(client);
    let anatomy = settled(&server, 1);
    assert_eq!(anatomy.histograms.stage(Stage::Total).len(), 52);
    let head = anatomy.histograms.stage(Stage::Head);
    // How long, depends on when the server got to see the first piece.
    assert!(head.max() > 0, "the rest came later");
    assert_eq!(anatomy.counts.refused, 1);
    stop(server);
}

#[test]
fn a_request_that_is_not_answered_completely_is_no_sample() {
    let folder = folder();
    let server = start(folder.path(), |_| {});
    let mut client = connect(&server);
    client.send(b"GET / HTTP/1.1\r\nHost: loc");
    std::thread::sleep(Duration::from_millis(50));
    client.reset();
    let anatomy = settled(&server, 1);
    assert_eq!(anatomy.histograms.stage(Stage::Total).len(), 0);
    assert_eq!(anatomy.workers[0].as_ref().unwrap().open_requests, 0);
    stop(server);
}

#[test]
fn switched_off_nothing_is_noted() {
    let folder = folder();
    let server = start(folder.path(), |config| config.observe.anatomy = false);
    let mut client = connect(&server);
    assert_eq!(client.get("/").0, 200);
    client.close();
    let anatomy = server.anatomy();
    assert!(Stage::ALL.into_iter().all(|stage| anatomy.histograms.stage(stage).is_empty()));
    assert_eq!((anatomy.counts.requests, anatomy.ledger.heads), (1, 0));
    stop(server);
}

#[test]
fn what_a_slow_client_costs_is_told() {
    patiently(tells_of_a_slow_client);
}

fn tells_of_a_slow_client(wait: Duration) {
    let folder = folder();
    let server = start(folder.path(), |_| {});
    let mut client = connect(&server);
    client.send(b"GET /mib.bin HTTP/1.1\r\n");
    std::thread::sleep(wait);
    client.send(b"Host: localhost\r\n\r\n");
    assert_eq!(client.response().0, 200);
    client.close();
    let anatomy = settled(&server, 1);
    let slow = &anatomy.slowest[0].slow;
    assert_eq!(slow.finished.dominant(), Stage::Head);
    assert!(slow.head.starts_with(b"GET /mib.bin HTTP/1.1\r\n"));
    assert_eq!((slow.finished.status, slow.finished.number), (200, 1));
    assert_eq!((slow.finished.bytes, slow.finished.route), (1 << 20, Some(Route::UserCache)));
    assert!(slow.finished.handshake.is_some_and(|time| time > 0));
    stop(server);
}
