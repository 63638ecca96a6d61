//! The receiving side of an established connection, whichever layer opens its records.

use std::{collections::VecDeque, ops::Range, rc::Rc};

use super::{ReadError, decrypt::Decrypt};
use crate::{
    observe::Taken,
    record::{
        ContentType, Control, HEADER, MAX_PLAINTEXT, Opener, RecordError, RecordHeader, TlsVersion,
        TrafficKeys, parse_control,
    },
    ring::{Arrived, ReceiveStream, Received, RecvBuf, Ring, Socket},
};

/// What a wait for more has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// There is more plaintext than before.
    More,
    /// The peer sent close_notify: nothing more will come.
    Closed,
    /// The peer changed its keys: [`Reader::rekey`] before anything else is read.
    KeyUpdate {
        /// It wants ours changed as well.
        requested: bool,
    },
}

/// What the next record was.
enum Opening {
    Data,
    Empty,
    Control(Control),
}

/// The receiving side of an established connection.
#[derive(Debug)]
pub struct Reader {
    pub(super) ring: Rc<Ring>,
    pub(super) stream: ReceiveStream,
    pub(super) decrypt: Decrypt,
    pub(super) version: TlsVersion,
    pub(super) lease: Option<Arrived>,
    /// What follows the lease and was moved out of its buffers, see [`Self::set_aside`].
    pub(super) aside: VecDeque<Arrived>,
    /// What of the lease has not been opened.
    sealed: Range<usize>,
    /// What of the lease is plaintext and has not been consumed.
    plain: Range<usize>,
    /// The beginning of a record whose rest has not arrived; one record at most.
    pub(super) partial: Vec<u8>,
    /// Plaintext that did not come in one piece. Its caller bounds it: it asks for more only
    /// while what is here may still become a request.
    gathered: Vec<u8>,
    /// Where in `gathered` the plaintext begins.
    gathered_from: usize,
    control_in_a_row: u8,
    /// What was received.
    pub(super) taken: Taken,
    /// Nanoseconds spent opening records.
    opening: u64,
}

impl Reader {
    /// Control records in a row that are borne: alerts that change nothing, key updates.
    pub const MAX_CONTROL_IN_A_ROW: u8 = 16;

    /// Continues where the handshake ended: `stream` receives once at a time. `early` is a lease
    /// whose bytes from an index on came behind the handshake. With `kernel`, the kernel takes over
    /// at the first record boundary.
    pub fn new(
        ring: &Rc<Ring>,
        stream: ReceiveStream,
        keys: TrafficKeys,
        kernel: bool,
        early: Option<(RecvBuf, usize)>,
    ) -> Self {
        let opener = Opener::new(&keys);
        let version = keys.version();
        let decrypt = if kernel {
            Decrypt::HandingOver(opener, Box::new(keys))
        } else {
            Decrypt::User(opener)
        };
        let sealed = early.as_ref().map_or(0..0, |(lease, from)| *from..lease.len());
        let taken = Taken { sealed: sealed.len() as u64, ..Taken::default() };
        Self {
            ring: Rc::clone(ring),
            stream,
            decrypt,
            version,
            lease: early.map(|(lease, _)| Arrived::Lease(lease)),
            aside: VecDeque::new(),
            sealed,
            plain: 0..0,
            partial: Vec::new(),
            gathered: Vec::new(),
            gathered_from: 0,
            control_in_a_row: 0,
            taken,
            opening: 0,
        }
    }

    /// The plaintext that has arrived and has not been consumed.
    pub fn plaintext(&self) -> &[u8] {
        let (bytes, range) = if self.gathered.is_empty() {
            (self.lease.as_deref().unwrap_or(&[]), self.plain.clone())
        } else {
            (&self.gathered[..], self.gathered_from..self.gathered.len())
        };
        bytes.get(range).unwrap_or(&[])
    }

    /// Whether the kernel opens the records.
    pub fn is_kernel(&self) -> bool {
        matches!(self.decrypt, Decrypt::Kernel)
    }

    /// What was received since this was last asked.
    pub fn take_taken(&mut self) -> Taken {
        std::mem::take(&mut self.taken)
    }

    /// Nanoseconds spent opening records since this was last asked.
    pub(crate) fn take_opening(&mut self) -> u64 {
        std::mem::take(&mut self.opening)
    }

    /// Bytes of memory that the gathered plaintext takes.
    #[cfg(test)]
    pub(super) fn gathered_capacity(&self) -> usize {
        self.gathered.capacity()
    }

    /// Lets go of the first `count` bytes of plaintext. What is emptied by that is given back.
    pub fn consume(&mut self, count: usize) {
        if self.gathered.is_empty() {
            self.plain.start = (self.plain.start + count).min(self.plain.end);
            self.give_back_if_spent();
            return;
        }
        self.gathered_from += count;
        if self.gathered_from >= self.gathered.len() {
            self.gathered = Vec::new();
            self.gathered_from = 0;
        }
    }

    /// Opens what has arrived without waiting. None if more has to come from the socket.
    pub fn fill_at_hand(&mut self) -> Result<Option<Filled>, ReadError> {
        loop {
            if let Some(filled) = self.open_next()? {
                return Ok(Some(filled));
            }
            let Some(arrived) = self.next_at_hand() else { return Ok(None) };
            if self.take_in(arrived) {
                return Ok(Some(Filled::More));
            }
        }
    }

    /// Waits for more plaintext, or for a control record that the caller must know of. May be
    /// dropped and called again: nothing is lost.
    pub async fn fill(&mut self, socket: &Socket) -> Result<Filled, ReadError> {
        loop {
            if let Some(filled) = self.open_next()? {
                return Ok(filled);
            }
            if let Some(arrived) = self.aside.pop_front() {
                if self.take_in(arrived) {
                    return Ok(Filled::More);
                }
                continue;
            }
            self.approach_hand_over(socket);
            // A waiting connection holds no lease: a few hundred heads without an end would else be
            // enough to leave nobody a buffer.
            self.gather_rest();
            self.let_go();
            match self.stream.next().await {
                Received::Data(lease) => {
                    self.expect_more();
                    if self.take_in(Arrived::Lease(lease)) {
                        return Ok(Filled::More);
                    }
                }
                Received::End => return Err(ReadError::Truncated),
                Received::Failed(error) if !self.is_kernel() => {
                    return Err(ReadError::Socket(error));
                }
                Received::Failed(error) if error.raw_os_error() == Some(libc::EIO) => {
                    if let Some(filled) = self.take_control(socket).await? {
                        return Ok(filled);
                    }
                }
                Received::Failed(error) => return Err(ReadError::from_kernel(error)),
            }
        }
    }

    /// Cancels what is armed and waits until the kernel has let go of it.
    pub async fn stop(&mut self) {
        self.let_go();
        self.aside = VecDeque::new();
        self.stream.stop().await;
    }

    fn next_at_hand(&mut self) -> Option<Arrived> {
        self.aside.pop_front().or_else(|| self.stream.next_if_ready().map(Arrived::Lease))
    }

    /// Takes what came from the socket. True if its bytes are plaintext already.
    fn take_in(&mut self, lease: Arrived) -> bool {
        self.gather_rest();
        let whole = 0..lease.len();
        if !self.is_kernel() {
            self.taken.sealed += lease.len() as u64;
            (self.sealed, self.plain) = (whole, 0..0);
            self.lease = Some(lease);
            return false;
        }
        self.taken.plain += lease.len() as u64;
        self.control_in_a_row = 0;
        self.sealed = 0..0;
        if self.gathered.is_empty() {
            self.plain = whole;
            self.lease = Some(lease);
        } else {
            self.gather(&lease);
        }
        true
    }

    /// Appends to the plaintext. What was consumed of it goes first: requests that never end
    /// where a record ends would else gather for as long as the connection lives.
    fn gather(&mut self, bytes: &[u8]) {
        self.gathered.drain(..std::mem::take(&mut self.gathered_from));
        let kernel = self.is_kernel();
        self.taken.note_copy(kernel, bytes.len());
        self.gathered.extend_from_slice(bytes);
    }

    /// Moves the plaintext of the lease out of it, because more is to stand behind it.
    fn gather_rest(&mut self) {
        let range = std::mem::replace(&mut self.plain, 0..0);
        self.gather_from_lease(range);
    }

    fn gather_from_lease(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let lease = self.lease.take();
        match lease.as_deref().and_then(|lease| lease.get(range)) {
            None | Some([]) => {}
            Some(bytes) => self.gather(bytes),
        }
        self.lease = lease;
    }

    fn give_back_if_spent(&mut self) {
        if self.plain.is_empty() && self.sealed.is_empty() {
            self.let_go();
        }
    }

    /// Gives the lease back. The ranges of it end with it.
    fn let_go(&mut self) {
        self.lease = None;
        (self.sealed, self.plain) = (0..0, 0..0);
    }

    /// Opens the records that have arrived until one of them matters. None if no whole one is left.
    fn open_next(&mut self) -> Result<Option<Filled>, ReadError> {
        loop {
            let opening =
                if self.partial.is_empty() { self.open_in_place()? } else { self.open_gathered()? };
            match opening {
                None => return Ok(None),
                Some(Opening::Empty) => {}
                Some(Opening::Data) => {
                    self.control_in_a_row = 0;
                    return Ok(Some(Filled::More));
                }
                Some(Opening::Control(control)) => {
                    if let Some(filled) = self.act_on(control)? {
                        return Ok(Some(filled));
                    }
                }
            }
        }
    }

    /// Opens the next record where it lies in the lease.
    fn open_in_place(&mut self) -> Result<Option<Opening>, ReadError> {
        let (Decrypt::User(opener) | Decrypt::HandingOver(opener, _)) = &mut self.decrypt else {
            return Ok(None);
        };
        let Some(bytes) =
            self.lease.as_deref_mut().and_then(|lease| lease.get_mut(self.sealed.clone()))
        else {
            return Ok(None);
        };
        let length = RecordHeader::parse(bytes)?.map(|header| header.record_length());
        let Some(record) = length.and_then(|length| bytes.get_mut(..length)) else {
            // The rest is on its way. The lease goes back meanwhile.
            if !bytes.is_empty() {
                self.taken.note_copy(false, bytes.len());
                self.partial.reserve_exact(length.unwrap_or(HEADER));
                self.partial.extend_from_slice(bytes);
                self.sealed = 0..0;
            }
            self.give_back_if_spent();
            return Ok(None);
        };
        let began = self.ring.clock();
        let opened = opener.open(record)?;
        self.opening += self.ring.clock().saturating_sub(began);
        let at = self.sealed.start;
        self.sealed.start += record.len();
        let opening = match opened.content_type {
            ContentType::ApplicationData if opened.plaintext.is_empty() => Opening::Empty,
            ContentType::ApplicationData => {
                let plain = at + opened.plaintext.start..at + opened.plaintext.end;
                self.taken.opened += plain.len() as u64;
                self.add_plaintext(plain);
                return Ok(Some(Opening::Data));
            }
            other => {
                let payload = record.get(opened.plaintext).ok_or(ReadError::BEYOND)?;
                Opening::Control(parse_control(self.version, other, payload)?)
            }
        };
        self.give_back_if_spent();
        Ok(Some(opening))
    }

    /// A range of the lease has become plaintext.
    fn add_plaintext(&mut self, range: Range<usize>) {
        if self.plain.is_empty() && self.gathered.is_empty() {
            self.plain = range;
            return;
        }
        self.gather_rest();
        self.gather_from_lease(range);
        self.give_back_if_spent();
    }

    /// Completes a record that came in pieces from what has arrived, and opens it.
    fn open_gathered(&mut self) -> Result<Option<Opening>, ReadError> {
        loop {
            let missing = missing(&self.partial)?;
            if missing == 0 {
                break;
            }
            let lease = self.lease.as_deref().unwrap_or(&[]);
            let rest = lease.get(self.sealed.clone()).ok_or(ReadError::BEYOND)?;
            let taken = &rest[..missing.min(rest.len())];
            if taken.is_empty() {
                self.give_back_if_spent();
                return Ok(None);
            }
            self.taken.note_copy(false, taken.len());
            self.partial.reserve_exact(missing);
            self.partial.extend_from_slice(taken);
            self.sealed.start += taken.len();
        }
        let (Decrypt::User(opener) | Decrypt::HandingOver(opener, _)) = &mut self.decrypt else {
            return Ok(None);
        };
        let mut record = std::mem::take(&mut self.partial);
        let began = self.ring.clock();
        let opened = opener.open(&mut record)?;
        self.opening += self.ring.clock().saturating_sub(began);
        let opening = match opened.content_type {
            ContentType::ApplicationData if opened.plaintext.is_empty() => Opening::Empty,
            ContentType::ApplicationData => {
                self.taken.opened += opened.plaintext.len() as u64;
                if self.gathered.is_empty() && self.plain.is_empty() {
                    // The record's own memory serves as the gathered plaintext.
                    record.truncate(opened.plaintext.end);
                    self.gathered = record;
                    self.gathered_from = opened.plaintext.start;
                } else {
                    self.gather_rest();
                    self.gather(record.get(opened.plaintext).ok_or(ReadError::BEYOND)?);
                }
                Opening::Data
            }
            other => {
                let payload = record.get(opened.plaintext).ok_or(ReadError::BEYOND)?;
                Opening::Control(parse_control(self.version, other, payload)?)
            }
        };
        self.give_back_if_spent();
        Ok(Some(opening))
    }

    fn act_on(&mut self, control: Control) -> Result<Option<Filled>, ReadError> {
        self.control_in_a_row += 1;
        if self.control_in_a_row > Self::MAX_CONTROL_IN_A_ROW {
            return Err(ReadError::Flood);
        }
        match control {
            Control::CloseNotify => Ok(Some(Filled::Closed)),
            Control::Failed(description) => Err(ReadError::PeerFailed(description)),
            Control::Ignored => Ok(None),
            Control::KeyUpdate { requested } => Ok(Some(Filled::KeyUpdate { requested })),
        }
    }

    /// Takes the control record that made the kernel answer EIO.
    async fn take_control(&mut self, socket: &Socket) -> Result<Option<Filled>, ReadError> {
        let record = self.ring.receive_control(socket, MAX_PLAINTEXT).await;
        let (content_type, payload) = record.map_err(ReadError::from_kernel)?;
        let known = |byte| ContentType::from_byte(byte).ok_or(RecordError::UnknownType(byte));
        match content_type.map_or(Ok(ContentType::ApplicationData), known)? {
            ContentType::ApplicationData if payload.is_empty() => Err(ReadError::Truncated),
            ContentType::ApplicationData => {
                self.gather_rest();
                self.gather(&payload);
                Ok(Some(Filled::More))
            }
            other => self.act_on(parse_control(self.version, other, &payload)?),
        }
    }
}

/// Bytes that a record in pieces still lacks of its header or, once that is known, of the whole.
pub(super) fn missing(partial: &[u8]) -> Result<usize, RecordError> {
    let wanted = RecordHeader::parse(partial)?.map_or(HEADER, |header| header.record_length());
    Ok(wanted.saturating_sub(partial.len()))
}
