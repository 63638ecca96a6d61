//! The open record: plaintext that gathers in send memory and is sealed in place, when it is full,
//! when content is lent, and at the flush. So all answers of one turn leave in few records.

use std::pin::pin;

use super::{Connection, Stop};
use crate::conn::{Session, session::while_held_up};

impl Connection<'_> {
    /// Seals what lies in the room and sends all that waits.
    pub(super) async fn flush(&mut self) -> Result<(), Stop> {
        self.seal()?;
        self.session.flush(self.socket).await?;
        self.flushed_stream = self.last_stream;
        Ok(())
    }

    /// Seals what lies in the room.
    pub(super) fn seal(&mut self) -> Result<(), Stop> {
        let filled = std::mem::take(&mut self.filled);
        if filled > 0 {
            self.session.writer.commit(filled)?;
        }
        Ok(())
    }

    /// Makes room for so many bytes of plaintext behind what lies there, sending what waits if
    /// there is none. So much content is expected behind them.
    pub(super) async fn reserve(&mut self, bytes: usize, expected: u64) -> Result<(), Stop> {
        if self.session.writer.room().len() >= self.filled + bytes {
            return Ok(());
        }
        self.seal()?;
        let more = !self.session.reader.plaintext().is_empty() || !self.schedule.is_empty();
        let Session { reader, writer, .. } = &mut *self.session;
        let reserved = pin!(writer.reserve(self.socket, bytes, expected, more));
        while_held_up(reader, reserved).await?;
        Ok(())
    }

    /// Room for more plaintext, behind what lies there.
    pub(super) fn room(&mut self) -> &mut [u8] {
        match self.session.writer.room().get_mut(self.filled..) {
            Some(room) => room,
            // There is no memory, and so nothing lies there.
            None => &mut [],
        }
    }

    /// Copies bytes that there is room for.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let room = self.room().get_mut(..bytes.len());
        room.ok_or(Stop::defect("a frame found no room"))?.copy_from_slice(bytes);
        self.filled += bytes.len();
        Ok(())
    }
}
