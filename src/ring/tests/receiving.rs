//! Receive streams: order, ends, the bound on leases, and what happens without buffers.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    rc::Rc,
    task::Poll,
};

use super::{Desk, Witness, config, scripted};
use crate::ring::{
    ReceiveStream, Received,
    op::{OpId, Submission},
};

/// What a reading task got.
#[derive(Debug, Default)]
struct Log {
    bytes: Vec<u8>,
    /// 0 is the end of the stream.
    ends: Vec<i32>,
}

/// A task that reads to the end, or until it fails twice.
fn reading(desk: &mut Desk) -> (usize, Rc<RefCell<Log>>) {
    let log = Rc::new(RefCell::new(Log::default()));
    let (ring, noted) = (Rc::clone(&desk.ring), Rc::clone(&log));
    let socket = Rc::new(Witness::owned().1);
    let task = desk.spawn(async move {
        let mut stream = ReceiveStream::single(&ring, &socket);
        stream.make_multishot();
        while noted.borrow().ends.len() < 2 {
            match stream.next().await {
                Received::Data(lease) => noted.borrow_mut().bytes.extend_from_slice(&lease),
                Received::End => {
                    noted.borrow_mut().ends.push(0);
                    break;
                }
                Received::Failed(error) => {
                    noted.borrow_mut().ends.push(error.raw_os_error().unwrap());
                }
            }
        }
        stream.stop().await;
    });
    (task, log)
}

/// The receive that is armed now.
fn armed(desk: &mut Desk) -> OpId {
    let (id, submission) = desk.take();
    assert!(matches!(submission, Submission::ReceiveMulti { .. }), "{submission:?}");
    id
}

#[test]
fn whatever_ends_a_multishot_receive_for_now_loses_no_byte() {
    // The last completion may carry bytes (an overflow of the queue) or none.
    for error in [libc::ENOBUFS, libc::ECANCELED, libc::EINTR, 0] {
        let mut desk = Desk::new();
        let (task, log) = reading(&mut desk);
        for round in 0..20_u8 {
            let id = armed(&mut desk);
            desk.deliver(id, &[round, 1]);
            desk.deliver(id, &[round, 2]);
            if error == 0 {
                assert!(desk.script(|script| script.deliver(id, &[round, 3], false)));
            } else {
                desk.complete(id, -error);
            }
        }
        let id = armed(&mut desk);
        desk.complete(id, 0);
        desk.run();
        assert!(desk.is_done(task));
        let third = (error == 0).then_some(3);
        let round =
            |round| [Some(1), Some(2), third].into_iter().flatten().map(move |n| [round, n]);
        let expected: Vec<u8> = (0..20).flat_map(round).flatten().collect();
        assert_eq!(log.borrow().bytes, expected, "errno {error}");
        assert_eq!(log.borrow().ends, [0]);
        desk.assert_clean();
    }
}

#[test]
fn a_failure_comes_behind_the_bytes_that_came_before_it() {
    let mut desk = Desk::new();
    let (task, log) = reading(&mut desk);
    let id = armed(&mut desk);
    desk.deliver(id, b"before");
    desk.complete(id, -libc::EIO);
    let id = armed(&mut desk);
    assert_eq!(log.borrow().bytes, b"before");
    assert_eq!(log.borrow().ends, [libc::EIO]);
    desk.complete(id, -libc::ECONNRESET);
    desk.run();
    assert!(desk.is_done(task));
    assert_eq!(log.borrow().ends, [libc::EIO, libc::ECONNRESET]);
    desk.assert_clean();
}

#[test]
fn a_stream_that_holds_too_much_is_cancelled_once_and_armed_again_when_it_was_read() {
    let mut desk = Desk::new();
    let ring = Rc::clone(&desk.ring);
    let socket = Rc::new(Witness::owned().1);
    let wanted = Rc::new(std::cell::Cell::new(1));
    let read = Rc::new(RefCell::new(Vec::new()));
    let (quota, sink) = (Rc::clone(&wanted), Rc::clone(&read));
    let task = desk.spawn(async move {
        let mut stream = ReceiveStream::single(&ring, &socket);
        stream.make_multishot();
        loop {
            poll_fn(|_| {
                if sink.borrow().len() < quota.get() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            match stream.next().await {
                Received::Data(lease) => sink.borrow_mut().push(lease[0]),
                Received::End => return,
                Received::Failed(error) => panic!("{error}"),
            }
        }
    });
    let id = armed(&mut desk);
    // One is read, and then the reader is busy elsewhere: four leases are the bound.
    (0..5).for_each(|byte| desk.deliver(id, &[byte]));
    assert_eq!(desk.take_cancel(0), id);
    // More that was under way does not cancel again.
    desk.deliver(id, &[5]);
    assert!(desk.nothing_submitted());
    desk.complete(id, -libc::ECANCELED);
    assert!(desk.nothing_submitted(), "not before it was read");
    assert_eq!(desk.ring.receive.available(), 3);
    wanted.set(100);
    desk.ring.wake(crate::ring::TaskId::first(task as u32));
    let again = armed(&mut desk);
    assert_eq!(read.borrow()[..], [0, 1, 2, 3, 4, 5]);
    desk.deliver(again, &[6]);
    desk.complete(again, 0);
    desk.run();
    assert_eq!(read.borrow()[..], [0, 1, 2, 3, 4, 5, 6]);
    assert!(desk.is_done(task));
    assert_eq!(desk.ring.counts().cancels, 1);
    desk.assert_clean();
}

#[test]
fn a_cancel_that_comes_too_late_for_its_stream_hits_no_other() {
    let mut desk = Desk::new();
    let (task, log) = reading(&mut desk);
    let id = armed(&mut desk);
    // The bound is reached and the stream ends in the same turn.
    (0..4).for_each(|byte| desk.deliver(id, &[byte]));
    desk.complete(id, -libc::ENOBUFS);
    assert_eq!(desk.take_cancel(-libc::ENOENT), id);
    let again = armed(&mut desk);
    assert_ne!(again.to_user_data(), id.to_user_data());
    desk.complete(again, 0);
    desk.run();
    assert!(desk.is_done(task));
    assert_eq!(log.borrow().bytes, [0, 1, 2, 3]);
    desk.assert_clean();
}

#[test]
fn what_arrives_for_a_dropped_stream_goes_back_to_the_pool() {
    let mut desk = Desk::new();
    let (task, _) = reading(&mut desk);
    let id = armed(&mut desk);
    desk.deliver(id, b"queued");
    desk.ring.turn().unwrap();
    desk.abandon(task);
    assert_eq!(desk.take_cancel(-libc::EALREADY), id);
    desk.deliver(id, b"late");
    desk.deliver(id, b"later");
    desk.run();
    assert_eq!(desk.ring.receive.available(), 8);
    assert_eq!(desk.ring.in_flight(), 1, "it may bring more");
    desk.complete(id, -libc::ECANCELED);
    desk.assert_clean();
}

#[test]
fn stopping_is_a_join() {
    let mut desk = Desk::new();
    let ring = Rc::clone(&desk.ring);
    let (witness, socket) = Witness::owned();
    let task = desk.spawn(async move {
        let socket = Rc::new(socket);
        let mut stream = ReceiveStream::single(&ring, &socket);
        stream.make_multishot();
        let Received::Data(_) = stream.next().await else { panic!("bytes come first") };
        stream.stop().await;
        stream.stop().await;
        drop(stream);
        ring.close(Rc::into_inner(socket).expect("nothing is in flight on it"));
    });
    let id = armed(&mut desk);
    desk.deliver(id, b"first");
    assert_eq!(desk.take_cancel(0), id);
    desk.deliver(id, b"too late");
    desk.run();
    assert!(!desk.is_done(task) && !witness.is_closed(), "it waits for the last completion");
    desk.complete(id, -libc::ECANCELED);
    desk.run();
    assert!(desk.is_done(task) && witness.is_closed());
    desk.assert_clean();
}

#[test]
fn a_task_dropped_while_it_stops_leaves_the_rest_to_the_slot() {
    let mut desk = Desk::new();
    let ring = Rc::clone(&desk.ring);
    let socket = Rc::new(Witness::owned().1);
    let task = desk.spawn(async move {
        let mut stream = ReceiveStream::single(&ring, &socket);
        poll_fn(|cx| {
            let mut next = std::pin::pin!(stream.next());
            let _ = next.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
        stream.stop().await;
    });
    let (id, submission) = desk.take();
    assert!(matches!(submission, Submission::Receive { limit: 0, .. }));
    desk.take_cancel(0);
    desk.abandon(task);
    desk.take_cancel(-libc::ENOENT);
    assert!(desk.script(|script| script.deliver(id, b"after all", false)));
    desk.assert_clean();
}

#[test]
fn a_single_receive_is_at_rest_once_its_bytes_were_taken() {
    let mut desk = Desk::new();
    let ring = Rc::clone(&desk.ring);
    let socket = Rc::new(Witness::owned().1);
    let task = desk.spawn(async move {
        let mut stream = ReceiveStream::single(&ring, &socket);
        assert!(stream.is_at_rest());
        stream.limit(5);
        let Received::Data(lease) = stream.next().await else { panic!("bytes") };
        assert_eq!(&lease[..], b"hello");
        assert!(stream.is_at_rest());
        assert!(stream.next_if_ready().is_none());
        assert!(matches!(stream.next().await, Received::End));
    });
    let (id, submission) = desk.take();
    assert!(matches!(submission, Submission::Receive { limit: 5, .. }));
    assert!(desk.script(|script| script.deliver(id, b"hello", false)));
    let (id, _) = desk.take();
    desk.complete(id, 0);
    desk.run();
    assert!(desk.is_done(task));
    desk.assert_clean();
}

#[test]
fn a_full_table_refuses_a_receive_and_loses_nothing() {
    let mut desk = Desk::over(scripted(&crate::ring::RingConfig { operations: 1, ..config() }));
    let (first, log) = reading(&mut desk);
    let (second, refused) = reading(&mut desk);
    assert!(desk.is_done(second));
    assert_eq!(refused.borrow().ends, [libc::EAGAIN, libc::EAGAIN]);
    let id = armed(&mut desk);
    desk.deliver(id, b"still mine");
    desk.complete(id, 0);
    desk.run();
    assert!(desk.is_done(first));
    assert_eq!(log.borrow().bytes, b"still mine");
    desk.assert_clean();
}
