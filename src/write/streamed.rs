//! Content whose end is not known when its head is sent: chunks of any kind, one behind the other.
//!
//! Short chunks are copied into the open record, so that what is ready together leaves together; longer
//! ones are sealed from where they lie, or lent to the kernel. Nothing leaves until there is no room
//! for more or the caller flushes.

use super::{WriteError, Writer, sealing::COPIED};
use crate::ring::{Chunk, Socket};

/// Framing around a chunk: what stands before it, and what behind it. A few bytes each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frame<'f> {
    /// Before.
    pub(crate) before: &'f [u8],
    /// Behind.
    pub(crate) behind: &'f [u8],
}

impl Writer {
    /// Queues a chunk in its frame. Sends as far as it does not fit; what does fit waits for
    /// [`Self::flush`].
    pub(crate) async fn queue_chunk(
        &mut self,
        socket: &Socket,
        frame: Frame<'_>,
        chunk: &Chunk,
    ) -> Result<(), WriteError> {
        let Frame { before, behind } = frame;
        if before.len() + chunk.len() + behind.len() <= COPIED {
            return self.queue_copy(socket, [before, chunk, behind]).await;
        }
        self.queue_copy(socket, [before, &[], &[]]).await?;
        let (content, mut range) = chunk.parts();
        loop {
            range.start += self.lend_content(content, range.clone())?;
            if range.is_empty() {
                break;
            }
            self.flush(socket).await?;
            if self.needs_key() {
                Box::pin(self.update_key(socket)).await?;
            }
            let (wanted, class) = self.sealing.wanted_to_lend(range.len());
            self.take_memory(socket, class, wanted).await?;
        }
        self.queue_copy(socket, [&[], &[], behind]).await
    }

    /// Copies framing, content and framing behind what waits: [`COPIED`] bytes in all, at most.
    async fn queue_copy(
        &mut self,
        socket: &Socket,
        [before, content, behind]: [&[u8]; 3],
    ) -> Result<(), WriteError> {
        let whole = before.len() + content.len() + behind.len();
        if whole == 0 {
            return Ok(());
        }
        if self.needs_key() {
            self.flush(socket).await?;
            Box::pin(self.update_key(socket)).await?;
        }
        self.reserve(socket, whole, 0, true).await?;
        let mut room =
            self.room().get_mut(..whole).ok_or(WriteError::Defect("no room was made"))?;
        for piece in [before, content, behind] {
            let (place, rest) = room.split_at_mut(piece.len());
            place.copy_from_slice(piece);
            room = rest;
        }
        self.notes.moved.copied += content.len() as u64;
        self.commit_with(before.len() + behind.len(), content.len())
    }

    /// Queues bytes of any length by copies of them: a head that is longer than a record.
    pub(crate) async fn queue_bytes(
        &mut self,
        socket: &Socket,
        bytes: &[u8],
    ) -> Result<(), WriteError> {
        for piece in bytes.chunks(COPIED) {
            self.queue_copy(socket, [piece, &[], &[]]).await?;
        }
        Ok(())
    }

    /// What comes next has been waited for: the time until now was not the peer's.
    pub(crate) fn restart_pace(&mut self) {
        if self.gathered() == 0 && !self.is_departing() {
            self.pace.begin(self.ring.now());
        }
    }
}
