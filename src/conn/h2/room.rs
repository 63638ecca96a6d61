//! The open record, and what leaves: plaintext gathers in send memory and is sealed in place, when it
//! is full, when content is lent, and when all leaves. So all answers of one turn leave in few records.
//!
//! Nothing here waits. While a send is in flight, or the socket is full, there is no room: frames are
//! still read, and what they ask for is kept until there is.

use std::{future::poll_fn, ops::Range, pin::pin, rc::Rc, task::Poll};

use super::{Connection, Stop, answers::SHORT};
use crate::{
    conn::{Session, session::while_held_up},
    ring::{Content, Pages, Socket},
    write::{Following, WriteError, Writer},
};

/// Bytes of frames that have arrived, from which on the answers to them may take more than a record:
/// a dozen requests whose fields the client refers to.
const MANY_REQUESTS: usize = 512;

/// Heads that wait, from which on the same holds.
const MANY_HEADS: usize = 12;

/// What was asked for and not found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// Room for plaintext.
    Room {
        bytes: usize,
        /// Content behind them.
        expected: u64,
        /// What is known to follow.
        following: Following,
    },
    /// A message that takes so many bytes of content that is lent.
    Lend(usize),
}

impl Wanted {
    /// Waits until there is room.
    pub(super) fn poll(self, socket: &Socket, writer: &mut Writer) -> Poll<Result<(), WriteError>> {
        match self {
            Self::Room { bytes, expected, following } => {
                writer.poll_reserve(socket, bytes, expected, following)
            }
            Self::Lend(rest) => writer.poll_reserve_to_lend(socket, rest),
        }
    }
}

/// The rest of a frame whose head was gathered: nothing else may be gathered before it.
#[derive(Debug)]
pub(super) struct Lent {
    from: LentFrom,
    range: Range<usize>,
}

/// What keeps bytes in their place that are lent to the kernel.
#[derive(Debug)]
pub(super) enum LentFrom {
    Pages(Rc<Pages>),
    Content(Content),
}

impl Connection<'_> {
    /// Submits what lies in the room and what waits, unless a send is in flight.
    pub(super) fn depart(&mut self) -> Result<(), Stop> {
        self.seal()?;
        let Self { session, socket, .. } = self;
        session.clock.leaving(session.writer.gathering());
        if session.writer.depart(socket)? {
            self.departing_stream = self.last_stream;
        }
        Ok(())
    }

    /// Takes note of a send that has left. False while one is in flight.
    pub(super) fn departed(&mut self) -> Result<bool, Stop> {
        match self.session.writer.poll_departed(self.socket) {
            Poll::Ready(left) => left?,
            Poll::Pending => return Ok(false),
        }
        self.has_left();
        Ok(true)
    }

    /// All that was submitted has left.
    pub(super) fn has_left(&mut self) {
        let Session { clock, reader, .. } = &mut *self.session;
        clock.left(reader.take_taken());
        self.flushed_stream = self.departing_stream;
    }

    /// Sends all that was gathered, and waits until it has left: for the end of a connection.
    pub(super) async fn flush(&mut self) -> Result<(), Stop> {
        self.seal()?;
        self.departing_stream = self.last_stream;
        self.session.flush(self.socket).await?;
        self.flushed_stream = self.last_stream;
        Ok(())
    }

    /// Waits until there is the room that was not found: for the end of a connection.
    pub(super) async fn make_way(&mut self) -> Result<(), Stop> {
        self.flush().await?;
        let Some(wanted) = self.wanted.take() else { return Ok(()) };
        let Session { reader, writer, .. } = &mut *self.session;
        let socket = self.socket;
        let reserved = pin!(poll_fn(|_| wanted.poll(socket, writer)));
        while_held_up(reader, reserved).await?;
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

    /// Makes room for so many bytes of plaintext behind what lies there. So much content is expected
    /// behind them. False if there is none yet: then what was gathered is on its way.
    pub(super) fn reserve(&mut self, bytes: usize, expected: u64) -> Result<bool, Stop> {
        if !self.finish_frame()? {
            return Ok(false);
        }
        if self.session.writer.room().len() >= self.filled + bytes {
            return Ok(true);
        }
        self.seal()?;
        let wanted = Wanted::Room { bytes, expected, following: self.following(expected) };
        self.take_room(wanted)
    }

    /// What follows the next head and so much content, as far as it is known.
    fn following(&self, expected: u64) -> Following {
        let arrived = self.session.reader.plaintext().len();
        let others = arrived > 0 || self.schedule.len() > 1 || !self.heads.is_empty();
        if arrived >= MANY_REQUESTS
            || self.heads.len() >= MANY_HEADS
            || (others && expected > SHORT)
        {
            Following::Many
        } else if others || !self.schedule.is_empty() {
            Following::Some
        } else {
            Following::Nothing
        }
    }

    pub(super) fn take_room(&mut self, wanted: Wanted) -> Result<bool, Stop> {
        let was_departing = self.session.writer.is_departing();
        let reserved = wanted.poll(self.socket, &mut self.session.writer);
        if !was_departing && self.session.writer.is_departing() {
            self.departing_stream = self.last_stream;
        }
        match reserved {
            Poll::Ready(reserved) => {
                reserved?;
                Ok(true)
            }
            Poll::Pending => {
                self.wanted = Some(wanted);
                Ok(false)
            }
        }
    }

    /// Lends bytes to the kernel, behind what lies in the room. As far as it has no room for them now,
    /// they are the next to leave.
    pub(super) fn lend(&mut self, from: LentFrom, range: Range<usize>) -> Result<(), Stop> {
        self.seal()?;
        self.lent = Some(Lent { from, range });
        self.finish_frame()?;
        Ok(())
    }

    /// Lends the rest of a frame whose head was gathered. False if there is still no room for it.
    pub(super) fn finish_frame(&mut self) -> Result<bool, Stop> {
        while let Some(mut lent) = self.lent.take() {
            let (writer, range) = (&mut self.session.writer, lent.range.clone());
            lent.range.start += match &lent.from {
                LentFrom::Pages(pages) => writer.lend(pages, range)?,
                LentFrom::Content(content) => writer.lend_content(content, range)?,
            };
            if lent.range.is_empty() {
                return Ok(true);
            }
            let wanted = Wanted::Lend(lent.range.len());
            self.lent = Some(lent);
            if self.session.writer.gathered() > 0 {
                // It leaves first: the kernel takes no more in one message.
                self.wanted = Some(wanted);
                self.depart()?;
                return Ok(false);
            }
            if !self.take_room(wanted)? {
                return Ok(false);
            }
        }
        Ok(true)
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
