//! What waits to leave, and who seals it.
//!
//! One interface, a file for each way: nothing outside this folder asks which it is but to count.
//! Gathering never waits. Plaintext of several heads and small bodies lies in one open record (or one
//! message), which is sealed when it is full, when content is lent behind it, or when all leaves.

mod kernel;
mod user;

use std::{ops::Range, rc::Rc};

use super::WriteError;
use crate::{
    observe::Moved,
    record::{ContentType, Sealer, Suite, TrafficKeys},
    ring::{Content, Message, Pages, Ring, SendBuf, SendClass, Socket},
};
use kernel::KernelSealing;
use user::UserSealing;

/// Content up to this length is copied behind its head to share its record. Beyond, a second pass
/// over the AEAD's set-up costs less than the copy.
pub(crate) const COPIED: usize = 4096;

/// What is ready to be sent, in the memory from which it is sent.
#[derive(Debug)]
pub(super) enum Load {
    /// The first bytes of a buffer.
    Buffer(SendBuf, usize),
    /// A message to kernel TLS.
    Message(Box<Message>),
}

/// Where the plaintext of the next records is to lie in a buffer that a file is read into.
pub(super) type Places = Vec<Range<usize>>;

/// The class of memory for so many bytes. `more`: further answers follow, and are to share it.
fn class_of(bytes: usize, more: bool) -> SendClass {
    match bytes {
        0..=SendClass::SMALL_LEN if !more => SendClass::Small,
        0..=SendClass::RECORD_LEN => SendClass::Record,
        _ => SendClass::Bulk,
    }
}

/// How what is read of a file is divided, besides what records demand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Bytes that are left before each piece, and leave with it.
    pub(super) gap: usize,
    /// Bytes of a piece, at most.
    pub(super) most: usize,
}

impl Layout {
    /// Not at all.
    pub(super) const PLAIN: Self = Self { gap: 0, most: usize::MAX };
}

/// Bytes of the head of a frame of HTTP/2.
pub(super) const FRAME_HEAD: usize = 9;

/// Content of a frame of HTTP/2 that is cut short for want of room, at least.
pub(crate) const WORTH_A_FRAME: usize = 4096;

/// How content is divided into frames of HTTP/2.
pub(crate) struct Frames<'f> {
    /// Content of a frame, at most.
    pub(crate) most: usize,
    /// Makes the head of the next frame, which has so much content. Called in their order, once for
    /// each.
    pub(crate) head: &'f mut dyn FnMut(u32) -> [u8; FRAME_HEAD],
}

/// Bytes that never change and that a message can keep: pages of a file, or content of any kind.
#[derive(Clone, Copy)]
pub(super) enum Lasting<'c> {
    Pages(&'c Rc<Pages>),
    Content(&'c Content),
}

impl<'c> Lasting<'c> {
    fn bytes(self) -> &'c [u8] {
        match self {
            Self::Pages(pages) => pages,
            Self::Content(content) => content,
        }
    }

    /// Adds a range to what a message sends. False if that has no room for it, or it does not exist.
    fn push(self, message: &mut Message, range: Range<usize>) -> bool {
        match self {
            Self::Pages(pages) => message.push_shared(Rc::clone(pages), range),
            Self::Content(content) => message.push_content(content.clone(), range),
        }
    }
}

/// What waits to leave, and who seals it.
#[derive(Debug)]
pub(super) enum Sealing {
    /// The record layer of this process.
    User(UserSealing),
    /// Kernel TLS; or the kernel as it sends without TLS.
    Kernel(KernelSealing),
}

/// Calls the same method of whichever it is.
macro_rules! each {
    ($self:expr, $sealing:ident => $call:expr) => {
        match $self {
            Sealing::User($sealing) => $call,
            Sealing::Kernel($sealing) => $call,
        }
    };
}

impl Sealing {
    /// The record layer seals under these keys.
    pub(super) fn user(keys: &TrafficKeys) -> Self {
        Self::User(UserSealing::new(Sealer::new(keys)))
    }

    /// The kernel does, to which the keys were given.
    pub(super) fn kernel(suite: Suite, sequence: u64) -> Self {
        Self::Kernel(KernelSealing::new(suite, sequence))
    }

    /// Nobody seals: the connection has no TLS.
    pub(super) fn plain() -> Self {
        Self::Kernel(KernelSealing::plain())
    }

    /// Whether nobody seals.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Kernel(sealing) if sealing.is_plain())
    }

    /// Whether the kernel takes plaintext: for counts, and for what only one side can do.
    pub(super) fn is_kernel(&self) -> bool {
        matches!(self, Self::Kernel(_))
    }

    /// Bytes that wait to leave, as they will be sent.
    pub(super) fn waiting(&self) -> usize {
        each!(self, sealing => sealing.waiting())
    }

    /// Bytes of memory that a head of `plain` bytes with `body` bytes behind it takes best, and the
    /// class that has them. `more`: further heads follow.
    pub(super) fn wanted(&self, plain: usize, body: u64, more: bool) -> (usize, SendClass) {
        let body = usize::try_from(body).unwrap_or(usize::MAX);
        let wanted = each!(self, sealing => sealing.wanted(plain, body));
        let class = class_of(wanted, more);
        (wanted.min(class.bytes()), class)
    }

    /// Takes memory to gather into.
    ///
    /// # Errors
    /// [`WriteError::Defect`] if there is some already.
    pub(super) fn take_memory(&mut self, memory: SendBuf, ring: &Ring) -> Result<(), WriteError> {
        each!(self, sealing => sealing.take_memory(memory, ring))
    }

    /// Makes place for `plain` bytes that may have up to `body` bytes behind them, which closes the
    /// open record if they do not belong into it any more. False if there is no memory for `wanted`
    /// bytes of the kind that [`Self::wanted`] says: then what waits has to leave first.
    ///
    /// # Errors
    /// What the record layer says.
    #[inline]
    pub(super) fn make_room(
        &mut self,
        plain: usize,
        body: u64,
        wanted: usize,
        now: u64,
    ) -> Result<bool, WriteError> {
        each!(self, sealing => sealing.make_room(plain, body, wanted, now))
    }

    /// Where plaintext goes next, behind what was gathered; empty if there is no memory.
    pub(super) fn room(&mut self) -> &mut [u8] {
        each!(self, sealing => sealing.room())
    }

    /// The first `len` bytes of the room are gathered.
    ///
    /// # Errors
    /// [`WriteError::Defect`] if the room has less.
    pub(super) fn commit(&mut self, len: usize) -> Result<(), WriteError> {
        each!(self, sealing => sealing.commit(len))
    }

    /// Copies `bytes` behind the first `head` bytes of the room, and gathers both.
    ///
    /// # Errors
    /// [`WriteError::Defect`] if the room has less.
    pub(super) fn commit_copied(&mut self, head: usize, bytes: &[u8]) -> Result<(), WriteError> {
        each!(self, sealing => sealing.commit_copied(head, bytes))
    }

    /// Whether there is memory to gather into, or something waits in it.
    pub(super) fn holds_memory(&self) -> bool {
        each!(self, sealing => sealing.holds_memory())
    }

    /// How much of a body of so many bytes is copied behind a head of `head` bytes that lies in the
    /// room.
    pub(super) fn copies(&self, head: usize, body: usize) -> usize {
        each!(self, sealing => sealing.copies(head, body))
    }

    /// Bytes at the beginning of a long content after which all is to leave, for what comes behind to
    /// be sealed cheapest; 0 if that makes no difference.
    pub(super) fn cut(&self, range: &Range<usize>) -> usize {
        each!(self, sealing => sealing.cut(range))
    }

    /// Bytes of memory in which `rest` bytes of content leave best without a copy, and the class that
    /// has them.
    pub(super) fn wanted_to_lend(&self, rest: usize) -> (usize, SendClass) {
        each!(self, sealing => sealing.wanted_to_lend(rest))
    }

    /// Gathers content that never changes without a copy of it: seals it from where it lies, or
    /// lends it to the kernel; as much as there is memory for and as leaves without exceeding
    /// `open` bytes. Says how much that was.
    ///
    /// # Errors
    /// What the record layer says.
    pub(super) fn lend(
        &mut self,
        lasting: Lasting<'_>,
        range: Range<usize>,
        open: usize,
        now: u64,
        moved: &mut Moved,
    ) -> Result<usize, WriteError> {
        each!(self, sealing => sealing.lend(lasting, range, open, now, moved))
    }

    /// Seals content that never changes from where it lies, in frames; as much as there is memory for
    /// and as leaves without exceeding `open` bytes. Says how much that was.
    ///
    /// # Errors
    /// [`WriteError::Defect`] if the kernel seals, and what the record layer says.
    pub(super) fn seal_frames(
        &mut self,
        content: &[u8],
        frames: &mut Frames<'_>,
        open: usize,
        now: u64,
    ) -> Result<usize, WriteError> {
        match self {
            Self::User(sealing) => sealing.seal_frames(content, frames, open, now),
            Self::Kernel(_) => Err(WriteError::Defect("the kernel seals all records itself")),
        }
    }

    /// Gathers a record of another type than application data. Nothing else may wait.
    ///
    /// # Errors
    /// [`WriteError::Defect`] if there is no memory, and what the record layer says.
    pub(super) fn control(
        &mut self,
        content_type: ContentType,
        body: &[u8],
    ) -> Result<(), WriteError> {
        each!(self, sealing => sealing.control(content_type, body))
    }

    /// Gathers records that were sealed elsewhere.
    ///
    /// # Errors
    /// [`WriteError::Defect`] if the kernel seals, something waits, or there is no room.
    pub(super) fn take_sealed(&mut self, records: &[u8]) -> Result<(), WriteError> {
        match self {
            Self::User(sealing) => sealing.take_sealed(records),
            Self::Kernel(_) => Err(WriteError::Defect("the kernel seals all records itself")),
        }
    }

    /// All that waits, sealed, to be sent; None if nothing does.
    ///
    /// # Errors
    /// What the record layer says.
    pub(super) fn close(&mut self) -> Result<Option<Load>, WriteError> {
        each!(self, sealing => sealing.close())
    }

    /// Where plaintext is to be read in a buffer of which `room` bytes are used, for at most `rest`
    /// bytes.
    pub(super) fn places(&mut self, room: usize, rest: usize, layout: Layout, now: u64) -> Places {
        each!(self, sealing => sealing.places(room, rest, layout, now))
    }

    /// Seals `count` bytes that were read into these places, each with what stands in its gap.
    ///
    /// # Errors
    /// What the record layer says.
    pub(super) fn take_read(
        &mut self,
        bytes: SendBuf,
        places: &[Range<usize>],
        count: usize,
        layout: Layout,
    ) -> Result<Load, WriteError> {
        each!(self, sealing => sealing.take_read(bytes, places, count, layout))
    }

    /// Takes note that the kernel accepted `count` bytes.
    pub(super) fn note_sent(&mut self, count: usize) {
        if let Self::Kernel(sealing) = self {
            sealing.note_sent(count);
        }
    }

    /// Whether the key has sealed nearly as many records as it may (RFC 8446 section 5.5).
    pub(super) fn is_exhausted(&self) -> bool {
        each!(self, sealing => sealing.is_exhausted())
    }

    /// Whether new keys are taken as soon as the `KeyUpdate` is sealed, and not when it has left.
    pub(super) fn rekeys_at_once(&self) -> bool {
        each!(self, sealing => sealing.rekeys_at_once())
    }

    /// Goes on under new keys. No plaintext may wait.
    ///
    /// # Errors
    /// The kernel did not take them.
    pub(super) fn rekey(&mut self, socket: &Socket, keys: &TrafficKeys) -> Result<(), WriteError> {
        each!(self, sealing => sealing.rekey(socket, keys))
    }
}
