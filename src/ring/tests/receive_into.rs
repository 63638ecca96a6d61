//! Receives into send memory, on the scripted ring.

use std::rc::Rc;

use super::{Desk, Witness, operations::available};
use crate::ring::{SendClass, op::Submission};

#[test]
fn a_receive_into_send_memory_lends_it_until_the_last_completion() {
    let mut desk = Desk::new();
    let whole = available(&desk);
    let (witness, socket) = Witness::owned();
    let (ring, buffer) = (Rc::clone(&desk.ring), desk.small_buffer());
    let received = desk.start(async move {
        let mut flight = ring.begin_receive_into(&Rc::new(socket), buffer, vec![5..25, 30..50]);
        std::future::poll_fn(|_| flight.poll()).await.0
    });
    let (id, submission) = desk.take();
    assert!(matches!(submission, Submission::ReceiveArrived { .. }));
    desk.abandon(received.task);
    desk.take_cancel(-libc::EALREADY);
    desk.run();
    assert!(!witness.is_closed(), "the kernel may still write there");
    assert_eq!(available(&desk), whole - 1);
    desk.complete(id, 40);
    desk.run();
    assert!(witness.is_closed());
    assert_eq!(available(&desk), whole);
    desk.assert_clean();
}

#[test]
fn a_receive_that_does_not_fit_its_memory_is_refused() {
    let end = SendClass::SMALL_LEN;
    for ranges in [vec![], vec![(0, 0)], vec![(0, 8), (end - 7, end + 1)]] {
        let mut desk = Desk::new();
        let (ring, buffer) = (Rc::clone(&desk.ring), desk.small_buffer());
        let asked = ranges.iter().map(|(start, end)| *start..*end).collect();
        let socket = Rc::new(Witness::owned().1);
        let received = desk.start(async move {
            let mut flight = ring.begin_receive_into(&socket, buffer, asked);
            std::future::poll_fn(|_| flight.poll()).await.0
        });
        assert!(desk.nothing_submitted(), "{ranges:?}");
        let error = received.take().unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{ranges:?}");
        desk.assert_clean();
    }
}
