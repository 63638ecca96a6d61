//! Each wait is told under the stage in which it happened, whatever came of it.

use std::time::Duration;

use ringway::{
    config::Config,
    observe::{Finished, REQUEST_STAGES, Slow, Stage},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    client::Client,
    connect, folder,
    program::{Program, wait_until},
    settled, start, stop,
};

const WAIT: Duration = Duration::from_millis(80);

/// What a client sends, and what is awaited before and behind it.
enum Step {
    Send(&'static [u8]),
    Wait,
    /// The answer, with this status.
    Answer(u16),
    Reset,
}

/// The slowest request of a connection that takes these steps.
fn slowest(change: impl FnOnce(&mut Config), steps: &[Step]) -> Slow {
    let folder = folder();
    let server = start(folder.path(), change);
    let mut client = Some(connect(&server));
    for step in steps {
        let Some(open) = &mut client else { panic!("the connection was reset before") };
        match step {
            Step::Send(bytes) => open.send(bytes),
            Step::Wait => std::thread::sleep(WAIT),
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

fn part(finished: &Finished, stage: Stage) -> u64 {
    finished.parts[stage.part().unwrap()]
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";

#[test]
fn session_tickets_that_left_before_are_no_part_of_the_first_answer() {
    let steps = [Step::Wait, Step::Send(GET), Step::Answer(200)];
    let finished = slowest(|_| {}, &steps).finished;
    for stage in [Stage::Respond, Stage::FirstWrite] {
        assert!(part(&finished, stage) > 0, "{finished:?}");
    }
    assert_eq!(part(&finished, Stage::LastWrite), 0, "{finished:?}");
}

#[test]
fn a_deadline_ends_a_request_in_the_stage_that_it_waited_in() {
    let soon = |config: &mut Config| {
        config.timeouts.head = WAIT;
        config.timeouts.body_progress = WAIT;
    };
    for (stage, bytes) in [(Stage::Head, &GET[..30]), (Stage::Body, POST)] {
        let slow = slowest(soon, &[Step::Send(bytes), Step::Answer(408)]);
        assert_eq!((slow.finished.dominant(), slow.finished.status), (stage, 408));
        let longest = REQUEST_STAGES.map(|stage| part(&slow.finished, stage)).into_iter().max();
        assert_eq!(longest, Some(part(&slow.finished, stage)));
        assert!(bytes.starts_with(&slow.head[..14]), "{:?}", &slow.head[..14]);
    }
}

#[test]
fn half_a_request_is_told_with_what_came_of_it() {
    for (stage, bytes) in [(Stage::Head, &GET[..30]), (Stage::Body, POST)] {
        let slow = slowest(|_| {}, &[Step::Send(bytes), Step::Wait, Step::Reset]);
        assert_eq!((slow.finished.dominant(), slow.finished.complete), (stage, false));
        assert_eq!(slow.finished.status, 0);
        assert!(bytes.starts_with(&slow.head[..14]), "{:?}", &slow.head[..14]);
    }
}

#[test]
fn empty_lines_before_a_request_are_not_its_head() {
    let steps = [Step::Send(b"\r\n"), Step::Wait, Step::Send(GET), Step::Answer(200)];
    let slow = slowest(|_| {}, &steps);
    assert_eq!(slow.finished.dominant(), Stage::Head);
    assert!(slow.head.starts_with(b"GET / HTTP/1.1\r\n"));
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
        std::thread::sleep(WAIT);
        program.pause();
        client.send(meanwhile);
        std::thread::sleep(WAIT * 10);
        program.signal(Signal::CONT);
        assert_eq!(client.response().0, 200);
    }
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until("the log has every request", || read().lines().count() == 3);
    assert_eq!(longest_stages(&read())[1..], [Stage::RunQueue; 2]);
    program.end();
}
