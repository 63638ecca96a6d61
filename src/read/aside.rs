//! Giving the worker's buffers back while the peer takes no response. The invariant: a connection
//! that has waited for its peer for a while holds none of them, however much the peer has sent.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use super::{Reader, held::Held};
use crate::ring::Arrived;

impl Reader {
    /// Moves what has arrived out of the worker's buffers and receives nothing more until the next
    /// fill: for as long as its peer takes no response, a connection has no right to them. False
    /// if there is no memory for that either; then the connection must be cut.
    #[must_use]
    pub(crate) fn set_aside(&mut self) -> bool {
        let kernel = self.is_kernel();
        let pool = self.ring.receive_pool();
        if let Some(bytes) = self.held.as_mut().map(Held::bytes_mut)
            && let Arrived::Lease(lease) = bytes
        {
            let Some(moved) = pool.set_aside(lease) else { return false };
            self.taken.note_copy(kernel, lease.len());
            *bytes = Arrived::Aside(moved);
        }
        while let Some(lease) = self.stream.next_if_ready() {
            let Some(moved) = pool.set_aside(&lease) else { return false };
            self.taken.note_copy(kernel, lease.len());
            self.aside.push_back(Arrived::Aside(moved));
        }
        self.stream.pause();
        true
    }

    /// Awaits something that is sent. If that takes longer than `patience`, the connection holds no
    /// buffers of the worker's meanwhile. None if there is no memory to hold what came in them;
    /// then the connection must be cut.
    pub(crate) fn aside_while<'a, F: Future>(
        &'a mut self,
        patience: Duration,
        mut sent: Pin<&'a mut F>,
    ) -> impl Future<Output = Option<F::Output>> + 'a {
        let until = self.bears_until(patience);
        poll_fn(move |cx| match sent.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.bears(until) => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        })
    }

    /// When the worker's clock will show that something which is sent from now on has taken longer than
    /// `patience`.
    pub(crate) fn bears_until(&self, patience: Duration) -> u64 {
        self.ring.now().saturating_add(patience.as_millis() as u64)
    }

    /// Whether to wait on for something that is sent: from `until` on the connection holds no buffers of the
    /// worker's meanwhile. False if there is no memory to hold what came in them; then the connection
    /// must be cut.
    #[must_use]
    pub(crate) fn bears(&mut self, until: u64) -> bool {
        self.ring.now() < until || self.set_aside()
    }
}
