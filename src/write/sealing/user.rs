//! Sealing by our own record layer, into the memory that is sent.

#![expect(clippy::unused_self, reason = "both ways of sealing have the same methods")]

mod frames;

use std::ops::Range;

use super::{COPIED, Lasting, Layout, Load, Places, class_of};
use crate::{
    observe::Moved,
    record::{ContentType, MAX_OVERHEAD, MAX_PLAINTEXT, Sealer, TrafficKeys},
    ring::{MAX_VECTORS, Ring, SendBuf, SendClass, Socket},
    write::{RecordSizing, WriteError},
};

/// Bytes of the shortest head: what is asked to fit into an open record besides a small body.
const LEAST_HEAD: usize = 200;

/// The record layer, and what it has sealed or is about to.
#[derive(Debug)]
pub(in crate::write) struct UserSealing {
    sealer: Sealer,
    sizing: RecordSizing,
    held: Option<Held>,
}

/// Memory to send from: records, and behind them the open one.
#[derive(Debug)]
struct Held {
    memory: SendBuf,
    /// Bytes of sealed records.
    sealed: usize,
    /// Bytes of plaintext in the open record, which lie behind its prefix.
    open: usize,
    /// Plaintext that the open record is to have, about.
    target: usize,
}

const NO_MEMORY: WriteError = WriteError::Defect("there is no memory to gather into");
const NO_ROOM: WriteError = WriteError::Defect("more was gathered than there was room for");

impl UserSealing {
    pub(super) fn new(sealer: Sealer) -> Self {
        Self { sealer, sizing: RecordSizing::default(), held: None }
    }

    pub(super) fn waiting(&self) -> usize {
        self.held.as_ref().map_or(0, |held| match held.open {
            0 => held.sealed,
            open => held.sealed + open + self.sealer.overhead(),
        })
    }

    pub(super) fn wanted(&self, plain: usize, body: usize) -> usize {
        body.saturating_add(plain + 2 * MAX_OVERHEAD)
    }

    pub(super) fn take_memory(&mut self, memory: SendBuf, _: &Ring) -> Result<(), WriteError> {
        if self.waiting() > 0 {
            return Err(WriteError::Defect("memory would take the place of what waits"));
        }
        self.held = Some(Held { memory, sealed: 0, open: 0, target: 0 });
        Ok(())
    }

    pub(super) fn make_room(
        &mut self,
        plain: usize,
        body: u64,
        wanted: usize,
        now: u64,
    ) -> Result<bool, WriteError> {
        let overhead = self.sealer.overhead();
        let Some(held) = &mut self.held else { return Ok(false) };
        let copied = usize::try_from(body).unwrap_or(usize::MAX).min(COPIED);
        if held.open > 0
            && (held.open + LEAST_HEAD + copied > held.target
                || held.open + plain + copied > MAX_PLAINTEXT)
        {
            held.close(&mut self.sealer, &mut self.sizing)?;
        }
        let free = held.memory.len().saturating_sub(held.sealed + held.open + overhead);
        if free < wanted {
            return Ok(false);
        }
        if held.open == 0 {
            held.target = self.sizing.next(now);
        }
        Ok(true)
    }

    pub(super) fn room(&mut self) -> &mut [u8] {
        let (prefix, suffix) =
            (self.sealer.prefix(), self.sealer.overhead() - self.sealer.prefix());
        let Some(held) = &mut self.held else { return &mut [] };
        let begin = held.sealed + prefix;
        let end = held.memory.len().saturating_sub(suffix).min(begin + MAX_PLAINTEXT);
        match held.memory.get_mut(begin + held.open..end) {
            Some(room) => room,
            None => &mut [],
        }
    }

    pub(super) fn commit(&mut self, len: usize) -> Result<(), WriteError> {
        if self.room().len() < len {
            return Err(NO_ROOM);
        }
        let Some(held) = &mut self.held else { return Err(NO_MEMORY) };
        held.open += len;
        Ok(())
    }

    pub(super) fn commit_copied(&mut self, head: usize, bytes: &[u8]) -> Result<(), WriteError> {
        let len = head + bytes.len();
        let Some(room) = self.room().get_mut(head..len) else { return Err(NO_ROOM) };
        room.copy_from_slice(bytes);
        let Some(held) = &mut self.held else { return Err(NO_MEMORY) };
        held.open += len;
        Ok(())
    }

    pub(super) fn holds_memory(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn copies(&self, head: usize, body: usize) -> usize {
        COPIED.saturating_sub(head).min(body)
    }

    pub(super) fn cut(&self, _: &Range<usize>) -> usize {
        0
    }

    pub(super) fn wanted_to_lend(&self, rest: usize) -> (usize, SendClass) {
        let wanted = rest.saturating_add(MAX_OVERHEAD);
        (wanted, class_of(wanted, false))
    }

    pub(super) fn lend(
        &mut self,
        lasting: Lasting<'_>,
        mut range: Range<usize>,
        open: usize,
        now: u64,
        moved: &mut Moved,
    ) -> Result<usize, WriteError> {
        let (bytes, whole) = (lasting.bytes(), range.len());
        let Some(held) = &mut self.held else { return Ok(0) };
        held.close(&mut self.sealer, &mut self.sizing)?;
        while !range.is_empty() {
            let record = self.sizing.next(now).min(range.len());
            let end = held.sealed + record + self.sealer.overhead();
            if end > held.memory.len() || end > open {
                break;
            }
            let plain = bytes.get(range.start..range.start + record);
            let Some(plain) = plain else {
                return Err(WriteError::Defect("content ends before its range"));
            };
            let Some(out) = held.memory.get_mut(held.sealed..) else { return Err(NO_MEMORY) };
            held.sealed += self.sealer.seal(ContentType::ApplicationData, plain, out)?;
            self.sizing.sealed(record);
            range.start += record;
        }
        moved.sealed += (whole - range.len()) as u64;
        Ok(whole - range.len())
    }

    pub(super) fn control(
        &mut self,
        content_type: ContentType,
        body: &[u8],
    ) -> Result<(), WriteError> {
        let held = self.held.as_mut().ok_or(NO_MEMORY)?;
        held.close(&mut self.sealer, &mut self.sizing)?;
        let out = held.memory.get_mut(held.sealed..).ok_or(NO_MEMORY)?;
        held.sealed += self.sealer.seal(content_type, body, out)?;
        Ok(())
    }

    pub(super) fn take_sealed(&mut self, records: &[u8]) -> Result<(), WriteError> {
        let held = self.held.as_mut().ok_or(NO_MEMORY)?;
        if held.sealed + held.open > 0 {
            return Err(WriteError::Defect("records of the handshake come first"));
        }
        let room = held.memory.get_mut(..records.len()).ok_or(NO_MEMORY)?;
        room.copy_from_slice(records);
        held.sealed = records.len();
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<Option<Load>, WriteError> {
        let Some(mut held) = self.held.take() else { return Ok(None) };
        held.close(&mut self.sealer, &mut self.sizing)?;
        Ok((held.sealed > 0).then_some(Load::Buffer(held.memory, held.sealed)))
    }

    pub(super) fn places(
        &mut self,
        room: usize,
        mut rest: usize,
        layout: Layout,
        now: u64,
    ) -> Places {
        let prefix = self.sealer.prefix() + layout.gap;
        let overhead = self.sealer.overhead() + layout.gap;
        let record = self.sizing.next(now).saturating_sub(layout.gap).clamp(1, layout.most.max(1));
        let mut places = Vec::with_capacity(MAX_VECTORS);
        let mut at = 0;
        while rest > 0 && places.len() < MAX_VECTORS {
            let len = record.min(rest);
            if at + len + overhead > room {
                break;
            }
            places.push(at + prefix..at + prefix + len);
            at += len + overhead;
            rest -= len;
        }
        places
    }

    pub(super) fn take_read(
        &mut self,
        mut bytes: SendBuf,
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
            let record = bytes.get_mut(end..).ok_or(NO_MEMORY)?;
            let plain = layout.gap + len;
            end += self.sealer.seal_in_place(ContentType::ApplicationData, record, plain)?;
            self.sizing.sealed(plain);
            left -= len;
        }
        if left > 0 {
            return Err(WriteError::Defect("more was read than there were places for"));
        }
        Ok(Load::Buffer(bytes, end))
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.sealer.exhausted()
    }

    pub(super) fn rekeys_at_once(&self) -> bool {
        true
    }

    #[expect(clippy::unnecessary_wraps, reason = "the kernel may refuse keys")]
    pub(super) fn rekey(&mut self, _: &Socket, keys: &TrafficKeys) -> Result<(), WriteError> {
        self.sealer = Sealer::new(keys);
        Ok(())
    }
}

impl Held {
    /// Seals the open record, if it has content.
    fn close(&mut self, sealer: &mut Sealer, sizing: &mut RecordSizing) -> Result<(), WriteError> {
        if self.open == 0 {
            return Ok(());
        }
        let Some(out) = self.memory.get_mut(self.sealed..) else { return Err(NO_MEMORY) };
        self.sealed += sealer.seal_in_place(ContentType::ApplicationData, out, self.open)?;
        sizing.sealed(std::mem::take(&mut self.open));
        Ok(())
    }
}
