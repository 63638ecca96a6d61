//! Waiting for buffers: in order, and nobody who is gone holds up the others.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use super::{Desk, Witness, operations::available};
use crate::ring::{ReceiveStream, Received, SendBuf, SendClass, op::Submission, sim::Scripted};

const CLASS: SendClass = SendClass::Bulk;

/// Takes every buffer of the class.
fn all(desk: &Desk) -> Vec<SendBuf> {
    std::iter::from_fn(|| desk.ring.try_send_buffer(CLASS)).collect()
}

/// A task that waits for one buffer, notes its name, and gives the buffer back.
fn wanting(desk: &mut Desk, log: &Rc<RefCell<Vec<usize>>>, name: usize) -> usize {
    let (ring, log) = (Rc::clone(&desk.ring), Rc::clone(log));
    desk.spawn(async move {
        let buffer = ring.send_buffer(CLASS).await;
        log.borrow_mut().push(name);
        drop(buffer);
    })
}

#[test]
fn send_memory_is_handed_out_in_order_past_those_who_left() {
    let mut desk = Desk::new();
    let mut held = all(&desk);
    let log = Rc::default();
    let tasks: Vec<usize> = (0..5).map(|name| wanting(&mut desk, &log, name)).collect();
    desk.run();
    desk.abandon(tasks[0]);
    drop(held.pop());
    // Granted in this turn, but the task ends before it is polled.
    desk.ring.turn().unwrap();
    desk.abandon(tasks[1]);
    desk.run();
    assert_eq!(log.borrow()[..], [2, 3, 4]);
    drop(held);
    desk.assert_clean();
}

#[test]
fn giving_back_and_taking_at_once_does_not_starve_the_others() {
    let mut desk = Desk::new();
    let enough = Rc::new(Cell::new(false));
    let count = all(&desk).len();
    for _ in 0..count {
        let (ring, enough) = (Rc::clone(&desk.ring), Rc::clone(&enough));
        desk.spawn(async move {
            let mut taken = 0;
            while !enough.get() && taken < 10_000 {
                let buffer = ring.send_buffer(CLASS).await;
                ring.yield_now().await;
                drop(buffer);
                taken += 1;
            }
            assert!(taken < 10_000, "the patient one never had its turn");
        });
    }
    let ring = Rc::clone(&desk.ring);
    let patient = desk.spawn(async move {
        drop(ring.send_buffer(CLASS).await);
        enough.set(true);
    });
    desk.run();
    assert!(desk.is_done(patient));
    desk.assert_clean();
}

/// A task that reads one message.
fn reading(desk: &mut Desk, log: &Rc<RefCell<Vec<usize>>>, name: usize) -> usize {
    let (ring, log) = (Rc::clone(&desk.ring), Rc::clone(log));
    let socket = Rc::new(Witness::owned().1);
    desk.spawn(async move {
        let mut stream = ReceiveStream::single(&ring, &socket);
        match stream.next().await {
            Received::Data(_) => log.borrow_mut().push(name),
            other => panic!("{other:?}"),
        }
    })
}

#[test]
fn streams_without_buffers_wait_in_line_and_those_who_left_take_no_turn() {
    let mut desk = Desk::new();
    // One stream holds every buffer.
    let (ring, socket) = (Rc::clone(&desk.ring), Rc::new(Witness::owned().1));
    let hold = Rc::new(Cell::new(true));
    let holding = Rc::clone(&hold);
    let hoarder = desk.spawn(async move {
        let mut stream = ReceiveStream::single(&ring, &socket);
        let mut leases = Vec::new();
        while leases.len() < 8 {
            let Received::Data(lease) = stream.next().await else { panic!("bytes") };
            leases.push(lease);
        }
        assert!(stream.is_at_rest());
        while holding.get() {
            std::future::poll_fn(|_| {
                if holding.get() { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
            })
            .await;
        }
        leases.truncate(1);
        drop(leases);
    });
    for _ in 0..8 {
        let (id, _) = desk.take();
        assert!(desk.script(|script| script.deliver(id, b"hoarded", false)));
    }
    desk.run();
    assert_eq!(desk.ring.receive.available(), 0);

    let log = Rc::default();
    let readers: Vec<usize> = (0..4).map(|name| reading(&mut desk, &log, name)).collect();
    for _ in &readers {
        let (id, submission) = desk.take();
        assert!(matches!(submission, Submission::Receive { .. }));
        assert!(!desk.script(|script| script.deliver(id, b"x", false)));
        desk.complete(id, -libc::ENOBUFS);
    }
    assert!(desk.nothing_submitted(), "out of buffers is not asked again and again");
    assert_eq!(desk.ring.in_flight(), 0);
    // Woken for another reason, a stream keeps its place and does not push in.
    desk.ring.wake(crate::ring::TaskId::first(readers[3] as u32));
    assert!(desk.nothing_submitted());
    desk.abandon(readers[0]);
    desk.abandon(readers[2]);
    hold.set(false);
    desk.ring.wake(crate::ring::TaskId::first(hoarder as u32));
    for _ in 0..2 {
        let (id, _) = desk.take();
        assert!(desk.script(|script| script.deliver(id, b"x", false)));
    }
    desk.run();
    assert_eq!(log.borrow()[..], [1, 3]);
    assert_eq!(desk.ring.counts().out_of_buffers, 4);
    desk.assert_clean();
}

#[test]
fn a_stream_that_stops_leaves_the_line() {
    let mut desk = Desk::new();
    // Nothing is published any more, as far as the script goes.
    let leases: Vec<_> = (0..8)
        .map(|_| {
            let buffer = desk.script(Scripted::take_buffer).unwrap();
            desk.ring.receive.taken();
            desk.ring.receive.lease(buffer, 0)
        })
        .collect();
    let (ring, socket) = (Rc::clone(&desk.ring), Rc::new(Witness::owned().1));
    let limit = Duration::from_millis(100);
    let task = desk.spawn(async move {
        let mut stream = ReceiveStream::single(&ring, &socket);
        assert!(ring.within(limit, stream.next()).await.is_err());
        stream.stop().await;
        assert!(stream.is_at_rest());
        assert!(ring.within(limit, stream.next()).await.is_err());
    });
    for _ in 0..2 {
        let (id, _) = desk.take();
        desk.complete(id, -libc::ENOBUFS);
        desk.run();
        assert_eq!(desk.ring.in_flight(), 0);
        desk.advance(200);
        desk.run();
    }
    assert!(desk.is_done(task));
    drop(leases);
    let polls = desk.polls;
    desk.assert_clean();
    assert_eq!(desk.polls, polls, "nobody is in line to be served");
}

/// A task that something else will wake is not woken for a send that went as expected, and for each other
/// end it is.
#[test]
fn a_result_that_is_expected_wakes_nobody() {
    for (result, polls) in [(100, 1), (60, 2), (-libc::EPIPE, 2)] {
        let mut desk = Desk::new();
        let socket = Rc::new(Witness::owned().1);
        let whole = available(&desk);
        let (ring, buffer) = (Rc::clone(&desk.ring), desk.small_buffer());
        let mut flight = None;
        let mut buffer = Some(buffer);
        let task = desk.spawn(std::future::poll_fn(move |_| {
            let flight = flight.get_or_insert_with(|| {
                let buffer = buffer.take().expect("it is sent once");
                let mut flight = ring.begin_send(&socket, buffer, 0..100);
                flight.expect(100);
                flight
            });
            flight.poll().map(|_| ())
        }));
        let (id, _) = desk.take();
        assert_eq!(desk.polls, 1);
        desk.complete(id, result);
        desk.run();
        assert_eq!(desk.polls, polls, "{result}");
        assert_eq!(desk.is_done(task), polls == 2);
        if polls == 1 {
            let waker = desk.ring.current.get();
            desk.ring.wake(waker);
            desk.run();
            assert!(desk.is_done(task), "the result waits for it");
        }
        assert_eq!(available(&desk), whole);
        desk.assert_clean();
    }
}
