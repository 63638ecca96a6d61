//! Files that are not cached: read in pieces, several at once, while everything else goes on.
//!
//! A stream whose file is read stands outside of the schedule. What comes behind it waits for the
//! read as long as a disk takes that works; beyond, only the stream itself waits.

use std::{ops::Range, rc::Rc, task::Poll};

use super::{Connection, Stop, gather::FRAMES_TOO_LONG, streams::Slot};
use crate::{
    observe::{Stage, Why},
    parse::h2::ErrorCode,
    respond::h2 as respond,
    ring::OpenFile,
    write::{FramedRead, Piece},
};

/// Files that a connection reads at a time. Each read has a buffer of the send memory.
const MOST: usize = 4;

/// Milliseconds for which other content waits for a read that comes before it.
const ORDERLY_MS: u64 = 20;

/// A file of which the next piece is read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) stream: u32,
    read: FramedRead,
    /// From where in the file.
    at: u64,
    urgency: u8,
    /// When others need not wait for it any longer, in milliseconds.
    until: u64,
}

/// A read that waits for memory, or for room in the socket.
#[derive(Debug)]
pub(super) struct Wish {
    slot: Slot,
    file: Rc<OpenFile>,
    range: Range<u64>,
}

/// All reads of a connection.
#[derive(Debug, Default)]
pub(super) struct Reads {
    flying: Vec<Reading>,
    wish: Option<Wish>,
    /// A stream may be parked.
    has_parked: bool,
}

impl Reads {
    /// Waits until one that was waited for has come.
    pub(super) fn poll(&mut self, ring: &crate::ring::Ring) -> Poll<()> {
        let mut came = Poll::Pending;
        for reading in self.flying.iter_mut().filter(|reading| reading.read.is_flying()) {
            if reading.read.poll(ring).is_ready() {
                came = Poll::Ready(());
            }
        }
        came
    }

    /// A read that could not begin is asked for anew.
    pub(super) fn give_up_wish(&mut self) {
        self.wish = None;
    }

    /// Gives memory back that an idle connection does not need.
    pub(super) fn shrink(&mut self) {
        self.flying.shrink_to_fit();
    }

    /// Whether a read could not begin yet.
    pub(super) fn has_wish(&self) -> bool {
        self.wish.is_some()
    }

    /// When other content need not wait any longer; None if it does not.
    pub(super) fn until(&self, now: u64) -> Option<u64> {
        let flying = self.flying.iter().filter(|reading| reading.read.is_flying());
        flying.map(|reading| reading.until).filter(|until| *until > now).min()
    }
}

impl Connection<'_> {
    /// Begins to read a piece of a stream's file. False if there is no room to send it from.
    pub(super) fn begin_read(
        &mut self,
        slot: Slot,
        file: &Rc<OpenFile>,
        range: Range<u64>,
    ) -> Result<bool, Stop> {
        if self.reads.flying.len() >= MOST {
            self.schedule.remove(&mut self.streams, slot);
            self.streams.at(slot)?.parked = true;
            self.reads.has_parked = true;
            return Ok(true);
        }
        self.seal()?;
        if self.session.writer.gathered() > 0 || self.session.writer.is_departing() {
            // It leaves first: what it takes of the socket is not known yet.
            return Ok(false);
        }
        self.reads.wish = Some(Wish { slot, file: Rc::clone(file), range });
        match self.poll_wish() {
            Poll::Ready(begun) => begun.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    /// Begins the read that could not, once there is memory and room.
    pub(super) fn poll_wish(&mut self) -> Poll<Result<(), Stop>> {
        let most = self.most_of_a_frame() as usize;
        let Some(Wish { slot, file, range }) = &self.reads.wish else { return Poll::Ready(Ok(())) };
        let (slot, at) = (*slot, range.start);
        let writer = &mut self.session.writer;
        let read =
            std::task::ready!(writer.poll_framed_read(self.socket, file, range.clone(), most));
        self.reads.wish = None;
        Poll::Ready(read.map_err(Stop::from).and_then(|read| self.begun(slot, at, read)))
    }

    fn begun(&mut self, slot: Slot, at: u64, read: FramedRead) -> Result<(), Stop> {
        self.schedule.remove(&mut self.streams, slot);
        let until = self.now() + ORDERLY_MS;
        let stream = self.streams.at(slot)?;
        stream.reading = true;
        let (stream, urgency) = (stream.id, stream.priority.urgency);
        self.reads.flying.push(Reading { stream, read, at, urgency, until });
        Ok(())
    }

    /// Whether a stream's content waits for a read that comes before it.
    pub(super) fn comes_behind_a_read(&self, slot: Slot) -> bool {
        let now = self.now();
        let Some(stream) = self.streams.get(slot) else { return false };
        self.reads.flying.iter().any(|reading| {
            reading.read.is_flying()
                && now < reading.until
                && reading.urgency <= stream.priority.urgency
        })
    }

    /// Sends what was read, if nothing else waits to leave before it.
    pub(super) fn send_reads(&mut self) -> Result<(), Stop> {
        loop {
            // Ready or not, each reading is looked at.
            let _ = self.reads.poll(&self.context.ring);
            let come = self.reads.flying.iter().position(|reading| !reading.read.is_flying());
            let Some(at) = come else { return Ok(()) };
            let writer = &self.session.writer;
            if self.filled > 0 || writer.gathered() > 0 || writer.is_departing() {
                return Ok(());
            }
            let reading = self.reads.flying.remove(at);
            self.unpark()?;
            let slot = self.streams.find(reading.stream);
            let slot = slot.ok_or(Stop::defect("a file was read for a stream that has ended"))?;
            self.send_read(slot, reading)?;
        }
    }

    fn send_read(&mut self, slot: Slot, reading: Reading) -> Result<(), Stop> {
        let Reading { stream: id, read, at, .. } = reading;
        self.streams.at(slot)?.reading = false;
        let read_count = match read.outcome() {
            Ok(count) => count,
            Err(_) if read.is_interrupted() => {
                self.schedule.insert(&mut self.streams, slot);
                return Ok(());
            }
            Err(error) => {
                self.context.warn(&format_args!("a file could not be read: {error}"));
                0
            }
        };
        if read_count == 0 {
            // The file has become shorter, or cannot be read: what was sent must not look whole.
            return self.reset(id, ErrorCode::InternalError, Why::ServerFile);
        }
        let window = self.window.available();
        let stream = self.streams.at(slot)?;
        match stream.source.piece() {
            Some(Piece::Read(_, range)) if range.start == at => {}
            _ => return Err(Stop::defect("a file was read from another place than is sent")),
        }
        // The windows may have changed since.
        let allowed = window.min(stream.window.available());
        let count = read_count.min(allowed as usize);
        if count == 0 || !self.session.writer.fits(self.socket, count)? {
            self.schedule.insert(&mut self.streams, slot);
            return Ok(());
        }
        stream.clock.enter(Stage::Respond);
        let mut left = Some(stream.source.remaining());
        let mut head = |length: u32| {
            left = left.and_then(|left| left.checked_sub(length.into()));
            respond::data(id, length, left == Some(0))
        };
        self.schedule.insert(&mut self.streams, slot);
        self.session.writer.depart_framed(self.socket, read, count, &mut head)?;
        left.ok_or(FRAMES_TOO_LONG)?;
        self.departing_stream = self.last_stream;
        self.sent(slot, count as u32, allowed)
    }

    /// A read has ended: streams that waited for one may begin theirs.
    fn unpark(&mut self) -> Result<(), Stop> {
        if !std::mem::take(&mut self.reads.has_parked) {
            return Ok(());
        }
        for number in 0..self.streams.len() {
            let slot = self.streams.nth(number)?;
            if std::mem::take(&mut self.streams.at(slot)?.parked) {
                self.ready_if_open(slot)?;
            }
        }
        Ok(())
    }

    /// Nobody wants what is read for a stream any more.
    pub(super) fn forget_read(&mut self, stream: u32) -> Result<(), Stop> {
        let before = self.reads.flying.len();
        self.reads.flying.retain(|reading| reading.stream != stream);
        self.reads.wish = None;
        if self.reads.flying.len() < before {
            self.unpark()?;
        }
        Ok(())
    }
}
