//! What leaves next: control frames, then content by the order of the schedule, as far as windows
//! and the turn allow.

use std::{ops::Range, rc::Rc};

use super::{
    Connection, Cost, Stop,
    answers::{MOST_ADDED, NO_HEAD},
    room::{LentFrom, Wanted},
    streams::{Answering, How, Slot},
};
use crate::{
    observe::{Moved, Stage},
    parse::h2::{FRAME_HEAD, MAX_FRAME_SIZE},
    respond::h2 as respond,
    ring::Pages,
    write::{COPIED, Frames, Piece, WORTH_A_FRAME, Writer},
};

/// Content that is gathered in one turn, before frames are read again and others have theirs.
const BYTES_A_TURN: u64 = 128 * 1024;

/// Frames that are gathered in one turn: chunks may be small.
const FRAMES_A_TURN: u32 = 64;

/// A frame under this that a window has cut short is paid for.
const SMALL_FRAME: u32 = 256;

/// Content that makes up for the time in which the windows were shut.
const GOOD_PIECE: u32 = 16 * 1024;

/// Content is shorter than its source said.
pub(super) const NO_CONTENT: Stop = Stop::defect("content ends before its range");

/// Which of the frames ends the stream cannot be said.
pub(super) const FRAMES_TOO_LONG: Stop = Stop::defect("frames hold more than their content");

/// Content of one turn, as it lies.
enum Next {
    Copied(usize),
    Lent(Rc<Pages>, Range<usize>),
    Read(Rc<crate::ring::OpenFile>, Range<u64>),
}

/// What came of a stream's turn.
pub(super) enum Sent {
    /// So much content was gathered; others may be next.
    Content(u64),
    /// There is no room now.
    Blocked,
}

impl Connection<'_> {
    /// Gathers a turn, as far as there is room. True if more could leave at once.
    pub(super) fn gather(&mut self) -> Result<bool, Stop> {
        (self.wanted, self.relay_wish) = (None, None);
        self.reads.give_up_wish();
        self.drain_if_due()?;
        if !self.finish_frame()? || !self.gather_replies()? || !self.gather_heads()? {
            return Ok(false);
        }
        let (mut gathered, mut frames) = (0, 0);
        while let Some(slot) = self.schedule.next() {
            if self.window.available() == 0 {
                self.set_relayed_aside()?;
                self.connection_window_shut()?;
                return Ok(false);
            }
            if self.comes_behind_a_read(slot) {
                return Ok(false);
            }
            if gathered >= BYTES_A_TURN || frames >= FRAMES_A_TURN {
                return Ok(true);
            }
            match self.send_from(slot)? {
                Sent::Content(count) => gathered += count,
                Sent::Blocked => return Ok(false),
            }
            frames += 1;
            if !self.gather_replies()? || !self.gather_heads()? {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Copies all control frames that wait. False if there is no room.
    pub(super) fn gather_replies(&mut self) -> Result<bool, Stop> {
        if self.replies.is_empty() {
            return Ok(true);
        }
        let length = self.replies.waiting().len();
        if !self.reserve(length, 0)? {
            return Ok(false);
        }
        let Self { context, session, replies, filled, .. } = self;
        let room = session.writer.room().get_mut(*filled..*filled + length);
        room.ok_or(Stop::defect("control frames found no room"))?
            .copy_from_slice(replies.waiting());
        replies.clear(&context.h2.spare);
        *filled += length;
        Ok(true)
    }

    /// Gathers the heads that had to wait, in the order in which they were made. False if there is no
    /// room.
    fn gather_heads(&mut self) -> Result<bool, Stop> {
        while let Some(slot) = self.heads.front().copied() {
            let stream = self.streams.at(slot)?;
            let head = stream.kept_head.as_ref().ok_or(NO_HEAD)?;
            // What is expected behind the head leaves with it, if it is there by then.
            let remaining = match &stream.exchange {
                Some(exchange) => exchange.left.unwrap_or(0),
                None => stream.source.remaining(),
            };
            let length = head.len();
            if !self.reserve(length + MOST_ADDED, remaining)? {
                return Ok(false);
            }
            self.put_head(slot)?;
        }
        Ok(true)
    }

    /// Gathers a frame of the stream that is next, or begins to read its file.
    fn send_from(&mut self, slot: Slot) -> Result<Sent, Stop> {
        let window = self.window.available();
        let most = self.most_of_a_frame();
        let Some(stream) = self.streams.get_mut(slot) else {
            return Err(Stop::defect("a stream is scheduled and not there"));
        };
        let allowed = window.min(stream.window.available());
        if allowed == 0 {
            if self.relaying == Some(slot) {
                self.set_relayed_aside()?;
            }
            self.stream_window_shut(slot)?;
            return Ok(Sent::Content(0));
        }
        stream.clock.enter(Stage::Respond);
        if stream.exchange.is_some() {
            return self.send_chunk(slot, allowed);
        }
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
                let begun = self.begin_read(slot, &file, range)?;
                return Ok(if begun { Sent::Content(0) } else { Sent::Blocked });
            }
            Next::Lent(pages, range) if kernel => {
                let part = range.start..range.end.min(range.start + frame);
                let count = part.len();
                if !self.reserve(FRAME_HEAD, remaining)? {
                    return Ok(Sent::Blocked);
                }
                self.put(&respond::data(id, count as u32, count as u64 == remaining))?;
                self.lend(LentFrom::Pages(pages), part)?;
                count
            }
            Next::Lent(pages, range) if range.len().min(allowed as usize) > COPIED => {
                return self.seal_pages(slot, &pages, range, allowed);
            }
            Next::Lent(pages, range) => {
                let Some(room) = self.room_for(range.len().min(frame), remaining)? else {
                    return Ok(Sent::Blocked);
                };
                let part = range.start..range.end.min(range.start + frame.min(room));
                let count = part.len();
                self.put(&respond::data(id, count as u32, count as u64 == remaining))?;
                self.put(pages.get(part).ok_or(NO_CONTENT)?)?;
                count
            }
            Next::Copied(length) => {
                let Some(room) = self.room_for(length.min(frame), remaining)? else {
                    return Ok(Sent::Blocked);
                };
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
                count
            }
        };
        self.sent(slot, sent as u32, allowed)?;
        Ok(Sent::Content(sent as u64))
    }

    /// Seals frames of a stream from where its content lies.
    fn seal_pages(
        &mut self,
        slot: Slot,
        pages: &Rc<Pages>,
        range: Range<usize>,
        allowed: u32,
    ) -> Result<Sent, Stop> {
        let remaining = self.streams.at(slot)?.source.remaining();
        let content = pages.get(range).ok_or(NO_CONTENT)?;
        let Some(sealed) = self.seal_content(slot, content, Some(remaining), allowed)? else {
            return Ok(Sent::Blocked);
        };
        self.sent(slot, sealed, allowed)?;
        Ok(Sent::Content(sealed.into()))
    }

    /// Seals frames of content from where it lies: one if others have their turn next, or else as many
    /// as one send takes. Says how much that was; None if there is no room now. The frame that brings the
    /// last of the `remaining` bytes ends the stream; None: how many they are is not known, and another ends it.
    pub(super) fn seal_content(
        &mut self,
        slot: Slot,
        content: &[u8],
        remaining: Option<u64>,
        allowed: u32,
    ) -> Result<Option<u32>, Stop> {
        let most = self.peer.max_frame_size.min(MAX_FRAME_SIZE) as usize;
        let turn = if self.schedule.alternates(&self.streams, slot) {
            self.most_of_a_frame() as usize
        } else {
            BYTES_A_TURN as usize
        };
        let others = self.schedule.len() > 1;
        let content = content.get(..turn.min(allowed as usize)).unwrap_or(content);
        if !self.finish_frame()? {
            return Ok(None);
        }
        self.seal()?;
        let mut asked = false;
        loop {
            let stream = self.streams.at(slot)?;
            let (id, mut left) = (stream.id, Some(remaining.unwrap_or(u64::MAX)));
            let mut frames = 0;
            let mut head = |length: u32| {
                left = left.and_then(|left| left.checked_sub(length.into()));
                frames += 1;
                respond::data(id, length, left == Some(0))
            };
            let frames_of = Frames { most, head: &mut head };
            let sealed = self.session.writer.seal_frames(content, frames_of)?;
            left.ok_or(FRAMES_TOO_LONG)?;
            if sealed > 0 {
                stream.in_place += sealed as u64;
                // One is counted with the content.
                (1..frames).for_each(|_| self.patience.sent_frame());
                return Ok(Some(sealed as u32));
            }
            if std::mem::replace(&mut asked, true) {
                return Err(Stop::defect("memory for a frame has no room for it"));
            }
            let rest = if others { BYTES_A_TURN as usize } else { content.len() };
            if !self.take_room(Wanted::Lend(Writer::framed(rest)))? {
                return Ok(None);
            }
        }
    }

    /// Takes note of content that was gathered.
    pub(super) fn sent(&mut self, slot: Slot, count: u32, allowed: u32) -> Result<(), Stop> {
        self.streams.at(slot)?.source.advance(count.into())?;
        self.note_sent(slot, count, allowed)?;
        let ended = self.streams.at(slot)?.source.remaining() == 0;
        self.schedule.sent(&mut self.streams, slot);
        if ended {
            self.schedule.remove(&mut self.streams, slot);
            return self.finish_answer(slot);
        }
        self.streams.at(slot)?.clock.enter(Stage::Turn);
        Ok(())
    }

    /// Takes note of content that has used up windows.
    pub(super) fn note_sent(&mut self, slot: Slot, count: u32, allowed: u32) -> Result<(), Stop> {
        self.window.take(count);
        self.patience.moved(count.into());
        self.patience.sent_frame();
        let stream = self.streams.at(slot)?;
        stream.window.take(count);
        stream.content += u64::from(count);
        stream.clock.flows(stream.content, stream.window.available(), self.window.available());
        stream.moved = stream.moved.saturating_add(count);
        if stream.moved >= GOOD_PIECE {
            (stream.moved, stream.shut) = (0, 0);
        }
        let waits = stream.source.remaining() > 0 || stream.exchange.is_some();
        if waits && count == allowed && count < SMALL_FRAME {
            self.spend(Cost::SmallFrame)?;
        }
        Ok(())
    }

    /// Makes room for a DATA frame of so much content, or of less if the open record has room that
    /// is worth it. Returns how much; None if there is no room now.
    pub(super) fn room_for(
        &mut self,
        content: usize,
        expected: u64,
    ) -> Result<Option<usize>, Stop> {
        if !self.finish_frame()? {
            return Ok(None);
        }
        let left = self.room().len().saturating_sub(FRAME_HEAD);
        if left < content
            && left < WORTH_A_FRAME
            && !self.reserve(FRAME_HEAD + content, expected)?
        {
            return Ok(None);
        }
        Ok(Some(self.room().len().saturating_sub(FRAME_HEAD).min(content)))
    }

    /// All of an answer has been gathered.
    pub(super) fn finish_answer(&mut self, slot: Slot) -> Result<(), Stop> {
        self.drop_exchange(slot)?;
        self.patience.answered();
        let now = self.now();
        let kernel = self.session.writer.is_kernel();
        // These bytes are the connection's; what the stream moved is counted below.
        let _ = self.session.writer.take_moved();
        let stream = self.streams.at(slot)?;
        let mut moved = Moved { head: stream.head.into(), ..Moved::default() };
        *match stream.how {
            How::Page => &mut moved.inline,
            How::Copied => &mut moved.copied,
            How::Lent => &mut moved.lent,
            How::Read if kernel => &mut moved.read_for_kernel,
            How::Read => &mut moved.read,
        } = stream.content.saturating_sub(stream.in_place + stream.relayed);
        *if kernel { &mut moved.lent } else { &mut moved.sealed } += stream.in_place;
        *if kernel { &mut moved.read_for_kernel } else { &mut moved.read } += stream.relayed;
        self.session.clock.answered(&mut stream.clock, stream.status, kernel, moved);
        self.session.writer.carry(self.socket, &mut stream.clock, self.filled);
        if !stream.remote_open {
            drop(self.close_stream(slot)?);
            return Ok(());
        }
        // More than HTTP/1 would read is cut off.
        let most = stream.terms.limits.body_bytes;
        stream.cut = stream.sum.left().is_some_and(|left| left > most);
        (stream.answering, stream.since) = (Answering::Done, now.max(1));
        stream.done_at = now;
        stream.held = None;
        Ok(())
    }
}
