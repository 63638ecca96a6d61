//! An established connection: both directions, and the key schedule that joins them.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::{Poll, ready},
};

use super::{exchange::About, why};
use crate::{
    close::Ending,
    config::Demand,
    observe::{ConnectionClock, Why},
    process::site::Via,
    read::{Filled, ReadError, Reader},
    record::TlsVersion,
    ring::Socket,
    tls::{KeySchedule, Protocol},
    write::{HELD_UP, WriteError, Writer},
};

/// An established connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) clock: ConnectionClock,
    /// What the requests are written in.
    pub(super) protocol: Protocol,
    /// What applications learn of the connection, once one has answered on it.
    pub(super) about: About,
    /// None without TLS.
    schedule: Option<Rc<RefCell<KeySchedule>>>,
    /// What the connection came in by.
    pub(super) via: Via,
    /// What the handshake demanded of the client's certificate.
    pub(super) demand: Demand,
    /// The kernel takes new keys for the directions that it protects.
    kernel_rekeys: bool,
}

impl Session {
    pub(super) fn new(
        reader: Reader,
        mut writer: Writer,
        clock: ConnectionClock,
        protocol: Protocol,
        version: TlsVersion,
        schedule: KeySchedule,
        kernel_rekeys: bool,
    ) -> Self {
        let schedule = Rc::new(RefCell::new(schedule));
        // TLS 1.2 has no KeyUpdate; the kernel knows it since Linux 6.14.
        if version == TlsVersion::Tls13 && (kernel_rekeys || !writer.is_kernel()) {
            let schedule = Rc::clone(&schedule);
            writer.derive_keys_by(move || schedule.borrow_mut().next_transmit_keys().ok());
        }
        let (about, via, demand) = (About::default(), Via::Tls, Demand::NONE);
        let schedule = Some(schedule);
        Self { reader, writer, clock, protocol, about, schedule, via, demand, kernel_rekeys }
    }

    /// The same after a handshake that demanded this of the client's certificate.
    #[must_use]
    pub(super) fn demanding(mut self, demand: Demand) -> Self {
        self.demand = demand;
        self
    }

    /// A connection without TLS.
    pub(super) fn plain(reader: Reader, writer: Writer, clock: ConnectionClock, via: Via) -> Self {
        Self {
            reader,
            writer,
            clock,
            protocol: Protocol::Http1,
            about: About::default(),
            schedule: None,
            via,
            demand: Demand::NONE,
            kernel_rekeys: false,
        }
    }

    /// Waits for more plaintext.
    pub(super) async fn fill(&mut self, socket: &Socket) -> Result<(), Ending> {
        poll_fn(|_| self.poll_fill(socket)).await
    }

    /// Waits for more plaintext. All that a wait has begun is kept here: a future around it may be
    /// dropped at any time. The current task is woken by the ring. Meanwhile a key that the peer asks
    /// for is sent, if nothing else waits to leave; there must be no plaintext in the writer's room.
    pub(super) fn poll_fill(&mut self, socket: &Socket) -> Poll<Result<(), Ending>> {
        while let Poll::Ready(filled) = self.reader.poll_fill(socket) {
            self.clock.opened(self.reader.take_opening());
            let filled = filled.map_err(|error| ended_by_read(&self.clock, error))?;
            if filled == Filled::More || self.accept(socket, filled)? {
                return Poll::Ready(Ok(()));
            }
        }
        let Self { writer, clock, .. } = self;
        if writer.is_updating_key() && writer.gathered() == 0 {
            ready!(writer.poll_update_key(socket)).map_err(|error| ended_by_key(clock, &error))?;
        }
        Poll::Pending
    }

    /// Takes what has arrived. False if there is nothing more, as is most often so.
    #[inline]
    pub(super) fn fill_at_hand(&mut self, socket: &Socket) -> Result<bool, Ending> {
        if self.reader.has_at_hand() { self.fill_by_hand(socket) } else { Ok(false) }
    }

    fn fill_by_hand(&mut self, socket: &Socket) -> Result<bool, Ending> {
        loop {
            let filled = self.reader.fill_at_hand();
            self.clock.opened(self.reader.take_opening());
            match filled.map_err(|error| ended_by_read(&self.clock, error))? {
                None => return Ok(false),
                Some(filled) => {
                    if self.accept(socket, filled)? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Acts on a control record. True for plaintext. A key that the peer asks for leaves with
    /// [`Self::refresh_key`], or while [`Self::poll_fill`] waits.
    pub(super) fn accept(&mut self, socket: &Socket, filled: Filled) -> Result<bool, Ending> {
        match filled {
            Filled::More => Ok(true),
            Filled::Closed => {
                self.clock.ends(Why::ClientClose);
                Err(Ending::Closed)
            }
            Filled::KeyUpdate { .. } if self.reader.is_kernel() && !self.kernel_rekeys => {
                Err(Ending::CloseNotify)
            }
            Filled::KeyUpdate { requested } => {
                let Some(schedule) = &self.schedule else {
                    return Err(Ending::Defect("a KeyUpdate without TLS"));
                };
                let keys = schedule.borrow_mut().next_receive_keys();
                let keys = keys.map_err(|_| Ending::CloseNotify)?;
                if let Err(error) = self.reader.rekey(socket, keys) {
                    log::debug!("read: the kernel did not take new receive keys: {error}");
                    return Err(Ending::CloseNotify);
                }
                if requested {
                    self.writer.owe_key();
                }
                Ok(false)
            }
        }
    }

    /// Replaces our own key, if it is nearly used up or the peer has asked for that; a connection
    /// that cannot do so ends. To be called before an answer is gathered.
    pub(super) async fn refresh_key(&mut self, socket: &Socket) -> Result<(), Ending> {
        if !self.writer.needs_key() {
            return Ok(());
        }
        let Self { reader, writer, clock, .. } = self;
        let updated = while_held_up(reader, pin!(writer.update_key(socket))).await;
        updated.map_err(|error| ended_by_key(clock, &error))
    }

    /// Sends what waits.
    pub(super) async fn flush(&mut self, socket: &Socket) -> Result<(), Ending> {
        self.clock.leaving(self.writer.gathering());
        let until = self.reader.bears_until(HELD_UP);
        poll_fn(|_| self.poll_flush(socket, until)).await
    }

    /// The same, once it is about to leave; from `until` on the connection holds no receive buffers.
    fn poll_flush(&mut self, socket: &Socket, until: u64) -> Poll<Result<(), Ending>> {
        let Self { reader, writer, clock, .. } = self;
        let error = match writer.poll_flush(socket) {
            Poll::Ready(Ok(())) => {
                clock.left(reader.take_taken());
                return Poll::Ready(Ok(()));
            }
            Poll::Pending if reader.bears(until) => return Poll::Pending,
            Poll::Pending => WriteError::Overrun,
            Poll::Ready(Err(error)) => error,
        };
        Poll::Ready(Err(ended_by_write(clock, &error)))
    }
}

/// Awaits something that is sent. While the peer takes none of it, the connection holds no receive
/// buffers.
pub(super) async fn while_held_up<T, E: From<WriteError>>(
    reader: &mut Reader,
    sent: Pin<&mut impl Future<Output = Result<T, E>>>,
) -> Result<T, E> {
    match reader.aside_while(HELD_UP, sent).await {
        Some(sent) => sent,
        None => Err(WriteError::Overrun.into()),
    }
}

/// How a connection ends whose reading failed.
#[cold]
pub(super) fn ended_by_read(clock: &ConnectionClock, error: ReadError) -> Ending {
    log::debug!("read: {error}");
    clock.ends(why::of_read(&error));
    match (error.alert(), error) {
        (Some(alert), _) => Ending::Alert(alert),
        (None, ReadError::Truncated) => Ending::Truncated,
        (None, ReadError::Defect(what)) => Ending::Defect(what),
        (None, _) => Ending::Reset,
    }
}

/// How a connection ends that gets no new key.
#[cold]
fn ended_by_key(clock: &ConnectionClock, error: &WriteError) -> Ending {
    match error {
        // Between two responses, that is an end like any other.
        WriteError::KeyUsedUp => {
            clock.ends(Why::ServerKey);
            Ending::CloseNotify
        }
        error => ended_by_write(clock, error),
    }
}

/// How a connection ends whose writing failed; its clock notes why.
#[cold]
pub(super) fn ended_by_write(clock: &ConnectionClock, error: &WriteError) -> Ending {
    clock.ends(why::of_write(error));
    ending_of_write(error)
}

/// How a connection ends whose writing failed.
pub(super) fn ending_of_write(error: &WriteError) -> Ending {
    log::debug!("write: {error}");
    match error {
        WriteError::Defect(what) => Ending::Defect(what),
        WriteError::Seal(_) => Ending::Defect("a record could not be sealed"),
        _ => Ending::Reset,
    }
}
