//! A connection that was accepted and has sent nothing yet; and the balancer that announces its client
//! by a PROXY header, before anything else.
//!
//! The invariant: only a peer in a trusted network may announce a client, and such a peer has to.
//! Until then the connection is as little as one that has sent no ClientHello, has the same deadline,
//! and is closed for newcomers as those are.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    pin::{Pin, pin},
    rc::Rc,
    time::Duration,
};

use super::{Context, DRAIN_GRACE, client, clock, establish::EstablishError, failed};
use crate::{
    observe::ConnectionClock,
    parse::{Announced, proxy_header},
    ring::{ReceiveStream, Received, RecvBuf, Socket},
};

/// A connection from which nothing but a PROXY header was read.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Dropped before the socket, since it receives from it.
    pub(super) stream: ReceiveStream,
    /// What came behind the header, and from where in its buffer.
    pub(super) early: Option<(RecvBuf, usize)>,
    pub(super) clock: ConnectionClock,
    /// When it was accepted, on the worker's clock.
    pub(super) began: u64,
    pub(super) socket: Socket,
}

impl Accepted {
    /// A connection that was accepted just now.
    pub(crate) fn new(context: &Context, fd: OwnedFd) -> Self {
        context.count(|counts| counts.accepted += 1);
        let socket = Socket::new(&context.ring, fd);
        let clock = clock(context, &socket);
        let stream = ReceiveStream::single(&context.ring, &socket);
        Self { stream, early: None, clock, began: context.ring.now(), socket }
    }

    /// The client's address; None once the connection is gone.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        client(&self.socket, &self.clock).map(|client| client.ip())
    }

    /// Takes what came behind the header, and gives its buffer back.
    pub(super) fn take_early(&mut self) -> Vec<u8> {
        // `announced` has found its start within the lease.
        let early = self.early.take();
        early.map_or_else(Vec::new, |(lease, from)| lease.get(from..).unwrap_or(&[]).to_vec())
    }

    /// Resets the connection, so that nothing of it stays in the kernel.
    pub(crate) fn refuse(self) {
        reset(&self.socket);
    }

    /// Awaits what comes first, unless its deadline passes, others need the place, or the worker stops.
    pub(super) async fn first<T>(
        context: &Context,
        began: u64,
        limit: Duration,
        first: Pin<&mut impl Future<Output = Result<T, EstablishError>>>,
    ) -> Result<T, EstablishError> {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let waiting = context.occupancy.awaits_hello();
        let first = context.unless_draining(first, began, DRAIN_GRACE);
        let until = began.saturating_add(limit);
        match context.ring.until(until, waiting.unless_evicted(first)).await {
            Ok(Some(Some(first))) => first,
            Ok(Some(None)) => Err(EstablishError::Draining),
            Ok(None) => Err(EstablishError::Evicted),
            Err(elapsed) => Err(elapsed.into()),
        }
    }
}

/// Ends a connection before it has a session.
pub(super) fn ended(
    context: &Context,
    socket: &Socket,
    clock: &ConnectionClock,
    error: &EstablishError,
) {
    if matches!(error, EstablishError::Evicted) {
        reset(socket);
    }
    failed(context, socket, clock, error);
}

/// Has the end of a connection be a reset. Without it the connection ends by FIN, which is an end too.
fn reset(socket: &Socket) {
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

/// Waits for the PROXY header of a balancer. `None` if the connection ended first, or had to.
pub(crate) async fn await_announcement(
    context: &Rc<Context>,
    mut accepted: Accepted,
) -> Option<Accepted> {
    let _place = context.occupancy.admit();
    let limit = context.terms().timeouts.handshake;
    let began = accepted.began;
    let header = {
        let header = pin!(header(&mut accepted.stream));
        Accepted::first(context, began, limit, header).await
    };
    match header {
        Ok((announced, early)) => {
            if let Some((client, local)) = announced {
                accepted.clock.announce(client, local);
                context.count(|counts| counts.announced += 1);
            }
            accepted.early = early;
            Some(accepted)
        }
        Err(error) => {
            ended(context, &accepted.socket, &accepted.clock, &error);
            None
        }
    }
}

/// The client and the address that it connected to, where the header names them; and what came behind
/// the header.
type Header = (Option<(SocketAddr, SocketAddr)>, Option<(RecvBuf, usize)>);

/// Receives until the header is whole. The parser bounds what is gathered.
async fn header(stream: &mut ReceiveStream) -> Result<Header, EstablishError> {
    let mut gathered = Vec::new();
    loop {
        let lease = match stream.next().await {
            Received::Data(lease) => lease,
            Received::End => return Err(EstablishError::Socket(None)),
            Received::Failed(error) => return Err(EstablishError::Socket(Some(error))),
        };
        let before = gathered.len();
        let read = if before == 0 {
            proxy_header(&lease)
        } else {
            gathered.extend_from_slice(&lease);
            proxy_header(&gathered)
        };
        let Some((length, announced)) = read.map_err(EstablishError::Announcement)? else {
            if before == 0 {
                gathered.extend_from_slice(&lease);
            }
            continue;
        };
        let announced = match announced {
            Announced::Client { source, destination } => Some((source, destination)),
            Announced::Itself => None,
        };
        // Without the last piece the header was incomplete, so it ends within that.
        let from = length.saturating_sub(before);
        let early = (from < lease.len()).then_some((lease, from));
        return Ok((announced, early));
    }
}
