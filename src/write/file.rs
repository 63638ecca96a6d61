//! Files that are not in the cache: too large, or changing too fast.

use std::{
    io,
    ops::Range,
    rc::Rc,
    task::{Poll, ready},
};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, sendfile};

use super::{
    WriteError, Writer,
    memory::WORTHWHILE,
    sealing::{Layout, Load, Places},
};
use crate::ring::{Flight, OpenFile, ReadInto, SendBuf, SendClass, Socket, is_cached};

/// Bytes for one sendfile(2): encrypting them takes well under a millisecond, so that the
/// worker's other connections do not wait longer for one.
const WINDOW: u64 = 256 * 1024;

/// A read of a file into send memory, in the layout of records.
#[derive(Debug)]
pub(super) struct Reading {
    flight: Flight<ReadInto>,
    file: Rc<OpenFile>,
    /// From where in the file.
    at: u64,
    /// When it was first waited for, in nanoseconds; it is read ahead before that.
    waited: Option<u64>,
    /// When it has to have come, in milliseconds on the worker's clock.
    until: u64,
}

impl Writer {
    /// Sends the beginning of a range of a file, behind what waits: says how many bytes of it are on
    /// their way, at least one. The file may change meanwhile; if it becomes too short for the
    /// range, that is an error and the connection must be closed. May be dropped and called again; a
    /// call with another file drops what was read of the first.
    pub(super) fn poll_file(
        &mut self,
        socket: &Socket,
        file: &Rc<OpenFile>,
        range: Range<u64>,
    ) -> Poll<Result<u64, WriteError>> {
        ready!(self.poll_flush(socket))?;
        if self.reading.is_none() && self.is_kernel() {
            if std::mem::take(&mut self.rests) {
                // Encrypting took its time: others first.
                self.ring.wake(self.ring.current());
                return Poll::Pending;
            }
            let window = range.start..range.end.min(range.start + WINDOW);
            if is_cached(file, window.clone()) {
                return self.poll_cached(socket, file, window);
            }
        }
        self.poll_read(socket, file, range)
    }

    /// Reads into send memory in the layout of records, seals each where it lies, sends; the next
    /// piece is read meanwhile if there is memory for it and the socket will take it too.
    fn poll_read(
        &mut self,
        socket: &Socket,
        file: &Rc<OpenFile>,
        range: Range<u64>,
    ) -> Poll<Result<u64, WriteError>> {
        let (memory, places, count) =
            ready!(self.poll_piece(socket, file, range.clone(), Layout::PLAIN))?;
        if count == 0 {
            return Poll::Ready(Err(WriteError::FileShrank));
        }
        let rest = range.start + count as u64..range.end;
        if !rest.is_empty()
            && !self.is_kernel()
            && self.open >= 2 * SendClass::BULK_LEN
            && let Some(memory) = self.ring.try_send_buffer(SendClass::Bulk)
        {
            self.read(file, memory, rest, Layout::PLAIN);
        }
        let load = self.sealing.take_read(memory, &places, count, Layout::PLAIN)?;
        self.note_read(count);
        self.depart_with(socket, load)?;
        Poll::Ready(Ok(count as u64))
    }

    /// Reads the beginning of a range into send memory, in this layout: where it lies, and how many
    /// bytes these are; 0 if the file has none there. May be dropped and called again.
    ///
    /// # Errors
    /// [`WriteError::FileStalled`] once the response timeout has passed.
    pub(super) fn poll_piece(
        &mut self,
        socket: &Socket,
        file: &Rc<OpenFile>,
        range: Range<u64>,
        layout: Layout,
    ) -> Poll<Result<(SendBuf, Places, usize), WriteError>> {
        loop {
            let is_next = |read: &Reading| Rc::ptr_eq(&read.file, file) && read.at == range.start;
            if !self.reading.as_deref().is_some_and(is_next) {
                self.reading = None;
                let wanted = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
                let memory = ready!(self.poll_buffer(socket, SendClass::Bulk, wanted))?;
                self.read(file, memory, range.clone(), layout);
            }
            let Some(mut reading) = self.reading.take() else {
                return Poll::Ready(Err(WriteError::Defect("a read was lost")));
            };
            let began = *reading.waited.get_or_insert_with(|| self.ring.clock());
            let Poll::Ready((read, (memory, places))) = reading.flight.poll() else {
                let stalled = self.ring.poll_until(reading.until);
                self.reading = Some(reading);
                return stalled.map(|()| Err(WriteError::FileStalled));
            };
            self.notes.gathering.waited_for_file(self.ring.clock().saturating_sub(began));
            match read {
                Ok(count) => return Poll::Ready(Ok((memory, places, count))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(WriteError::File(error))),
            }
        }
    }

    /// Begins to read what of a range a buffer holds.
    fn read(&mut self, file: &Rc<OpenFile>, memory: SendBuf, range: Range<u64>, layout: Layout) {
        let rest = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let room = memory.len().min(self.open.max(WORTHWHILE));
        let places: Places = self.sealing.places(room, rest, layout, self.ring.now());
        let flight = self.ring.begin_read_into(file, memory, places, range.start);
        let until = self.ring.now().saturating_add(self.stall);
        let (file, at) = (Rc::clone(file), range.start);
        self.reading = Some(Box::new(Reading { flight, file, at, waited: None, until }));
    }

    pub(super) fn note_read(&mut self, count: usize) {
        let moved = &mut self.notes.moved;
        let read =
            if self.sealing.is_kernel() { &mut moved.read_for_kernel } else { &mut moved.read };
        *read += count as u64;
    }

    /// One sendfile(2): from the page cache straight into kernel TLS. The socket must not block for
    /// that, and must block for the ring, which else would not wait for it.
    fn poll_cached(
        &mut self,
        socket: &Socket,
        file: &Rc<OpenFile>,
        window: Range<u64>,
    ) -> Poll<Result<u64, WriteError>> {
        loop {
            if self.waits.is_for_peer() {
                ready!(self.poll_writable(socket))?;
            }
            let mut offset = window.start;
            let count = usize::try_from(window.end - window.start).unwrap_or(usize::MAX);
            self.note_submission();
            set_nonblocking(socket, true)?;
            let began = self.ring.clock();
            let sent = sendfile(socket, file, Some(&mut offset), count);
            let ended = self.ring.note_sendfile(began);
            set_nonblocking(socket, false)?;
            match sent {
                Ok(0) => return Poll::Ready(Err(WriteError::FileShrank)),
                Ok(sent) => {
                    self.note_progress(sent)?;
                    // It was completed when it returned, and not when the turn began.
                    self.notes.gathering.completed(ended);
                    self.notes.moved.sendfile += sent as u64;
                    self.rests = true;
                    return Poll::Ready(Ok(sent as u64));
                }
                Err(rustix::io::Errno::AGAIN) => ready!(self.poll_writable(socket))?,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(WriteError::Socket(errno.into()))),
            }
        }
    }

    /// Submits a load by itself. Nothing may wait, and nothing may be in flight.
    pub(super) fn depart_with(&mut self, socket: &Socket, load: Load) -> Result<(), WriteError> {
        if self.is_departing() || self.gathered() > 0 {
            return Err(WriteError::Defect("a load would overtake what waits"));
        }
        self.send(socket, load);
        Ok(())
    }
}

fn set_nonblocking(socket: &Socket, on: bool) -> Result<(), WriteError> {
    let flags = fcntl_getfl(socket).map_err(|errno| WriteError::Socket(errno.into()))?;
    let flags = if on { flags | OFlags::NONBLOCK } else { flags - OFlags::NONBLOCK };
    fcntl_setfl(socket, flags).map_err(|errno| WriteError::Socket(errno.into()))
}
