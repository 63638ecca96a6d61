//! The clocks of a connection and its requests, played with scripted times.

use std::rc::Rc;

use super::{
    Agreed, ConnectionClock, Moved, Observer, RequestClock, Sending, Stage, Turn, slow::Finished,
    stage::REQUEST_STAGES,
};
use crate::tick_clock::TickClock;

fn observer() -> Rc<Observer> {
    let time = Rc::new(TickClock::of(|| 0));
    let observer = Observer::new(true, time, 8, None);
    observer.script_clock(0);
    Rc::new(observer)
}

/// The next turn begins at `now`, and the clock shows that.
fn turn(observer: &Observer, now: u64) {
    observer.turn(Turn { next: now, ..Turn::default() });
    observer.script_clock(now);
}

fn connection(observer: &Rc<Observer>) -> ConnectionClock {
    let mut clock = ConnectionClock::accepted(observer, None, Some(3));
    clock.shaken();
    clock.handed_over(Agreed { version: "TLSv1.3", ..Agreed::default() });
    clock
}

/// The requests that have ended, the oldest first.
fn ended(observer: &Observer) -> Vec<Finished> {
    let noted = observer.noted.borrow();
    let mut ended: Vec<_> = noted.slowest.kept().map(|slow| slow.finished).collect();
    ended.sort_by_key(|finished| finished.number);
    ended
}

/// What a request was in, as far as it took time.
fn parts(finished: &Finished) -> Vec<(Stage, u64)> {
    let parts = REQUEST_STAGES.into_iter().zip(finished.parts);
    parts.filter(|(_, time)| *time > 0).collect()
}

/// A worker that wakes late while a disk is waited for loses nothing of the request's, but for the last
/// time, when the disk had answered.
#[test]
fn what_is_lost_while_a_disk_is_waited_for_is_not_the_requests() {
    const MS: u64 = 1_000_000;
    let observer = observer();
    let clock = connection(&observer);
    turn(&observer, MS);
    let mut request = begin(&clock, true);
    request.enter(Stage::Process);
    // Two timers come late, one while the disk is waited for, and one with its answer behind it.
    for (due, next) in [(50, 150), (200, 230)] {
        observer.expect(due);
        observer.turn(Turn { next: next * MS, ..Turn::default() });
        observer.script_clock(next * MS);
        observer.turn(Turn { next: (next + 1) * MS, ..Turn::default() });
        observer.script_clock((next + 1) * MS);
    }
    observer.expect(300);
    observer.turn(Turn { next: 340 * MS, ..Turn::default() });
    observer.script_clock(340 * MS);
    let mut sending = Sending::default();
    answer(&clock, request, &mut sending);
    leave(&observer, &clock, &mut sending, [341 * MS, 341 * MS]);
    let [finished] = &ended(&observer)[..] else { panic!("one request") };
    assert!(observer.lost() >= 170 * MS, "{}", observer.lost());
    // This thread may have waited for its processor besides.
    assert!(finished.lost >= 40 * MS && finished.lost <= observer.lost() - 130 * MS);
    assert_eq!(finished.shares.blame(), crate::observe::Blame::Server);
}

fn none() -> Option<u64> {
    unreachable!("the turn did not begin late")
}

fn begin(clock: &ConnectionClock, fresh: bool) -> RequestClock {
    clock.begin(fresh, none)
}

/// The answer is queued in this batch.
fn answer(clock: &ConnectionClock, mut request: RequestClock, sending: &mut Sending) {
    request.enter(Stage::Respond);
    sending.holds_head();
    clock.answered(&mut request, 200, false, Moved { copied: 10, ..Moved::default() });
    sending.carries(&mut request);
}

/// The batch leaves from now until `last`, and begins to be taken at `first`.
fn leave(observer: &Observer, clock: &ConnectionClock, sending: &mut Sending, times: [u64; 2]) {
    clock.leaving(sending);
    for time in times {
        turn(observer, time);
        sending.completed(time);
    }
    sending.all_left();
}

/// Both arrived while the worker did not run: that is what both waited for, and the second one for the first
/// besides.
#[test]
fn requests_that_arrived_together_have_waited_for_the_same_worker() {
    const MS: u64 = 1_000_000;
    let observer = observer();
    let clock = connection(&observer);
    turn(&observer, MS);
    observer.expect(50);
    turn(&observer, 300 * MS);
    let mut sending = Sending::default();
    let first = clock.begin(true, || Some(200 * MS));
    observer.script_clock(301 * MS);
    answer(&clock, first, &mut sending);
    observer.script_clock(302 * MS);
    let second = begin(&clock, false);
    answer(&clock, second, &mut sending);
    leave(&observer, &clock, &mut sending, [303 * MS, 303 * MS]);
    let [first, second] = &ended(&observer)[..] else { panic!("two requests") };
    assert_eq!(parts(first)[0], (Stage::RunQueue, 200 * MS));
    assert_eq!(parts(second)[..2], [(Stage::RunQueue, 200 * MS), (Stage::Turn, 2 * MS)]);
    for finished in [first, second] {
        assert!(finished.lost >= 200 * MS, "{}", finished.lost);
        assert_eq!(finished.shares.blame(), crate::observe::Blame::Host);
    }
}

#[test]
fn what_left_before_the_first_answer_is_no_part_of_it() {
    let observer = observer();
    let clock = connection(&observer);
    // Session tickets leave while the connection waits for a request.
    let mut sending = Sending::default();
    turn(&observer, 100);
    sending.submitted(100);
    turn(&observer, 200);
    sending.completed(200);
    sending.all_left();
    turn(&observer, 1_000);
    let request = begin(&clock, true);
    observer.script_clock(1_010);
    answer(&clock, request, &mut sending);
    observer.script_clock(1_030);
    leave(&observer, &clock, &mut sending, [1_100, 1_400]);
    let [finished] = ended(&observer)[..] else { panic!("one request") };
    assert_eq!(
        parts(&finished),
        [
            (Stage::Parse, 10),
            (Stage::Respond, 20),
            (Stage::FirstWrite, 70),
            (Stage::LastWrite, 300)
        ]
    );
    assert_eq!((finished.total, finished.first_byte, finished.complete), (400, 1_000, true));
}

#[test]
fn the_stage_is_that_in_which_a_request_was_given_up() {
    for (stage, give_up) in [
        (Stage::Head, false),
        (Stage::Body, false),
        (Stage::Process, false),
        (Stage::Window, false),
        (Stage::Head, true),
    ] {
        let observer = observer();
        let clock = connection(&observer);
        turn(&observer, 50);
        let mut request = begin(&clock, true);
        request.enter(stage);
        turn(&observer, 650);
        let mut sending = Sending::default();
        if give_up {
            // The connection ends.
            drop(request);
        } else {
            // A refusal is its answer.
            answer(&clock, request, &mut sending);
            leave(&observer, &clock, &mut sending, [650, 650]);
        }
        let [finished] = ended(&observer)[..] else { panic!("one request") };
        assert_eq!(parts(&finished), [(stage, 600)]);
        assert_eq!(finished.complete, !give_up);
    }
}

#[test]
fn a_connection_that_ends_while_an_answer_leaves_ends_in_that_stage() {
    for (times, stages) in [
        (&[][..], [(Stage::Respond, 900)]),
        (&[100], [(Stage::FirstWrite, 900)]),
        (&[100, 100], [(Stage::LastWrite, 900)]),
    ] {
        let observer = observer();
        let clock = connection(&observer);
        turn(&observer, 100);
        let mut sending = Sending::default();
        answer(&clock, begin(&clock, true), &mut sending);
        if let [submitted, rest @ ..] = times {
            sending.submitted(*submitted);
            for time in rest {
                sending.completed(*time);
            }
        }
        turn(&observer, 1_000);
        drop(sending);
        let [finished] = ended(&observer)[..] else { panic!("one request") };
        assert_eq!((parts(&finished), finished.complete), (stages.to_vec(), false));
    }
}

#[test]
fn a_request_that_came_with_another_waits_for_its_turn() {
    let observer = observer();
    let clock = connection(&observer);
    turn(&observer, 1_000);
    let mut sending = Sending::default();
    answer(&clock, begin(&clock, true), &mut sending);
    leave(&observer, &clock, &mut sending, [1_200, 1_700]);
    let second = begin(&clock, false);
    answer(&clock, second, &mut sending);
    leave(&observer, &clock, &mut sending, [1_750, 1_750]);
    let [first, second] = ended(&observer)[..] else { panic!("two requests") };
    assert_eq!((first.total, second.total), (700, 750));
    assert_eq!(parts(&second), [(Stage::Turn, 700), (Stage::FirstWrite, 50)]);
}

#[test]
fn an_answer_that_left_with_the_beginning_of_another_does_not_wait_for_its_end() {
    let observer = observer();
    let clock = connection(&observer);
    turn(&observer, 1_000);
    let mut sending = Sending::default();
    answer(&clock, begin(&clock, true), &mut sending);
    // The next one is long: all that waits leaves before its last byte is queued.
    let mut long = begin(&clock, false);
    long.enter(Stage::Respond);
    sending.holds_head();
    sending.submitted(1_000);
    let mut departed = sending.depart();
    assert!(!sending.has_begun());
    turn(&observer, 1_100);
    departed.completed(1_100);
    sending.follows(&departed);
    departed.all_left();
    assert_eq!(ended(&observer).len(), 1, "the first one has ended");
    turn(&observer, 5_000);
    sending.completed(5_000);
    clock.answered(&mut long, 200, false, Moved::default());
    sending.carries(&mut long);
    sending.all_left();
    let [first, second] = ended(&observer)[..] else { panic!("two requests") };
    assert_eq!((first.total, second.total), (100, 4_000));
    assert_eq!(parts(&second), [(Stage::FirstWrite, 100), (Stage::LastWrite, 3_900)]);
    assert!(!sending.has_begun());
}

#[test]
fn streams_may_end_in_any_order() {
    let observer = observer();
    let clock = connection(&observer);
    turn(&observer, 10);
    let mut streams: Vec<_> = [1, 3, 5].map(|stream| clock.begin_stream(stream, true, none)).into();
    let mut sending = Sending::default();
    streams[0].enter(Stage::Window);
    answer(&clock, streams.remove(2), &mut sending);
    leave(&observer, &clock, &mut sending, [20, 20]);
    drop(streams.remove(1));
    answer(&clock, streams.remove(0), &mut sending);
    leave(&observer, &clock, &mut sending, [30, 30]);
    let ended = ended(&observer);
    let told: Vec<_> = ended.iter().map(|one| (one.number, one.total, one.complete)).collect();
    assert_eq!(told, [(1, 20, true), (2, 10, false), (3, 10, true)]);
    assert_eq!(observer.noted.borrow().open.open(), 0);
}

#[test]
fn the_store_takes_back_whatever_happens() {
    let observer = observer();
    let clock = connection(&observer);
    let mut sending = Sending::default();
    let requests: Vec<_> = (0..9).map(|_| begin(&clock, true)).collect();
    assert_eq!(observer.noted.borrow().open.open(), 8, "the ninth found no place");
    for (number, request) in requests.into_iter().enumerate() {
        match number % 3 {
            0 => drop(request),
            1 => request.abandon(super::Why::ClientCancel),
            _ => answer(&clock, request, &mut sending),
        }
    }
    drop((clock, sending));
    assert_eq!(observer.noted.borrow().open.open(), 0);
    assert_eq!(observer.connections.get(), 0);
}
