//! Each wait is told under the stage in which it happened, whatever came of it.

use std::time::Duration;

use ringway::{
    config::Config,
    observe::{Finished, REQUEST_STAGES, Slow, Stage},
};

use crate::{client::Client, connect, folder, settled, start, stop};

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
