//! sendmsg(2) and recvmsg(2): the frames that they need, and who keeps their parts alive.

use std::{fmt, ops::Range, rc::Rc};

use super::{content::Content, op::Defect, pages::Pages, send_pool::SendBuf};

/// Parts that one message may gather. Kernel TLS copies a record of more than 16 fragments
/// instead of encrypting it where it lies (`net/tls/tls_sw.c`), so more would not help.
pub(crate) const MAX_PARTS: usize = 16;

/// Bytes of control data: one `cmsghdr` and a record type, aligned.
const CONTROL_LEN: usize = 24;

/// `SOL_TLS` (`include/linux/socket.h`).
const SOL_TLS: i32 = 282;
/// `TLS_SET_RECORD_TYPE` and `TLS_GET_RECORD_TYPE` (`include/uapi/linux/tls.h`).
const SET_RECORD_TYPE: i32 = 1;
const GET_RECORD_TYPE: i32 = 2;

/// One stretch of bytes in a message.
#[derive(Clone, Debug)]
enum Part {
    /// A range of the message's own send buffer: heads, small bodies.
    Buffered(Range<usize>),
    /// A range of bytes that never change: a cached file, a rendered page.
    Shared(Rc<Pages>, Range<usize>),
    /// A range of content of any other kind.
    Lent(Content, Range<usize>),
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Self::Buffered(range) | Self::Shared(_, range) | Self::Lent(_, range) => range.len(),
        }
    }

    /// Its bytes; None if they do not lie in its memory.
    fn bytes<'a>(&'a self, buffer: Option<&'a [u8]>) -> Option<&'a [u8]> {
        match self {
            Self::Buffered(range) => buffer?.get(range.clone()),
            Self::Shared(pages, range) => pages.get(range.clone()),
            Self::Lent(content, range) => content.get(range.clone()),
        }
    }
}

/// A message: its parts in order, and the frame that describes them to the kernel.
///
/// Boxed and reused: the frame holds pointers into itself, which are set anew each time before
/// it is submitted. While a message is in flight, its op slot owns it.
pub(crate) struct Message {
    header: libc::msghdr,
    vectors: [libc::iovec; MAX_PARTS],
    control: [u64; CONTROL_LEN / 8],
    buffer: Option<SendBuf>,
    parts: Vec<Part>,
    /// Bytes of the parts.
    len: usize,
    /// Bytes of them that have left already.
    sent: usize,
    record_type: Option<u8>,
}

/// A message as the kernel is given it.
pub(super) enum Prepared {
    /// One stretch of bytes, and their number: send(2) copies no frame.
    Bytes(*const u8, u32),
    Frame(*const libc::msghdr),
}

impl Message {
    /// An empty message.
    pub(crate) fn new() -> Box<Self> {
        // SAFETY: all-zero is a valid msghdr: null pointers and zero lengths.
        let header = unsafe { std::mem::zeroed() };
        let vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MAX_PARTS];
        let control = [0; CONTROL_LEN / 8];
        let parts = Vec::with_capacity(MAX_PARTS);
        let (buffer, record_type) = (None, None);
        Box::new(Self { header, vectors, control, buffer, parts, len: 0, sent: 0, record_type })
    }

    /// The send buffer that [`Self::push_buffered`] speaks of.
    pub(crate) fn buffer(&mut self) -> &mut Option<SendBuf> {
        &mut self.buffer
    }

    /// Bytes of the send buffer; 0 if there is none.
    pub(crate) fn buffer_len(&self) -> usize {
        self.buffer.as_deref().map_or(0, <[u8]>::len)
    }

    /// Appends a range of the send buffer. False, and nothing is appended, if the message has
    /// [`MAX_PARTS`] already or the range does not lie within the buffer.
    #[must_use]
    pub(crate) fn push_buffered(&mut self, range: Range<usize>) -> bool {
        let within =
            self.buffer.as_deref().is_some_and(|buffer| buffer.get(range.clone()).is_some());
        within && self.push(Part::Buffered(range))
    }

    /// Appends a range of shared bytes. False as for [`Self::push_buffered`].
    #[must_use]
    pub(crate) fn push_shared(&mut self, bytes: Rc<Pages>, range: Range<usize>) -> bool {
        let within = bytes.get(range.clone()).is_some();
        within && self.push(Part::Shared(bytes, range))
    }

    /// Appends a range of content, which the message owns until it is cleared. False as for
    /// [`Self::push_buffered`].
    #[must_use]
    pub(crate) fn push_content(&mut self, content: Content, range: Range<usize>) -> bool {
        let within = content.get(range.clone()).is_some();
        within && self.push(Part::Lent(content, range))
    }

    fn push(&mut self, part: Part) -> bool {
        let len = part.len();
        if len == 0 {
            return true;
        }
        // Neighbours in the buffer need one vector only.
        if let (Some(Part::Buffered(last)), Part::Buffered(next)) = (self.parts.last_mut(), &part)
            && last.end == next.start
        {
            last.end = next.end;
            self.len += len;
            return true;
        }
        let room = self.parts.len() < MAX_PARTS;
        if room {
            self.parts.push(part);
            self.len += len;
        }
        room
    }

    /// Makes kernel TLS send the message as a record of this content type, other than
    /// application data (`Documentation/networking/tls.rst`).
    pub(crate) fn set_record_type(&mut self, record_type: u8) {
        self.record_type = Some(record_type);
    }

    /// A copy of all its bytes; None if a part does not lie in its memory, which is a defect.
    pub(crate) fn gather(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.remaining());
        for part in &self.parts {
            bytes.extend_from_slice(part.bytes(self.buffer.as_deref())?);
        }
        Some(bytes)
    }

    /// Bytes that have not left.
    pub(crate) fn remaining(&self) -> usize {
        self.len - self.sent
    }

    /// Whether one more part of shared bytes, and one of the buffer, would fit.
    pub(crate) fn has_room(&self) -> bool {
        self.parts.len() + 2 <= MAX_PARTS
    }

    /// Takes note that `count` more bytes have left.
    pub(crate) fn advance(&mut self, count: usize) {
        self.sent += count.min(self.remaining());
    }

    /// Lets go of all parts and of the buffer; the frame can be used again.
    pub(crate) fn clear(&mut self) {
        self.parts.clear();
        self.buffer = None;
        (self.len, self.sent) = (0, 0);
        self.record_type = None;
    }

    /// Describes what remains to the kernel. The addresses are good for as long as the box stays where
    /// it is and neither parts nor frame are touched.
    ///
    /// Fails if nothing remains, or if the buffer was changed for one that a part does not lie in.
    pub(super) fn prepare(&mut self) -> Result<Prepared, Defect> {
        let mut skip = self.sent;
        let mut count = 0;
        for part in &self.parts {
            let bytes = part.bytes(self.buffer.as_deref()).ok_or(Defect::MessagePart)?;
            let skipped = skip.min(bytes.len());
            skip -= skipped;
            let rest = &bytes[skipped..];
            if !rest.is_empty() {
                self.vectors[count] =
                    libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() };
                count += 1;
            }
        }
        if count == 0 {
            return Err(Defect::EmptyMessage);
        }
        let [first, ..] = self.vectors;
        if count == 1
            && self.record_type.is_none()
            && let Ok(len) = u32::try_from(first.iov_len)
        {
            return Ok(Prepared::Bytes(first.iov_base.cast_const().cast(), len));
        }
        self.header.msg_iov = self.vectors.as_mut_ptr();
        self.header.msg_iovlen = count;
        if let Some(record_type) = self.record_type {
            // The type is the first byte behind the header, whatever the byte order.
            let data = u64::from_ne_bytes([record_type, 0, 0, 0, 0, 0, 0, 0]);
            self.control = [cmsg_len(1) as u64, pack(SOL_TLS, SET_RECORD_TYPE), data];
            self.header.msg_control = self.control.as_mut_ptr().cast();
            self.header.msg_controllen = CONTROL_LEN;
        } else {
            self.header.msg_control = std::ptr::null_mut();
            self.header.msg_controllen = 0;
        }
        Ok(Prepared::Frame(&raw const self.header))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("parts", &self.parts)
            .field("sent", &self.sent)
            .field("record_type", &self.record_type)
            .finish_non_exhaustive()
    }
}

/// The frame of a recvmsg(2) that takes one record of kernel TLS with its content type.
pub(super) struct ControlFrame {
    header: libc::msghdr,
    vector: libc::iovec,
    control: [u64; CONTROL_LEN / 8],
    bytes: Box<[u8]>,
}

impl ControlFrame {
    /// Room for a record of `len` bytes.
    pub(super) fn new(len: usize) -> Self {
        // SAFETY: all-zero is a valid msghdr: null pointers and zero lengths.
        let header = unsafe { std::mem::zeroed() };
        let vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let control = [0; CONTROL_LEN / 8];
        Self { header, vector, control, bytes: vec![0; len].into_boxed_slice() }
    }

    /// Sets the frame up and gives its address, good while the box stays where it is.
    pub(super) fn prepare(&mut self) -> *mut libc::msghdr {
        self.vector.iov_base = self.bytes.as_mut_ptr().cast();
        self.vector.iov_len = self.bytes.len();
        self.header.msg_iov = &raw mut self.vector;
        self.header.msg_iovlen = 1;
        self.header.msg_control = self.control.as_mut_ptr().cast();
        self.header.msg_controllen = CONTROL_LEN;
        &raw mut self.header
    }

    /// Writes a record as the kernel does, as far as there is room; says how many bytes that were.
    ///
    /// # Safety
    /// `header` comes from [`Self::prepare`], its frame is where it was then, and nobody else has
    /// access to it.
    #[cfg(test)]
    pub(super) unsafe fn fill(
        header: *mut libc::msghdr,
        content_type: u8,
        payload: &[u8],
    ) -> usize {
        let control = [cmsg_len(1) as u64, pack(SOL_TLS, GET_RECORD_TYPE), content_type.into()];
        // SAFETY: the caller's: the header, its one vector and the room for control data, which is
        // that of three words, are those of a frame that is ours alone.
        unsafe {
            let vector = *(*header).msg_iov;
            let count = payload.len().min(vector.iov_len);
            std::ptr::copy_nonoverlapping(payload.as_ptr(), vector.iov_base.cast(), count);
            (*header).msg_control.cast::<[u64; 3]>().write(control);
            (*header).msg_controllen = cmsg_len(1);
            count
        }
    }

    /// The content type that the kernel noted, and the `len` bytes that it wrote.
    pub(super) fn into_record(self, len: usize) -> (Option<u8>, Box<[u8]>) {
        let noted = self.header.msg_controllen >= cmsg_len(1)
            && self.control[1] == pack(SOL_TLS, GET_RECORD_TYPE);
        let record_type = noted.then(|| self.control[2].to_ne_bytes()[0]);
        let mut bytes = self.bytes.into_vec();
        bytes.truncate(len);
        (record_type, bytes.into_boxed_slice())
    }
}

impl fmt::Debug for ControlFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlFrame").field("room", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// `CMSG_LEN`: header and data, without the padding behind (cmsg(3)).
const fn cmsg_len(data: usize) -> usize {
    size_of::<libc::cmsghdr>() + data
}

/// `cmsg_level` and `cmsg_type` as the two halves of a word, in memory order.
fn pack(level: i32, kind: i32) -> u64 {
    let mut halves = [0; 8];
    halves[..4].copy_from_slice(&level.to_ne_bytes());
    halves[4..].copy_from_slice(&kind.to_ne_bytes());
    u64::from_ne_bytes(halves)
}

// The control words above are laid out by hand; hold them to the platform's own struct.
const _: () = {
    assert!(size_of::<libc::cmsghdr>() == 16);
    assert!(std::mem::offset_of!(libc::cmsghdr, cmsg_level) == 8);
    assert!(std::mem::offset_of!(libc::cmsghdr, cmsg_type) == 12);
};
