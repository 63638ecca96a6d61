//! Files that are not in the cache: too large, or changing too fast.

use std::{io, ops::Range, os::fd::OwnedFd, pin::Pin, rc::Rc};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, sendfile};

use super::{
    WriteError,
    room::WORTHWHILE,
    writer::{Seal, Writer},
};
use crate::{
    record::ContentType,
    ring::{MAX_VECTORS, SendBuf, SendClass, Socket, is_cached},
};

/// Bytes for one sendfile(2): encrypting them takes well under a millisecond, so that the
/// worker's other connections do not wait longer for one.
const WINDOW: u64 = 256 * 1024;

type Reading<'r> =
    Pin<Box<dyn Future<Output = (io::Result<usize>, SendBuf, Vec<Range<usize>>)> + 'r>>;

impl Writer {
    /// Sends a range of a file, behind what waits. The file may change meanwhile; if it becomes
    /// too short for the range, that is an error and the connection must be closed.
    pub(super) async fn queue_file(
        &mut self,
        socket: &Socket,
        file: &Rc<OwnedFd>,
        range: Range<u64>,
    ) -> Result<(), WriteError> {
        if range.is_empty() {
            return Ok(());
        }
        self.flush(socket).await?;
        if self.is_kernel() {
            self.file_by_kernel(socket, file, range).await
        } else {
            self.file_by_reading(socket, file, range).await
        }
    }

    /// Reads into send memory in the layout of records, seals each where it lies, sends; the next
    /// piece is read meanwhile if there is memory for it and the socket will take it too.
    async fn file_by_reading(
        &mut self,
        socket: &Socket,
        file: &Rc<OwnedFd>,
        range: Range<u64>,
    ) -> Result<(), WriteError> {
        let ring = Rc::clone(&self.ring);
        let mut at = range.start;
        let mut ahead: Option<(Reading<'_>, u64)> = None;
        while at < range.end {
            let reading = match ahead.take() {
                Some((reading, begin)) if begin == at => reading,
                _ => {
                    let wanted = usize::try_from(range.end - at).unwrap_or(usize::MAX);
                    let buffer = self.buffer(socket, SendClass::Bulk, wanted).await?;
                    let places = self.places(&buffer, range.end - at);
                    Box::pin(ring.read_into(file, buffer, places, at))
                }
            };
            let began = ring.clock();
            let (read, buffer, places) = reading.await;
            self.notes.departure.waited_for_file(ring.clock().saturating_sub(began));
            let count = match read {
                Ok(0) => return Err(WriteError::FileShrank),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => return Err(WriteError::File(error)),
            };
            at += count as u64;
            if at < range.end
                && self.open >= 2 * SendClass::BULK_LEN
                && let Some(buffer) = ring.try_send_buffer(SendClass::Bulk)
            {
                let places = self.places(&buffer, range.end - at);
                ahead = Some((Box::pin(ring.read_into(file, buffer, places, at)), at));
            }
            self.seal_places(buffer, &places, count)?;
            self.flush(socket).await?;
            if self.is_exhausted() {
                Box::pin(self.update_key(socket)).await?;
            }
        }
        Ok(())
    }

    /// Where the plaintext of the next records is to lie in a buffer, for at most `rest` bytes.
    fn places(&mut self, buffer: &SendBuf, rest: u64) -> Vec<Range<usize>> {
        let (prefix, overhead) = match &self.seal {
            Seal::User { sealer, .. } => (sealer.prefix(), sealer.overhead()),
            Seal::Kernel { .. } => (0, 0),
        };
        let record = self.sizing.next(self.ring.now());
        let mut rest = usize::try_from(rest).unwrap_or(usize::MAX);
        let room = buffer.len().min(self.open.max(WORTHWHILE));
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

    /// Seals `count` bytes that were read into `places`; they wait to leave.
    fn seal_places(
        &mut self,
        mut bytes: SendBuf,
        places: &[Range<usize>],
        count: usize,
    ) -> Result<(), WriteError> {
        let Seal::User { sealer, buffer, used } = &mut self.seal else { return Ok(()) };
        let mut left = count;
        let mut end = 0;
        for place in places {
            let len = place.len().min(left);
            if len == 0 {
                break;
            }
            let record = bytes.get_mut(end..).unwrap_or_default();
            end += sealer.seal_in_place(ContentType::ApplicationData, record, len)?;
            left -= len;
        }
        self.sizing.sealed(count);
        self.notes.moved.read += count as u64;
        (*buffer, *used) = (Some(bytes), end);
        Ok(())
    }

    /// From the page cache straight into kernel TLS; what is not cached is read through the ring.
    async fn file_by_kernel(
        &mut self,
        socket: &Socket,
        file: &Rc<OwnedFd>,
        range: Range<u64>,
    ) -> Result<(), WriteError> {
        let mut at = range.start;
        while at < range.end {
            if self.is_exhausted() {
                Box::pin(self.update_key(socket)).await?;
            }
            let end = range.end.min(at + WINDOW);
            at += if is_cached(file, at..end) {
                self.send_cached(socket, file, at..end).await?
            } else {
                self.send_read(socket, file, at..end).await?
            };
        }
        Ok(())
    }

    /// One sendfile(2). The socket must not block for that, and must block for the ring, which
    /// else would not wait for it.
    async fn send_cached(
        &mut self,
        socket: &Socket,
        file: &Rc<OwnedFd>,
        window: Range<u64>,
    ) -> Result<u64, WriteError> {
        let mut offset = window.start;
        let count = usize::try_from(window.end - window.start).unwrap_or(usize::MAX);
        self.note_submission();
        set_nonblocking(socket, true)?;
        let began = self.ring.clock();
        let sent = sendfile(socket, file, Some(&mut offset), count);
        let ended = self.ring.note_sendfile(began);
        set_nonblocking(socket, false)?;
        match sent {
            Ok(0) => Err(WriteError::FileShrank),
            Err(rustix::io::Errno::AGAIN) => self.wait_until_writable(socket).await.map(|()| 0),
            sent => {
                let sent = self.progress(sent.map_err(io::Error::from)).await?;
                // It was completed when it returned, and not when the turn began.
                self.notes.departure.completed(ended);
                self.notes.moved.sendfile += sent as u64;
                self.ring.yield_now().await;
                Ok(sent as u64)
            }
        }
    }

    /// One piece through send memory: waiting for the disk holds up nobody else.
    async fn send_read(
        &mut self,
        socket: &Socket,
        file: &Rc<OwnedFd>,
        window: Range<u64>,
    ) -> Result<u64, WriteError> {
        let rest = usize::try_from(window.end - window.start).unwrap_or(usize::MAX);
        let buffer = self.buffer(socket, SendClass::Bulk, rest).await?;
        let place = 0..buffer.len().min(rest).min(self.open.max(WORTHWHILE));
        let began = self.ring.clock();
        let (read, buffer, _) = self.ring.read_into(file, buffer, vec![place], window.start).await;
        self.notes.departure.waited_for_file(self.ring.clock().saturating_sub(began));
        let count = read.map_err(WriteError::File)?;
        if count == 0 {
            return Err(WriteError::FileShrank);
        }
        self.notes.moved.read_for_kernel += count as u64;
        self.send_buffer(socket, buffer, count).await?;
        Ok(count as u64)
    }
}

fn set_nonblocking(socket: &Socket, on: bool) -> Result<(), WriteError> {
    let flags = fcntl_getfl(socket).map_err(|errno| WriteError::Socket(errno.into()))?;
    let flags = if on { flags | OFlags::NONBLOCK } else { flags - OFlags::NONBLOCK };
    fcntl_setfl(socket, flags).map_err(|errno| WriteError::Socket(errno.into()))
}
