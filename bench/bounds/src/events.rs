//! The loop of the bounds over epoll: edge-triggered, for each batch of events one `epoll_wait`.

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// The event data of the listener. A connection's client has twice its number, its server one more.
const LISTENER: u64 = u64::MAX;

/// A socket of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that was accepted.
    Client,
    /// The one to the server, if the connection has one.
    Server,
}

/// What a bound does with its connections.
pub trait Bound {
    /// A connection; dropping it closes its sockets.
    type Connection;

    /// Makes a connection of a client's socket, and registers its sockets.
    ///
    /// # Errors
    ///
    /// The program ends by any.
    fn accepted(
        &mut self,
        client: TcpStream,
        place: &Place<'_>,
    ) -> Result<Self::Connection, Box<dyn Error>>;

    /// A socket of a connection is ready, or may be; nothing if the connection is lost or over.
    fn ready(&mut self, connection: &mut Self::Connection, side: Side) -> Option<()>;
}

/// The number under which the sockets of a connection are registered.
#[derive(Debug)]
pub struct Place<'e> {
    epoll: &'e OwnedFd,
    number: usize,
}

impl Place<'_> {
    /// Waits for a socket to become ready, without blocking on it from here on.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn register(
        &self,
        socket: &TcpStream,
        side: Side,
        interest: EventFlags,
    ) -> Result<(), Box<dyn Error>> {
        socket.set_nonblocking(true)?;
        let key = 2 * self.number as u64 + u64::from(side == Side::Server);
        Ok(epoll::add(self.epoll, socket, EventData::new_u64(key), interest | EventFlags::ET)?)
    }
}

/// Serves the connections of a listener.
///
/// # Errors
///
/// What the kernel says of the listener or of epoll, and what [`Bound::accepted`] returns.
pub fn serve<B: Bound>(listener: &TcpListener, mut bound: B) -> Result<(), Box<dyn Error>> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    listener.set_nonblocking(true)?;
    epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut places = Places { epoll, connections: Vec::new(), free: Vec::new() };
    let mut events: Vec<Event> = Vec::with_capacity(1024);
    loop {
        events.clear();
        match epoll::wait(&places.epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            match event.data.u64() {
                LISTENER => places.accept(listener, &mut bound)?,
                key => places.ready(key, &mut bound),
            }
        }
    }
}

/// The connections by their numbers. A number is used again, so an event may be of the connection that
/// had it before; that is why a socket that is named need not be ready.
struct Places<C> {
    epoll: OwnedFd,
    connections: Vec<Option<C>>,
    free: Vec<usize>,
}

impl<C> Places<C> {
    fn accept(
        &mut self,
        listener: &TcpListener,
        bound: &mut impl Bound<Connection = C>,
    ) -> Result<(), Box<dyn Error>> {
        while let Ok((client, _)) = listener.accept() {
            let number = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let place = Place { epoll: &self.epoll, number };
            self.connections[number] = Some(bound.accepted(client, &place)?);
        }
        Ok(())
    }

    fn ready(&mut self, key: u64, bound: &mut impl Bound<Connection = C>) {
        let number = (key / 2) as usize;
        let side = if key.is_multiple_of(2) { Side::Client } else { Side::Server };
        let Some(connection) = &mut self.connections[number] else { return };
        if bound.ready(connection, side).is_none() {
            self.connections[number] = None;
            self.free.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections that are over as soon as they are ready.
    struct Over;

    impl Bound for Over {
        type Connection = TcpStream;

        fn accepted(
            &mut self,
            client: TcpStream,
            place: &Place<'_>,
        ) -> Result<TcpStream, Box<dyn Error>> {
            place.register(&client, Side::Client, EventFlags::IN)?;
            Ok(client)
        }

        fn ready(&mut self, _: &mut TcpStream, _: Side) -> Option<()> {
            None
        }
    }

    #[test]
    fn the_place_of_an_ended_connection_is_used_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        let mut places = Places { epoll, connections: Vec::new(), free: Vec::new() };
        for side in 0..3 {
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            places.accept(&listener, &mut Over).unwrap();
            assert!(places.connections[0].is_some());
            places.ready(side % 2, &mut Over);
            assert!(places.connections[0].is_none());
        }
        assert_eq!(places.connections.len(), 1);
    }
}
