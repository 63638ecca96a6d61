//! Sealing by the kernel: one message of heads and of content that is lent to it. The kernel divides
//! it into records; on a connection without TLS it sends the bytes as they are.

#![expect(clippy::unused_self, reason = "both ways of sealing have the same methods")]

use std::{ops::Range, os::fd::AsFd};

use super::{Lasting, Layout, Load, Places};
use crate::{
    observe::Moved,
    record::{ContentType, MAX_PLAINTEXT, Suite, TrafficKeys},
    ring::{MAX_VECTORS, Message, Ring, SendBuf, SendClass, Socket},
    tls::kernel,
    write::WriteError,
};

/// Bytes of one message: encrypting them takes well under a millisecond, so that the worker's other
/// connections do not wait longer for one.
const MESSAGE_BYTES: usize = 256 * 1024;

const PAGE: usize = 4096;

/// Content from this length on is sent in records that begin at page boundaries. That costs one more
/// system call, which shorter content does not earn.
const ALIGN_FROM: usize = 128 * 1024;

/// Records that may still be sealed once the key counts as used up; what is queued then, at most one
/// message, fits many times.
const MARGIN: u64 = 1 << 10;

/// The message that waits, and how many records the kernel has sealed.
#[derive(Debug)]
pub(in crate::write) struct KernelSealing {
    /// None without TLS.
    suite: Option<Suite>,
    records: u64,
    held: Option<Held>,
}

/// A message with a send buffer.
#[derive(Debug)]
struct Held {
    message: Box<Message>,
    /// Bytes of its buffer that are taken.
    used: usize,
}

const NO_MEMORY: WriteError = WriteError::Defect("there is no message to gather into");
const FULL: WriteError = WriteError::Defect("a message has no place for a part");

impl KernelSealing {
    pub(super) fn new(suite: Suite, records: u64) -> Self {
        Self { suite: Some(suite), records, held: None }
    }

    /// Without TLS.
    pub(super) fn plain() -> Self {
        Self { suite: None, records: 0, held: None }
    }

    pub(super) fn is_plain(&self) -> bool {
        self.suite.is_none()
    }

    pub(super) fn waiting(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.message.remaining())
    }

    pub(super) fn wanted(&self, plain: usize, _body: usize) -> usize {
        plain
    }

    pub(super) fn take_memory(&mut self, memory: SendBuf, ring: &Ring) -> Result<(), WriteError> {
        if self.waiting() > 0 {
            return Err(WriteError::Defect("memory would take the place of what waits"));
        }
        let mut message = self.held.take().map_or_else(|| ring.message(), |held| held.message);
        message.clear();
        *message.buffer() = Some(memory);
        self.held = Some(Held { message, used: 0 });
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "the record layer may refuse")]
    pub(super) fn make_room(
        &mut self,
        _plain: usize,
        _body: u64,
        wanted: usize,
        _now: u64,
    ) -> Result<bool, WriteError> {
        let Some(held) = &self.held else { return Ok(false) };
        let free = held.message.buffer_len().saturating_sub(held.used);
        Ok(held.message.has_room() && free >= wanted)
    }

    pub(super) fn room(&mut self) -> &mut [u8] {
        let Some(Held { message, used }) = &mut self.held else { return &mut [] };
        match message.buffer().as_deref_mut().and_then(|buffer| buffer.get_mut(*used..)) {
            Some(room) => room,
            None => &mut [],
        }
    }

    pub(super) fn commit(&mut self, len: usize) -> Result<(), WriteError> {
        let Some(held) = &mut self.held else { return Err(NO_MEMORY) };
        if !held.message.push_buffered(held.used..held.used + len) {
            return Err(FULL);
        }
        held.used += len;
        Ok(())
    }

    pub(super) fn commit_copied(&mut self, head: usize, bytes: &[u8]) -> Result<(), WriteError> {
        let len = head + bytes.len();
        self.room().get_mut(head..len).ok_or(FULL)?.copy_from_slice(bytes);
        self.commit(len)
    }

    pub(super) fn holds_memory(&self) -> bool {
        self.held.is_some()
    }

    /// The kernel gathers for itself.
    pub(super) fn copies(&self, _head: usize, _body: usize) -> usize {
        0
    }

    /// Ends the first record of a long content so that every further one begins at a page boundary
    /// of its memory, and is four pages: the kernel's cipher then walks fewer pieces and copies no
    /// block that straddles two of them.
    pub(super) fn cut(&self, range: &Range<usize>) -> usize {
        let aligned = range.start.is_multiple_of(PAGE);
        let behind_head = self.held.as_ref().is_some_and(|held| (1..=PAGE).contains(&held.used));
        let cuts = aligned && behind_head && range.len() >= ALIGN_FROM && !self.is_plain();
        if cuts { MAX_PLAINTEXT - PAGE } else { 0 }
    }

    pub(super) fn wanted_to_lend(&self, rest: usize) -> (usize, SendClass) {
        (rest.min(MESSAGE_BYTES), SendClass::Small)
    }

    pub(super) fn lend(
        &mut self,
        lasting: Lasting<'_>,
        range: Range<usize>,
        open: usize,
        _now: u64,
        moved: &mut Moved,
    ) -> Result<usize, WriteError> {
        let Some(held) = &mut self.held else { return Ok(0) };
        let waiting = held.message.remaining();
        let mut whole = waiting + range.len();
        let room = MESSAGE_BYTES.min(open);
        if whole > room {
            // Full records only, while more is to follow.
            whole = room - room % MAX_PLAINTEXT;
        }
        let len = whole.saturating_sub(waiting);
        if len == 0 || !held.message.has_room() {
            return Ok(0);
        }
        if !lasting.push(&mut held.message, range.start..range.start + len) {
            return Err(FULL);
        }
        moved.lent += len as u64;
        Ok(len)
    }

    pub(super) fn control(
        &mut self,
        content_type: ContentType,
        body: &[u8],
    ) -> Result<(), WriteError> {
        if self.is_plain() {
            return Err(WriteError::Defect("a connection without TLS has no records"));
        }
        let room = self.room().get_mut(..body.len()).ok_or(NO_MEMORY)?;
        room.copy_from_slice(body);
        self.commit(body.len())?;
        let held = self.held.as_mut().ok_or(NO_MEMORY)?;
        held.message.set_record_type(content_type as u8);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "the record layer may refuse")]
    pub(super) fn close(&mut self) -> Result<Option<Load>, WriteError> {
        let Some(Held { message, .. }) = self.held.take() else { return Ok(None) };
        Ok((message.remaining() > 0).then_some(Load::Message(message)))
    }

    /// Pieces of a record each where they are divided at all; the kernel makes records of what is
    /// there.
    pub(super) fn places(
        &mut self,
        room: usize,
        mut rest: usize,
        Layout { gap, most }: Layout,
        _now: u64,
    ) -> Places {
        let piece = if gap == 0 { most } else { most.clamp(1, MAX_PLAINTEXT - gap) };
        let mut places = Vec::with_capacity(MAX_VECTORS);
        let mut at = gap;
        while rest > 0 && at < room && places.len() < MAX_VECTORS {
            let len = piece.min(rest).min(room - at);
            places.push(at..at + len);
            at += len + gap;
            rest -= len;
        }
        places
    }

    pub(super) fn take_read(
        &mut self,
        bytes: SendBuf,
        places: &[Range<usize>],
        count: usize,
        layout: Layout,
    ) -> Result<Load, WriteError> {
        let (mut left, mut end) = (count, 0);
        for place in places {
            let len = place.len().min(left);
            if len == 0 {
                break;
            }
            if place.start != end + layout.gap {
                return Err(WriteError::Defect("pieces of a file do not lie behind each other"));
            }
            end = place.start + len;
            left -= len;
        }
        if left > 0 {
            return Err(WriteError::Defect("more was read than there were places for"));
        }
        Ok(Load::Buffer(bytes, end))
    }

    pub(super) fn note_sent(&mut self, count: usize) {
        self.records += 1 + (count / MAX_PLAINTEXT) as u64;
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.suite.is_some_and(|suite| self.records >= suite.record_limit() - MARGIN)
    }

    pub(super) fn rekeys_at_once(&self) -> bool {
        false
    }

    pub(super) fn rekey(&mut self, socket: &Socket, keys: &TrafficKeys) -> Result<(), WriteError> {
        if self.is_plain() {
            return Err(WriteError::Defect("a connection without TLS has no keys"));
        }
        kernel::install_transmit(socket.as_fd(), keys).map_err(WriteError::Socket)?;
        self.records = keys.sequence();
        Ok(())
    }
}
