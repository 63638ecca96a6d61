//! Files that are not cached, as frames of HTTP/2: read into send memory that leaves a gap before
//! each piece, so that nothing is copied behind its head.
//!
//! The stream that began a read owns it, and a read delays no other stream: meanwhile the writer gathers and sends
//! what is ready. What was read leaves by itself, once nothing waits before it.

use std::{
    io,
    ops::Range,
    rc::Rc,
    task::{Poll, ready},
};

use super::{
    WriteError, Writer,
    memory::WORTHWHILE,
    sealing::{FRAME_HEAD, Frames, Layout, Places},
};
use crate::{
    record::MAX_OVERHEAD,
    ring::{Flight, OpenFile, ReadInto, Ring, SendBuf, SendClass, Socket},
};

/// Bytes before each piece: the head of a frame.
const GAP: usize = FRAME_HEAD;

/// A read of a file into send memory, in the layout of frames.
#[derive(Debug)]
pub(crate) struct FramedRead {
    state: State,
    layout: Layout,
    /// When it began, in nanoseconds on the worker's clock, and how long it took.
    began: u64,
    took: u64,
    /// When it has to have come, in milliseconds on the worker's clock.
    until: u64,
}

#[derive(Debug)]
enum State {
    Flying(Flight<ReadInto>),
    Done(SendBuf, Places, usize),
    Failed(WriteError),
}

impl FramedRead {
    /// Waits until the read has come, has failed, or has taken longer than the response timeout.
    pub(crate) fn poll(&mut self, ring: &Ring) -> Poll<()> {
        let State::Flying(flight) = &mut self.state else { return Poll::Ready(()) };
        self.state = match flight.poll() {
            Poll::Ready((Ok(count), (memory, places))) => State::Done(memory, places, count),
            Poll::Ready((Err(error), _)) => State::Failed(WriteError::File(error)),
            Poll::Pending => {
                ready!(ring.poll_until(self.until));
                State::Failed(WriteError::FileStalled)
            }
        };
        self.took = ring.clock().saturating_sub(self.began);
        Poll::Ready(())
    }

    /// Whether it is still waited for.
    pub(crate) fn is_flying(&self) -> bool {
        matches!(self.state, State::Flying(_))
    }

    /// Bytes that were read; 0 if the file has none there.
    ///
    /// # Errors
    /// [`WriteError::File`] and [`WriteError::FileStalled`]: nothing could be read.
    pub(crate) fn outcome(&self) -> Result<usize, &WriteError> {
        match &self.state {
            State::Flying(_) => Ok(0),
            State::Done(_, _, count) => Ok(*count),
            State::Failed(error) => Err(error),
        }
    }

    /// Whether a signal interrupted it, so that it is to begin again.
    pub(crate) fn is_interrupted(&self) -> bool {
        let interrupted = |error: &io::Error| error.kind() == io::ErrorKind::Interrupted;
        matches!(&self.state, State::Failed(WriteError::File(error)) if interrupted(error))
    }
}

impl Writer {
    /// Bytes to ask memory for ([`Self::poll_reserve_to_lend`]) in which so much content leaves in
    /// frames.
    pub(crate) fn framed(content: usize) -> usize {
        const LEAST_RECORD: usize = 4096;
        let records = content / LEAST_RECORD + 2;
        content + records * (MAX_OVERHEAD + FRAME_HEAD)
    }

    /// Seals bytes that never change from where they lie, in frames, behind what was gathered. Says
    /// how many; 0 if there is no room that is worth a frame. Only where the kernel does not seal.
    ///
    /// # Errors
    /// What the record layer says.
    pub(crate) fn seal_frames(
        &mut self,
        content: &[u8],
        mut frames: Frames<'_>,
    ) -> Result<usize, WriteError> {
        let now = self.ring.now();
        self.sealing.seal_frames(content, &mut frames, self.open, now)
    }

    /// Begins to read a piece of a file that is to leave in frames of at most `most` bytes, once the
    /// socket has room for it and there is memory. May be dropped and called again.
    ///
    /// # Errors
    /// As [`Writer::poll_memory`].
    pub(crate) fn poll_framed_read(
        &mut self,
        socket: &Socket,
        file: &Rc<OpenFile>,
        range: Range<u64>,
        most: usize,
    ) -> Poll<Result<FramedRead, WriteError>> {
        let rest = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let (memory, places) = ready!(self.poll_framed_memory(socket, rest, most))?;
        let layout = Layout { gap: GAP, most };
        let flight = self.ring.begin_read_into(file, memory, places, range.start);
        let until = self.ring.now().saturating_add(self.stall);
        let state = State::Flying(flight);
        Poll::Ready(Ok(FramedRead { state, layout, began: self.ring.clock(), took: 0, until }))
    }

    /// Memory to read or receive up to `rest` bytes of content into that is to leave in frames of at most
    /// `most` bytes, once the socket has room for it. May be dropped and called again.
    ///
    /// # Errors
    /// As [`Writer::poll_memory`].
    pub(crate) fn poll_framed_memory(
        &mut self,
        socket: &Socket,
        rest: usize,
        most: usize,
    ) -> Poll<Result<ReadInto, WriteError>> {
        let memory = ready!(self.poll_buffer(socket, SendClass::Bulk, rest))?;
        let layout = Layout { gap: GAP, most };
        let room = memory.len().min(self.open.max(WORTHWHILE));
        let places = self.sealing.places(room, rest, layout, self.ring.now());
        Poll::Ready(Ok((memory, places)))
    }

    /// Whether the socket still has room for so many bytes, or a good part of them.
    ///
    /// # Errors
    /// The socket is broken.
    pub(crate) fn fits(&mut self, socket: &Socket, count: usize) -> Result<bool, WriteError> {
        let wanted = count.min(WORTHWHILE);
        if self.open < wanted {
            self.open = socket.send_queue().map_err(WriteError::Socket)?.free();
        }
        Ok(self.open >= wanted)
    }

    /// Sends the first `count` bytes of what was read, each frame behind what `head` makes of its
    /// length. Nothing may wait to leave.
    ///
    /// # Errors
    /// [`WriteError::Defect`] if less was read or something waits, and what the record layer says.
    pub(crate) fn depart_framed(
        &mut self,
        socket: &Socket,
        read: FramedRead,
        count: usize,
        head: &mut dyn FnMut(u32) -> [u8; GAP],
    ) -> Result<(), WriteError> {
        let memory = match read.state {
            State::Done(memory, places, read) if read >= count => (memory, places),
            _ => return Err(WriteError::Defect("more is sent of a file than was read")),
        };
        self.notes.gathering.waited_for_file(read.took);
        self.depart_frames(socket, memory, count, read.layout.most, head)
    }

    /// The same of the first `count` bytes that lie in such memory.
    ///
    /// # Errors
    /// [`WriteError::Defect`] if something waits, and what the record layer says.
    pub(crate) fn depart_frames(
        &mut self,
        socket: &Socket,
        (mut memory, places): ReadInto,
        count: usize,
        most: usize,
        head: &mut dyn FnMut(u32) -> [u8; GAP],
    ) -> Result<(), WriteError> {
        let mut left = count;
        for place in &places {
            let length = place.len().min(left);
            if length == 0 {
                break;
            }
            left -= length;
            let gap =
                place.start.checked_sub(GAP).and_then(|from| memory.get_mut(from..place.start));
            let gap = gap.ok_or(WriteError::Defect("a piece of content has no gap before it"))?;
            gap.copy_from_slice(&head(length as u32));
        }
        let load = self.sealing.take_read(memory, &places, count, Layout { gap: GAP, most })?;
        self.depart_with(socket, load)
    }
}
