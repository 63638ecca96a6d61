//! The figures move as they should for known traffic: each request is counted once in each of its
//! stages, bytes are counted exactly, and what is told (the report, metrics, the access log, a
//! header) agrees.

#![forbid(unsafe_code)]

#[path = "observe/client.rs"]
mod client;
#[path = "support/trusting.rs"]
mod trusting;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use ringway::{
    config::{AccessLogTarget, Config, KtlsMode, LogFormat},
    observe::{Anatomy, Carried, REQUEST_STAGES, Route, Stage},
    server::{Builder, RunningServer},
};
use serde_json::Value;

use client::{Client, tls_config};

const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a page, and a file of 1 MiB that has been left alone long enough to be kept.
fn folder() -> tempfile::TempDir {
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

fn start(folder: &Path, change: impl FnOnce(&mut Config)) -> RunningServer {
    let mut config = Config {
        root: folder.to_owned(),
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        workers: Some(1),
        pin: false,
        ktls: KtlsMode::Off,
        ..Config::default()
    };
    change(&mut config);
    Builder::from(config).start().unwrap()
}

fn connect(server: &RunningServer) -> Client {
    Client::connect(server.addresses()[0].port(), &tls_config())
}

/// What the server knows once it has seen `connections` end: their last figures are noted then.
fn settled(server: &RunningServer, connections: u64) -> Anatomy {
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

fn stop(server: RunningServer) {
    server.handle().drain(Duration::from_secs(5));
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
    std::thread::sleep(Duration::from_millis(30));
    client.send(rest.as_bytes());
    assert_eq!(client.response().0, 200);
    client.send(b"nonsense\r\n\r\n");
    assert_eq!(client.response().0, 400);
    drop(client);
    let anatomy = settled(&server, 1);
    assert_eq!(anatomy.histograms.stage(Stage::Total).len(), 52);
    let head = anatomy.histograms.stage(Stage::Head);
    assert!(head.max() >= 25_000_000, "the rest came after 30 ms: {}", head.max());
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

/// What the client received is the independent count; how often each byte was touched is known
/// from how the response was sent.
#[test]
fn the_ledger_is_exact_for_user_space_tls() {
    let folder = folder();
    for (most, route) in [(1 << 20, Route::UserCache), (0, Route::UserRead)] {
        let server = start(folder.path(), |config| config.limits.file_cache_max_file = most);
        let mut client = connect(&server);
        let mut received = (0, 0);
        for _ in 0..4 {
            let (status, head, body) = client.get_all("/mib.bin");
            assert_eq!((status, body.len()), (200, 1 << 20));
            received = (received.0 + head as u64, received.1 + body.len() as u64);
        }
        client.close();
        let anatomy = settled(&server, 1);
        let Carried { responses, copied, straight, shared } = anatomy.ledger.carried(route);
        assert_eq!((responses, copied + straight, shared), (4, received.1, 0));
        assert_eq!(anatomy.ledger.heads, received.0);
        let flows = anatomy.ledger.flows(route);
        let bytes = |kind: &str, by: &str| -> u64 {
            flows.iter().filter(|f| f.kind == kind && f.by == by).map(|f| f.bytes).sum()
        };
        assert_eq!(bytes("cipher", "user"), received.1, "each byte is sealed once");
        assert_eq!(bytes("cipher", "kernel"), 0);
        if route == Route::UserCache {
            // A record is shared by the head and the beginning of its content: 4096 bytes.
            assert_eq!(bytes("copy", "user") + received.0, 4 * 4096);
            assert_eq!(bytes("copy", "kernel"), received.1);
        } else {
            assert_eq!(bytes("copy", "user"), 0);
            assert_eq!(bytes("copy", "kernel"), 2 * received.1, "read, then sent");
        }
        for other in Route::ALL.into_iter().filter(|other| *other != route) {
            assert_eq!(anatomy.ledger.carried(other).payload(), 0, "{}", other.name());
        }
        stop(server);
    }
}

#[test]
fn the_ledger_counts_requests_and_handshakes() {
    let folder = folder();
    let server = start(folder.path(), |_| {});
    let mut client = connect(&server);
    let asked = Client::asked("/").len() as u64;
    for _ in 0..10 {
        client.get("/");
    }
    let sent = client.close();
    let anatomy = settled(&server, 1);
    let taken = anatomy.ledger.taken();
    assert_eq!((taken.opened, taken.plain, taken.copied), (10 * asked, 0, 0));
    // All that the client wrote is a handshake's or a sealed record.
    assert_eq!(anatomy.ledger.handshake_received + taken.sealed, sent);
    assert!(anatomy.ledger.handshake_sent > 500);
    stop(server);
}

#[test]
fn the_ledger_is_exact_for_kernel_tls() {
    let offered = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp").unwrap_or_default();
    if !offered.split_whitespace().any(|ulp| ulp == "tls") {
        assert!(
            std::env::var_os("RINGWAY_REQUIRE_KTLS").is_none_or(|value| value != "1"),
            "RINGWAY_REQUIRE_KTLS=1, and the kernel offers no tls ULP: {offered:?}"
        );
        skip("the kernel offers no tls ULP");
        return;
    }
    let folder = folder();
    for (most, routes) in [
        (1 << 20, &[Route::KernelCache][..]),
        // What of the file is in the page cache is the kernel's to say.
        (0, &[Route::KernelSendfile, Route::KernelRead]),
    ] {
        let server = start(folder.path(), |config| {
            config.limits.file_cache_max_file = most;
            config.ktls = KtlsMode::On;
        });
        let mut client = connect(&server);
        for _ in 0..4 {
            assert_eq!(client.get_all("/mib.bin").2.len(), 1 << 20);
        }
        client.close();
        let anatomy = settled(&server, 1);
        let ledger = &anatomy.ledger;
        let payload: u64 = routes.iter().map(|route| ledger.carried(*route).payload()).sum();
        assert_eq!(payload, 4 << 20);
        let responses: u64 = routes.iter().map(|route| ledger.carried(*route).responses).sum();
        assert_eq!(responses, 4);
        let flows: Vec<_> = routes.iter().flat_map(|route| ledger.flows(*route)).collect();
        assert!(flows.iter().all(|flow| flow.by == "kernel"), "{flows:?}");
        let sealed: u64 = flows.iter().filter(|f| f.kind == "cipher").map(|f| f.bytes).sum();
        assert_eq!(sealed, 4 << 20);
        stop(server);
    }
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

/// Every path to a member, with `[]` for what an array holds.
fn shape(value: &Value, path: &str, into: &mut std::collections::BTreeSet<String>) {
    into.insert(path.to_owned());
    match value {
        // The kernel's counters go by names of its own, and differ between kernels.
        Value::Object(_) if path == ".kernel.tls" => {}
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| shape(value, &format!("{path}.{name}"), into));
        }
        Value::Array(items) => {
            for item in items {
                shape(item, &format!("{path}[]"), into);
            }
        }
        _ => {}
    }
}

#[test]
fn the_report_has_the_shape_of_the_example() {
    let folder = folder();
    let log = folder.path().join("access.log");
    let server = start(folder.path(), |config| {
        config.observe.access_log = Some(AccessLogTarget::File(log));
    });
    let mut client = connect(&server);
    for path in ["/", "/mib.bin", "/missing"] {
        client.get_all(path);
    }
    client.close();
    let anatomy = settled(&server, 1);
    let report: Value = serde_json::from_str(&anatomy.to_json()).unwrap();
    let example = fs::read_to_string("tests/fixtures/anatomy.json").unwrap();
    let example: Value = serde_json::from_str(&example).unwrap();
    let (mut told, mut promised) = Default::default();
    shape(&report, "", &mut told);
    shape(&example, "", &mut promised);
    let surplus: Vec<_> = told.difference(&promised).collect();
    assert!(surplus.is_empty(), "not in the example: {surplus:?}");
    // What depends on stalls, on kernel TLS and on what a client does may be absent.
    let may_lack = ["stall", ".kernel.tls", ".buckets[]", ".flows[]"];
    let lacking: Vec<_> = promised
        .difference(&told)
        .filter(|path| !may_lack.iter().any(|part| path.contains(part)))
        .collect();
    assert!(lacking.is_empty(), "promised and not told: {lacking:?}");
    let names = |report: &Value| -> Vec<String> {
        let stages = report["stages"].as_array().unwrap().iter();
        stages.map(|stage| stage["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&report), names(&example));
    let slow = &report["slowest"][0];
    let parts = slow["stages"].as_array().unwrap().iter();
    let sum: u64 = parts.map(|stage| stage["ns"].as_u64().unwrap()).sum();
    assert_eq!(sum, slow["total_ns"].as_u64().unwrap());
    stop(server);
}

/// Asks the admin listener and takes the status and the body.
fn ask(mut stream: impl Read + Write, path: &str) -> (u16, String) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn the_admin_listener_tells_metrics_and_the_report() {
    let folder = folder();
    let server = start(folder.path(), |config| {
        config.observe.admin = Some("127.0.0.1:0".parse().unwrap());
    });
    let mut client = connect(&server);
    for _ in 0..7 {
        client.get("/");
    }
    client.close();
    settled(&server, 1);
    let address = server.admin_address().unwrap();
    let get = |path: &str| ask(TcpStream::connect(address).unwrap(), path);
    let (status, report) = get("/anatomy.json?x");
    assert_eq!(status, 200);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["totals"]["requests"], 7);
    let (status, page) = get("/");
    assert!(status == 200 && page.to_lowercase().contains("<!doctype html>"));
    assert_eq!(get("/other").0, 404);
    let (status, metrics) = get("/metrics");
    assert_eq!(status, 200);
    let metrics = parse_metrics(&metrics);
    let value = |name: &str| metrics.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
    assert_eq!(value("ringway_requests_total"), Some(7.0));
    let stage = "ringway_stage_duration_seconds";
    assert_eq!(value(&format!("{stage}_count{{stage=\"total\"}}")), Some(7.0));
    let buckets: Vec<f64> = metrics
        .iter()
        .filter(|(name, _)| {
            name.starts_with(&format!("{stage}_bucket")) && name.contains("stage=\"total\"")
        })
        .map(|(_, value)| *value)
        .collect();
    assert!(buckets.is_sorted() && buckets.last() == Some(&7.0), "{buckets:?}");
    stop(server);
    assert!(TcpStream::connect(address).is_err(), "it ends with the server");
}

/// The samples of a text in the format of OpenMetrics. Every line is a comment or a sample, every
/// sample belongs to a family that was announced, and the text ends as it must.
fn parse_metrics(text: &str) -> Vec<(String, f64)> {
    assert!(text.ends_with("# EOF\n"));
    let mut families = Vec::new();
    let mut samples = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            if let Some(family) = comment.strip_prefix("TYPE ") {
                families.push(family.split(' ').next().unwrap());
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let family = families.last().unwrap();
        assert!(name.starts_with(family), "{line} does not belong to {family}");
        samples.push((name.to_owned(), value.parse().unwrap()));
    }
    let mut names: Vec<_> = samples.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a sample is told twice");
    samples
}

#[test]
fn the_admin_listener_may_be_a_unix_socket() {
    let folder = folder();
    let path = folder.path().join("admin.sock");
    let address = format!("unix:{}", path.display());
    for _ in 0..2 {
        let server =
            start(folder.path(), |config| config.observe.admin = Some(address.parse().unwrap()));
        assert_eq!(ask(UnixStream::connect(&path).unwrap(), "/metrics").0, 200);
        stop(server);
        assert!(!path.exists());
        // A socket that nobody answers at is no obstacle.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    }
}

#[test]
fn a_server_that_logs_and_was_asked_nothing_ends_when_told_to() {
    let folder = folder();
    let logs = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |config| {
        config.observe.access_log = Some(AccessLogTarget::File(logs.path().join("log")));
    });
    server.handle().drain(Duration::from_secs(5));
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(server.wait().is_ok()));
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(true));
}

#[test]
fn the_access_log_has_a_line_for_each_request() {
    let folder = folder();
    let path = folder.path().join("access.log");
    let server = start(folder.path(), |config| {
        config.observe.access_log = Some(AccessLogTarget::File(path.clone()));
        config.log_format = LogFormat::Json;
    });
    let mut client = connect(&server);
    client.get("/?a=\"b\"");
    client.get("/missing");
    client.send(b"bad\r\n\r\n");
    client.response();
    drop(client);
    stop(server);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line["status"].as_u64().unwrap(), line["target"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [(200, "/?a=\"b\""), (404, "/missing"), (400, "bad")]);
    for (number, line) in (1..).zip(&lines) {
        assert_eq!(line["number"], number);
        assert_eq!(line["complete"], true);
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
        let part = |stage: &Stage| line[format!("{}_ns", stage.name())].as_u64().unwrap();
        let sum: u64 = REQUEST_STAGES.iter().map(part).sum();
        assert_eq!(line["total_ns"], sum);
    }
    assert_eq!(lines[0]["bytes"], 8);
    assert_eq!(lines[0]["taken"], "user_tls/cache");
}

#[test]
fn a_log_that_cannot_be_written_holds_up_nothing_and_is_counted() {
    let folder = folder();
    // A full disk: every write fails.
    let server = start(folder.path(), |config| {
        config.observe.access_log = Some(AccessLogTarget::File("/dev/full".into()));
    });
    let mut client = connect(&server);
    for _ in 0..20 {
        assert_eq!(client.get("/").0, 200);
    }
    let until = Instant::now() + PATIENCE;
    while server.anatomy().access_log.unwrap().failed < 20 {
        assert!(Instant::now() < until, "{:?}", server.anatomy().access_log);
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(client);
    stop(server);
}

#[test]
fn what_a_stuck_log_does_not_take_is_dropped_and_counted() {
    let folder = folder();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    // Held open and not read: the log's thread is stuck as soon as the pipe is full.
    let mut reader = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let server = start(folder.path(), |config| {
        config.observe.access_log = Some(AccessLogTarget::File(pipe));
    });
    let mut client = connect(&server);
    let one = format!("GET / HTTP/1.1\r\nHost: localhost\r\nReferer: {}\r\n\r\n", "r".repeat(3000));
    let mut asked = 0;
    let until = Instant::now() + PATIENCE;
    while server.anatomy().access_log.unwrap().dropped == 0 {
        assert!(Instant::now() < until, "{:?}", server.anatomy().access_log);
        client.send(one.repeat(20).as_bytes());
        (0..20).for_each(|_| assert_eq!(client.response().0, 200));
        asked += 20;
    }
    drop(client);
    // Read on, all that was not dropped arrives.
    let reading = std::thread::spawn(move || {
        let mut lines = 0;
        let mut piece = vec![0; 65_536];
        loop {
            let count = reader.read(&mut piece).unwrap();
            lines += memchr::memchr_iter(b'\n', &piece[..count]).count() as u64;
            if piece[..count].ends_with(b"the end") {
                return lines;
            }
        }
    });
    let dropped = settled(&server, 1).access_log.unwrap().dropped;
    let path = folder.path().join("pipe");
    stop(server);
    fs::File::options().write(true).open(path).unwrap().write_all(b"the end").unwrap();
    assert_eq!(reading.join().unwrap() + dropped, asked);
}

#[test]
fn a_signal_opens_the_log_anew() {
    let folder = folder();
    let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let mut program = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .arg("serve")
        .arg(folder.path())
        .args(["--listen=127.0.0.1:0", "--workers=1", "--no-pin", "--ktls=off", "--server-timing"])
        .arg(format!("--access-log={}", path.display()))
        .env("XDG_STATE_HOME", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut block = String::new();
    let mut stdout = std::io::BufReader::new(program.stdout.take().unwrap());
    while !block.contains("stop ") {
        assert!(std::io::BufRead::read_line(&mut stdout, &mut block).unwrap() > 0, "{block}");
    }
    let port = block.split("localhost:").nth(1).unwrap().split('/').next().unwrap();
    let mut client = Client::connect(port.parse().unwrap(), &tls_config());
    let lines = |path: &Path| fs::read_to_string(path).unwrap_or_default().lines().count();
    let wait_for = |path: &Path, count: usize| {
        let until = Instant::now() + PATIENCE;
        while lines(path) < count {
            assert!(Instant::now() < until, "{} has no {count} lines", path.display());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let timing = client.head("/", "Server-Timing").unwrap();
    assert!(timing.contains("handshake_full;dur=") && timing.contains("decode;dur="), "{timing}");
    wait_for(&path, 1);
    fs::rename(&path, &old).unwrap();
    let pid = rustix::process::Pid::from_child(&program);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    let until = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < until, "the log is not opened anew");
        std::thread::sleep(Duration::from_millis(10));
    }
    client.get("/");
    wait_for(&path, 1);
    assert_eq!((lines(&old), lines(&path)), (1, 1));
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(program.wait().unwrap().success());
}

#[test]
fn what_a_slow_client_costs_is_told() {
    let folder = folder();
    let server = start(folder.path(), |_| {});
    let mut client = connect(&server);
    client.send(b"GET /mib.bin HTTP/1.1\r\n");
    std::thread::sleep(Duration::from_millis(80));
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

#[test]
fn an_admin_address_that_others_reach_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["serve", "--admin=0.0.0.0:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("can be reached from other hosts"));
}

/// Records that a test did not run, and why; see tests/wire/host.rs.
fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os("RINGWAY_SKIPS") {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{test}: {why}").unwrap();
    }
}
