//! The sending side of an established connection, whoever seals its records.

use std::{io, ops::Range, os::fd::OwnedFd, rc::Rc, time::Duration};

use super::{Pace, RecordSizing, WriteError, observed::Notes, rekey::NextKeys};
use crate::{
    config::Timeouts,
    record::{
        AlertDescription, ContentType, MAX_OVERHEAD, MAX_PLAINTEXT, Sealer, Suite, TrafficKeys,
        encode_alert,
    },
    ring::{Message, Pages, Ring, SendBuf, SendClass, Socket},
};

/// What follows a response head.
#[derive(Debug)]
pub enum Body<'b> {
    /// A range of bytes that never change.
    Shared(&'b Rc<Pages>, Range<usize>),
    /// A range of an open file.
    File(&'b Rc<OwnedFd>, Range<u64>),
}

/// Body bytes that are copied behind the head to leave in its record. Beyond, a second pass over
/// the AEAD's set-up costs less than the copy.
const ONE_RECORD: usize = 4096;

/// Bytes of one message to kernel TLS: encrypting them takes well under a millisecond, so that
/// the worker's other connections do not wait longer for one.
const MESSAGE_BYTES: usize = 256 * 1024;

const PAGE: usize = 4096;

/// Bodies from this length on are sent to kernel TLS in records that begin at page boundaries.
/// That costs one more system call, which shorter ones do not earn.
const ALIGN_FROM: usize = 128 * 1024;

/// Kernel memory that a send takes besides its payload, at least.
const FRAME: usize = 2048;

/// What a socket takes without waiting for its peer when the handshake has ended: less than the
/// smallest send buffer that the kernel gives (`SOCK_MIN_SNDBUF`), since by its Finished the peer
/// has acknowledged all that was sent before. So the first small answer need not ask.
const AFTER_HANDSHAKE: usize = 4096;

/// Who seals the records.
#[derive(Debug)]
pub(super) enum Seal {
    /// This module: into `buffer`, of which `used` bytes are records that wait to leave.
    User { sealer: Sealer, buffer: Option<SendBuf>, used: usize },
    /// The kernel: `message` waits to leave, `used` bytes of its buffer are taken.
    Kernel { message: Option<Box<Message>>, used: usize, suite: Suite, records: u64 },
}

/// The sending side of an established connection.
#[derive(Debug)]
pub struct Writer {
    pub(super) ring: Rc<Ring>,
    pub(super) seal: Seal,
    pub(super) sizing: RecordSizing,
    /// Bytes that the socket takes without waiting for the peer; a lower bound.
    pub(super) open: usize,
    /// A send is in flight. If it still is when the next begins, it was given up.
    sending: bool,
    pub(super) pace: Pace,
    pub(super) stall: Duration,
    /// Boxed: few look at it, and connections are many.
    pub(super) next_keys: Box<NextKeys>,
    /// What was done with content, and how it left.
    pub(super) notes: Notes,
}

impl Writer {
    /// Begins with the keys of the handshake. With `kernel`, the kernel seals; whoever calls has
    /// installed the keys.
    pub fn new(ring: &Rc<Ring>, keys: &TrafficKeys, kernel: bool, timeouts: &Timeouts) -> Self {
        let seal = if kernel {
            let (suite, records) = (keys.suite(), keys.sequence());
            Seal::Kernel { message: None, used: 0, suite, records }
        } else {
            Seal::User { sealer: Sealer::new(keys), buffer: None, used: 0 }
        };
        Self {
            ring: Rc::clone(ring),
            seal,
            sizing: RecordSizing::default(),
            open: AFTER_HANDSHAKE,
            sending: false,
            pace: Pace::new(timeouts.response_min_rate, timeouts.response_stall),
            stall: timeouts.response_stall,
            next_keys: Box::default(),
            notes: Notes::default(),
        }
    }

    /// Most bytes that [`Self::queue_sealed`] takes.
    pub const MAX_SEALED: usize = SendClass::RECORD_LEN;

    /// Begins the queue with records that the handshake has sealed: they leave with what is queued
    /// behind them, or with the next flush. Nothing may have been queued before them, and the
    /// kernel must not seal what comes behind.
    pub async fn queue_sealed(
        &mut self,
        socket: &Socket,
        records: &[u8],
    ) -> Result<(), WriteError> {
        self.pace.begin(self.ring.now());
        self.take_buffer(socket, SendClass::Record, records.len()).await?;
        if let Seal::User { buffer: Some(buffer), used, .. } = &mut self.seal
            && let Some(room) = buffer.get_mut(..records.len())
        {
            room.copy_from_slice(records);
            *used = records.len();
        }
        Ok(())
    }

    /// Whether the kernel seals the records.
    pub fn is_kernel(&self) -> bool {
        matches!(self.seal, Seal::Kernel { .. })
    }

    /// Bytes that wait to leave.
    fn waiting(&self) -> usize {
        match &self.seal {
            Seal::User { used, .. } => *used,
            Seal::Kernel { message, .. } => {
                message.as_ref().map_or(0, |message| message.remaining())
            }
        }
    }

    /// Makes room for `plain` bytes of head, sending what waits if there is none. `body` bytes
    /// are expected behind them, and `more` says that further responses are: that decides how
    /// large a buffer is taken.
    pub async fn reserve(
        &mut self,
        socket: &Socket,
        plain: usize,
        body: u64,
        more: bool,
    ) -> Result<(), WriteError> {
        if self.waiting() == 0 {
            self.pace.begin(self.ring.now());
        }
        let body = usize::try_from(body).unwrap_or(usize::MAX);
        let wanted = match self.seal {
            Seal::User { .. } => body.saturating_add(plain + 2 * MAX_OVERHEAD),
            Seal::Kernel { .. } => plain,
        };
        let class = match wanted {
            0..=SendClass::SMALL_LEN if !more => SendClass::Small,
            0..=SendClass::RECORD_LEN => SendClass::Record,
            _ => SendClass::Bulk,
        };
        let wanted = wanted.min(class.bytes());
        let waiting = self.waiting();
        if self.room_left() < wanted || (waiting > 0 && waiting + wanted > self.open) {
            self.flush(socket).await?;
            let wanted = if more { class.bytes() } else { wanted };
            self.take_buffer(socket, class, wanted).await?;
        }
        Ok(())
    }

    /// Bytes of plaintext that fit behind what waits.
    fn room_left(&self) -> usize {
        match &self.seal {
            Seal::User { sealer, buffer: Some(buffer), used } => {
                (buffer.len() - used).saturating_sub(sealer.overhead())
            }
            Seal::Kernel { message: Some(message), used, .. } if message.has_room() => {
                message.buffer_len().saturating_sub(*used)
            }
            _ => 0,
        }
    }

    /// Waits for a buffer in which `wanted` bytes are to leave. Nothing may wait to leave.
    async fn take_buffer(
        &mut self,
        socket: &Socket,
        class: SendClass,
        wanted: usize,
    ) -> Result<(), WriteError> {
        let taken = self.buffer(socket, class, wanted).await?;
        match &mut self.seal {
            Seal::User { buffer, used, .. } => (*buffer, *used) = (Some(taken), 0),
            Seal::Kernel { message, used, .. } => {
                let message = message.get_or_insert_with(|| self.ring.message());
                message.clear();
                *message.buffer() = Some(taken);
                *used = 0;
            }
        }
        Ok(())
    }

    /// Where the head goes that [`Self::reserve`] made room for.
    pub fn room(&mut self) -> &mut [u8] {
        let (buffer, from) = match &mut self.seal {
            Seal::User { sealer, buffer, used } => {
                let suffix = sealer.overhead() - sealer.prefix();
                let from = *used + sealer.prefix();
                let Some(buffer) = buffer.as_deref_mut() else { return &mut [] };
                let end = (buffer.len() - suffix).min(from + MAX_PLAINTEXT);
                return buffer.get_mut(from..end).unwrap_or_default();
            }
            Seal::Kernel { message, used, .. } => {
                (message.as_mut().and_then(|message| message.buffer().as_deref_mut()), *used)
            }
        };
        buffer.and_then(|buffer| buffer.get_mut(from..)).unwrap_or_default()
    }

    /// Queues the first `len` bytes of [`Self::room`] by themselves; nothing if there are none.
    pub fn queue_head(&mut self, len: usize) -> Result<(), WriteError> {
        if len == 0 {
            return Ok(());
        }
        self.note_head(len);
        self.commit(len)
    }

    /// Queues the first `head` bytes of [`Self::room`] and a body behind them. Sends as far as
    /// the body does not fit; what does fit waits for [`Self::flush`].
    pub async fn queue(
        &mut self,
        socket: &Socket,
        head: usize,
        body: Body<'_>,
    ) -> Result<(), WriteError> {
        match body {
            Body::Shared(bytes, range) => {
                let body = bytes.get(range.clone()).unwrap_or_default();
                if let Some(copied) = self.copy_behind(head, body) {
                    self.note_head(head);
                    self.commit(head + copied)?;
                    let rest = range.start + copied..range.end;
                    return self.queue_shared(socket, bytes, rest).await;
                }
                self.queue_head(head)?;
                let rest = self.align_records(socket, bytes, range, head).await?;
                self.queue_shared(socket, bytes, rest).await
            }
            Body::File(file, range) => {
                self.queue_head(head)?;
                // Boxed: it takes much, and most responses are not of this kind.
                Box::pin(self.queue_file(socket, file, range)).await
            }
        }
    }

    /// Ends the first record of a long body so that every further one begins at a page boundary
    /// of its memory, and is four pages: the kernel's cipher then walks fewer pieces and copies
    /// no block that straddles two of them.
    async fn align_records(
        &mut self,
        socket: &Socket,
        bytes: &Rc<Pages>,
        range: Range<usize>,
        head: usize,
    ) -> Result<Range<usize>, WriteError> {
        let aligned = range.start.is_multiple_of(PAGE) && head <= PAGE;
        if !self.is_kernel() || !aligned || range.len() < ALIGN_FROM {
            return Ok(range);
        }
        let first = range.start + MAX_PLAINTEXT - PAGE;
        self.queue_shared(socket, bytes, range.start..first).await?;
        self.flush(socket).await?;
        Ok(first..range.end)
    }

    /// Copies as much of a body behind the head as is to share its record: all of a small one,
    /// the beginning of a larger one. Kernel TLS needs no copy for that.
    fn copy_behind(&mut self, head: usize, body: &[u8]) -> Option<usize> {
        if self.is_kernel() {
            return None;
        }
        let first = ONE_RECORD.saturating_sub(head).min(body.len());
        let room = self.room().get_mut(head..head + first)?;
        room.copy_from_slice(body.get(..first)?);
        self.notes.moved.copied += first as u64;
        Some(first)
    }

    /// Seals the first `len` bytes of the room as one record, or queues them for the kernel.
    fn commit(&mut self, len: usize) -> Result<(), WriteError> {
        match &mut self.seal {
            Seal::User { sealer, buffer: Some(buffer), used } => {
                let out = buffer.get_mut(*used..).unwrap_or_default();
                *used += sealer.seal_in_place(ContentType::ApplicationData, out, len)?;
                self.sizing.sealed(len);
            }
            Seal::Kernel { message: Some(message), used, .. } => {
                if !message.push_buffered(*used..*used + len) {
                    return Err(WriteError::Socket(io::ErrorKind::OutOfMemory.into()));
                }
                *used += len;
            }
            _ => return Err(WriteError::Defect("nothing was reserved for what is queued")),
        }
        Ok(())
    }

    async fn queue_shared(
        &mut self,
        socket: &Socket,
        bytes: &Rc<Pages>,
        range: Range<usize>,
    ) -> Result<(), WriteError> {
        let mut rest = range;
        while !rest.is_empty() {
            let now = self.ring.now();
            let taken = match &mut self.seal {
                Seal::User { sealer, buffer, used } => {
                    let record = self.sizing.next(now).min(rest.len());
                    let out = buffer.as_deref_mut().and_then(|buffer| buffer.get_mut(*used..));
                    let len = record + sealer.overhead();
                    match out {
                        Some(out) if out.len() >= len && *used + len <= self.open => {
                            let plain = bytes.get(rest.start..rest.start + record);
                            let plain = plain.unwrap_or_default();
                            *used += sealer.seal(ContentType::ApplicationData, plain, out)?;
                            self.sizing.sealed(record);
                            self.notes.moved.sealed += record as u64;
                            record
                        }
                        _ => 0,
                    }
                }
                Seal::Kernel { message: Some(message), .. } => {
                    let waiting = message.remaining();
                    let mut whole = waiting + rest.len();
                    let room = MESSAGE_BYTES.min(self.open);
                    if whole > room {
                        // Full records only, while more is to follow.
                        whole = room - room % MAX_PLAINTEXT;
                    }
                    let len = whole.saturating_sub(waiting);
                    let part = rest.start..rest.start + len;
                    let pushed = message.push_shared(Rc::clone(bytes), part);
                    let len = if pushed { len } else { 0 };
                    self.notes.moved.lent += len as u64;
                    len
                }
                Seal::Kernel { .. } => 0,
            };
            rest.start += taken;
            if taken == 0 {
                self.flush(socket).await?;
                if self.is_exhausted() {
                    Box::pin(self.update_key(socket)).await?;
                }
                let class = match (self.is_kernel(), rest.len() + MAX_OVERHEAD) {
                    (true, _) | (false, 0..=SendClass::SMALL_LEN) => SendClass::Small,
                    (false, 0..=SendClass::RECORD_LEN) => SendClass::Record,
                    _ => SendClass::Bulk,
                };
                let wanted = rest.len().saturating_add(MAX_OVERHEAD).min(MESSAGE_BYTES);
                self.take_buffer(socket, class, wanted).await?;
            }
        }
        Ok(())
    }

    /// Sends all that waits, and gives its memory back.
    ///
    /// # Errors
    /// The connection is then to be closed; and likewise if the future was dropped: whatever is
    /// sent next could stand behind half a record, so it fails.
    pub async fn flush(&mut self, socket: &Socket) -> Result<(), WriteError> {
        if self.sending {
            return Err(WriteError::GivenUp);
        }
        self.sending = true;
        match &mut self.seal {
            Seal::User { buffer, used, .. } => {
                if let Some(buffer) = buffer.take() {
                    let used = std::mem::take(used);
                    self.send_buffer(socket, buffer, used).await?;
                }
            }
            Seal::Kernel { message, used, .. } => {
                if let Some(message) = message.take() {
                    *used = 0;
                    self.send_message(socket, message).await?;
                }
            }
        }
        self.sending = false;
        self.notes.departure.all_left();
        Ok(())
    }

    /// Sends the first `used` bytes of a buffer.
    pub(super) async fn send_buffer(
        &mut self,
        socket: &Socket,
        mut buffer: SendBuf,
        used: usize,
    ) -> Result<(), WriteError> {
        self.note_submission();
        let mut sent = 0;
        while sent < used {
            let send = self.ring.send(socket, buffer, sent..used);
            let (result, returned) = self.ring.within(self.stall, send).await?;
            buffer = returned;
            sent += self.progress(result).await?;
        }
        Ok(())
    }

    async fn send_message(
        &mut self,
        socket: &Socket,
        mut message: Box<Message>,
    ) -> Result<(), WriteError> {
        self.note_submission();
        while message.remaining() > 0 {
            let send = self.ring.send_message(socket, message);
            let (result, returned) = self.ring.within(self.stall, send).await?;
            message = returned;
            let count = self.progress(result).await?;
            message.advance(count);
        }
        self.ring.put_back_message(message);
        Ok(())
    }

    /// What a send came to.
    pub(super) async fn progress(&mut self, sent: io::Result<usize>) -> Result<usize, WriteError> {
        let count = match sent {
            Ok(0) => return Err(WriteError::Socket(io::ErrorKind::WriteZero.into())),
            Ok(count) => count,
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {
                // Interrupted, or the ring is full: others first.
                self.ring.yield_now().await;
                0
            }
            Err(error) => return Err(WriteError::Socket(error)),
        };
        self.notes.departure.completed(self.ring.turn_began());
        self.open = self.open.saturating_sub(count + count / 16 + FRAME);
        if let Seal::Kernel { records, .. } = &mut self.seal {
            *records += 1 + (count / MAX_PLAINTEXT) as u64;
        }
        if self.pace.keeps_up(self.ring.now(), count) {
            Ok(count)
        } else {
            Err(WriteError::TooSlow)
        }
    }

    /// Sends a record of another type than application data, after all that waits.
    pub(super) async fn control(
        &mut self,
        socket: &Socket,
        content_type: ContentType,
        body: &[u8],
    ) -> Result<(), WriteError> {
        self.flush(socket).await?;
        self.take_buffer(socket, SendClass::Small, MAX_OVERHEAD + body.len()).await?;
        match &mut self.seal {
            Seal::User { sealer, buffer: Some(buffer), used } => {
                *used = sealer.seal(content_type, body, buffer)?;
            }
            Seal::Kernel { message: Some(message), .. } => {
                if let Some(room) =
                    message.buffer().as_deref_mut().and_then(|buffer| buffer.get_mut(..body.len()))
                {
                    room.copy_from_slice(body);
                }
                if message.push_buffered(0..body.len()) {
                    message.set_record_type(content_type as u8);
                }
            }
            _ => {}
        }
        self.flush(socket).await
    }

    /// Sends an alert; close_notify is one.
    pub async fn alert(
        &mut self,
        socket: &Socket,
        description: AlertDescription,
    ) -> Result<(), WriteError> {
        self.control(socket, ContentType::Alert, &encode_alert(description)).await
    }
}
