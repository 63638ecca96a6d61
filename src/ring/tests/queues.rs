//! Full queues: submissions keep their order, and nothing is lost.

use std::{os::fd::OwnedFd, rc::Rc};

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
                let (sent, _) = ring.send(&socket, buffer, 0..index + 1).await;
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
    // There is room now, but those who came before go first.
    let overtaker = send_many(&mut desk, &socket, 1)[0];
    desk.run();
    let expected: Vec<i32> = (1..=10).chain([1]).collect();
    assert_eq!(complete_sends(&desk), expected);
    assert!(!desk.is_done(overtaker));
    desk.run();
    assert!(tasks.iter().all(|task| desk.is_done(*task)));
    desk.assert_clean();
}

#[test]
fn cancels_and_closes_wait_in_the_same_line() {
    let mut desk = cramped(1);
    let (witness, fd) = Witness::owned();
    let socket = Rc::new(Witness::owned().1);
    let tasks = send_many(&mut desk, &socket, 3);
    for task in tasks {
        desk.abandon(task);
    }
    desk.ring.close(fd);
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
    let refused = desk.start(async move { ring.send(&socket, buffer, 0..9).await });
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

/// No memory in the kernel, or completions that it wants taken first: nothing is lost, the refusals
/// are counted, and the thread rests instead of spinning.
#[test]
fn an_enter_that_is_refused_for_the_moment_is_tried_again() {
    for errno in [libc::ENOMEM, libc::EAGAIN, libc::EBUSY] {
        let mut desk = cramped(4);
        let socket = Rc::new(Witness::owned().1);
        let tasks = send_many(&mut desk, &socket, 10);
        desk.script(|script| script.refusals.extend([errno; 20]));
        for _ in 0..8 {
            desk.step();
        }
        assert!(desk.script(|script| script.submitted.is_empty()));
        assert!(desk.script(|script| script.rests) > 0, "it spins");
        desk.run();
        assert_eq!(complete_sends(&desk), (1..=10).collect::<Vec<_>>());
        desk.run();
        assert!(tasks.iter().all(|task| desk.is_done(*task)));
        assert_eq!(desk.ring.counts().refused_enters, 20);
        desk.assert_clean();
    }
}

#[test]
fn an_enter_that_fails_for_good_ends_the_turn() {
    let desk = cramped(4);
    desk.script(|script| script.refusals.push_back(libc::EBADF));
    assert_eq!(desk.ring.turn().unwrap_err().raw_os_error(), Some(libc::EBADF));
    assert_eq!(desk.ring.counts().refused_enters, 0);
}

/// ENOMEM and ENOBUFS of a single operation are that operation's: its buffer comes home, and the
/// others go on.
#[test]
fn an_operation_without_memory_fails_alone() {
    for errno in [libc::ENOMEM, libc::ENOBUFS] {
        let mut desk = cramped(8);
        let socket = Rc::new(Witness::owned().1);
        let ring = Rc::clone(&desk.ring);
        let (buffer, fd) = (desk.small_buffer(), Rc::clone(&socket));
        let failing = desk.start(async move { ring.send(&fd, buffer, 0..9).await.0 });
        let tasks = send_many(&mut desk, &socket, 2);
        let (id, _) = desk.take();
        desk.complete(id, -errno);
        desk.run();
        assert_eq!(failing.take().unwrap().unwrap_err().raw_os_error(), Some(errno));
        assert_eq!(complete_sends(&desk), [1, 2]);
        desk.run();
        assert!(tasks.iter().all(|task| desk.is_done(*task)));
        desk.assert_clean();
    }
}
