//! One attempt to connect to a server.

use std::{io, task::Poll};

use super::{
    connection::Connection, failure::Reason, pool::Pool, secured::Secured, securing::Securing,
    shared::Place,
};
use crate::{
    config::UpstreamAddress,
    ring::{Flight, connect_unix, outgoing_socket},
};

/// Milliseconds after which a Unix socket with a full backlog is tried again at first, and at most.
const AGAIN_FIRST: u64 = 1;
const AGAIN_LONGEST: u64 = 20;

/// An attempt under way.
pub(super) struct Attempt {
    until: u64,
    server: usize,
    step: Step,
}

enum Step {
    /// A Unix socket is tried at this time, and this much later again.
    Unix {
        place: Place,
        at: u64,
        pause: u64,
    },
    Connecting {
        flight: Flight<()>,
        connection: Box<Connection>,
    },
    Securing(Securing, Box<Connection>),
    Failed(Reason),
}

/// What became of an attempt.
pub(super) enum Attempted {
    Connected(Box<Connection>),
    Failed(Reason, usize),
}

impl Attempt {
    pub(super) fn new(pool: &Pool, place: Place) -> Self {
        let server = place.server();
        let ring = pool.ring();
        let now = ring.now();
        let limit = pool.shared.options.connect.as_millis() as u64;
        let address = pool.shared.servers().get(server).map(|server| &server.address);
        let step = match (address, pool.shared.address(server)) {
            (Some(UpstreamAddress::Unix(_)), _) => {
                Step::Unix { place, at: now, pause: AGAIN_FIRST }
            }
            (_, None) => Step::Failed(Reason::NameUnknown),
            (_, Some(address)) => match outgoing_socket(address) {
                Err(_) => Step::Failed(Reason::Local),
                Ok(socket) => {
                    let connection = Connection::new(ring, socket, place);
                    match connection.begin_connect(address) {
                        Some(flight) => Step::Connecting { flight, connection },
                        None => Step::Failed(Reason::Local),
                    }
                }
            },
        };
        Self { until: now.saturating_add(limit), server, step }
    }

    /// What became of it. Not to be called again after that.
    pub(super) fn poll(&mut self, pool: &Pool) -> Poll<Attempted> {
        let ring = pool.ring();
        let failed = |reason| Poll::Ready(Attempted::Failed(reason, self.server));
        match std::mem::replace(&mut self.step, Step::Failed(Reason::Local)) {
            Step::Failed(reason) => failed(reason),
            Step::Connecting { mut flight, connection } => match flight.poll() {
                Poll::Ready((Ok(_), ())) => match secured(pool, self.server) {
                    None => Poll::Ready(Attempted::Connected(connection)),
                    Some(Err(reason)) => failed(reason),
                    Some(Ok(session)) => {
                        let mut connection = connection;
                        connection.secure(session);
                        self.step = Step::Securing(Securing::default(), connection);
                        self.poll(pool)
                    }
                },
                Poll::Ready((Err(error), ())) => failed(Reason::of_connect(&error)),
                Poll::Pending if ring.poll_until(self.until).is_ready() => {
                    failed(Reason::ConnectTimeout)
                }
                Poll::Pending => {
                    self.step = Step::Connecting { flight, connection };
                    Poll::Pending
                }
            },
            Step::Securing(mut securing, mut connection) => {
                match securing.poll(ring, &mut connection) {
                    Poll::Ready(Ok(())) => Poll::Ready(Attempted::Connected(connection)),
                    Poll::Ready(Err(reason)) => failed(reason),
                    Poll::Pending if ring.poll_until(self.until).is_ready() => {
                        failed(Reason::ConnectTimeout)
                    }
                    Poll::Pending => {
                        self.step = Step::Securing(securing, connection);
                        Poll::Pending
                    }
                }
            }
            Step::Unix { place, at, pause } => {
                if ring.poll_until(at.min(self.until)).is_pending() {
                    self.step = Step::Unix { place, at, pause };
                    return Poll::Pending;
                }
                match connect(pool, self.server) {
                    Ok(socket) => {
                        let connection = Connection::new(ring, socket, place);
                        Poll::Ready(Attempted::Connected(connection))
                    }
                    // The backlog is full: no error.
                    Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
                        if ring.now() >= self.until {
                            return failed(Reason::ConnectTimeout);
                        }
                        let at = ring.now() + pause;
                        let _ = ring.poll_until(at);
                        let pause = (pause * 2).min(AGAIN_LONGEST);
                        self.step = Step::Unix { place, at, pause };
                        Poll::Pending
                    }
                    Err(error) => failed(Reason::of_connect(&error)),
                }
            }
        }
    }
}

/// A session with a server, if it speaks TLS.
fn secured(pool: &Pool, server: usize) -> Option<Result<Secured, Reason>> {
    let name = pool.shared.servers().get(server)?.tls_name.clone();
    let is_tls = matches!(pool.shared.servers().get(server)?.address, UpstreamAddress::Tls(..));
    is_tls.then(|| match (&pool.shared.tls, name) {
        (Some(config), Some(name)) => Secured::new(config, name),
        // The check of the configuration lets no such pool through.
        _ => Err(Reason::Local),
    })
}

fn connect(pool: &Pool, server: usize) -> io::Result<std::os::fd::OwnedFd> {
    match pool.shared.servers().get(server).map(|server| &server.address) {
        Some(UpstreamAddress::Unix(path)) => connect_unix(path),
        _ => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
    }
}
