//! The tokio runtime that applications find entered on every worker.
//!
//! Workers poll applications themselves; the runtime only drives what they use of tokio: timers,
//! sockets, files, spawned tasks. Without the feature there is none, and an application brings
//! whatever drives its own futures.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

#[cfg(feature = "tokio")]
use tokio::runtime::Handle;

/// How much nicer the threads of a runtime of ours are than those that start it (nice(2)). On one of them
/// tokio's driver waits for sockets and timers. With the same priority each event of its lets it interrupt a
/// worker that is busy on the same CPU; with less it waits until the worker waits or has had its time, and
/// then finds many events at once.
#[cfg(feature = "tokio")]
const NICER: i32 = 5;

/// The runtime of a server.
#[derive(Debug, Default)]
pub(crate) struct Runtime {
    #[cfg(feature = "tokio")]
    handle: Option<Handle>,
    /// Made by the server itself, and ended with it.
    #[cfg(feature = "tokio")]
    own: Option<tokio::runtime::Runtime>,
}

/// A way to it, for a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuntimeHandle {
    #[cfg(feature = "tokio")]
    handle: Option<Handle>,
}

#[cfg_attr(
    not(feature = "tokio"),
    allow(clippy::unused_self, reason = "there is a runtime with `tokio` alone")
)]
impl Runtime {
    /// The one that is given; else the one that the caller is in; else one of its own, with as many
    /// threads as there are CPUs, at a lower priority than the workers.
    ///
    /// # Errors
    /// There are no threads to be had.
    #[cfg(feature = "tokio")]
    pub(crate) fn choose(given: Option<Handle>) -> std::io::Result<Self> {
        if let Some(handle) = given.or_else(|| Handle::try_current().ok()) {
            return Ok(Self { handle: Some(handle), own: None });
        }
        let own = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .on_thread_start(nicer_than_this_thread())
            .build()?;
        Ok(Self { handle: Some(own.handle().clone()), own: Some(own) })
    }

    /// A way to it.
    pub(crate) fn handle(&self) -> RuntimeHandle {
        RuntimeHandle {
            #[cfg(feature = "tokio")]
            handle: self.handle.clone(),
        }
    }

    /// Ends a runtime of our own, without waiting for what runs in it.
    pub(crate) fn end(&mut self) {
        #[cfg(feature = "tokio")]
        if let Some(own) = self.own.take() {
            own.shutdown_background();
        }
    }
}

/// Sets the priority of the thread that calls it, by that of the present one. Threads inherit theirs from the
/// thread that starts them, which may be a worker or one of the runtime.
#[cfg(feature = "tokio")]
fn nicer_than_this_thread() -> impl Fn() + Send + Sync + 'static {
    let nice = rustix::process::getpriority_process(None).map(|own| own.saturating_add(NICER));
    move || {
        // A thread may always be made nicer; if not, it works all the same.
        if let Err(error) = nice.and_then(|nice| rustix::process::setpriority_process(None, nice)) {
            log::debug!("runtime: the priority of a thread stays: {error}");
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg_attr(
    not(feature = "tokio"),
    allow(clippy::unused_self, reason = "there is a runtime with `tokio` alone")
)]
impl RuntimeHandle {
    /// Runs `work` with the runtime entered.
    pub(crate) fn entered<T>(&self, work: impl FnOnce() -> T) -> T {
        #[cfg(feature = "tokio")]
        let _entered = self.handle.as_ref().map(Handle::enter);
        work()
    }

    /// What drives the tasks that applications spawn on this thread alone (`spawn_local`), and lets them
    /// do that while the result of [`LocalTasks::enter`] lives.
    #[cfg(feature = "tokio")]
    pub(crate) fn local_tasks() -> LocalTasks {
        LocalTasks(tokio::task::LocalSet::new())
    }

    /// Runs a future to its end on this thread, which nothing else needs meanwhile.
    pub(crate) fn finish<T>(&self, future: impl Future<Output = T>) -> T {
        #[cfg(feature = "tokio")]
        if let Some(handle) = &self.handle {
            return handle.block_on(future);
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            thread::park();
        }
    }
}

/// The local tasks of a worker's thread.
#[cfg(feature = "tokio")]
#[derive(Debug)]
pub(crate) struct LocalTasks(tokio::task::LocalSet);

#[cfg(feature = "tokio")]
impl LocalTasks {
    /// From here on tasks can be spawned, until the result is dropped.
    pub(crate) fn enter(&self) -> tokio::task::LocalEnterGuard {
        self.0.enter()
    }

    /// Polls the tasks. `waker` is called when there are new ones or one goes on, also if there are
    /// none now.
    pub(crate) fn poll(&mut self, waker: &Waker) {
        // The set of tasks does not end: its waker is called when there is more to do.
        let _ = std::pin::Pin::new(&mut self.0).poll(&mut Context::from_waker(waker));
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_is_run_to_its_end_with_and_without_a_runtime() {
        let without = RuntimeHandle::default();
        let mut polls = 0;
        let output = without.finish(std::future::poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls < 3 { Poll::Pending } else { Poll::Ready(polls) }
        }));
        assert_eq!(output, 3);
        #[cfg(feature = "tokio")]
        {
            let runtime = Runtime::choose(None).unwrap();
            let moment = std::time::Duration::from_millis(1);
            runtime.handle().finish(async move { tokio::time::sleep(moment).await });
            runtime.handle().entered(|| tokio::spawn(async {}));
        }
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn threads_of_a_runtime_of_our_own_leave_workers_their_time() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let runtime = Runtime::choose(None).unwrap();
        let (spawned, blocking) = runtime.handle().finish(async move {
            // The second is started by the first, or by this thread.
            let spawned = tokio::spawn(async move { nice() }).await.unwrap();
            (spawned, tokio::task::spawn_blocking(nice).await.unwrap())
        });
        // No thread is nicer than 19.
        let expected = (nice() + NICER).min(19);
        assert_eq!((spawned, blocking), (expected, expected));
    }
}
