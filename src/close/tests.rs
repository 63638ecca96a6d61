//! Closing over a scripted ring whose operations do not end.

use std::{
    future::Future,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{Ending, close};
use crate::{
    config::Timeouts,
    read::Reader,
    record::{Suite, TlsVersion, TrafficKeys},
    ring::{
        ReceiveStream, RingConfig, Socket, TaskId,
        sim::{SimKernel, socket_pair},
    },
    write::Writer,
};

const LIMIT: Duration = Duration::from_secs(2);

fn keys() -> TrafficKeys {
    TrafficKeys::new(Suite::Aes128Gcm, TlsVersion::Tls13, &[1; 16], [2; 12], 0).unwrap()
}

/// Neither a send nor a cancel ever completes; the close ends all the same, at its limit.
#[test]
fn operations_that_do_not_end_hold_no_close_up() {
    for ending in [Ending::Reset, Ending::Defect("x"), Ending::CloseNotify, Ending::Linger] {
        let kernel = SimKernel::new(&RingConfig::small()).unwrap();
        let ring = Rc::clone(kernel.ring());
        ring.set_current(TaskId::first(0));
        let (ours, _theirs) = socket_pair().unwrap();
        let socket = Socket::new(&ring, ours);
        let writer = Writer::new(&ring, &keys(), false, &Timeouts::default());
        let stream = ReceiveStream::single(&ring, &socket);
        let mut reader = Reader::new(&ring, stream, keys(), false, None);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(reader.fill(&socket)).poll(&mut cx).is_pending());
        ring.turn().unwrap();
        assert_eq!(ring.counts().cancels, 0);

        let mut closing = pin!(close(&ring, socket, reader, writer, ending, LIMIT));
        let mut waited = Duration::ZERO;
        let step = Duration::from_millis(100);
        loop {
            ring.set_current(TaskId::first(0));
            if let Poll::Ready(()) = closing.as_mut().poll(&mut cx) {
                break;
            }
            assert!(waited <= LIMIT + step, "{ending:?} waits for ever");
            ring.take_ready(&mut Vec::new(), usize::MAX);
            ring.turn().unwrap();
            kernel.advance(step);
            waited += step;
        }
        assert!(waited >= LIMIT, "{ending:?} did not wait: {waited:?}");
        assert!(ring.counts().cancels > 0, "{ending:?} cancels nothing");
    }
}
