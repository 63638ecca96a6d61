//! The access log: a line for each request, whatever becomes of the file behind it.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    time::{Duration, Instant},
};

use ringway::{
    config::{AccessLogTarget, LogFormat},
    observe::{REQUEST_STAGES, Stage},
};
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    PATIENCE, connect, folder,
    program::{Program, wait_until},
    settled, start, stop,
};

#[test]
fn a_server_that_logs_and_was_asked_nothing_ends_when_told_to() {
    let folder = folder();
    let logs = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |config| {
        config.observe.access_log = Some(AccessLogTarget::File(logs.path().join("log")));
    });
    server.handle().drain(Duration::from_secs(60));
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

/// Of what was neither slow nor failed one in ten is logged, of the rest everything.
#[test]
fn the_access_log_has_every_failure_and_a_part_of_the_rest() {
    let folder = folder();
    let path = folder.path().join("access.log");
    let server = start(folder.path(), |config| {
        config.observe.access_log = Some(AccessLogTarget::File(path.clone()));
        config.observe.access_log_one_in = 10;
        config.observe.access_log_slow = PATIENCE;
        config.log_format = LogFormat::Json;
    });
    let mut client = connect(&server);
    (0..35).for_each(|_| assert_eq!(client.get("/").0, 200));
    client.send(b"bad\r\n\r\n");
    assert_eq!(client.response().0, 400);
    drop(client);
    stop(server);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kept: Vec<_> = lines
        .iter()
        .map(|line| ["status", "number", "one_in"].map(|member| line[member].as_u64().unwrap()))
        .collect();
    assert_eq!(kept, [[200, 10, 10], [200, 20, 10], [200, 30, 10], [400, 36, 1]]);
    assert_eq!(lines[0]["group"], "X25519MLKEM768");
}

/// A slow request leads to its line, whichever worker had it.
#[test]
fn lines_name_the_worker_that_the_slowest_requests_name() {
    let folder = folder();
    let path = folder.path().join("access.log");
    let server = start(folder.path(), |config| {
        config.observe.access_log = Some(AccessLogTarget::File(path.clone()));
        config.log_format = LogFormat::Json;
        config.workers = Some(3);
    });
    for number in 0..48 {
        let mut client = connect(&server);
        assert_eq!(client.get(&format!("/?{number}")).0, 200);
        client.close();
    }
    let report: Value = serde_json::from_str(&settled(&server, 48).to_json()).unwrap();
    stop(server);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let slowest = report["slowest"].as_array().unwrap();
    assert!(!slowest.is_empty());
    for slow in slowest {
        let line = lines.iter().find(|line| line["target"] == slow["path"]).unwrap();
        assert_eq!(line["connection"], slow["connection"], "{}", slow["path"]);
    }
}

/// What the client calls its request stands in its line, and beside the slowest.
#[test]
fn ids_of_the_client_lead_to_its_line() {
    let folder = folder();
    let path = folder.path().join("access.log");
    let server = start(folder.path(), |config| {
        config.observe.access_log = Some(AccessLogTarget::File(path.clone()));
    });
    let mut client = connect(&server);
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let ids = format!("Traceparent: 00-{trace}-{parent}-01\r\nX-Request-Id: mine");
    client.send(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{ids}\r\n\r\n").as_bytes());
    assert_eq!(client.response().0, 200);
    client.close();
    let report: Value = serde_json::from_str(&settled(&server, 1).to_json()).unwrap();
    assert_eq!(report["slowest"][0]["trace_id"], trace);
    stop(server);
    let text = fs::read_to_string(&path).unwrap();
    let wanted = format!("trace={trace} parent={parent} sampled=1 request_id=\"mine\"");
    assert!(text.contains(&wanted), "{text}");
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
    let log = format!("--access-log={}", path.display());
    let program = Program::serve(folder.path(), &["--server-timing".to_owned(), log]);
    let mut client = program.connect();
    let lines = |path: &Path| fs::read_to_string(path).unwrap_or_default().lines().count();
    let wait_for = |path: &Path, count: usize| {
        wait_until("lines of the log", || lines(path) >= count);
    };
    let timing = client.head("/", "Server-Timing").unwrap();
    assert!(timing.contains("handshake_full;dur=") && timing.contains("decode;dur="), "{timing}");
    wait_for(&path, 1);
    fs::rename(&path, &old).unwrap();
    program.signal(Signal::USR1);
    wait_until("the log is opened anew", || path.exists());
    client.get("/");
    wait_for(&path, 1);
    assert_eq!((lines(&old), lines(&path)), (1, 1));
    program.end();
}
