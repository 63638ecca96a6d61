//! Files that are not cached, as frames of HTTP/2: read into send memory that leaves a gap before
//! each piece, so that nothing is copied behind its head.

use std::{future::poll_fn, ops::Range, os::fd::OwnedFd, rc::Rc};

use super::{WriteError, Writer, sealing::Layout};
use crate::ring::Socket;

/// Bytes before each piece.
const GAP: usize = 9;

impl Writer {
    /// Reads a piece of a file and sends it in frames of at most `most` bytes, each behind what
    /// `head` makes of its length. Nothing may wait to leave. Returns the bytes of the file, which
    /// may be fewer than asked for; 0 if it has none there.
    ///
    /// # Errors
    /// [`WriteError::File`] and [`WriteError::FileStalled`] if nothing could be read: then nothing
    /// was sent. Others as in [`Writer::flush`].
    pub async fn send_framed(
        &mut self,
        socket: &Socket,
        file: &Rc<OwnedFd>,
        range: Range<u64>,
        most: usize,
        head: &mut dyn FnMut(u32) -> [u8; GAP],
    ) -> Result<u64, WriteError> {
        let layout = Layout { gap: GAP, most };
        let read = poll_fn(|_| self.poll_piece(socket, file, range.clone(), layout)).await;
        let (mut memory, places, count) = read?;
        let mut left = count;
        for place in &places {
            let length = place.len().min(left);
            if length == 0 {
                break;
            }
            left -= length;
            let gap =
                place.start.checked_sub(GAP).and_then(|from| memory.get_mut(from..place.start));
            let gap = gap.ok_or(WriteError::Defect("a piece of a file has no gap before it"))?;
            gap.copy_from_slice(&head(length as u32));
        }
        if count > 0 {
            let load = self.sealing.take_read(memory, &places, count, layout)?;
            self.depart_with(socket, load)?;
            self.flush(socket).await?;
        }
        Ok(count as u64)
    }
}
