//! From an accepted connection to a whole ClientHello.
//!
//! Until then a connection is a descriptor, a receive in flight and a small task: nothing of TLS is
//! set up, no receive buffer is held, and no place of a handshake is taken. The invariant: where
//! connections are short, the one that has gone longest without a whole ClientHello is closed (see
//! [`Context::evict`]), so silent connections never keep newcomers out.

use std::{os::fd::OwnedFd, rc::Rc, time::Duration};

use super::{Context, DRAIN_GRACE, clock, establish::EstablishError, failed};
use crate::{
    handshake::is_partial_hello,
    observe::ConnectionClock,
    ring::{ReceiveStream, Received, RecvBuf, Socket},
};

/// A connection whose client has sent a whole ClientHello, or what cannot become one.
#[derive(Debug)]
pub(crate) struct Hello {
    /// Dropped before the socket, since it receives from it.
    pub(super) opening: Opening,
    pub(super) socket: Socket,
}

/// What a handshake begins with.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) stream: ReceiveStream,
    pub(super) clock: ConnectionClock,
    pub(super) bytes: HelloBytes,
    /// When the handshake must be complete, on the worker's clock.
    pub(super) deadline: u64,
}

/// All that a client has sent.
#[derive(Debug)]
pub(super) enum HelloBytes {
    /// In the buffer in which they arrived.
    Lease(RecvBuf),
    /// In memory of their own: they arrived in several parts, or had to wait.
    Gathered(Vec<u8>),
}

impl HelloBytes {
    /// Gives the receive buffer back.
    pub(super) fn gather(&mut self) {
        if let Self::Lease(lease) = self {
            *self = Self::Gathered(lease.to_vec());
        }
    }
}

impl std::ops::Deref for HelloBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lease(lease) => lease,
            Self::Gathered(bytes) => bytes,
        }
    }
}

/// Waits for the ClientHello of an accepted connection. `None` if the connection ended first: it
/// was closed, at the handshake's deadline, for a newcomer or for a drain.
pub(crate) async fn await_hello(context: &Rc<Context>, fd: OwnedFd) -> Option<Hello> {
    let _place = context.occupancy.admit();
    context.count(|counts| counts.accepted += 1);
    let socket = Socket::new(&context.ring, fd);
    let clock = clock(context, &socket);
    let mut stream = ReceiveStream::single(&context.ring, &socket);
    let began = context.ring.now();
    let limit = u64::try_from(context.terms().timeouts.handshake.as_millis()).unwrap_or(u64::MAX);
    let deadline = began.saturating_add(limit);
    let waiting = context.occupancy.awaits_hello();
    let gathered = context.unless_draining(gather(&mut stream), began, DRAIN_GRACE);
    let ended = context.ring.until(deadline, waiting.unless_evicted(gathered)).await;
    drop(waiting);
    let error = match ended {
        Ok(Some(Some(Ok(bytes)))) => {
            return Some(Hello { opening: Opening { stream, clock, bytes, deadline }, socket });
        }
        Ok(Some(Some(Err(error)))) => error,
        Ok(Some(None)) => EstablishError::Draining,
        Ok(None) => EstablishError::Evicted,
        Err(elapsed) => elapsed.into(),
    };
    if matches!(error, EstablishError::Evicted) {
        // By a reset, so that nothing of it stays in the kernel. Without it the connection ends by
        // FIN, which is an end too.
        let _ = rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
    }
    failed(context, &socket, &clock, &error);
    None
}

/// Receives until the ClientHello is whole. A receive buffer is held only if all is in it.
async fn gather(stream: &mut ReceiveStream) -> Result<HelloBytes, EstablishError> {
    let mut gathered = Vec::new();
    loop {
        let lease = match stream.next().await {
            Received::Data(lease) => lease,
            Received::End => return Err(EstablishError::Socket(None)),
            Received::Failed(error) => return Err(EstablishError::Socket(Some(error))),
        };
        if gathered.is_empty() && !is_partial_hello(&lease) {
            return Ok(HelloBytes::Lease(lease));
        }
        gathered.reserve_exact(lease.len());
        gathered.extend_from_slice(&lease);
        if !is_partial_hello(&gathered) {
            return Ok(HelloBytes::Gathered(gathered));
        }
    }
}
