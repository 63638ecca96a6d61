//! One connection to a server: its socket, and one receive at a time, so that nothing is read that
//! nobody asked for.
//!
//! The invariant: a connection holds a [`Place`] of its server for as long as the server may take it
//! for open. When it is dropped, both directions are shut down before the place is given back.

use std::{net::SocketAddr, os::fd::OwnedFd, rc::Rc, task::Poll};

use super::{
    failure::Reason,
    secured::Secured,
    shared::{Parcel, Place},
};
use crate::ring::{
    Chunk, Content, Flight, Message, ReadInto, ReceiveStream, Received, RecvBuf, Ring, Socket,
    TaskId,
};

/// Plaintext of a TLS record, at most (RFC 8446 section 5.1).
const RECORD: usize = 16 * 1024;

/// What has come of a response.
#[derive(Debug)]
pub(super) enum Arrived {
    Data(Chunk),
    /// The server has ended its side, in order.
    End,
    Failed,
}

/// What has come, where it lies. While receive buffers are scarce it moves into memory of its own, so
/// that clients who read slowly keep no more than three quarters of them.
fn content_of(ring: &Ring, lease: RecvBuf) -> Content {
    let buffers = ring.receive_pool();
    if buffers.available() < buffers.count() / 4 {
        Content::Gathered(Rc::new(lease.to_vec()))
    } else {
        Content::Lease(Rc::new(lease))
    }
}

/// A connection, connected or about to be. Boxed, as it moves to and fro with every exchange.
#[derive(Debug)]
pub(super) struct Connection {
    ring: Rc<Ring>,
    receive: ReceiveStream,
    /// None once it was handed on.
    socket: Option<Socket>,
    place: Option<Place>,
    server: usize,
    /// When it was made, and when it was last put among the unused, in milliseconds.
    born: u64,
    pub(super) unused_since: u64,
    /// Exchanges that it had.
    pub(super) exchanges: u32,
    /// Milliseconds for which the server said that it keeps it unused; 0: it did not.
    pub(super) stated: u64,
    /// The session, where the server speaks TLS; and whether the server has ended it.
    tls: Option<Box<Secured>>,
    closed: bool,
}

impl Connection {
    /// Takes a socket that is connected, or will be before it is used.
    pub(super) fn new(ring: &Rc<Ring>, socket: OwnedFd, place: Place) -> Box<Self> {
        let socket = Socket::new(ring, socket);
        let now = ring.now();
        Box::new(Self {
            ring: Rc::clone(ring),
            receive: ReceiveStream::single(ring, &socket),
            socket: Some(socket),
            server: place.server(),
            place: Some(place),
            born: now,
            unused_since: now,
            exchanges: 0,
            stated: 0,
            tls: None,
            closed: false,
        })
    }

    /// Takes a connection of another worker.
    pub(super) fn from_parcel(ring: &Rc<Ring>, parcel: Parcel) -> Box<Self> {
        let Parcel { socket, place, age, unused, exchanges, stated, tls } = parcel;
        let now = ring.now();
        let mut connection = Self::new(ring, socket, place);
        connection.born = now.saturating_sub(age);
        connection.unused_since = now.saturating_sub(unused);
        connection.exchanges = exchanges;
        connection.stated = stated;
        connection.tls = tls;
        connection
    }

    /// Makes it ready for another worker. None if an operation is in flight: it is closed then.
    pub(super) fn into_parcel(mut self: Box<Self>) -> Option<Parcel> {
        let now = self.ring.now();
        let (age, unused) = (self.age(now), self.unused());
        let (exchanges, stated) = (self.exchanges, self.stated);
        let (socket, place) = self.socket.take().zip(self.place.take())?;
        let tls = self.tls.take();
        // The stream owns the socket too.
        drop(self);
        let socket = socket.into_descriptor()?;
        Some(Parcel { socket, place, age, unused, exchanges, stated, tls })
    }

    /// Milliseconds since its last exchange ended.
    pub(super) fn unused(&self) -> u64 {
        self.ring.now().saturating_sub(self.unused_since)
    }

    /// Closes it and keeps its place for another one.
    pub(super) fn into_place(mut self: Box<Self>) -> Option<Place> {
        let place = self.place.take();
        drop(self);
        place
    }

    pub(super) fn server(&self) -> usize {
        self.server
    }

    /// Milliseconds since it was made.
    pub(super) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.born)
    }

    /// Connects it.
    pub(super) fn begin_connect(&self, address: SocketAddr) -> Option<Flight<()>> {
        self.socket.as_ref().map(|socket| self.ring.begin_connect(socket, address))
    }

    /// Sends what remains of a message.
    pub(super) fn begin_send(&self, message: Box<Message>) -> Option<Flight<Box<Message>>> {
        self.socket.as_ref().map(|socket| self.ring.begin_message(socket, message))
    }

    /// Nothing more is sent: the server gets a FIN.
    pub(super) fn end_sending(&self) {
        if let Some(socket) = &self.socket {
            socket.shut_down_sending();
        }
    }

    /// Begins a session of TLS, over a connection that is made.
    pub(super) fn secure(&mut self, session: Secured) {
        self.tls = Some(Box::new(session));
    }

    /// Whether a handshake is not over.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Records of the handshake that have to be sent.
    pub(super) fn handshake_records(&mut self) -> Result<Vec<u8>, Reason> {
        self.tls.as_mut().map_or(Ok(Vec::new()), |tls| tls.outgoing())
    }

    /// Takes the next records of the handshake.
    pub(super) fn poll_handshake(&mut self) -> Poll<Result<(), Reason>> {
        let Some(tls) = &mut self.tls else { return Poll::Ready(Err(Reason::Local)) };
        self.receive.poll_next().map(|received| match received {
            Received::Data(lease) => match tls.open(&lease)? {
                // A server does not speak first.
                opened if opened.closed || !opened.bytes.is_empty() => Err(Reason::TlsProtocol),
                _ => Ok(()),
            },
            Received::End | Received::Failed(_) => Err(Reason::TlsProtocol),
        })
    }

    /// Makes a message ready to be sent, of which nothing has left: sealed, where the server speaks TLS.
    pub(super) fn protect(&mut self, message: Box<Message>) -> Result<Box<Message>, Reason> {
        let Some(tls) = &mut self.tls else { return Ok(message) };
        let records = tls.seal(&message.gather().ok_or(Reason::Local)?)?;
        self.ring.put_back_message(message);
        let mut sealed = self.ring.message();
        let (content, range) = Chunk::from(records).into_parts();
        if sealed.push_content(content, range) { Ok(sealed) } else { Err(Reason::Local) }
    }

    /// The next bytes of the response, or the end.
    pub(super) fn poll_arrived(&mut self) -> Poll<Arrived> {
        loop {
            if self.closed {
                return Poll::Ready(Arrived::End);
            }
            let received = std::task::ready!(self.receive.poll_next());
            return Poll::Ready(match (received, &mut self.tls) {
                (Received::Data(lease), None) => {
                    Arrived::Data(content_of(&self.ring, lease).into())
                }
                (Received::Data(lease), Some(tls)) => match tls.open(&lease) {
                    Ok(opened) => {
                        self.closed = opened.closed;
                        if opened.bytes.is_empty() {
                            continue;
                        }
                        Arrived::Data(Chunk::from(opened.bytes))
                    }
                    Err(_) => Arrived::Failed,
                },
                (Received::End, None) => Arrived::End,
                // Cut off: without close_notify nobody knows whether that was all.
                (Received::End, Some(_)) | (Received::Failed(_), _) => Arrived::Failed,
            });
        }
    }

    /// What comes on a connection that is unused, for which its keeper is woken.
    pub(super) fn poll_unused(&mut self, keeper: TaskId) -> Poll<Received> {
        self.poll_unasked(|receive| receive.poll_next_for(keeper))
    }

    /// The same for the present task, which is about to use it.
    pub(super) fn poll_unused_here(&mut self) -> Poll<Received> {
        self.poll_unasked(ReceiveStream::poll_next)
    }

    fn poll_unasked(
        &mut self,
        mut poll: impl FnMut(&mut ReceiveStream) -> Poll<Received>,
    ) -> Poll<Received> {
        loop {
            let received = std::task::ready!(poll(&mut self.receive));
            let (Received::Data(lease), Some(tls)) = (&received, &mut self.tls) else {
                return Poll::Ready(received);
            };
            match tls.open(lease) {
                // Tickets, or new keys.
                Ok(opened) if opened.bytes.is_empty() && !opened.closed => {}
                Ok(opened) if opened.bytes.is_empty() => return Poll::Ready(Received::End),
                _ => return Poll::Ready(received),
            }
        }
    }

    /// Whether the server speaks TLS.
    pub(super) fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    /// Bytes that arrive at once, at most, where a receive buffer has `buffer` bytes. With TLS a buffer may
    /// complete a record that the others brought.
    pub(super) fn longest_chunk(&self, buffer: usize) -> usize {
        if self.is_secured() { buffer + RECORD } else { buffer }
    }

    /// What has come while the connection is unused is received as it comes, by one submission: it is
    /// armed until the end of the next response, if that is short.
    pub(super) fn read_ahead(&mut self) {
        self.receive.make_multishot();
    }

    /// Receives once at a time from here on, for what is read ahead is not wanted any more. Whether nothing
    /// is armed, and all that had come was taken.
    pub(super) fn comes_to_rest(&mut self) -> bool {
        self.receive.limit(0);
        self.receive.comes_to_rest()
    }

    /// Receives what has come into memory; nothing may be armed. None: it is not connected.
    pub(super) fn begin_receive_into(
        &self,
        (memory, places): ReadInto,
    ) -> Option<Flight<ReadInto>> {
        let socket = self.socket.as_ref()?;
        Some(self.ring.begin_receive_into(socket, memory, places))
    }

    /// Whether nothing is armed, or left of what came.
    pub(super) fn is_at_rest(&mut self) -> bool {
        self.receive.is_at_rest()
    }

    /// Stops receiving. Once that is done: whether nothing had come.
    pub(super) fn poll_disarm(&mut self) -> Poll<bool> {
        self.receive.poll_disarm()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.shut_down();
        }
    }
}
