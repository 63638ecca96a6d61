//! The load generator against a server of a few lines on rustls's own record layer: what it counts
//! is what the server did, and every kind of wrong answer is noticed.

mod server;

use std::fs;

use clap::Parser;
use ringway_load::options::Options;
use ringway_load::report::Report;
use ringway_load::run;

use server::{Behaviour, Server};

/// Runs the load generator for a short while and gives its report.
fn load(server: &Server, path: &str, options: &str) -> Report {
    try_load(server, path, options).unwrap()
}

fn try_load(server: &Server, path: &str, options: &str) -> Result<Report, String> {
    let url = format!("{}://{}{path}", server.scheme(), server.address);
    let line = format!("ringway-load {url} -c 4 -d 300ms --warm-up 50ms {options}");
    let plan = Options::try_parse_from(line.split_whitespace()).unwrap().plan().unwrap();
    run::run(&plan, true).map(|outcome| Report::new(&plan, &outcome))
}

fn sound(report: &Report) -> &Report {
    assert!(report.failures.is_empty(), "{report}");
    assert!(report.requests > 0, "{report}");
    report
}

#[test]
fn keeps_connections_and_compares_bytes() {
    let server = Server::start(Behaviour::Sound);
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a"), server::body("/a")).unwrap();
    let report = load(&server, "/a", &format!("--root {} --hash", root.path().display()));
    let report = sound(&report);
    assert_eq!(report.opened, 0, "all connections are opened before the measurement");
    assert!(report.latency_at(50.0) > 0.0 && report.latency_at(50.0) <= report.latency_at(100.0));
    assert!(report.body_bytes_per_second > 0.0);
    fs::write(root.path().join("a"), [0; 5000]).unwrap();
    let report = load(&server, "/a", &format!("--root {}", root.path().display()));
    assert_eq!((report.requests, report.failures["body"].count > 0), (0, true));
}

#[test]
fn speaks_plain_http() {
    sound(&load(&Server::start_plain(Behaviour::Sound), "/a", ""));
}

#[test]
fn pipelines_a_mix_in_two_threads() {
    let server = Server::start(Behaviour::Sound);
    let report = load(&server, "/", "--mix /a=1,/b=3 --depth 5 -t 2 --hash");
    assert_eq!(sound(&report).client.threads, 2);
    assert!(report.unfinished <= 20);
}

#[test]
fn shakes_hands_for_every_request() {
    let server = Server::start(Behaviour::Sound);
    let report = load(&server, "/a", "--sessions full --verify always");
    assert_eq!(sound(&report).resumed_handshakes, 0);
    assert!(report.full_handshakes + 4 >= report.requests);
}

#[test]
fn resumes_sessions() {
    let server = Server::start(Behaviour::Sound);
    let report = load(&server, "/a", "--sessions resumed");
    assert!(sound(&report).resumed_handshakes + 4 >= report.requests, "{report}");
}

#[test]
fn keeps_to_a_rate() {
    let server = Server::start(Behaviour::Sound);
    for options in ["--rate 300", "--rate 100 --sessions full", "--rate 300 --depth 2 -c 1"] {
        let report = load(&server, "/a", options);
        let rate = report.rate.unwrap();
        let due = rate * report.seconds;
        let counted = (sound(&report).requests + report.unfinished) as f64;
        assert!((counted - due).abs() <= 8.0, "{counted} of {due} due\n{report}");
    }
}

#[test]
fn latency_counts_from_when_a_request_was_due() {
    // One connection, 20 ms an answer, 100 requests a second due: the queue grows, and with it
    // the latency; a closed loop would see 20 ms for all.
    let server = Server::start(Behaviour::Slow);
    let report = load(&server, "/a", "--rate 100 -c 1");
    assert!(report.unfinished > 5, "{report}");
    assert!(report.latency_at(100.0) > 60_000.0, "{report}");
}

#[test]
fn holds_idle_connections_and_reads_slowly() {
    let server = Server::start(Behaviour::Sound);
    let options =
        format!("--idle 70 --slow 2 --slow-rate 3000 --server-pid {}", std::process::id());
    let report = load(&server, "/a", &options);
    let spent = sound(&report).server.unwrap();
    assert_eq!((report.idle, report.idle_closed, report.slow_closed), (70, 0, 0));
    assert!(spent.cpu_seconds > 0.0 && spent.idle_connection.is_some());
    // At most 3,000 bytes a second and what one tick allows, each.
    assert!(report.slow_bytes <= 2 * 1_500, "{report}");
}

#[test]
fn goes_on_when_the_server_ends_connections_properly() {
    let server = Server::start(Behaviour::CloseAfterEach);
    let report = load(&server, "/a", "");
    assert!(sound(&report).opened >= report.requests / 2, "{report}");
}

#[test]
fn notices_every_wrong_answer() {
    for (behaviour, kind) in [
        (Behaviour::WrongStatus, "status"),
        (Behaviour::WrongLength, "length"),
        (Behaviour::WrongBytes, "body"),
        (Behaviour::Garbage, "malformed"),
        (Behaviour::Break, "closed"),
        (Behaviour::Alert, "record"),
        (Behaviour::Silence, "timeout"),
    ] {
        let server = Server::start(behaviour);
        let report = load(&server, "/a", "--hash --timeout 50ms -d 600ms");
        let kinds: Vec<_> = report.failures.keys().map(String::as_str).collect();
        assert_eq!(kinds, [kind], "{report}");
        assert!(report.requests > 0, "every other answer is sound: {report}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let mut gone = Server::start(Behaviour::Sound);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    gone.address = free;
    let report = load(&gone, "/", "");
    assert!(report.failures["connect"].first.contains("refused"), "{report}");
    let hopeless = try_load(&gone, "/", "-d 20s").unwrap_err();
    assert!(hopeless.contains("refused"), "{hopeless}");
}
