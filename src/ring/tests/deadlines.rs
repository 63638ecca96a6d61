//! Deadlines: nested, side by side, in the past; and operations that are cut off by them.

use std::{
    cell::Cell,
    future::{Future, pending, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{Desk, Witness};
use crate::ring::{
    Elapsed, ReceiveStream, SendClass,
    op::{Submission, Wait},
    timer::TICK_MS,
};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Moves the clock, and runs what came due.
fn pass(desk: &mut Desk, milliseconds: u64) {
    desk.advance(milliseconds + 2 * TICK_MS);
    desk.run();
    desk.run();
}

#[test]
fn an_operation_that_is_late_is_cancelled_and_its_buffer_comes_home() {
    let mut desk = Desk::new();
    let (ring, socket) = (Rc::clone(&desk.ring), Rc::new(Witness::owned().1));
    let buffer = desk.small_buffer();
    let sent = desk.start(async move {
        ring.within(ms(1000), ring.send(&socket, buffer, 0..10)).await.map(|(sent, _)| sent)
    });
    let (id, _) = desk.take();
    pass(&mut desk, 500);
    assert!(sent.take().is_none());
    pass(&mut desk, 500);
    assert_eq!(sent.take().expect("it is over").unwrap_err(), Elapsed);
    assert!(!desk.ring.send.is_whole());
    assert_eq!(desk.take_cancel(0), id);
    desk.complete(id, -libc::ECANCELED);
    desk.assert_clean();
}

#[test]
fn a_deadline_in_the_past_lets_what_is_ready_through_and_nothing_else() {
    let mut desk = Desk::new();
    pass(&mut desk, 5000);
    let ring = Rc::clone(&desk.ring);
    let ended = desk.start(async move {
        let ready = ring.until(10, async { 7 }).await;
        let late = ring.until(10, pending::<()>()).await;
        let zero = ring.within(Duration::ZERO, pending::<()>()).await;
        (ready, late, zero)
    });
    assert_eq!(ended.take(), Some((Ok(7), Err(Elapsed), Err(Elapsed))), "without a turn");
    assert_eq!(desk.run(), Wait::Forever, "no timer is left");
}

#[test]
fn without_a_deadline_the_loop_sleeps_for_good() {
    let mut desk = Desk::new();
    let ring = Rc::clone(&desk.ring);
    let task = desk.spawn(async move {
        let _ = ring.within(Duration::MAX, pending::<()>()).await;
    });
    assert_eq!(desk.run(), Wait::Forever);
    desk.abandon(task);
    desk.assert_clean();
}

#[test]
fn an_outer_deadline_stays_in_force_whichever_inner_ones_come_and_go() {
    let mut desk = Desk::new();
    let ring = Rc::clone(&desk.ring);
    let inner = Rc::new(Cell::new(0));
    let count = Rc::clone(&inner);
    let ended = desk.start(async move {
        let work = async {
            loop {
                // Three deep: the middle one is dropped with the innermost still in it.
                let deepest = ring.within(ms(60_000), pending::<()>());
                let _ = ring.within(ms(100), ring.within(ms(900), deepest)).await;
                count.set(count.get() + 1);
                if count.get() == 3 {
                    pending::<()>().await;
                }
            }
        };
        ring.within(ms(1000), work).await
    });
    for _ in 0..3 {
        desk.run();
        pass(&mut desk, 100);
    }
    assert_eq!(inner.get(), 3);
    assert!(ended.take().is_none());
    assert!(matches!(desk.run(), Wait::Until { .. }), "the outer deadline is on the wheel");
    pass(&mut desk, 1000);
    assert_eq!(ended.take(), Some(Err(Elapsed)));
    assert_eq!(desk.run(), Wait::Forever);
}

#[test]
fn deadlines_side_by_side_do_not_take_each_other_away() {
    for first_ends_first in [true, false] {
        let mut desk = Desk::new();
        let ring = Rc::clone(&desk.ring);
        let order = if first_ends_first { [100, 500] } else { [500, 100] };
        let ended = desk.start(async move {
            let mut one = pin!(ring.within(ms(order[0]), pending::<()>()));
            let mut two = pin!(ring.within(ms(order[1]), pending::<()>()));
            let (mut one_ended, mut two_ended) = (false, false);
            poll_fn(|cx| {
                one_ended = one_ended || one.as_mut().poll(cx).is_ready();
                two_ended = two_ended || two.as_mut().poll(cx).is_ready();
                if one_ended && two_ended { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
        desk.run();
        pass(&mut desk, 100);
        assert!(ended.take().is_none());
        pass(&mut desk, 500);
        assert!(ended.take().is_some());
        assert_eq!(desk.run(), Wait::Forever);
    }
}

#[test]
fn an_ended_inner_future_that_is_kept_does_not_hide_the_outer_deadline() {
    let mut desk = Desk::new();
    let ring = Rc::clone(&desk.ring);
    let ended = desk.start(async move {
        let work = async {
            let mut kept = pin!(ring.within(ms(50), pending::<()>()));
            let _ = kept.as_mut().await;
            pending::<()>().await;
        };
        ring.within(ms(500), work).await
    });
    desk.run();
    pass(&mut desk, 50);
    assert!(ended.take().is_none());
    pass(&mut desk, 500);
    assert_eq!(ended.take(), Some(Err(Elapsed)));
}

#[test]
fn a_deadline_is_gone_with_its_task() {
    let mut desk = Desk::new();
    let ring = Rc::clone(&desk.ring);
    let task = desk.spawn(async move { ring.sleep(ms(1000)).await });
    assert!(matches!(desk.run(), Wait::Until { .. }));
    desk.abandon(task);
    pass(&mut desk, 2000);
    assert_eq!(desk.run(), Wait::Forever);
    assert_eq!(desk.polls, 1);
}

#[test]
fn a_deadline_on_waiting_for_memory_leaves_the_line() {
    let mut desk = Desk::new();
    let held: Vec<_> = std::iter::from_fn(|| desk.ring.try_send_buffer(SendClass::Small)).collect();
    let ring = Rc::clone(&desk.ring);
    let waited = desk.start(async move {
        ring.within(ms(100), ring.send_buffer(SendClass::Small)).await.map(drop)
    });
    desk.run();
    pass(&mut desk, 100);
    assert_eq!(waited.take(), Some(Err(Elapsed)));
    drop(held);
    assert!(desk.ring.try_send_buffer(SendClass::Small).is_some(), "nobody is in line any more");
    desk.assert_clean();
}

#[test]
fn a_stream_survives_a_deadline_on_one_of_its_receives() {
    let mut desk = Desk::new();
    let (ring, socket) = (Rc::clone(&desk.ring), Rc::new(Witness::owned().1));
    let ended = desk.start(async move {
        let mut stream = ReceiveStream::single(&ring, &socket);
        let first = ring.within(ms(100), stream.next()).await.is_err();
        let second = ring.within(ms(100), stream.next()).await.is_ok();
        (first, second)
    });
    let (id, submission) = desk.take();
    assert!(matches!(submission, Submission::Receive { .. }));
    pass(&mut desk, 100);
    assert!(desk.nothing_submitted(), "it stays armed, and is not cancelled");
    assert!(desk.script(|script| script.deliver(id, b"late, not lost", false)));
    desk.run();
    assert_eq!(ended.take(), Some((true, true)));
    desk.assert_clean();
}

#[test]
fn a_deadline_outside_of_any_task_is_nobodys() {
    let desk = Desk::new();
    let future = desk.ring.within(ms(20), pending::<()>());
    let mut future = pin!(future);
    let mut poll = || future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll().is_pending());
    desk.ring.turn().unwrap();
    assert_eq!(desk.script(|script| script.slept), Wait::Forever, "no deadline is on the wheel");
    desk.advance(40);
    desk.ring.turn().unwrap();
    assert_eq!(poll(), Poll::Ready(Err(Elapsed)));
}
