//! Full queues: submissions keep their order, and nothing is lost.

use std::{
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
};

use super::{Desk, Witness, config, scripted};
use crate::ring::{
    RingConfig, RingOptions, SendClass,
    op::{Submission, Wait},
};

fn cramped(submissions: u32) -> Desk {
    let queues = RingOptions { submissions, completions: 16 };
    Desk::over(scripted(&RingConfig { queues, send_memory: 1 << 20, ..config() }))
}

fn send_many(desk: &mut Desk, socket: &Rc<OwnedFd>, count: usize) -> Vec<usize> {
    (0..count)
        .map(|index| {
            let (ring, socket) = (Rc::clone(&desk.ring), Rc::clone(socket));
            let buffer = desk.small_buffer();
            desk.spawn(async move {
                let (sent, _) = ring.send(socket.as_fd(), buffer, 0..index + 1).await;
                assert_eq!(sent.unwrap(), index + 1);
            })
        })
        .collect()
}

/// The lengths of all sends that were submitted, each then completed.
fn complete_sends(desk: &Desk) -> Vec<i32> {
    desk.script(|script| {
        let submitted: Vec<_> = script.submitted.drain(..).collect();
        let lengths = submitted.iter().filter_map(|(id, submission)| {
            let Submission::Send { len, .. } = submission else {
                script.complete(*id, 0, false);
                return None;
            };
            script.complete(*id, *len as i32, false);
            Some(*len as i32)
        });
        lengths.collect()
    })
}

#[test]
fn a_full_queue_keeps_the_order() {
    let mut desk = cramped(2);
    let socket = Rc::new(Witness::owned().1);
    let tasks = send_many(&mut desk, &socket, 20);
    assert_eq!(desk.ring.counts().full_queue, 18);
    desk.run();
    assert_eq!(complete_sends(&desk), (1..=20).collect::<Vec<_>>());
    desk.run();
    assert!(tasks.iter().all(|task| desk.is_done(*task)));
    desk.assert_clean();
}

#[test]
fn a_queue_that_takes_nothing_for_a_while_is_tried_again() {
    let mut desk = cramped(2);
    let socket = Rc::new(Witness::owned().1);
    let tasks = send_many(&mut desk, &socket, 10);
    // The kernel wants its completions taken first: no room, whatever is entered.
    desk.script(|script| script.room = 0);
    for _ in 0..5 {
        desk.step();
        assert_eq!(desk.script(|script| script.slept), Wait::Not, "it must not sleep on a backlog");
    }
    desk.script(|script| script.room = 2);
    desk.run();
    assert_eq!(complete_sends(&desk), (1..=10).collect::<Vec<_>>());
    desk.run();
    assert!(tasks.iter().all(|task| desk.is_done(*task)));
    desk.assert_clean();
}

#[test]
fn cancels_and_closes_wait_in_the_same_line() {
    let mut desk = cramped(1);
    let (witness, fd) = Witness::owned();
    let socket = Rc::new(fd);
    let tasks = send_many(&mut desk, &socket, 3);
    for task in tasks {
        desk.abandon(task);
    }
    desk.ring.close(Rc::into_inner(socket).expect("the tasks let go of it"));
    assert!(!witness.is_closed());
    desk.run();
    let kinds = desk.script(|script| {
        let kinds = script.submitted.iter().map(|(_, submission)| match submission {
            Submission::Send { .. } => 's',
            Submission::Cancel { .. } => 'c',
            _ => '?',
        });
        kinds.collect::<String>()
    });
    assert_eq!(kinds, "sssccc", "and the close, which is done at once, behind them");
    assert!(witness.is_closed());
    complete_sends(&desk);
    desk.assert_clean();
}

#[test]
fn a_full_table_gives_back_what_was_to_be_lent() {
    let mut desk = Desk::over(scripted(&RingConfig { operations: 1, ..config() }));
    let socket = Rc::new(Witness::owned().1);
    let first = send_many(&mut desk, &socket, 1)[0];
    let ring = Rc::clone(&desk.ring);
    let buffer = desk.small_buffer();
    let refused = desk.start(async move { ring.send(socket.as_fd(), buffer, 0..9).await });
    let (sent, buffer) = refused.take().expect("it ends at once");
    assert_eq!(sent.unwrap_err().raw_os_error(), Some(libc::EAGAIN));
    assert_eq!(buffer.class(), SendClass::Small);
    drop(buffer);
    desk.run();
    assert_eq!(complete_sends(&desk), [1]);
    desk.run();
    assert!(desk.is_done(first));
    desk.assert_clean();
}
