//! Accept: listeners, multishot accept, admission, and what happens when descriptors run out.
//!
//! The invariant: the listener is never lost and the loop never spins. Each worker has listeners
//! of its own (`SO_REUSEPORT`), so no lock and no thundering herd; the kernel spreads connections
//! among them by a hash of their addresses.
//!
//! Room is the lesser of what the worker's own limit leaves and what the limit of all workers leaves.
//! A worker without room closes silent connections of its own, then idle ones. If the limit of all
//! workers is reached and it has too few of either, it asks one other worker in each pause, in turn.
//! A place that becomes free goes to the worker that looks first, and each worker with connections
//! waiting looks once a pause: connections of different workers are not served in the order of their
//! arrival. If there is nothing to close on any worker, new connections wait until one ends, which
//! its deadlines ensure.

#![forbid(unsafe_code)]

mod backoff;
mod listener;
mod per_address;
#[cfg(test)]
mod tests;
mod total;

use std::{
    collections::VecDeque, fmt, future::poll_fn, io, os::fd::OwnedFd, rc::Rc, sync::Arc,
    task::Poll, time::Duration,
};

pub(crate) use backoff::Backoff;
pub(crate) use listener::{BindError, Families, bind};
pub(crate) use per_address::{AddressPlace, PerAddress};
pub(crate) use total::{Total, TotalPlace};

use crate::ring::{AcceptStream, Ring, TcpInfo};

/// How long admission waits before it looks again whether there is room.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// With less room than this, connections are accepted one by one: a multishot accept takes all that
/// are queued, and those without room would hold descriptors that the others may need.
const BURST: usize = 256;

/// Accepted connections of a listener that may wait for room, each as a descriptor and nothing else:
/// as many as its queue holds, which is what one burst may bring. Beyond: closed.
pub(crate) const MOST_WAITING: usize = listener::BACKLOG as usize;

/// Accepted connections whose tasks are started before other tasks run.
const BEGUN_A_TURN: u32 = 16;

/// Connections that are closed for others in one pause, at most.
const MOST_EVICTED: u32 = 64;

/// Connections that are closed for others before other tasks run: an idle one has a close_notify to
/// seal and to send.
const EVICTED_A_TURN: u32 = 8;

/// How long a stopping worker waits for a place for clients that had connected before, in
/// milliseconds from the start of the drain and from each of these clients that gets a place. Idle
/// connections end earlier (the worker checks that), and so does a new connection that completes its
/// handshake and one request within some round trips. The drain's own deadline bounds the sum.
pub(crate) const LAST_GRACE: u64 = 2_000;

/// What the accept stage asks of the worker.
pub(crate) trait Admission {
    /// How many further connections may be served.
    fn room(&self) -> usize;
    /// Whether the worker is stopping.
    fn is_draining(&self) -> bool;
    /// Serves a connection, or closes it at once if it is one too many of its address.
    ///
    /// # Errors
    /// Another worker took the last place of all meanwhile: the connection, which has to wait.
    fn serve(&self, socket: OwnedFd) -> Result<(), OwnedFd>;
    /// Closes a silent connection or, without one, an idle one. False if there is neither.
    fn make_room(&self) -> bool;
    /// Closes the connection that has gone longest without a whole ClientHello. False if there is
    /// none.
    fn close_silent(&self) -> bool;
    /// Asks another worker to make room for so many connections, if the limit of all workers is
    /// what this one lacks room under. Returns at once.
    fn ask_others(&self, wanted: u32);
    /// Counts a pause of accepting.
    fn paused(&self);
    /// Logs a warning, unless there were too many in this second.
    fn warn(&self, what: &dyn fmt::Display);
}

/// Accepts on one listener until the worker stops. Then closes it, so that the kernel gives it no
/// more connections, and serves those that it had accepted by then, as far as there is room.
pub(crate) async fn accept(ring: Rc<Ring>, listener: Arc<OwnedFd>, admission: impl Admission) {
    let mut stream = AcceptStream::new(&ring, &listener);
    let mut backoff = Backoff::default();
    // Accepted in one burst with those that took the last room.
    let mut surplus = VecDeque::new();
    let mut begun = 0;
    while !admission.is_draining() {
        let room = admission.room();
        if room == 0 || (room < BURST && stream.is_multishot()) {
            // So that further connections stay in the kernel's queue, which is bounded.
            surplus.extend(stream.stop().await);
            surplus.truncate(MOST_WAITING);
        }
        if room == 0 {
            admission.paused();
            let wanted = wanted(&listener, surplus.len(), &admission).min(MOST_EVICTED);
            let made = make_room(&ring, &admission, wanted).await;
            if made < wanted {
                admission.ask_others(wanted - made);
            }
            // The tasks of silent connections end in this turn, those of idle ones take a while.
            ring.yield_now().await;
            if admission.room() == 0 {
                ring.sleep(FULL_PAUSE).await;
            }
            continue;
        }
        if let Some(socket) = surplus.pop_front() {
            if let Err(socket) = admission.serve(socket) {
                surplus.push_front(socket);
                continue;
            }
            begun += 1;
            if begun == BEGUN_A_TURN {
                begun = 0;
                ring.yield_now().await;
            }
            continue;
        }
        stream.set_multishot(room >= BURST);
        let accepted = poll_fn(|_| match stream.poll_next() {
            Poll::Pending if admission.is_draining() => Poll::Ready(None),
            accepted => accepted.map(Some),
        });
        match accepted.await {
            None => break,
            Some(Ok(socket)) => {
                backoff.reset();
                surplus.push_back(socket);
            }
            Some(Err(error)) if concerns_one_connection(&error) => {}
            Some(Err(error)) => {
                if is_short_of_descriptors(&error) {
                    for _ in 0..EVICTED_A_TURN {
                        admission.close_silent();
                    }
                }
                let pause = backoff.pause();
                admission.warn(&format_args!("accept: {error}; trying again in {pause:?}"));
                admission.paused();
                ring.sleep(pause).await;
            }
        }
    }
    surplus.extend(stream.stop().await);
    drop(stream);
    // Clients in the queue have connected; closing the listener would reset them. They get places as
    // connections end.
    let mut until = ring.now().saturating_add(LAST_GRACE);
    let mut before = wanted(&listener, surplus.len(), &admission);
    loop {
        if admission.room() == 0 {
            if wanted(&listener, surplus.len(), &admission) == 0 || ring.now() >= until {
                break;
            }
            ring.sleep(FULL_PAUSE).await;
            continue;
        }
        let next = surplus.pop_front().map_or_else(|| next_queued(&listener), Ok);
        let socket = match next {
            Ok(socket) => socket,
            Err(error) if concerns_one_connection(&error) => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => {
                admission.warn(&format_args!("accept: what is queued at the end: {error}"));
                break;
            }
        };
        if let Err(socket) = admission.serve(socket) {
            surplus.push_front(socket);
        } else if let Some(left) = before.checked_sub(1) {
            // The queue keeps its order: this client had connected before the drain. Later ones do
            // not prolong it.
            before = left;
            until = ring.now().saturating_add(LAST_GRACE);
        }
    }
    // A reader of the queue's length may hold it for a moment, and then closes it itself.
    if let Some(listener) = Arc::into_inner(listener) {
        ring.close(listener);
    }
}

/// Closes up to so many silent and idle connections, a few before other tasks run. How many it
/// closed.
pub(crate) async fn make_room(ring: &Ring, admission: &impl Admission, wanted: u32) -> u32 {
    for made in 0..wanted {
        if !admission.make_room() {
            return made;
        }
        if (made + 1).is_multiple_of(EVICTED_A_TURN) {
            ring.yield_now().await;
        }
    }
    wanted
}

/// How many connections wait for room: those in the kernel's queue, and those accepted already. One
/// more if the kernel does not say how many it has.
fn wanted(listener: &OwnedFd, accepted: usize, admission: &impl Admission) -> u32 {
    let queued = match TcpInfo::of(listener) {
        Ok(info) => info.accept_queue().0,
        Err(error) => {
            admission.warn(&format_args!("accept: the length of the queue: {error}"));
            1
        }
    };
    queued.saturating_add(u32::try_from(accepted).unwrap_or(u32::MAX))
}

/// Accepts a connection that is queued, without waiting for one.
fn next_queued(listener: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = rustix::fs::fcntl_getfl(listener)?;
    rustix::fs::fcntl_setfl(listener, flags | rustix::fs::OFlags::NONBLOCK)?;
    Ok(rustix::net::accept_with(listener, rustix::net::SocketFlags::CLOEXEC)?)
}

/// Whether the process or the system has no descriptor for another connection.
fn is_short_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
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
