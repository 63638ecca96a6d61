//! From a ClientHello to a session: the handshake's bytes both ways, then the hand-over of
//! its keys to the record layer or to the kernel.

use std::{fmt, io, os::fd::AsFd, rc::Rc};

use super::{
    Context, Session,
    hello::{HelloBytes, Opening},
};
use crate::{
    handshake::{Advance, Established, Handshake, HandshakeError, HandshakeState, offers_http2},
    observe::{Agreed, ConnectionClock},
    parse::ProxyHeaderError,
    read::Reader,
    record::TlsVersion,
    ring::{Elapsed, ReceiveStream, Received, RecvBuf, SendClass, Socket},
    tls::{Protocol, kernel},
    write::{WriteError, Writer},
};

/// What a client gets that speaks plain HTTP to this port.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
Content-Length: 58\r\nConnection: close\r\n\r\nThis port speaks HTTPS. Use an https:// address instead.\r\n";

/// Bytes that hold our first flight with a short chain of certificates.
const USUAL_FLIGHT: usize = 1024;

/// Why no session came about.
#[derive(Debug)]
pub(super) enum EstablishError {
    /// The handshake timeout passed: closed without a word.
    TimedOut,
    /// Others needed the place of a connection that kept us waiting: closed without a word.
    Evicted,
    /// The worker stops, and no ClientHello came: closed without a word.
    Draining,
    /// The client closed, or its connection failed.
    Socket(Option<io::Error>),
    /// A balancer did not announce its client as it must: closed without a word.
    Announcement(ProxyHeaderError),
    /// The client sent a PROXY header, and is no balancer that may: closed without a word.
    Untrusted,
    /// The handshake was refused; the client got the alert that belongs to it.
    Handshake(HandshakeError),
}

impl EstablishError {
    /// Whether a PROXY header was at fault, or the lack of one.
    pub(super) fn is_announcement(&self) -> bool {
        matches!(self, Self::Announcement(_) | Self::Untrusted)
    }

    /// Whether the client was refused for its certificate, or for the lack of one.
    pub(super) fn is_client_certificate(&self) -> bool {
        matches!(self, Self::Handshake(error) if error.is_client_certificate())
    }
}

impl fmt::Display for EstablishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("the handshake timeout passed"),
            Self::Evicted => f.write_str("others needed its place (--connections, --handshakes)"),
            Self::Draining => f.write_str("no ClientHello came before the worker stopped"),
            Self::Socket(None) => f.write_str("the client closed the connection"),
            Self::Socket(Some(error)) => write!(f, "the connection failed: {error}"),
            Self::Announcement(error) => write!(
                f,
                "{error}; peers in the networks of [[proxy_protocol]] must announce their clients"
            ),
            Self::Untrusted => f.write_str(
                "the connection begins with a PROXY header, which only peers in the networks of \
                 [[proxy_protocol]] may send",
            ),
            Self::Handshake(error) => write!(f, "{error}"),
        }
    }
}

impl From<Elapsed> for EstablishError {
    fn from(_: Elapsed) -> Self {
        Self::TimedOut
    }
}

impl From<HandshakeError> for EstablishError {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<WriteError> for EstablishError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Socket(error) => Self::Socket(Some(error)),
            other => Self::Socket(Some(io::Error::other(other))),
        }
    }
}

/// Performs the handshake, from a place for it to its deadline.
pub(super) async fn establish(
    context: &Rc<Context>,
    socket: &Socket,
    opening: Opening,
) -> Result<Session, EstablishError> {
    let Opening { stream, clock, mut bytes, deadline } = opening;
    let (places, ring) = (context.occupancy.handshake_places(), &*context.ring);
    let established = async {
        let _place = if let Some(place) = places.try_take(ring) {
            place
        } else {
            bytes.gather();
            places.take(ring).await
        };
        shake_hands(context, socket, stream, bytes, clock).await
    };
    ring.until(deadline, established).await?
}

async fn shake_hands(
    context: &Rc<Context>,
    socket: &Socket,
    // Receives once at a time: what follows the handshake may be the kernel's to receive.
    mut stream: ReceiveStream,
    hello: HelloBytes,
    mut clock: ConnectionClock,
) -> Result<Session, EstablishError> {
    let demand = context.demand(&hello);
    let config = context.tls.current(demand, offers_http2(&hello));
    let config =
        config.ok_or(HandshakeError::Defect("a site's demand has no TLS configuration"))?;
    let mut handshake = Handshake::new(config)?;
    let mut flight = Vec::with_capacity(USUAL_FLIGHT);
    let advanced = step(context, &mut handshake, &hello, &mut flight, &mut clock).await;
    drop(hello);
    let sent = send_flight(context, socket, &mut flight).await;
    if advanced?.state == HandshakeState::Finished {
        return Err(HandshakeError::Defect("a ClientHello alone completed a handshake").into());
    }
    sent?;
    loop {
        let lease = match unless_stalled(context, stream.next()).await? {
            Received::Data(lease) => lease,
            Received::End => return Err(EstablishError::Socket(None)),
            Received::Failed(error) => return Err(EstablishError::Socket(Some(error))),
        };
        let advanced = step(context, &mut handshake, &lease, &mut flight, &mut clock).await;
        if let Ok(Advance { consumed, state: HandshakeState::Finished }) = advanced {
            let early = (consumed < lease.len()).then_some((lease, consumed));
            let established = handshake.finish()?;
            let shaken = Shaken { established, flight, stream, early };
            let session = hand_over(context, socket, shaken, clock).await?;
            return Ok(session.demanding(demand));
        }
        drop(lease);
        let sent = send_flight(context, socket, &mut flight).await;
        advanced?;
        sent?;
    }
}

/// Takes what the client has sent, once it is this handshake's turn to compute.
async fn step(
    context: &Context,
    handshake: &mut Handshake,
    bytes: &[u8],
    flight: &mut Vec<u8>,
    clock: &mut ConnectionClock,
) -> Result<Advance, HandshakeError> {
    context.occupancy.handshake_turn().await;
    let began = clock.now();
    let advanced = handshake.advance(bytes, flight);
    // What comes behind the handshake counts where it is read.
    let received = advanced.as_ref().map_or(bytes.len(), |advance| advance.consumed);
    clock.handshake_step(began, received, flight.len());
    if matches!(advanced, Err(HandshakeError::PlainHttp)) {
        flight.extend_from_slice(PLAIN_HTTP);
    }
    advanced
}

/// Awaits the client. If it takes long and others need the place of this handshake, it ends.
async fn unless_stalled<T>(
    context: &Context,
    client: impl Future<Output = T>,
) -> Result<T, EstablishError> {
    let waiting = context.occupancy.handshake_places().stalls(&context.ring);
    let answered = waiting.unless_evicted(client).await;
    answered.ok_or_else(|| {
        context.count(|counts| counts.evicted_handshakes += 1);
        EstablishError::Evicted
    })
}

async fn send_flight(
    context: &Context,
    socket: &Socket,
    flight: &mut Vec<u8>,
) -> Result<(), EstablishError> {
    unless_stalled(context, send_pieces(context, socket, flight)).await?
}

async fn send_pieces(
    context: &Context,
    socket: &Socket,
    flight: &mut Vec<u8>,
) -> Result<(), EstablishError> {
    let failed = |error| EstablishError::Socket(Some(error));
    for piece in flight.chunks(SendClass::RECORD_LEN) {
        let mut buffer = context.ring.send_buffer(SendClass::Record).await;
        let mut sent = 0;
        if let Some(room) = buffer.get_mut(..piece.len()) {
            room.copy_from_slice(piece);
        }
        while sent < piece.len() {
            let send = context.ring.send(socket, buffer, sent..piece.len());
            let (result, returned) = send.await;
            buffer = returned;
            match result {
                Ok(0) => return Err(failed(io::ErrorKind::WriteZero.into())),
                Ok(count) => sent += count,
                // Interrupted, or the ring is full: others first.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {
                    context.ring.yield_now().await;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
    flight.clear();
    Ok(())
}

/// A complete handshake, and what goes over to the session with it.
struct Shaken {
    established: Established,
    /// The last flight, not sent yet: session tickets, and with TLS 1.2 our Finished.
    flight: Vec<u8>,
    stream: ReceiveStream,
    /// What came behind the handshake, and from where in its buffer.
    early: Option<(RecvBuf, usize)>,
}

/// Hands each direction of the connection to the kernel or to the record layer.
///
/// The last flight is left to the writer: most clients send their first request right behind their
/// Finished, and then the tickets leave with its answer, in one send. What is sealed by the kernel
/// can only come behind it, so there it is sent first.
async fn hand_over(
    context: &Rc<Context>,
    socket: &Socket,
    shaken: Shaken,
    mut clock: ConnectionClock,
) -> Result<Session, EstablishError> {
    let Shaken { established, mut flight, stream, early } = shaken;
    let Established { receive, transmit, version, suite, protocol, resumed, group, schedule } =
        established;
    let (wants_transmit, wants_receive) = context.ktls.directions(version, suite);
    if wants_transmit || flight.len() > Writer::MAX_SEALED {
        send_flight(context, socket, &mut flight).await?;
    }
    clock.shaken();
    let kernel_transmit = wants_transmit && {
        let installed = kernel::install_ulp(socket.as_fd())
            .and_then(|()| kernel::install_transmit(socket.as_fd(), &transmit));
        if let Err(error) = &installed {
            log::debug!("hand-over: the kernel did not take the transmit keys: {error}");
        }
        installed.is_ok()
    };
    let kernel_receive = kernel_transmit && wants_receive;
    context.count(|counts| {
        counts.resumed += u64::from(resumed);
        counts.kernel_transmit += u64::from(kernel_transmit);
        counts.kernel_receive += u64::from(kernel_receive);
    });
    let ring = &context.ring;
    let mut writer = Writer::new(ring, &transmit, kernel_transmit, &context.terms().timeouts);
    let reader = Reader::new(ring, stream, receive, kernel_receive, early);
    let agreed = Agreed {
        resumed,
        version: match version {
            TlsVersion::Tls12 => "TLSv1.2",
            TlsVersion::Tls13 => "TLSv1.3",
        },
        protocol: match protocol {
            Protocol::Http1 => "http/1.1",
            Protocol::Http2 => "h2",
        },
        group,
    };
    clock.handed_over(agreed);
    if !flight.is_empty() {
        writer.queue_sealed(socket, &flight).await?;
    }
    let rekeys = context.ktls.may_rekey();
    Ok(Session::new(reader, writer, clock, protocol, version, schedule, rekeys))
}
