//! Frames (RFC 9113 sections 4 and 6): heads read, whole frames written.

/// What a client sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head.
pub const HEAD: usize = 9;
/// Most bytes of payload unless SETTINGS_MAX_FRAME_SIZE allows more.
pub const MAX_FRAME: usize = 16_384;
/// A flow-control window before any SETTINGS or WINDOW_UPDATE.
pub const WINDOW: u32 = 65_535;
/// The largest flow-control window.
pub const MAX_WINDOW: u32 = (1 << 31) - 1;

/// Frame types.
pub mod kind {
    #![allow(missing_docs, reason = "the names of RFC 9113 section 6 and RFC 9218 section 7.1")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    pub const PRIORITY_UPDATE: u8 = 16;
}

/// Flags; ACK and END_STREAM are the same bit.
pub mod flag {
    #![allow(missing_docs, reason = "the names of RFC 9113 section 6")]
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 32;
}

/// Error codes.
pub mod code {
    #![allow(missing_docs, reason = "the names of RFC 9113 section 7")]
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const SETTINGS_TIMEOUT: u32 = 4;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const CONNECT_ERROR: u32 = 10;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
    pub const INADEQUATE_SECURITY: u32 = 12;
    pub const HTTP_1_1_REQUIRED: u32 = 13;
}

/// Identifiers of settings.
pub mod setting {
    #![allow(missing_docs, reason = "the names of RFC 9113 section 6.5.2 and RFC 9218 section 2.1")]
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
    pub const NO_RFC7540_PRIORITIES: u16 = 9;
}

/// The nine bytes before each payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes of payload, 24 bits.
    pub len: usize,
    /// The type, see [`kind`].
    pub kind: u8,
    /// See [`flag`].
    pub flags: u8,
    /// The stream, without the reserved bit; 0 is the connection.
    pub stream: u32,
}

impl FrameHead {
    /// Reads a head.
    pub fn read(bytes: [u8; HEAD]) -> Self {
        let [high, middle, low, kind, flags, stream @ ..] = bytes;
        let stream = u32::from_be_bytes(stream) & MAX_WINDOW;
        Self { len: u32::from_be_bytes([0, high, middle, low]) as usize, kind, flags, stream }
    }

    /// Its bytes. A length beyond 24 bits is cut to them.
    pub fn bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..3].copy_from_slice(&(self.len as u32).to_be_bytes()[1..]);
        bytes[3..5].copy_from_slice(&[self.kind, self.flags]);
        bytes[5..].copy_from_slice(&self.stream.to_be_bytes());
        bytes
    }

    /// Whether all of `flags` are set.
    pub fn has(self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

/// Appends a frame.
pub fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&FrameHead { len: payload.len(), kind, flags, stream }.bytes());
    out.extend_from_slice(payload);
}

/// Appends SETTINGS.
pub fn put_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let payload: Vec<u8> = settings
        .iter()
        .flat_map(|(id, value)| id.to_be_bytes().into_iter().chain(value.to_be_bytes()))
        .collect();
    put(out, kind::SETTINGS, 0, 0, &payload);
}

/// Appends WINDOW_UPDATE.
pub fn put_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    put(out, kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
}

/// Appends RST_STREAM.
pub fn put_reset(out: &mut Vec<u8>, stream: u32, code: u32) {
    put(out, kind::RST_STREAM, 0, stream, &code.to_be_bytes());
}

/// The settings in a payload; nothing if its length is no multiple of six.
pub fn settings(payload: &[u8]) -> Option<impl Iterator<Item = (u16, u32)> + '_> {
    let (all, rest) = payload.as_chunks::<6>();
    let read = |&[high, low, ref value @ ..]: &[u8; 6]| {
        (u16::from_be_bytes([high, low]), u32::from_be_bytes(*value))
    };
    rest.is_empty().then(|| all.iter().map(read))
}

/// A payload without its padding and, in HEADERS, without the priority of RFC 7540; nothing if
/// either does not fit.
pub fn unpadded(head: FrameHead, payload: &[u8]) -> Option<&[u8]> {
    let mut rest = payload;
    let mut padding = 0;
    if head.has(flag::PADDED) {
        let (&first, after) = rest.split_first()?;
        (padding, rest) = (usize::from(first), after);
    }
    if head.kind == kind::HEADERS && head.has(flag::PRIORITY) {
        rest = rest.get(5..)?;
    }
    rest.get(..rest.len().checked_sub(padding)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FrameHead, HEAD, flag, kind, put, put_settings, settings, unpadded};

    proptest! {
        #[test]
        fn a_head_is_what_was_written(len in 0usize..1 << 24, kind: u8, flags: u8, stream in 0u32..1 << 31) {
            let head = FrameHead { len, kind, flags, stream };
            prop_assert_eq!(FrameHead::read(head.bytes()), head);
        }
    }

    #[test]
    fn the_reserved_bit_is_ignored() {
        assert_eq!(FrameHead::read([0, 0, 0, 0, 0, 0x80, 0, 0, 3]).stream, 3);
    }

    #[test]
    fn settings_are_pairs() {
        let mut out = Vec::new();
        put_settings(&mut out, &[(1, 4096), (4, 1)]);
        assert_eq!(out.len(), HEAD + 12);
        let read: Vec<_> = settings(&out[HEAD..]).unwrap().collect();
        assert_eq!(read, [(1, 4096), (4, 1)]);
        assert!(settings(&out[HEAD + 1..]).is_none());
    }

    #[test]
    fn padding_and_priority_are_cut_off() {
        let mut out = Vec::new();
        put(&mut out, kind::HEADERS, flag::PADDED | flag::PRIORITY, 1, b"\x02prio!block\0\0");
        let head = FrameHead::read(*out.first_chunk().unwrap());
        assert_eq!(unpadded(head, &out[HEAD..]), Some(b"block".as_slice()));
        let data = FrameHead { kind: kind::DATA, ..head };
        assert_eq!(unpadded(data, b"\x03abc"), Some(b"".as_slice()));
        assert_eq!(unpadded(data, b"\x04abc"), None);
        assert_eq!(unpadded(data, b""), None);
    }
}
