//! Accept streams: no connection is lost, none is left open by mistake.

use std::{cell::RefCell, future::poll_fn, os::fd::OwnedFd, rc::Rc};

use super::{Desk, Witness};
use crate::ring::{AcceptStream, ReceiveStream, Socket, op::Submission};

/// A task that accepts until told to stop, keeps what it accepted, and closes the listener.
fn accepting(desk: &mut Desk) -> (usize, Rc<Accepted>) {
    let accepted = Rc::new(Accepted::default());
    let (ring, noted) = (Rc::clone(&desk.ring), Rc::clone(&accepted));
    let task = desk.spawn(async move {
        let listener = Rc::new(Witness::owned().1);
        let mut stream = AcceptStream::new(&ring, &listener);
        while !*noted.enough.borrow() {
            let next = poll_fn(|_| match stream.poll_next() {
                std::task::Poll::Pending if *noted.enough.borrow() => std::task::Poll::Ready(None),
                polled => polled.map(Some),
            });
            match next.await {
                Some(Ok(socket)) => noted.sockets.borrow_mut().push(socket),
                Some(Err(error)) => noted.errors.borrow_mut().push(error.raw_os_error().unwrap()),
                None => {}
            }
        }
        let last = stream.stop().await;
        noted.sockets.borrow_mut().extend(last);
        drop(stream);
        ring.close(Rc::into_inner(listener).expect("nothing is in flight on it"));
    });
    (task, accepted)
}

#[derive(Default)]
struct Accepted {
    sockets: RefCell<Vec<OwnedFd>>,
    errors: RefCell<Vec<i32>>,
    enough: RefCell<bool>,
}

#[test]
fn it_is_armed_again_after_an_error_and_after_an_overflow() {
    let mut desk = Desk::new();
    let (task, accepted) = accepting(&mut desk);
    let (id, submission) = desk.take();
    assert!(matches!(submission, Submission::AcceptMulti { .. }));
    desk.complete_more(id, Witness::new().1);
    // An overflow: a success, but the last one.
    desk.complete(id, Witness::new().1);
    let (id, _) = desk.take();
    desk.complete_more(id, Witness::new().1);
    desk.complete(id, -libc::EMFILE);
    let (id, _) = desk.take();
    assert_eq!(accepted.sockets.borrow().len(), 3, "none is lost to the error behind it");
    assert_eq!(accepted.errors.borrow()[..], [libc::EMFILE]);
    desk.abandon(task);
    desk.take_cancel(0);
    desk.complete(id, -libc::ECANCELED);
    desk.assert_clean();
}

#[test]
fn stopping_returns_what_was_accepted_by_then() {
    let mut desk = Desk::new();
    let (task, accepted) = accepting(&mut desk);
    let (id, _) = desk.take();
    *accepted.enough.borrow_mut() = true;
    desk.ring.wake(crate::ring::TaskId::first(task as u32));
    assert_eq!(desk.take_cancel(0), id);
    let (one, fd) = Witness::new();
    desk.complete_more(id, fd);
    let (two, fd) = Witness::new();
    desk.complete_more(id, fd);
    desk.run();
    assert!(!desk.is_done(task));
    desk.complete(id, -libc::ECANCELED);
    desk.run();
    assert!(desk.is_done(task));
    assert_eq!(accepted.sockets.borrow().len(), 2);
    assert!(!one.is_closed() && !two.is_closed());
    accepted.sockets.borrow_mut().clear();
    assert!(one.is_closed() && two.is_closed());
    desk.assert_clean();
}

#[test]
fn what_is_accepted_for_a_task_that_is_gone_is_closed() {
    let mut desk = Desk::new();
    let (task, _) = accepting(&mut desk);
    let (id, _) = desk.take();
    let (queued, fd) = Witness::new();
    desk.complete_more(id, fd);
    desk.ring.turn().unwrap();
    desk.abandon(task);
    assert!(queued.is_closed(), "it was in the slot");
    let (late, fd) = Witness::new();
    desk.complete_more(id, fd);
    let (last, fd) = Witness::new();
    desk.complete(id, fd);
    desk.take_cancel(-libc::ENOENT);
    desk.run();
    assert!(late.is_closed() && last.is_closed());
    let (stale, fd) = Witness::new();
    desk.complete(id, fd);
    desk.run();
    assert!(stale.is_closed());
    desk.assert_clean();
}

#[test]
fn a_socket_is_closed_behind_all_that_was_queued_for_it() {
    let mut desk = Desk::new();
    let (witness, fd) = Witness::owned();
    let socket = Socket::new(&desk.ring, fd);
    drop(socket);
    assert!(!witness.is_closed(), "queued, so that its number stays taken");
    assert_eq!(desk.ring.in_flight(), 1, "nothing but the close");
    desk.run();
    assert!(witness.is_closed());
    desk.assert_clean();
}

/// Not by its descriptor, for which the kernel would look at every poll of the ring.
#[test]
fn what_a_socket_leaves_in_flight_is_cancelled_by_name() {
    let mut desk = Desk::new();
    let (witness, fd) = Witness::owned();
    let ring = Rc::clone(&desk.ring);
    let task = desk.spawn(async move {
        let socket = Socket::new(&ring, fd);
        let mut stream = ReceiveStream::single(&ring, &socket);
        stream.make_multishot();
        stream.next().await;
    });
    desk.run();
    let (receive, submission) = desk.take();
    assert!(matches!(submission, Submission::ReceiveMulti { .. }));
    desk.abandon(task);
    desk.take_cancel(0);
    desk.complete(receive, -libc::ECANCELED);
    desk.run();
    assert!(witness.is_closed());
    desk.assert_clean();
}

#[test]
fn the_last_close_goes_out_even_if_the_ring_is_dropped_first() {
    let desk = Desk::new();
    let (witness, fd) = Witness::owned();
    let ring = desk.ring;
    let socket = Socket::new(&ring, fd);
    drop(ring);
    drop(socket);
    assert!(witness.is_closed());
}
