//! One connection to a server: its socket, and one receive at a time, so that nothing is read that
//! nobody asked for.
//!
//! The invariant: a connection holds a [`Place`] of its server for as long as the server may take it
//! for open. When it is dropped, both directions are shut down before the place is given back.

use std::{net::SocketAddr, os::fd::OwnedFd, rc::Rc, task::Poll};

use super::shared::{Parcel, Place};
use crate::ring::{Flight, Message, ReceiveStream, Received, Ring, Socket, TaskId};

/// A connection, connected or about to be.
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
}

impl Connection {
    /// Takes a socket that is connected, or will be before it is used.
    pub(super) fn new(ring: &Rc<Ring>, socket: OwnedFd, place: Place) -> Self {
        let socket = Socket::new(ring, socket);
        let now = ring.now();
        Self {
            ring: Rc::clone(ring),
            receive: ReceiveStream::single(ring, &socket),
            socket: Some(socket),
            server: place.server(),
            place: Some(place),
            born: now,
            unused_since: now,
            exchanges: 0,
            stated: 0,
        }
    }

    /// Takes a connection of another worker.
    pub(super) fn from_parcel(ring: &Rc<Ring>, parcel: Parcel) -> Self {
        let Parcel { socket, place, age, unused, exchanges, stated } = parcel;
        let now = ring.now();
        let mut connection = Self::new(ring, socket, place);
        connection.born = now.saturating_sub(age);
        connection.unused_since = now.saturating_sub(unused);
        connection.exchanges = exchanges;
        connection.stated = stated;
        connection
    }

    /// Makes it ready for another worker. None if an operation is in flight: it is closed then.
    pub(super) fn into_parcel(mut self) -> Option<Parcel> {
        let now = self.ring.now();
        let (age, unused) = (self.age(now), now.saturating_sub(self.unused_since));
        let (exchanges, stated) = (self.exchanges, self.stated);
        let (socket, place) = self.socket.take().zip(self.place.take())?;
        // The stream owns the socket too.
        drop(self);
        let socket = socket.into_descriptor()?;
        Some(Parcel { socket, place, age, unused, exchanges, stated })
    }

    /// Closes it and keeps its place for another one.
    pub(super) fn into_place(mut self) -> Option<Place> {
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

    /// The next bytes, or the end.
    pub(super) fn poll_receive(&mut self) -> Poll<Received> {
        self.receive.poll_next()
    }

    /// The same for a connection that is unused: its keeper is woken for what comes.
    pub(super) fn poll_unused(&mut self, keeper: TaskId) -> Poll<Received> {
        self.receive.poll_next_for(keeper)
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
