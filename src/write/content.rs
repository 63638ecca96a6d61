//! A head and all the content behind it, by the shortest way.
//!
//! | what | kernel TLS | user-space TLS |
//! |---|---|---|
//! | head and small body | one message of both, where they lie | copied together into the open record |
//! | cached file | the same message: the kernel encrypts from the cache's memory | sealed from the cache's memory into send memory |
//! | file in the page cache | sendfile(2) | read into send memory, sealed in place |
//! | file on disk | read through the ring into send memory, then sent | the same, the next piece being read meanwhile |

use std::{future::poll_fn, ops::Range, rc::Rc};

use super::{Piece, Source, WriteError, Writer};
use crate::ring::{OpenFile, Pages, Socket};

impl Writer {
    /// Queues the first `head` bytes of [`Self::room`] and all of a source behind them, if that is short:
    /// most answers are, and nothing has to be awaited for them. False if it is not; then nothing was
    /// queued, and [`Self::queue`] does it.
    pub(crate) fn queue_short(
        &mut self,
        head: usize,
        source: &mut Source,
    ) -> Result<bool, WriteError> {
        match source {
            Source::Nothing => self.commit(head)?,
            Source::Pages(pages, range)
                if self.sealing.copies(head, range.len()) == range.len() =>
            {
                let Some(bytes) = pages.get(range.clone()) else {
                    return Err(WriteError::Defect("content ends before its range"));
                };
                self.commit_copied(head, bytes)?;
            }
            Source::Page(..) | Source::Shared(_) => {
                let bytes = match source.piece() {
                    Some(Piece::Copied(bytes)) => bytes,
                    None if source.remaining() == 0 => &[],
                    _ => return Err(WriteError::Defect("content to be copied is not there")),
                };
                self.note_page(bytes.len(), 0);
                self.note_head(head + bytes.len());
                self.sealing.commit_copied(head, bytes)?;
            }
            Source::Pages(..) | Source::File(..) | Source::Parts(_) => return Ok(false),
        }
        // What it held is let go before the last of it has left.
        *source = Source::Nothing;
        Ok(true)
    }

    /// Queues the first `head` bytes of [`Self::room`] and all of a source behind them. Sends as far
    /// as it does not fit; what does fit waits for [`Self::flush`].
    pub(crate) async fn queue(
        &mut self,
        socket: &Socket,
        head: usize,
        source: &mut Source,
    ) -> Result<(), WriteError> {
        let mut filled = head;
        let is_page = matches!(source, Source::Page(..) | Source::Shared(_));
        loop {
            let taken = match source.piece() {
                None => return self.commit(filled),
                Some(Piece::Copied(bytes)) => {
                    let length = bytes.len();
                    if filled == 0 {
                        // Boxed: only the heads of parts come behind something else than a head.
                        Box::pin(self.reserve(socket, length, source.remaining(), true)).await?;
                    }
                    self.copy_behind(filled, source)?;
                    if is_page {
                        self.note_page(length, 0);
                    }
                    filled += length;
                    length as u64
                }
                Some(Piece::Lent(pages, range)) => {
                    let (mut range, length) = (range.clone(), range.len() as u64);
                    range.start += self.begin_pages(std::mem::take(&mut filled), pages, &range)?;
                    self.queue_pages(socket, pages, range).await?;
                    length
                }
                Some(Piece::Read(file, range)) => {
                    self.commit(std::mem::take(&mut filled))?;
                    let length = range.end.saturating_sub(range.start);
                    // Boxed: it takes much, and most responses are not of this kind.
                    Box::pin(self.queue_file(socket, file, range)).await?;
                    length
                }
            };
            source.advance(taken)?;
        }
    }

    /// Copies a piece into the room, behind its first `filled` bytes.
    fn copy_behind(&mut self, filled: usize, source: &Source) -> Result<(), WriteError> {
        let Some(Piece::Copied(bytes)) = source.piece() else {
            return Err(WriteError::Defect("a source changed while room was made for it"));
        };
        let Some(room) = self.room().get_mut(filled..filled + bytes.len()) else {
            return Err(WriteError::Defect("no room was made for a piece"));
        };
        room.copy_from_slice(bytes);
        Ok(())
    }

    /// Queues a head of `head` bytes, and copies as much of the body behind it as is to share its
    /// record: all of a small one, the beginning of a larger one. Says how much that is.
    fn begin_pages(
        &mut self,
        head: usize,
        pages: &Rc<Pages>,
        range: &Range<usize>,
    ) -> Result<usize, WriteError> {
        let copied = if head == 0 { 0 } else { self.sealing.copies(head, range.len()) };
        if copied > 0 {
            let bytes = pages.get(range.start..range.start + copied);
            let Some(bytes) = bytes else {
                return Err(WriteError::Defect("content ends before its range"));
            };
            let Some(room) = self.room().get_mut(head..head + copied) else {
                return Err(WriteError::Defect("no room was made for a body"));
            };
            room.copy_from_slice(bytes);
            self.notes.moved.copied += copied as u64;
        }
        self.commit_with(head, copied)?;
        Ok(copied)
    }

    async fn queue_pages(
        &mut self,
        socket: &Socket,
        pages: &Rc<Pages>,
        mut range: Range<usize>,
    ) -> Result<(), WriteError> {
        let cut = self.sealing.cut(&range);
        if cut > 0 {
            range.start += self.lend(pages, range.start..range.start + cut)?;
            self.flush(socket).await?;
        }
        while !range.is_empty() {
            let taken = self.lend(pages, range.clone())?;
            range.start += taken;
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
        Ok(())
    }

    async fn queue_file(
        &mut self,
        socket: &Socket,
        file: &Rc<OpenFile>,
        mut range: Range<u64>,
    ) -> Result<(), WriteError> {
        while !range.is_empty() {
            range.start += poll_fn(|_| self.poll_file(socket, file, range.clone())).await?;
            if self.needs_key() {
                self.flush(socket).await?;
                self.update_key(socket).await?;
            }
        }
        Ok(())
    }
}
