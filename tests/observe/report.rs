//! What the admin listener serves: the report, metrics, the page.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    process::Command,
};

use ringway::config::{AccessLogTarget, IoMode};
use serde_json::Value;

use crate::{connect, folder, program::wait_until, settled, start, stop};

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
    // Which system calls there are depends on what the workers run on.
    let common = |path: &&String| !path.contains(".calls.");
    let surplus: Vec<_> = told.difference(&promised).filter(common).collect();
    assert!(surplus.is_empty(), "not in the example: {surplus:?}");
    // What depends on stalls, on kernel TLS and on what a client does may be absent.
    let may_lack = [
        "stall",
        // Over HTTP/2: `tests/h2/anatomy.rs`.
        ".streams[]",
        ".siblings",
        ".kernel.tls",
        ".buckets[]",
        ".flows[]",
        ".window.",
        ".attention[]",
        ".endpoints[]",
        ".offload",
        ".pools[]",
        ".rates[]",
    ];
    let lacking: Vec<_> = promised
        .difference(&told)
        .filter(common)
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

/// What happened stays known by its time, and is asked for when it is over.
#[test]
fn the_last_hour_is_kept_though_nobody_asked() {
    let folder = folder();
    let server = start(folder.path(), |config| {
        config.observe.admin = Some("127.0.0.1:0".parse().unwrap());
    });
    let mut client = connect(&server);
    for _ in 0..3 {
        client.get("/");
    }
    client.close();
    let address = server.admin_address().unwrap();
    let json = |path: &str| -> Value {
        serde_json::from_str(&ask(TcpStream::connect(address).unwrap(), path).1).unwrap()
    };
    let points = || json("/history.json")["points"].as_array().unwrap().clone();
    wait_until("the first moment is kept", || !points().is_empty());
    let first = points()[0].clone();
    assert_eq!((first["requests"].as_u64(), first["refused"].as_u64()), (Some(3), Some(0)));
    assert!(first["p99_ns"].as_u64() > Some(0), "{first}");
    let mut client = connect(&server);
    assert_eq!(client.get("/absent").0, 404);
    client.close();
    // A time counts backwards from now: one that is asked for late is another moment.
    let first_was = || points()[0]["seconds_ago"].clone();
    let mut recent = Value::Null;
    wait_until("what came later is a window of its own", || {
        recent = json(&format!("/anatomy.json?since={}", first_was()));
        recent["totals"]["requests"] == 1
    });
    assert_eq!(recent["statuses"][0]["status"], 404, "{}", recent["statuses"]);
    let slowest = recent["slowest"].as_array().unwrap();
    assert_eq!((slowest.len(), &slowest[0]["path"]), (1, &"/absent".into()));
    let mut before = Value::Null;
    wait_until("what came before is one too", || {
        before = json(&format!("/anatomy.json?since=3600&until={}", first_was()));
        before["totals"]["requests"] == 3
    });
    assert!(before["slowest"].as_array().unwrap().iter().all(|slow| slow["path"] == "/"));
    // Without a time, the slowest of the last minutes are those of both.
    assert!(json("/anatomy.json")["slowest"].as_array().unwrap().len() > 1);
    stop(server);
}

/// Asks the admin listener and takes the status and the body.
fn ask(stream: impl Read + Write, path: &str) -> (u16, String) {
    ask_with(stream, path, "")
}

/// The same with a field line.
fn ask_with(mut stream: impl Read + Write, path: &str, line: &str) -> (u16, String) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n").unwrap();
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
    let (status, recent) = get("/anatomy.json?since=3600");
    assert_eq!(status, 200);
    let recent: Value = serde_json::from_str(&recent).unwrap();
    assert_eq!(recent["totals"], report["totals"], "all of it is within the hour");
    assert_eq!(recent["ledger"], report["ledger"]);
    assert!(recent["window"]["seconds"].as_f64() > Some(0.0), "{}", recent["window"]);
    let slowest = |report: &Value| report["slowest"].as_array().unwrap().len();
    assert_eq!(slowest(&recent), slowest(&report));
    assert_eq!(get("/anatomy.json?since=yesterday").0, 400);
    let (status, history) = get("/history.json");
    let history: Value = serde_json::from_str(&history).unwrap();
    assert_eq!((status, history["every_seconds"].as_u64()), (200, Some(10)));
    let (status, page) = get("/");
    assert!(status == 200 && page.to_lowercase().contains("<!doctype html>"));
    assert_eq!(get("/other").0, 404);
    let (status, classic) = get("/metrics");
    assert_eq!(status, 200);
    assert!(
        !classic.contains("# EOF") && classic.contains("# TYPE ringway_requests_total counter")
    );
    assert!(classic.contains("\nringway_requests_total 7\n"));
    let stream = TcpStream::connect(address).unwrap();
    let (status, metrics) =
        ask_with(stream, "/metrics", "Accept: application/openmetrics-text\r\n");
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
#[test]
fn reports_say_what_the_workers_run_on() {
    let folder = folder();
    for (io, name) in [(IoMode::Ring, "ring"), (IoMode::Poll, "poll")] {
        let server = start(folder.path(), |config| {
            config.io = io;
            config.observe.admin = Some("127.0.0.1:0".parse().unwrap());
        });
        let address = server.admin_address().unwrap();
        let get = |path: &str| ask(TcpStream::connect(address).unwrap(), path).1;
        let report: Value = serde_json::from_str(&get("/anatomy.json")).unwrap();
        assert_eq!(report["server"]["io"], name);
        let sample = format!("\nringway_io_backend{{backend=\"{name}\"}} 1\n");
        assert!(get("/metrics").contains(&sample), "{sample}");
    }
}

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
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a sample appears twice");
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
fn an_admin_address_that_others_reach_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["serve", "--admin=0.0.0.0:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("can be reached from other hosts"));
}
