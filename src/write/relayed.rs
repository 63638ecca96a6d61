//! Content of another connection: received into send memory in the layout of records, sealed where it
//! lies, sent.
//!
//! The invariant: memory is taken only for bytes that have arrived already and that this socket has room
//! for, so neither a slow server nor a slow client holds any. The next piece is received while the one
//! before leaves.

use std::{
    future::poll_fn,
    task::{Poll, ready},
};

use super::{WriteError, Writer, memory::WORTHWHILE, sealing::Layout};
use crate::ring::{ReadInto, SendClass, Socket};

impl Writer {
    /// Memory to receive content into of which `rest` bytes are still to come, once the socket has room
    /// for a good part of it. What was gathered is on its way then.
    ///
    /// # Errors
    /// As [`Writer::poll_flush`] and [`Writer::poll_memory`].
    pub(crate) async fn relay_memory(
        &mut self,
        socket: &Socket,
        rest: u64,
    ) -> Result<ReadInto, WriteError> {
        if self.needs_key() {
            self.flush(socket).await?;
            Box::pin(self.update_key(socket)).await?;
        }
        poll_fn(|_| self.poll_relay_memory(socket, rest)).await
    }

    fn poll_relay_memory(
        &mut self,
        socket: &Socket,
        rest: u64,
    ) -> Poll<Result<ReadInto, WriteError>> {
        if !self.is_departing() {
            self.depart(socket)?;
        }
        if self.gathered() > 0 || (self.is_departing() && self.open < 2 * SendClass::BULK_LEN) {
            ready!(self.poll_flush(socket))?;
        }
        let rest = usize::try_from(rest).unwrap_or(usize::MAX);
        let (wanted, class) = self.sealing.wanted_to_lend(rest);
        let memory = ready!(self.poll_buffer(socket, class, wanted))?;
        let room = memory.len().min(self.open.max(WORTHWHILE));
        let places = self.sealing.places(room, rest, Layout::PLAIN, self.ring.now());
        Poll::Ready(Ok((memory, places)))
    }

    /// Sends `count` bytes that were received into such memory, behind what leaves already.
    ///
    /// # Errors
    /// [`WriteError::Defect`] if fewer were received, and what the record layer says.
    pub(crate) async fn relay(
        &mut self,
        socket: &Socket,
        (memory, places): ReadInto,
        count: usize,
    ) -> Result<(), WriteError> {
        self.flush(socket).await?;
        let load = self.sealing.take_read(memory, &places, count, Layout::PLAIN)?;
        self.note_read(count);
        self.depart_with(socket, load)
    }
}
