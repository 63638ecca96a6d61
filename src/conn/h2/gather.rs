//! What leaves next: control frames, then content by the order of the schedule, as far as windows
//! and the turn allow.

use std::{pin::pin, rc::Rc};

use super::{
    Connection, Cost, Stop,
    streams::{Answering, How, Slot},
};
use crate::{
    conn::{Session, session::while_held_up},
    observe::{Moved, Stage, Why},
    parse::h2::{ErrorCode, FRAME_HEAD},
    respond::h2 as respond,
    write::{Piece, Source, WriteError},
};

/// Content that is gathered in one turn, before frames are read again and others have theirs.
const BYTES_A_TURN: u64 = 128 * 1024;

/// Room in the open record that is worth a frame of its own.
const WORTH_A_FRAME: usize = 4096;

/// A frame under this that a window has cut short is paid for.
const SMALL_FRAME: u32 = 256;

/// Content that makes up for the time in which the windows were shut.
const GOOD_PIECE: u32 = 16 * 1024;

/// Content is shorter than its source said.
pub(super) const NO_CONTENT: Stop = Stop::defect("content ends before its range");

/// Content of one turn, as it lies.
enum Next {
    Copied(usize),
    Lent(Rc<crate::ring::Pages>, std::ops::Range<usize>),
    Read(Rc<std::os::fd::OwnedFd>, std::ops::Range<u64>),
}

impl Connection<'_> {
    /// Gathers a turn. True if more could leave at once.
    pub(super) async fn gather(&mut self) -> Result<bool, Stop> {
        self.drain_if_due()?;
        self.gather_replies().await?;
        let mut gathered = 0;
        while let Some(slot) = self.schedule.next() {
            if self.window.available() == 0 {
                self.connection_window_shut()?;
                return Ok(false);
            }
            if gathered >= BYTES_A_TURN {
                return Ok(true);
            }
            gathered += self.send_from(slot).await?;
            self.gather_replies().await?;
        }
        Ok(false)
    }

    /// Copies all control frames that wait.
    pub(super) async fn gather_replies(&mut self) -> Result<(), Stop> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let length = self.replies.waiting()?.len();
        self.reserve(length, 0).await?;
        let Self { session, replies, filled, .. } = self;
        let room = session.writer.room().get_mut(*filled..*filled + length);
        room.ok_or(Stop::defect("control frames found no room"))?
            .copy_from_slice(replies.waiting()?);
        replies.clear();
        *filled += length;
        Ok(())
    }

    /// Gathers a frame of the stream that is next, or several of a file. Returns the bytes of
    /// content.
    async fn send_from(&mut self, slot: Slot) -> Result<u64, Stop> {
        let window = self.window.available();
        let most = self.most_of_a_frame();
        let Some(stream) = self.streams.get_mut(slot) else {
            return Err(Stop::defect("a stream is scheduled and not there"));
        };
        let allowed = window.min(stream.window.available());
        if allowed == 0 {
            self.stream_window_shut(slot)?;
            return Ok(0);
        }
        stream.clock.enter(Stage::Respond);
        let id = stream.id;
        let remaining = stream.source.remaining();
        let next = match stream.source.piece() {
            None => return Err(Stop::defect("a stream is scheduled and has nothing to send")),
            Some(Piece::Copied(bytes)) => Next::Copied(bytes.len()),
            Some(Piece::Lent(pages, range)) => Next::Lent(Rc::clone(pages), range),
            Some(Piece::Read(file, range)) => Next::Read(Rc::clone(file), range),
        };
        let frame = allowed.min(most) as usize;
        let kernel = self.session.writer.is_kernel();
        let sent = match next {
            Next::Read(file, range) => {
                let range = range.start..range.end.min(range.start + u64::from(allowed));
                self.send_file(id, file, range, remaining).await?
            }
            Next::Lent(pages, range) if kernel => {
                let part = range.start..range.end.min(range.start + frame);
                let count = part.len();
                self.reserve(FRAME_HEAD, remaining).await?;
                self.put(&respond::data(id, count as u32, count as u64 == remaining))?;
                self.lend(&pages, part).await?;
                count as u64
            }
            Next::Lent(pages, range) => {
                let room = self.room_for(range.len().min(frame), remaining).await?;
                let part = range.start..range.end.min(range.start + frame.min(room));
                let count = part.len();
                self.put(&respond::data(id, count as u32, count as u64 == remaining))?;
                self.put(pages.get(part).ok_or(NO_CONTENT)?)?;
                count as u64
            }
            Next::Copied(length) => {
                let room = self.room_for(length.min(frame), remaining).await?;
                let count = length.min(frame).min(room);
                self.put(&respond::data(id, count as u32, count as u64 == remaining))?;
                let Self { streams, session, filled, .. } = self;
                let piece = streams.get(slot).and_then(|stream| stream.source.piece());
                let room = session.writer.room().get_mut(*filled..*filled + count);
                let (Some(Piece::Copied(bytes)), Some(room)) = (piece, room) else {
                    return Err(Stop::defect("a source changed while room was made for it"));
                };
                room.copy_from_slice(bytes.get(..count).ok_or(NO_CONTENT)?);
                *filled += count;
                count as u64
            }
        };
        if sent == 0 {
            // The file has become shorter, or cannot be read: what was sent must not look whole.
            self.reset(id, ErrorCode::InternalError, Why::ServerFile)?;
            return Ok(0);
        }
        self.sent(slot, sent as u32, allowed)?;
        Ok(sent)
    }

    /// Takes note of content that was gathered.
    fn sent(&mut self, slot: Slot, count: u32, allowed: u32) -> Result<(), Stop> {
        self.window.take(count);
        self.patience.moved(count.into());
        self.patience.sent_frame();
        let stream = self.streams.at(slot)?;
        stream.window.take(count);
        stream.content += u64::from(count);
        stream.source.advance(count.into())?;
        stream.moved = stream.moved.saturating_add(count);
        if stream.moved >= GOOD_PIECE {
            (stream.moved, stream.shut) = (0, 0);
        }
        let ended = stream.source.remaining() == 0;
        self.schedule.sent(&mut self.streams, slot);
        if ended {
            self.schedule.remove(&mut self.streams, slot);
            return self.finish_answer(slot);
        }
        self.streams.at(slot)?.clock.enter(Stage::Turn);
        if count == allowed && count < SMALL_FRAME {
            self.spend(Cost::SmallFrame)?;
        }
        Ok(())
    }

    /// Makes room for a DATA frame of so much content, or of less if the open record has room that
    /// is worth it. Returns how much.
    async fn room_for(&mut self, content: usize, expected: u64) -> Result<usize, Stop> {
        let left = self.room().len().saturating_sub(FRAME_HEAD);
        if left < content && left < WORTH_A_FRAME {
            self.reserve(FRAME_HEAD + content, expected).await?;
        }
        Ok(self.room().len().saturating_sub(FRAME_HEAD).min(content))
    }

    /// Lends bytes to the kernel, behind what lies in the room.
    async fn lend(
        &mut self,
        pages: &Rc<crate::ring::Pages>,
        part: std::ops::Range<usize>,
    ) -> Result<(), Stop> {
        let filled = std::mem::take(&mut self.filled);
        let Session { reader, writer, .. } = &mut *self.session;
        let mut source = Source::Pages(Rc::clone(pages), part);
        let queued = pin!(writer.queue(self.socket, filled, &mut source));
        while_held_up(reader, queued).await?;
        Ok(())
    }

    /// Sends a piece of a file, read into send memory in the layout of frames. 0 if the file has
    /// none of it.
    async fn send_file(
        &mut self,
        id: u32,
        file: Rc<std::os::fd::OwnedFd>,
        range: std::ops::Range<u64>,
        remaining: u64,
    ) -> Result<u64, Stop> {
        self.flush().await?;
        let most = self.most_of_a_frame();
        let mut left = remaining;
        let mut head = |length: u32| {
            left -= u64::from(length).min(left);
            respond::data(id, length, left == 0)
        };
        let Session { reader, writer, .. } = &mut *self.session;
        let sent = writer.send_framed(self.socket, &file, range, most as usize, &mut head);
        match while_held_up(reader, pin!(sent)).await {
            Ok(count) => Ok(count),
            Err(error @ (WriteError::File(_) | WriteError::FileStalled)) => {
                self.context.warn(&format_args!("a file could not be read: {error}"));
                Ok(0)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// All of an answer has been gathered.
    pub(super) fn finish_answer(&mut self, slot: Slot) -> Result<(), Stop> {
        self.patience.answered();
        let now = self.now();
        let kernel = self.session.writer.is_kernel();
        let _ = self.session.writer.take_moved();
        let stream = self.streams.at(slot)?;
        let mut moved = Moved { head: stream.head.into(), ..Moved::default() };
        *match stream.how {
            How::Page => &mut moved.inline,
            How::Copied => &mut moved.copied,
            How::Lent => &mut moved.lent,
            How::Read if kernel => &mut moved.read_for_kernel,
            How::Read => &mut moved.read,
        } = stream.content;
        self.session.clock.answered(&mut stream.clock, stream.status, kernel, moved);
        self.session.writer.carry(self.socket, &mut stream.clock, self.filled);
        if !stream.remote_open {
            drop(self.close_stream(slot)?);
            return Ok(());
        }
        // More than HTTP/1 would read is cut off.
        let most = self.context.config.limits.body_bytes;
        stream.cut = stream.sum.left().is_some_and(|left| left > most);
        (stream.answering, stream.since) = (Answering::Done, now.max(1));
        stream.held = None;
        Ok(())
    }

    /// A stream may have something to send, or its window has changed.
    pub(super) fn ready_if_open(&mut self, slot: Slot) -> Result<(), Stop> {
        let now = self.now();
        let stream = self.streams.at(slot)?;
        if stream.answering == Answering::Sending && stream.window.available() > 0 {
            stream.opened(now);
            self.schedule.insert(&mut self.streams, slot);
        }
        Ok(())
    }

    /// A stream's own window is shut: it leaves the schedule until the window opens.
    fn stream_window_shut(&mut self, slot: Slot) -> Result<(), Stop> {
        self.schedule.remove(&mut self.streams, slot);
        let now = self.now();
        let stream = self.streams.at(slot)?;
        stream.shut_at(now);
        stream.clock.enter(Stage::Window);
        Ok(())
    }

    /// The connection's window is shut: that counts for every stream that could send.
    fn connection_window_shut(&mut self) -> Result<(), Stop> {
        let now = self.now();
        for number in 0..self.streams.len() {
            let slot = self.streams.nth(number)?;
            let stream = self.streams.at(slot)?;
            if stream.queued {
                stream.shut_at(now);
                stream.clock.enter(Stage::Window);
            }
        }
        Ok(())
    }

    /// The connection's window has opened.
    pub(super) fn connection_window_opened(&mut self) -> Result<(), Stop> {
        let now = self.now();
        for number in 0..self.streams.len() {
            let slot = self.streams.nth(number)?;
            let stream = self.streams.at(slot)?;
            if stream.queued {
                stream.opened(now);
                stream.clock.enter(Stage::Turn);
            }
        }
        Ok(())
    }
}
