//! A connection: one task that walks the stages.
//!
//! [`await_hello`] and [`serve`] are the journey in code: a ClientHello, the handshake, then requests
//! one after the other, then close. They are tasks of their own, so that a connection which has sent
//! nothing has the memory of the first one only.
//! The invariant: whatever ends a connection, every operation of it has completed or been
//! cancelled before its descriptor is closed, and all memory that it was lent is given back.

#![forbid(unsafe_code)]

mod accepted;
mod client;
mod context;
mod encoders;
mod establish;
mod exchange;
mod guard;
mod h1;
mod h2;
mod hello;
mod idle;
mod ktls_plan;
mod log_limit;
mod occupancy;
mod places;
mod plain;
mod session;
mod sites;
mod steps;
mod wall_time;
mod why;

use std::{net::SocketAddr, pin::Pin, rc::Rc};

pub(crate) use accepted::{Accepted, await_announcement};
pub(crate) use context::Context;
pub(crate) use context::DRAIN_GRACE;
pub(crate) use hello::{Hello, await_hello};
pub(crate) use ktls_plan::KtlsPlan;
pub(crate) use plain::{await_first_bytes, serve_plain};
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use sites::hold as sites_hold;
pub(crate) use sites::{Generation, Rates, SitePlan};

pub(crate) use crate::process::site::Via;

use crate::{
    close,
    observe::{ConnectionClock, RequestClock, Why},
    ring::{Socket, TcpInfo},
    tls::Protocol,
};
use establish::EstablishError;
use session::Session;

/// The kernel is asked for the round-trip time of each so many connections when they end: asking
/// all of them would cost a system call for each, and say no more of their distribution.
const ROUND_TRIP_EVERY: u64 = 8;

/// Serves a connection from its ClientHello to its end, and drops `places` then. A future around this
/// one that held them would store the arguments a second time, for as long as the connection lasts.
pub(crate) fn serve<P>(context: Rc<Context>, hello: Hello, places: P) -> impl Future<Output = ()> {
    let Hello { opening, socket } = hello;
    // Boxed, so that a connection that waits for requests does not carry the handshake's state.
    let opening = Box::new(opening);
    async move {
        let _place = context.occupancy.admit();
        let clock = opening.clock.clone();
        let mut session = match boxed(|| establish::establish(&context, &socket, *opening)).await {
            Ok(session) => session,
            Err(error) => return failed(&context, &socket, &clock, &error),
        };
        drop(clock);
        context.count(|counts| counts.handshakes += 1);
        let ending = match session.protocol {
            Protocol::Http1 => {
                let mut clock = RequestClock::default();
                match h1::serve(&context, &socket, &mut session, &mut clock).await {
                    Ok(ending) => ending,
                    Err(stop) => {
                        boxed(|| h1::stop(&context, &socket, &mut session, &mut clock, stop)).await
                    }
                }
            }
            // Boxed: a connection of HTTP/1 does not carry the state of the other.
            Protocol::Http2 => boxed(|| h2::serve(&context, &socket, &mut session)).await,
        };
        let limit = context.terms().timeouts.close;
        conclude(&context, &socket, &mut session, ending);
        let Session { reader, writer, .. } = session;
        // Boxed for the same reason.
        boxed(|| close::close(&context.ring, socket, reader, writer, ending, limit)).await;
        session.clock.closed();
        // Not moved, so that the task needs no flag that says whether it was.
        let _ = &places;
    }
}

/// A future on the heap that is made apart, and polled by its table. Where it were made or polled in the
/// function that awaits it, each poll of that would set room for its state and its variables aside on the
/// stack: ten kilobytes, which lie between what every request touches.
#[inline(never)]
fn boxed<'f, F: Future + 'f>(
    make: impl FnOnce() -> F,
) -> Pin<Box<dyn Future<Output = F::Output> + 'f>> {
    Box::pin(make())
}

/// Takes note of how a session has ended, before it is closed.
fn conclude(context: &Context, socket: &Socket, session: &mut Session, ending: close::Ending) {
    if let close::Ending::Defect(what) = ending {
        context.defect(&what);
        session.clock.ends(Why::ServerDefect);
    }
    if session.clock.why().is_some_and(Why::is_deadline) {
        context.count(|counts| counts.timed_out += 1);
    }
    let asks = context.counts().handshakes % ROUND_TRIP_EVERY == 1;
    let round_trip = asks.then(|| sampled(context, socket).map(TcpInfo::round_trip)).flatten();
    session.clock.closing(round_trip, session.reader.take_taken());
}

/// Takes note that a connection ended before it had a session.
fn failed(context: &Context, socket: &Socket, clock: &ConnectionClock, error: &EstablishError) {
    let why = why::of_establish(error);
    clock.ends(why);
    if why.is_deadline() {
        context.count(|counts| counts.timed_out += 1);
    }
    if error.is_client_certificate() && context.may_log() {
        let peer = client(socket, clock).map_or_else(String::new, |peer| format!("{peer}: "));
        log::info!("{peer}refused for the client's certificate: {error}");
    } else if error.is_announcement() {
        context.count(|counts| counts.refused_announcements += 1);
        if context.may_log() {
            let peer = peer(socket).map_or_else(String::new, |peer| format!("{peer}: "));
            log::warn!("accept: {peer}{error}");
        }
    } else {
        log::debug!("handshake: {error}");
    }
    context.count(|counts| counts.failed_handshakes += 1);
}

/// The clock of a connection that has just been accepted.
fn clock(context: &Context, socket: &Socket) -> ConnectionClock {
    let peer = context.observer.logs().then(|| peer(socket)).flatten();
    let waited = sampled(context, socket).map(TcpInfo::unsent_for);
    ConnectionClock::accepted(&context.observer, peer, waited)
}

/// The client's address, as a balancer announced it, else that of the other end; None once the
/// connection is gone.
fn client(socket: &Socket, clock: &ConnectionClock) -> Option<SocketAddr> {
    clock.announced().map(|(client, _)| client).or_else(|| peer(socket))
}

/// Who is at the other end; None once the connection is gone.
fn peer(socket: &Socket) -> Option<SocketAddr> {
    let peer = rustix::net::getpeername(socket).ok().flatten();
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok())?;
    // An IPv4 address that came by a listener of both families is that address.
    Some(SocketAddr::new(peer.ip().to_canonical(), peer.port()))
}

/// How long ago the kernel received data on a connection last, in nanoseconds; None once the
/// connection is gone.
fn received_ago(socket: &Socket) -> Option<u64> {
    TcpInfo::of(socket).ok().map(TcpInfo::received_ago)
}

/// The kernel's figures of a connection, if they are recorded.
fn sampled(context: &Context, socket: &Socket) -> Option<TcpInfo> {
    context.observer.is_enabled().then(|| TcpInfo::of(socket).ok()).flatten()
}

#[cfg(test)]
mod tests {
    /// What an idle connection keeps: all of it in one piece, so that the executor can ask for it
    /// before it is needed, but for the keys of the AEAD and of the schedule.
    #[test]
    fn the_task_of_a_connection_is_small() {
        fn size_of_future<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = size_of_future(|context, hello| super::serve(context, hello, ()));
        assert!(bytes <= 2464, "the task of a connection has grown to {bytes} bytes");
        let bytes = size_of_future(|context: std::rc::Rc<super::Context>, fd| async move {
            super::await_hello(&context, super::Accepted::new(&context, fd)).await;
        });
        assert!(bytes <= 800, "the task of a silent connection has grown to {bytes} bytes");
    }
}
