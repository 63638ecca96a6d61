//! Each wait counts under the stage in which it happened, whatever came of it.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use ringway::{
    config::{AccessLogTarget, Config, LogFormat},
    observe::{Ended, Finished, REQUEST_STAGES, Slow, Stage},
    server::RunningServer,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    client::Client,
    connect, folder, patiently,
    program::{Program, wait_until},
    settled, start, stop,
};

/// What a client sends, and what is awaited before and behind it.
enum Step {
    Send(&'static [u8]),
    Wait,
    /// The answer, with this status.
    Answer(u16),
    Reset,
}

/// The slowest request of a connection that takes these steps, and waits for so long.
fn slowest(wait: Duration, change: impl FnOnce(&mut Config), steps: &[Step]) -> Slow {
    let folder = folder();
    let server = start(folder.path(), change);
    let mut client = Some(connect(&server));
    for step in steps {
        let Some(open) = &mut client else { panic!("the connection was reset before") };
        match step {
            Step::Send(bytes) => open.send(bytes),
            Step::Wait => std::thread::sleep(wait),
            Step::Answer(status) => assert_eq!(open.response().0, *status),
            Step::Reset => client.take().into_iter().for_each(Client::reset),
        }
    }
    drop(client);
    let anatomy = settled(&server, 1);
    let slow = anatomy.slowest[0].slow;
    assert_eq!(anatomy.workers[0].as_ref().unwrap().open_requests, 0);
    stop(server);
    slow
}

fn code(slow: &Slow) -> String {
    slow.finished.end.map_or_else(String::new, |end| end.to_string())
}

fn part(finished: &Finished, stage: Stage) -> u64 {
    finished.parts[stage.part().unwrap()]
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";

#[test]
fn session_tickets_that_left_before_are_no_part_of_the_first_answer() {
    let steps = [Step::Wait, Step::Send(GET), Step::Answer(200)];
    patiently(|wait| {
        let finished = slowest(wait, |_| {}, &steps).finished;
        for stage in [Stage::Respond, Stage::FirstWrite] {
            assert!(part(&finished, stage) > 0, "{finished:?}");
        }
        assert_eq!(part(&finished, Stage::LastWrite), 0, "{finished:?}");
    });
}

/// The client reads nothing of the long answer until the short one before it has been counted.
#[test]
fn a_short_answer_does_not_wait_for_the_long_one_behind_it() {
    const LONG: usize = 32 << 20;
    let folder = folder();
    fs::File::create(folder.path().join("long.bin")).unwrap().set_len(LONG as u64).unwrap();
    // Read as it is sent, or sent from the cache of files.
    for file_cache_max_file in [1 << 20, LONG] {
        let server = start(folder.path(), |config| {
            config.limits.file_cache_max_file = file_cache_max_file;
            config.limits.file_cache_bytes = 2 * LONG;
        });
        let mut client = connect(&server);
        client.send((Client::asked("/") + &Client::asked("/long.bin")).as_bytes());
        assert_eq!(client.response().0, 200);
        let answered = || server.anatomy().histograms.stage(Stage::Total).len();
        wait_until("the short answer is counted", || answered() == 1);
        assert_eq!(client.response().1.len(), LONG);
        client.close();
        let anatomy = settled(&server, 1);
        let mut finished: Vec<_> = anatomy.slowest.iter().map(|slow| slow.slow.finished).collect();
        finished.sort_by_key(|one| one.number);
        let [short, long] = finished[..] else { panic!("two requests: {finished:?}") };
        assert_eq!((short.number, long.number), (1, 2));
        assert!(short.ended < long.ended, "{finished:?}");
        assert!(short.total < long.total, "{finished:?}");
        assert!(part(&long, Stage::LastWrite) > 0, "{long:?}");
        assert_eq!((anatomy.counts.requests, anatomy.unobserved()), (2, 0));
        stop(server);
    }
}

#[test]
fn a_deadline_ends_a_request_in_the_stage_that_it_waited_in() {
    for (stage, bytes) in [(Stage::Head, &GET[..30]), (Stage::Body, POST)] {
        patiently(|wait| {
            let soon = |config: &mut Config| {
                config.timeouts.head = wait;
                config.timeouts.body_progress = wait;
            };
            let slow = slowest(wait, soon, &[Step::Send(bytes), Step::Answer(408)]);
            assert_eq!((slow.finished.dominant(), slow.finished.status), (stage, 408));
            assert_eq!(code(&slow), format!("server.timeout.{}", stage.name()));
            let longest = REQUEST_STAGES.map(|stage| part(&slow.finished, stage)).into_iter().max();
            assert_eq!(longest, Some(part(&slow.finished, stage)));
            assert!(bytes.starts_with(&slow.head[..14]), "{:?}", &slow.head[..14]);
        });
    }
}

#[test]
fn half_a_request_is_told_with_what_came_of_it() {
    for (stage, bytes) in [(Stage::Head, &GET[..30]), (Stage::Body, POST)] {
        patiently(|wait| {
            let slow = slowest(wait, |_| {}, &[Step::Send(bytes), Step::Wait, Step::Reset]);
            assert_eq!((slow.finished.dominant(), slow.finished.complete), (stage, false));
            assert_eq!(slow.finished.status, 0);
            assert_eq!(code(&slow), format!("client.reset.{}", stage.name()));
            assert!(bytes.starts_with(&slow.head[..14]), "{:?}", &slow.head[..14]);
        });
    }
}

#[test]
fn empty_lines_before_a_request_are_not_its_head() {
    let steps = [Step::Send(b"\r\n"), Step::Wait, Step::Send(GET), Step::Answer(200)];
    patiently(|wait| {
        let slow = slowest(wait, |_| {}, &steps);
        assert!(part(&slow.finished, Stage::Head) > 0, "{slow:?}");
        assert!(slow.head.starts_with(b"GET / HTTP/1.1\r\n"));
    });
}

/// Deadlines are counted where they end something, and an idle connection's end is none.
#[test]
fn deadlines_are_counted_and_idle_ends_are_not() {
    let folder = folder();
    // A server for each, so that an honest client has all time for its handshake.
    let limit = Duration::from_secs(1);
    let ended = |server: &RunningServer, code: &str| {
        let anatomy = server.anatomy();
        let mut ends = anatomy.ends.iter().filter(|(of, ..)| *of == Ended::Connection);
        ends.any(|(_, end, _)| end.to_string() == code)
    };
    let server = start(folder.path(), |config| config.timeouts.handshake = limit);
    let _silent = TcpStream::connect(server.addresses()[0]).unwrap();
    wait_until("the handshake's deadline passes", || ended(&server, "server.timeout.handshake"));
    assert_eq!(server.anatomy().counts.timed_out, 1);
    assert_eq!(server.anatomy().timed_out.len(Stage::HandshakeFull), 1);
    stop(server);
    let server = start(folder.path(), |config| config.timeouts.idle = limit);
    let mut client = connect(&server);
    assert_eq!(client.get("/").0, 200);
    wait_until("the idle connection ends", || ended(&server, "server.idle.idle"));
    let anatomy = server.anatomy();
    assert_eq!((anatomy.counts.timed_out, anatomy.timed_out.len(Stage::Total)), (0, 0));
    stop(server);
}

/// A client that does not read has shut its window, which is what the kernel says of the connection.
#[test]
fn a_client_that_does_not_read_has_the_blame() {
    patiently(blames_who_does_not_read);
}

fn blames_who_does_not_read(wait: Duration) {
    const LONG: usize = 64 << 20;
    let folder = folder();
    fs::File::create(folder.path().join("long.bin")).unwrap().set_len(LONG as u64).unwrap();
    let server = start(folder.path(), |_| {});
    let mut client = connect(&server);
    client.send(Client::asked("/long.bin").as_bytes());
    std::thread::sleep(wait * 12);
    assert_eq!(client.response().1.len(), LONG);
    client.close();
    let anatomy = settled(&server, 1);
    let shares = anatomy.slowest[0].slow.finished.shares;
    let delivery = shares.delivery.expect("the kernel was asked");
    // Filling the buffers between them took a part of the time.
    let least = (wait * 4).as_nanos() as u64;
    assert!(delivery.window_shut > least, "{delivery:?}");
    assert!(shares.time[ringway::observe::Blame::Client as usize] > least, "{shares:?}");
    stop(server);
}

/// The longest stage of each request in a log.
fn longest_stages(log: &str) -> Vec<Stage> {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let longest = |line: Value| {
        let of = |stage: &Stage| line[format!("{}_ns", stage.name())].as_u64().unwrap();
        REQUEST_STAGES.into_iter().max_by_key(of).unwrap()
    };
    lines.map(longest).collect()
}

#[test]
fn a_worker_that_was_stopped_reports_the_wait_as_its_own() {
    patiently(reports_that_it_was_stopped);
}

fn reports_that_it_was_stopped(wait: Duration) {
    let folder = folder();
    let log = folder.path().join("access.log");
    let options = [format!("--access-log={}", log.display()), "--log-format=json".to_owned()];
    let program = Program::serve(folder.path(), &options);
    let mut client = program.connect();
    assert_eq!(client.get("/").0, 200);
    // A whole request, and the rest of one.
    let (half, rest) = GET.split_at(20);
    for (before, meanwhile) in [(&b""[..], GET), (half, rest)] {
        client.send(before);
        std::thread::sleep(wait);
        program.pause();
        client.send(meanwhile);
        std::thread::sleep(wait * 10);
        program.signal(Signal::CONT);
        assert_eq!(client.response().0, 200);
    }
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until("the log has every request", || read().lines().count() == 3);
    assert_eq!(longest_stages(&read())[1..], [Stage::RunQueue; 2]);
    program.end();
}

#[test]
fn every_end_is_counted_and_what_brought_no_request_has_a_line() {
    let folder = folder();
    let log = folder.path().join("access.log");
    let server = start(folder.path(), |config| {
        config.observe.access_log = Some(AccessLogTarget::File(log.clone()));
        config.log_format = LogFormat::Json;
    });
    let port = server.addresses()[0].port();
    // No TLS, HTTP without TLS, no handshake, a bad request, a good one.
    let plain = |bytes: &[u8]| {
        let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
        plain.write_all(bytes).unwrap();
        let _ = plain.read_to_end(&mut Vec::new());
    };
    plain(b"\x00\x01\x02\x03\x04\x05\x06");
    plain(b"GET / HTTP/1.1\r\n\r\n");
    connect(&server).close();
    let mut client = connect(&server);
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.response().0, 400);
    drop(client);
    let mut client = connect(&server);
    assert_eq!(client.get("/").0, 200);
    client.close();
    let codes = || -> Vec<String> {
        let anatomy = server.anatomy();
        let codes =
            anatomy.ends.iter().map(|(of, end, count)| format!("{} {end} {count}", of.name()));
        codes.collect()
    };
    wait_until("five connections end", || {
        let anatomy = server.anatomy();
        let ended = anatomy.ends.iter().filter(|(of, ..)| *of == Ended::Connection);
        ended.map(|(.., count)| count).sum::<u64>() == 5
    });
    let expected = [
        "connection client.close.handshake 1",
        "connection client.close.idle 1",
        "connection tls.plain_http 1",
        "connection tls.not_tls 1",
        "connection request.host 1",
        "refused request.host 1",
    ];
    assert_eq!(codes(), expected);
    let statuses: Vec<_> = server.anatomy().statuses.iter().collect();
    assert_eq!(statuses, [(200, 1), (400, 1)]);
    assert_eq!(server.anatomy().aborted.len(Stage::HandshakeFull), 3);
    stop(server);
    let text = std::fs::read_to_string(&log).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut told: Vec<_> = lines
        .map(|line| (line["status"].as_u64().unwrap(), line["end"].as_str().map(str::to_owned)))
        .collect();
    told.sort();
    let expected = [
        (0, Some("client.close.handshake")),
        (0, Some("tls.not_tls")),
        (0, Some("tls.plain_http")),
        (200, None),
        (400, Some("request.host")),
    ];
    assert_eq!(told, expected.map(|(status, end)| (status, end.map(str::to_owned))));
}
