//! Accept: listeners, multishot accept, admission, and what happens when descriptors run out.
//!
//! The invariant: the listener is never lost and the loop never spins. Each worker has listeners
//! of its own (`SO_REUSEPORT`), so no lock and no thundering herd; the kernel spreads connections
//! among them by a hash of their addresses.

#![forbid(unsafe_code)]

mod backoff;
mod listener;

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

pub use backoff::Backoff;
pub use listener::{BindError, bind};

use crate::ring::{AcceptStream, Ring};

/// How long admission waits before it looks again whether there is room.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// What the accept stage asks of the worker.
pub trait Admission {
    /// Whether another connection may be served.
    fn has_room(&self) -> bool;
    /// Whether the worker is stopping.
    fn is_draining(&self) -> bool;
    /// Serves a connection.
    fn serve(&self, socket: OwnedFd);
    /// Takes note that accepting paused.
    fn paused(&self);
}

/// Accepts on one listener until the worker stops; then closes it, so that the kernel sends no
/// more connections this way, and serves what it had accepted by then, as far as there is room.
pub async fn accept(ring: Rc<Ring>, listener: Arc<OwnedFd>, admission: impl Admission) {
    let mut stream = AcceptStream::new(&ring, listener.as_fd());
    let mut backoff = Backoff::default();
    // Accepted in one go with those that took the last room: they wait for theirs.
    let mut surplus = VecDeque::new();
    while !admission.is_draining() {
        if !admission.has_room() {
            // Disarmed, so that waiting connections stay in the kernel's queue: it is bounded,
            // and another worker's limit may not have been reached.
            surplus.extend(stream.stop().await);
            admission.paused();
            ring.sleep(FULL_PAUSE).await;
            continue;
        }
        if let Some(socket) = surplus.pop_front() {
            admission.serve(socket);
            continue;
        }
        let accepted = poll_fn(|_| match stream.poll_next() {
            Poll::Pending if admission.is_draining() => Poll::Ready(None),
            accepted => accepted.map(Some),
        });
        match accepted.await {
            None => break,
            Some(Ok(socket)) => {
                backoff.reset();
                admission.serve(socket);
            }
            Some(Err(error)) if concerns_one_connection(&error) => {}
            Some(Err(error)) => {
                let pause = backoff.pause();
                log::warn!("accept: {error}; trying again in {pause:?}");
                admission.paused();
                ring.sleep(pause).await;
            }
        }
    }
    surplus.extend(stream.stop().await);
    for socket in surplus {
        if admission.has_room() {
            admission.serve(socket);
        } else {
            ring.close(socket);
        }
    }
    // Who is in the queue already has connected; closing the listener would reset them, as it does
    // those for whom there is no room.
    while admission.has_room()
        && let Some(socket) = next_queued(&listener)
    {
        admission.serve(socket);
    }
    // Whoever looks at the listener's queue at this moment closes it a moment later.
    if let Some(listener) = Arc::into_inner(listener) {
        ring.close(listener);
    }
}

/// Accepts what is queued, without waiting.
fn next_queued(listener: &OwnedFd) -> Option<OwnedFd> {
    let flags = rustix::fs::fcntl_getfl(listener).ok()?;
    rustix::fs::fcntl_setfl(listener, flags | rustix::fs::OFlags::NONBLOCK).ok()?;
    rustix::net::accept_with(listener, rustix::net::SocketFlags::CLOEXEC).ok()
}

/// Errors of a connection that died in the queue (accept(2)), not of the listener.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::EPERM
        )
    )
}
