//! Connections without TLS: HTTP/1.1 as it comes. The journey is the same without its handshake.
//!
//! Until its first bytes come, a connection is as little as one that has sent no ClientHello, and is
//! closed for newcomers as those are.

use std::{os::fd::OwnedFd, rc::Rc, time::Duration};

use super::{
    Context, DRAIN_GRACE, Session, clock, conclude, establish::EstablishError, failed, h1,
};
use crate::{
    close,
    observe::ConnectionClock,
    process::site::Via,
    read::Reader,
    ring::{ReceiveStream, Received, RecvBuf, Socket},
    write::Writer,
};

/// A connection whose client has sent something.
#[derive(Debug)]
pub(crate) struct FirstBytes {
    /// Dropped before the socket, since it receives from it.
    stream: ReceiveStream,
    bytes: RecvBuf,
    clock: ConnectionClock,
    socket: Socket,
}

/// Waits for the first bytes of an accepted connection. `None` if the connection ended first: it was
/// closed, at the deadline for a head, for a newcomer or for a drain.
pub(crate) async fn await_first_bytes(context: &Rc<Context>, fd: OwnedFd) -> Option<FirstBytes> {
    let _place = context.occupancy.admit();
    context.count(|counts| counts.accepted += 1);
    let socket = Socket::new(&context.ring, fd);
    let mut clock = clock(context, &socket);
    let mut stream = ReceiveStream::single(&context.ring, &socket);
    let began = context.ring.now();
    let waiting = context.occupancy.awaits_hello();
    let received = context.unless_draining(stream.next(), began, DRAIN_GRACE);
    let limit = context.terms().timeouts.head;
    let ended = context.ring.within(limit, waiting.unless_evicted(received)).await;
    drop(waiting);
    let error = match ended {
        Ok(Some(Some(Received::Data(bytes)))) => {
            clock.without_tls();
            return Some(FirstBytes { stream, bytes, clock, socket });
        }
        Ok(Some(Some(Received::End))) => EstablishError::Socket(None),
        Ok(Some(Some(Received::Failed(error)))) => EstablishError::Socket(Some(error)),
        Ok(Some(None)) => EstablishError::Draining,
        Ok(None) => EstablishError::Evicted,
        Err(elapsed) => elapsed.into(),
    };
    if matches!(error, EstablishError::Evicted) {
        // As it is done before a ClientHello.
        let _ = rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
    }
    failed(context, &socket, &clock, &error);
    None
}

/// Serves a connection without TLS from its first bytes to its end.
pub(crate) async fn serve_plain(context: Rc<Context>, first: FirstBytes, via: Via) {
    let _place = context.occupancy.admit();
    let FirstBytes { stream, bytes, clock, socket } = first;
    let ring = &context.ring;
    let reader = Reader::plain(ring, stream, bytes);
    let writer = Writer::plain(ring, &context.terms().timeouts);
    let mut session = Session::plain(reader, writer, clock, via);
    let ending = h1::serve(&context, &socket, &mut session).await;
    conclude(&context, &socket, &mut session, ending);
    let Session { reader, writer, mut clock, .. } = session;
    let limit = context.terms().timeouts.close;
    Box::pin(close::close(ring, socket, reader, writer, ending, limit)).await;
    clock.closed();
}
