//! Connections without TLS: HTTP/1.1 as it comes. The journey is the same without its handshake.
//!
//! Until its first bytes come, a connection is as little as one that has sent no ClientHello, and is
//! closed for newcomers as those are.

use std::{pin::pin, rc::Rc};

use super::{Accepted, Context, Session, accepted::ended, conclude, establish::EstablishError, h1};
use crate::{
    close,
    observe::{ConnectionClock, RequestClock},
    parse::is_proxy_header,
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
    /// Where in them the client's own begin: behind a PROXY header.
    from: usize,
    clock: ConnectionClock,
    socket: Socket,
}

/// Waits for the first bytes of an accepted connection. `None` if the connection ended first: it was
/// closed, at the deadline for a head, for a newcomer or for a drain.
#[allow(clippy::manual_async_fn, reason = "as for a ClientHello")]
pub(crate) fn await_first_bytes(
    context: &Rc<Context>,
    mut accepted: Accepted,
) -> impl Future<Output = Option<FirstBytes>> {
    async move {
        let _place = context.occupancy.admit();
        let limit = context.terms().timeouts.head;
        let early = accepted.early.take();
        let first = {
            let first = pin!(first_bytes(&mut accepted.stream, early));
            Accepted::first(context, accepted.began, limit, first).await
        };
        match first {
            Ok((bytes, from)) => {
                let Accepted { stream, mut clock, socket, .. } = accepted;
                clock.without_tls();
                Some(FirstBytes { stream, bytes, from, clock, socket })
            }
            Err(error) => {
                ended(context, &accepted.socket, &accepted.clock, &error);
                None
            }
        }
    }
}

/// Receives once, unless bytes came with a PROXY header: they begin at that byte of their buffer.
async fn first_bytes(
    stream: &mut ReceiveStream,
    early: Option<(RecvBuf, usize)>,
) -> Result<(RecvBuf, usize), EstablishError> {
    let (lease, from) = match early {
        Some(early) => early,
        None => match stream.next().await {
            Received::Data(lease) => (lease, 0),
            Received::End => return Err(EstablishError::Socket(None)),
            Received::Failed(error) => return Err(EstablishError::Socket(Some(error))),
        },
    };
    // A balancer that may announce a client has done it.
    let announces = lease.get(from..).is_some_and(is_proxy_header);
    if announces { Err(EstablishError::Untrusted) } else { Ok((lease, from)) }
}

/// Serves a connection without TLS from its first bytes to its end, and drops `places` then.
pub(crate) async fn serve_plain<P>(context: Rc<Context>, first: FirstBytes, via: Via, places: P) {
    let _place = context.occupancy.admit();
    let FirstBytes { stream, bytes, from, clock, socket } = first;
    let ring = &context.ring;
    let reader = Reader::plain(ring, stream, bytes, from);
    let writer = Writer::plain(ring, &context.terms().timeouts);
    let mut session = Session::plain(reader, writer, clock, via);
    let ending = {
        let mut clock = RequestClock::default();
        match h1::serve(&context, &socket, &mut session, &mut clock).await {
            Ok(ending) => ending,
            Err(stop) => {
                Box::pin(h1::stop(&context, &socket, &mut session, &mut clock, stop)).await
            }
        }
    };
    conclude(&context, &socket, &mut session, ending);
    let Session { reader, writer, mut clock, .. } = session;
    let limit = context.terms().timeouts.close;
    Box::pin(close::close(ring, socket, reader, writer, ending, limit)).await;
    clock.closed();
    drop(places);
}
