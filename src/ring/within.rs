//! A deadline around any future of the task.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::{Ring, TaskId, timer::NEVER};

/// The deadline came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline passed")
    }
}

impl std::error::Error for Elapsed {}

/// A future under a deadline; see [`Ring::within`].
pub struct Within<'r, F> {
    ring: &'r Ring,
    task: TaskId,
    at: u64,
    /// The deadline that was in force around this one, and will be again.
    outer: u64,
    future: F,
}

impl Ring {
    /// Runs a future of the current task for at most `limit`, to the resolution of
    /// [`super::TICK_MS`]. Deadlines nest.
    pub fn within<F: Future>(&self, limit: Duration, future: F) -> Within<'_, F> {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(NEVER);
        self.until(self.now().saturating_add(limit), future)
    }

    /// The same, until the worker's clock ([`Ring::now`]) shows `at`.
    pub fn until<F: Future>(&self, at: u64, future: F) -> Within<'_, F> {
        let task = self.current();
        let mut wheel = self.wheel.borrow_mut();
        let outer = wheel.deadline(task);
        if at < outer {
            wheel.set(task, at);
        }
        Within { ring: self, task, at, outer, future }
    }

    /// Does nothing for a while.
    pub async fn sleep(&self, time: Duration) {
        let _ = self.within(time, std::future::pending::<()>()).await;
    }
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (ring, at) = (self.ring, self.at);
        // SAFETY: the future is pinned structurally: nothing moves it out, `Drop` does not touch
        // it, and `Within` is Unpin only if the future is.
        let future = unsafe { self.map_unchecked_mut(|this| &mut this.future) };
        match future.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if ring.now() >= at => Poll::Ready(Err(Elapsed)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<F> Drop for Within<'_, F> {
    fn drop(&mut self) {
        self.ring.wheel.borrow_mut().set(self.task, self.outer);
    }
}

impl<F> fmt::Debug for Within<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Within").field("at", &self.at).finish_non_exhaustive()
    }
}
