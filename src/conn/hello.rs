//! From an accepted connection to a whole ClientHello.
//!
//! Until then a connection is a descriptor, a receive in flight and a small task: nothing of TLS is
//! set up, no receive buffer is held, and no place of a handshake is taken. The invariant: where
//! connections are short, the one that has gone longest without a whole ClientHello is closed (see
//! [`Context::evict`]), so silent connections never keep newcomers out.

use std::{pin::pin, rc::Rc};

use super::{Accepted, Context, accepted::ended, establish::EstablishError};
use crate::{
    handshake::is_partial_hello,
    observe::ConnectionClock,
    parse::is_proxy_header,
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
#[allow(
    clippy::manual_async_fn,
    reason = "what an async block captures is there once, arguments of an async function twice"
)]
pub(crate) fn await_hello(
    context: &Rc<Context>,
    mut accepted: Accepted,
) -> impl Future<Output = Option<Hello>> {
    async move {
        let _place = context.occupancy.admit();
        let limit = context.terms().timeouts.handshake;
        let began = accepted.began;
        let early = accepted.take_early();
        let hello = {
            let hello = pin!(gather(&mut accepted.stream, early));
            Accepted::first(context, began, limit, hello).await
        };
        match hello {
            Ok(bytes) => {
                let Accepted { stream, clock, socket, .. } = accepted;
                let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
                let deadline = began.saturating_add(limit);
                Some(Hello { opening: Opening { stream, clock, bytes, deadline }, socket })
            }
            Err(error) => {
                ended(context, &accepted.socket, &accepted.clock, &error);
                None
            }
        }
    }
}

/// Receives until the ClientHello is whole. A receive buffer is held only if all is in it. `gathered`
/// came with a PROXY header.
async fn gather(
    stream: &mut ReceiveStream,
    mut gathered: Vec<u8>,
) -> Result<HelloBytes, EstablishError> {
    if !gathered.is_empty() && !is_partial_hello(&gathered) {
        return unless_announcing(HelloBytes::Gathered(gathered));
    }
    loop {
        let lease = match stream.next().await {
            Received::Data(lease) => lease,
            Received::End => return Err(EstablishError::Socket(None)),
            Received::Failed(error) => return Err(EstablishError::Socket(Some(error))),
        };
        if gathered.is_empty() && !is_partial_hello(&lease) {
            return unless_announcing(HelloBytes::Lease(lease));
        }
        gathered.reserve_exact(lease.len());
        gathered.extend_from_slice(&lease);
        if !is_partial_hello(&gathered) {
            return Ok(HelloBytes::Gathered(gathered));
        }
    }
}

/// The bytes, unless they announce another client: a balancer that may do that has done it.
fn unless_announcing(bytes: HelloBytes) -> Result<HelloBytes, EstablishError> {
    if is_proxy_header(&bytes) { Err(EstablishError::Untrusted) } else { Ok(bytes) }
}
