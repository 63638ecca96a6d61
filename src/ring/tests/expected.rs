//! Operations whose expected result wakes nobody.

use std::{cell::Cell, future::poll_fn, rc::Rc};

use super::{Desk, Witness};
use crate::ring::TaskId;

#[test]
fn an_expected_result_wakes_nobody_and_any_other_does() {
    for (result, wakes) in [(100, false), (60, true), (-libc::EPIPE, true)] {
        let mut desk = Desk::new();
        let (ring, socket) = (Rc::clone(&desk.ring), Rc::new(Witness::owned().1));
        let buffer = desk.small_buffer();
        let polls = Rc::new(Cell::new(0));
        let seen = Rc::clone(&polls);
        let sent = desk.start(async move {
            let mut flight = ring.begin_send(&socket, buffer, 0..100);
            flight.expect(100);
            poll_fn(|_| {
                seen.set(seen.get() + 1);
                flight.poll().map(|(result, _)| result)
            })
            .await
        });
        let (id, _) = desk.take();
        desk.complete(id, result);
        desk.run();
        assert_eq!(polls.get(), if wakes { 2 } else { 1 }, "{result}");
        // Something else wakes the task, which finds the result then.
        desk.ring.wake(TaskId::first(sent.task as u32));
        desk.run();
        let outcome = sent.take().unwrap().map_err(|error| error.raw_os_error());
        assert_eq!(outcome, usize::try_from(result).map_err(|_| Some(-result)));
        desk.assert_clean();
    }
}
