//! The load generator against a server of a few lines on rustls's own record layer: what it counts
//! is what the server did, and every kind of wrong answer is noticed.

mod http2;
mod server;

use std::fs;
use std::net::SocketAddr;

use clap::Parser;
use ringway_load::options::Options;
use ringway_load::report::Report;
use ringway_load::run;
use rustix::net::{AddressFamily, SocketType};

use server::{Behaviour, Server};

/// Runs the load generator until some requests are answered and gives its report. The time is a
/// bound only: nothing here depends on how fast anything is.
fn load(server: &Server, path: &str, options: &str) -> Report {
    try_load(server, path, options).unwrap()
}

fn try_load(server: &Server, path: &str, options: &str) -> Result<Report, String> {
    let url = format!("{}://{}{path}", server.scheme(), server.address);
    let line = format!("ringway-load {url} -c 4 -d 30s -n 40 --warm-up 20ms {options}");
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
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n".len();
    assert!((report.came.head_bytes - head as f64).abs() < 1e-9, "{report}");
    // Answers that had begun before the measured time, and such as had not ended with it.
    let most = (report.requests + 8) as f64 / report.requests as f64 * 5300.0;
    assert!((4000.0..most).contains(&report.came.wire_bytes), "{report}");
    fs::write(root.path().join("a"), [0; 5000]).unwrap();
    let hopeless = try_load(&server, "/a", &format!("--root {}", root.path().display()));
    assert!(hopeless.unwrap_err().contains("bytes differ"));
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
fn speaks_http2_with_as_many_streams_as_the_server_allows() {
    let server = Server::start(Behaviour::Sound);
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a"), server::body("/a")).unwrap();
    let options = format!("--h2 --streams 100 --hash --root {}", root.path().display());
    let report = load(&server, "/a", &options);
    let report = sound(&report);
    assert!(report.http2 && report.opened == 0, "{report}");
    assert!(report.unfinished <= 400 && report.came.records > 0.0, "{report}");
    // One of nine bytes for each of its two frames.
    assert!((18.0..60.0).contains(&report.came.head_bytes), "{report}");
    fs::write(root.path().join("a"), [0; 5000]).unwrap();
    let hopeless = try_load(&server, "/a", &options);
    assert!(hopeless.unwrap_err().contains("bytes differ"));
    let mixed = load(&server, "/", "--h2 --mix /a=1,/b=3 --streams 3 -t 2 --hash --header X:y");
    assert_eq!(sound(&mixed).client.threads, 2);
    let rate = load(&server, "/a", "--h2 --streams 3 --rate 300");
    let seen = sound(&rate).requests + rate.unfinished + rate.missed;
    assert_eq!(seen, rate.carried + rate.due.unwrap(), "{rate}");
    let shaking = load(&server, "/a", "--h2 --sessions resumed");
    assert!(sound(&shaking).resumed_handshakes + 4 >= shaking.requests, "{shaking}");
}

#[test]
fn notices_every_wrong_answer_over_http2() {
    for (behaviour, kind) in [
        (Behaviour::WrongStatus, "status"),
        (Behaviour::WrongLength, "length"),
        (Behaviour::WrongBytes, "body"),
        (Behaviour::Garbage, "malformed"),
        (Behaviour::Break, "closed"),
        (Behaviour::Reset, "reset"),
        (Behaviour::GoAway, "reset"),
    ] {
        let report = load(&Server::start(behaviour), "/a", "--hash --h2");
        let kinds: Vec<_> = report.failures.keys().map(String::as_str).collect();
        assert_eq!(kinds, [kind], "{behaviour:?}\n{report}");
        assert!(report.requests > 0, "every other answer is sound: {report}");
    }
}

#[test]
fn shakes_hands_for_every_request() {
    let server = Server::start(Behaviour::Sound);
    let report = load(&server, "/a", "--sessions full --verify always");
    assert_eq!(sound(&report).resumed_handshakes, 0);
    assert!(report.full_handshakes + 4 >= report.requests);
    // rustls sends two, of which the last handshakes' may be still to come.
    let tickets = report.came.tickets * report.full_handshakes as f64;
    assert!(tickets + 16.0 >= 2.0 * report.full_handshakes as f64 && tickets > 0.0, "{report}");
}

#[test]
fn resumes_sessions() {
    let server = Server::start(Behaviour::Sound);
    let report = load(&server, "/a", "--sessions resumed");
    assert!(sound(&report).resumed_handshakes + 4 >= report.requests, "{report}");
}

#[test]
fn sleeps_where_it_is_told_to() {
    let report = load(&Server::start(Behaviour::Slow), "/a", "--sleep -n 10");
    let busy = sound(&report).client.busy;
    // The server sleeps for 20 ms before each answer; a thread that polls is not busy then either,
    // but one that never looks up would never end.
    assert!(busy < 1.0, "{report}");
}

#[test]
fn keeps_to_a_rate() {
    let server = Server::start(Behaviour::Sound);
    for options in [
        "--rate 300",
        "--rate 100 --sessions full",
        "--rate 300 --depth 2 -c 1",
        "--rate 300 --sleep",
    ] {
        let report = load(&server, "/a", options);
        let due = report.due.unwrap();
        // One is due at a time, and not a request is lost from sight.
        let expected = report.rate.unwrap() * report.seconds;
        assert!((due as f64 - expected).abs() <= 1.0, "{due} of {expected} due\n{report}");
        let seen = sound(&report).requests + report.unfinished + report.missed;
        assert_eq!(seen, report.carried + due, "{report}");
    }
}

#[test]
fn latency_counts_from_when_a_request_was_due() {
    // One connection, at least 20 ms an answer, a request due each millisecond: the queue grows,
    // and with it the latency; a closed loop would see the same for all.
    let server = Server::start(Behaviour::Slow);
    let report = load(&server, "/a", "--rate 1000 -c 1 -n 10");
    let due = report.carried + report.due.unwrap();
    assert_eq!(sound(&report).requests + report.unfinished, due, "{report}");
    // Of those due in ten times 20 ms most wait, and the last answered has waited for nine others.
    assert!(report.unfinished > report.requests, "{report}");
    assert!(report.latency_at(100.0) > 100_000.0, "{report}");
}

#[test]
fn tells_how_evenly_connections_are_served() {
    let report = load(&Server::start(Behaviour::Sound), "/a", "");
    let served = sound(&report).served;
    assert!(served.least <= served.median && served.median <= served.most, "{report}");
    assert!(served.most * 4 >= report.requests && served.least * 4 <= report.requests, "{report}");
}

#[test]
fn holds_idle_connections_and_reads_slowly() {
    let server = Server::start(Behaviour::Sound);
    let options =
        format!("--idle 70 --slow 2 --slow-rate 3000 -n 200 --server-pid {}", std::process::id());
    let report = load(&server, "/a", &options);
    let spent = sound(&report).server.unwrap();
    assert_eq!((report.idle, report.idle_closed, report.slow_closed), (70, 0, 0));
    assert!(spent.cpu_seconds > 0.0 && spent.idle_connection.is_some());
    // 3,000 bytes a second, and at most a second's worth that was saved up before: each.
    let most = 2.0 * 3000.0 * (report.seconds + 1.0);
    assert!(report.slow_bytes as f64 <= most, "{report}");
}

#[test]
fn goes_on_when_the_server_ends_connections_properly() {
    let server = Server::start(Behaviour::CloseAfterEach);
    let report = load(&server, "/a", "");
    // All but the first request of each connection needed another one.
    assert!(sound(&report).opened + 4 >= report.requests, "{report}");
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
        // Only the server that says nothing is waited for: no other answer is ever late. On one
        // connection a second sound answer comes only after the wait.
        let silent = behaviour == Behaviour::Silence;
        let patience = if silent { "--timeout 200ms -c 1 -n 2" } else { "" };
        let report = load(&server, "/a", &format!("--hash {patience}"));
        let kinds: Vec<_> = report.failures.keys().map(String::as_str).collect();
        assert_eq!(kinds, [kind], "{report}");
        assert!(report.requests > 0, "every other answer is sound: {report}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told() {
    // A socket that has the port and does not listen: nobody else can take it meanwhile.
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let gone = rustix::net::getsockname(&socket).unwrap();
    let mut server = Server::start(Behaviour::Sound);
    server.address = SocketAddr::try_from(gone).unwrap();
    let hopeless = try_load(&server, "/", "").unwrap_err();
    assert!(hopeless.contains("refused"), "{hopeless}");
}
