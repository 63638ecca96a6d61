//! A deadline around any future of the task.
//!
//! A task begins each poll without a deadline ([`Ring::set_current`]), and every `Within` that is
//! still pending lowers it to its own. So what is on the wheel after a poll is the earliest
//! deadline of all futures that the task waits for then, however they nest or lie side by side,
//! and in whatever order they end.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::{Ring, timer::NEVER};

/// The deadline came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline passed")
    }
}

impl std::error::Error for Elapsed {}

/// A future under a deadline; see [`Ring::within`].
pub(crate) struct Within<'r, F> {
    ring: &'r Ring,
    at: u64,
    future: F,
}

impl Ring {
    /// Runs a future for at most `limit` from now, to the resolution of [`super::timer::TICK_MS`]. A
    /// future that is ready at once is not late, even if the limit is zero. Polled outside of a task
    /// it wakes nobody: there it only fails once the time has passed.
    pub(crate) fn within<F: Future>(&self, limit: Duration, future: F) -> Within<'_, F> {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(NEVER);
        self.until(self.now().saturating_add(limit), future)
    }

    /// The same, until the worker's clock ([`Ring::now`]) shows `at`.
    pub(crate) fn until<F: Future>(&self, at: u64, future: F) -> Within<'_, F> {
        Within { ring: self, at, future }
    }

    /// Ready once the worker's clock shows `at`; until then it is a deadline of the current task.
    pub(crate) fn poll_until(&self, at: u64) -> Poll<()> {
        if self.now() >= at {
            return Poll::Ready(());
        }
        self.deadline.set(Some(self.deadline.get().map_or(at, |earliest| earliest.min(at))));
        Poll::Pending
    }

    /// Does nothing for a while.
    pub(crate) async fn sleep(&self, time: Duration) {
        // Time passes, which is what is awaited.
        let _ = self.within(time, std::future::pending::<()>()).await;
    }
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (ring, at) = (self.ring, self.at);
        // SAFETY: the future is pinned structurally: nothing moves it out, there is no `Drop`, and
        // `Within` is Unpin only if the future is.
        let future = unsafe { self.map_unchecked_mut(|this| &mut this.future) };
        if let Poll::Ready(output) = future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        ring.poll_until(at).map(|()| Err(Elapsed))
    }
}

impl<F> fmt::Debug for Within<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Within").field("at", &self.at).finish_non_exhaustive()
    }
}
