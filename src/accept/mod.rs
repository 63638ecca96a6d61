//! Accept: listeners, multishot accept, admission, and what happens when descriptors run out.
//!
//! The invariant: the listener is never lost and the loop never spins. Each worker has listeners
//! of its own (`SO_REUSEPORT`), so no lock and no thundering herd; the kernel spreads connections
//! among them by a hash of their addresses.
//!
//! Room is what the worker has and what is left of the places of all, the lesser of both. At the
//! limit of all, a worker lets its own idle connections give way first; if it has too few, it asks
//! one other worker in each pause, in turn. Whatever comes free is for the worker that looks first,
//! and each that has somebody waiting looks once a pause: nobody is served in the order of arrival
//! across workers, and nobody who waits is passed over for longer than chance has it. If no
//! connection is idle anywhere, those that wait do so until one ends, which its deadlines see to.

#![forbid(unsafe_code)]

mod backoff;
mod listener;
mod per_address;
#[cfg(test)]
mod tests;
mod total;

use std::{
    collections::VecDeque, future::poll_fn, io, os::fd::OwnedFd, rc::Rc, sync::Arc, task::Poll,
    time::Duration,
};

pub use backoff::Backoff;
pub use listener::{BindError, Families, bind};
pub use per_address::{AddressPlace, PerAddress};
pub use total::{Total, TotalPlace};

use crate::ring::{AcceptStream, Ring, TcpInfo};

/// How long admission waits before it looks again whether there is room.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// Below so much room, connections are accepted one by one: a multishot accept takes all that are
/// queued, and those that find no room would hold descriptors that those that did may need.
const BURST: usize = 256;

/// Accepted connections of a listener that may wait for room, as a descriptor and nothing else: as
/// many as its queue holds, which is what a burst may bring. Those that came while it was being
/// taken in, and find no place here either, are closed.
pub(crate) const MOST_WAITING: usize = listener::BACKLOG as usize;

/// Connections that are begun in one go before other tasks have their turn.
const BEGUN_A_TURN: u32 = 16;

/// Connections that are made to give way in one pause, at most, so that the loop does other things.
const MOST_EVICTED: u32 = 64;

/// Those of them that are told in one go before other tasks have their turn: each has a close_notify
/// to seal and to send.
const EVICTED_A_TURN: u32 = 8;

/// How long a stopping worker looks for room for those who had connected before, in milliseconds.
const LAST_GRACE: u64 = 500;

/// What the accept stage asks of the worker.
pub trait Admission {
    /// How many further connections may be served.
    fn room(&self) -> usize;
    /// Whether the worker is stopping.
    fn is_draining(&self) -> bool;
    /// Serves a connection, or closes it at once if it is one too many of its address.
    ///
    /// # Errors
    /// Another worker took the last place of all meanwhile: the connection, which has to wait.
    fn serve(&self, socket: OwnedFd) -> Result<(), OwnedFd>;
    /// Closes a silent connection, or an idle one. False if there is none that may be disturbed.
    fn make_room(&self) -> bool;
    /// Closes a connection whose client has sent no whole ClientHello, the oldest first. False if
    /// there is none that may be disturbed.
    fn close_silent(&self) -> bool;
    /// So many connections wait for room that this worker cannot make. If it is the places of all
    /// workers that are taken, asks another one to make some; returns at once.
    fn ask_others(&self, wanted: u32);
    /// Takes note that accepting paused.
    fn paused(&self);
}

/// Accepts on one listener until the worker stops; then closes it, so that the kernel sends no
/// more connections this way, and serves what it had accepted by then, as far as there is room.
pub async fn accept(ring: Rc<Ring>, listener: Arc<OwnedFd>, admission: impl Admission) {
    let mut stream = AcceptStream::new(&ring, &listener);
    let mut backoff = Backoff::default();
    // Accepted in one go with those that took the last room: they wait for theirs.
    let mut surplus = VecDeque::new();
    let mut begun = 0;
    while !admission.is_draining() {
        let room = admission.room();
        if room == 0 || (room < BURST && stream.is_multishot()) {
            // Disarmed, so that waiting connections stay in the kernel's queue: it is bounded,
            // and another worker's limit may not have been reached.
            surplus.extend(stream.stop().await);
            surplus.truncate(MOST_WAITING);
        }
        if room == 0 {
            admission.paused();
            let wanted = wanted(&listener, surplus.len()).min(MOST_EVICTED);
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
                log::warn!("accept: {error}; trying again in {pause:?}");
                admission.paused();
                ring.sleep(pause).await;
            }
        }
    }
    surplus.extend(stream.stop().await);
    drop(stream);
    // Who is in the queue already has connected; closing the listener would reset them. There is
    // room for them as fast as idle connections end.
    let until = ring.now().saturating_add(LAST_GRACE);
    loop {
        if admission.room() == 0 {
            if wanted(&listener, surplus.len()) == 0 || ring.now() >= until {
                break;
            }
            ring.sleep(FULL_PAUSE).await;
            continue;
        }
        let Some(socket) = surplus.pop_front().or_else(|| next_queued(&listener)) else { break };
        if let Err(socket) = admission.serve(socket) {
            surplus.push_front(socket);
        }
    }
    // Whoever looks at the listener's queue at this moment closes it a moment later.
    if let Some(listener) = Arc::into_inner(listener) {
        ring.close(listener);
    }
}

/// Makes so many idle connections give way, a few in one go. How many did.
pub async fn make_room(ring: &Ring, admission: &impl Admission, wanted: u32) -> u32 {
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

/// How many connections look for room: those in the kernel's queue, and those accepted already.
fn wanted(listener: &OwnedFd, accepted: usize) -> u32 {
    let queued = TcpInfo::of(listener).map_or(0, |info| info.accept_queue().0);
    queued.saturating_add(u32::try_from(accepted).unwrap_or(u32::MAX))
}

/// Accepts what is queued, without waiting.
fn next_queued(listener: &OwnedFd) -> Option<OwnedFd> {
    let flags = rustix::fs::fcntl_getfl(listener).ok()?;
    rustix::fs::fcntl_setfl(listener, flags | rustix::fs::OFlags::NONBLOCK).ok()?;
    rustix::net::accept_with(listener, rustix::net::SocketFlags::CLOEXEC).ok()
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
