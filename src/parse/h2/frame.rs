//! Frames: their nine octets, and what can be checked without knowing the connection's state
//! (RFC 9113 sections 4.1, 4.2 and 6).

use std::ops::Range;

use super::{ErrorCode, Fault};

/// Octets of a frame's head.
pub(crate) const FRAME_HEAD: usize = 9;

/// The longest payload that this server takes: the default of SETTINGS_MAX_FRAME_SIZE.
pub(crate) const MAX_FRAME_SIZE: u32 = 16_384;

/// The type of a frame (RFC 9113 section 6, RFC 9218 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// DATA
    Data,
    /// HEADERS
    Headers,
    /// PRIORITY
    Priority,
    /// RST_STREAM
    RstStream,
    /// SETTINGS
    Settings,
    /// PUSH_PROMISE
    PushPromise,
    /// PING
    Ping,
    /// GOAWAY
    GoAway,
    /// WINDOW_UPDATE
    WindowUpdate,
    /// CONTINUATION
    Continuation,
    /// PRIORITY_UPDATE
    PriorityUpdate,
    /// Any other, to be ignored.
    Unknown(u8),
}

impl Kind {
    const fn from_byte(byte: u8) -> Self {
        match byte {
            0x0 => Self::Data,
            0x1 => Self::Headers,
            0x2 => Self::Priority,
            0x3 => Self::RstStream,
            0x4 => Self::Settings,
            0x5 => Self::PushPromise,
            0x6 => Self::Ping,
            0x7 => Self::GoAway,
            0x8 => Self::WindowUpdate,
            0x9 => Self::Continuation,
            0x10 => Self::PriorityUpdate,
            other => Self::Unknown(other),
        }
    }

    /// The number on the wire.
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Data => 0x0,
            Self::Headers => 0x1,
            Self::Priority => 0x2,
            Self::RstStream => 0x3,
            Self::Settings => 0x4,
            Self::PushPromise => 0x5,
            Self::Ping => 0x6,
            Self::GoAway => 0x7,
            Self::WindowUpdate => 0x8,
            Self::Continuation => 0x9,
            Self::PriorityUpdate => 0x10,
            Self::Unknown(byte) => byte,
        }
    }
}

/// The flags of a frame. Undefined ones are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(pub u8);

impl Flags {
    /// END_STREAM of DATA and HEADERS.
    pub(crate) const END_STREAM: Self = Self(0x1);
    /// ACK of SETTINGS and PING.
    pub(crate) const ACK: Self = Self(0x1);
    /// END_HEADERS of HEADERS and CONTINUATION.
    pub(crate) const END_HEADERS: Self = Self(0x4);
    /// PADDED of DATA and HEADERS.
    pub(crate) const PADDED: Self = Self(0x8);
    /// PRIORITY of HEADERS.
    pub(crate) const PRIORITY: Self = Self(0x20);

    /// Whether all of `flags` are set.
    pub(crate) const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    /// Octets of the payload.
    pub length: u32,
    /// The type.
    pub kind: Kind,
    /// The flags.
    pub flags: Flags,
    /// The stream, 0 for the connection.
    pub stream: u32,
}

impl FrameHead {
    /// Reads the head at the front of `bytes`. None if more bytes are needed.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (&head, _) = bytes.split_first_chunk::<FRAME_HEAD>()?;
        let (length, [kind, flags, stream @ ..]) = head.split_first_chunk::<3>()? else {
            return None;
        };
        let stream = u32::from_be_bytes(*stream.first_chunk()?);
        Some(Self {
            length: length.iter().fold(0, |length, octet| length << 8 | u32::from(*octet)),
            kind: Kind::from_byte(*kind),
            flags: Flags(*flags),
            // The reserved bit is ignored.
            stream: stream & 0x7fff_ffff,
        })
    }

    /// The octets on the wire.
    pub(crate) const fn bytes(self) -> [u8; FRAME_HEAD] {
        let length = self.length.to_be_bytes();
        let stream = self.stream.to_be_bytes();
        let (kind, flags) = (self.kind.byte(), self.flags.0);
        [length[1], length[2], length[3], kind, flags, stream[0], stream[1], stream[2], stream[3]]
    }

    /// Checks length and stream against the type.
    ///
    /// # Errors
    /// Of the connection, but for a PRIORITY of the wrong length, which is of its stream
    /// (RFC 9113 section 6.3).
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if self.length > MAX_FRAME_SIZE {
            return Err(Fault::size("a frame is longer than SETTINGS_MAX_FRAME_SIZE"));
        }
        let on_stream = self.stream != 0;
        match self.kind {
            Kind::Data | Kind::Headers | Kind::Continuation if !on_stream => {
                Err(Fault::protocol("a frame of a request is on stream 0"))
            }
            Kind::Priority | Kind::RstStream if !on_stream => {
                Err(Fault::protocol("PRIORITY or RST_STREAM is on stream 0"))
            }
            Kind::Settings | Kind::Ping | Kind::GoAway | Kind::PriorityUpdate if on_stream => {
                Err(Fault::protocol("a frame of the connection is on a stream"))
            }
            Kind::PushPromise => Err(Fault::protocol("a client cannot push")),
            Kind::Priority if self.length != 5 => {
                let why = "PRIORITY is not 5 octets long";
                Err(Fault::Stream(ErrorCode::FrameSizeError, why))
            }
            Kind::RstStream if self.length != 4 => {
                Err(Fault::size("RST_STREAM is not 4 octets long"))
            }
            Kind::Settings if self.flags.has(Flags::ACK) && self.length != 0 => {
                Err(Fault::size("an acknowledgement of SETTINGS is not empty"))
            }
            Kind::Settings if !self.length.is_multiple_of(6) => {
                Err(Fault::size("SETTINGS is not a multiple of 6 octets long"))
            }
            Kind::Ping if self.length != 8 => Err(Fault::size("PING is not 8 octets long")),
            Kind::GoAway if self.length < 8 => Err(Fault::size("GOAWAY is under 8 octets long")),
            Kind::WindowUpdate if self.length != 4 => {
                Err(Fault::size("WINDOW_UPDATE is not 4 octets long"))
            }
            Kind::PriorityUpdate if self.length < 4 => {
                Err(Fault::size("PRIORITY_UPDATE is under 4 octets long"))
            }
            _ => Ok(()),
        }
    }
}

/// Where the field block lies in the payload of HEADERS (RFC 9113 section 6.2).
///
/// # Errors
/// Of the connection: padding that fills the payload, or a stream that depends on itself. The
/// block, which both sides' tables need, cannot be found then, or is not worth finding.
pub(crate) fn header_block(head: &FrameHead, payload: &[u8]) -> Result<Range<usize>, Fault> {
    let mut block = 0..payload.len();
    if head.flags.has(Flags::PADDED) {
        let &padding = payload.first().ok_or(TOO_SHORT)?;
        block.start = 1;
        block.end = block.end.checked_sub(usize::from(padding)).ok_or(PADDING)?;
        if block.end < block.start {
            return Err(PADDING);
        }
    }
    if head.flags.has(Flags::PRIORITY) {
        let priority = payload.get(block.clone()).and_then(|rest| rest.first_chunk::<5>());
        check_dependency(head.stream, *priority.ok_or(TOO_SHORT)?)?;
        block.start += 5;
    }
    Ok(block)
}

const TOO_SHORT: Fault = Fault::size("HEADERS is too short for what its flags promise");
const PADDING: Fault = Fault::protocol("the padding is longer than its frame");

/// Checks the payload of PRIORITY, whose meaning is obsolete (RFC 9113 section 5.3).
///
/// # Errors
/// Of the connection: a stream that depends on itself.
pub(crate) fn priority_frame(stream: u32, payload: &[u8]) -> Result<(), Fault> {
    payload.first_chunk::<5>().map_or(Ok(()), |priority| check_dependency(stream, *priority))
}

/// RFC 7540 section 5.3.1: a stream cannot depend on itself.
fn check_dependency(stream: u32, priority: [u8; 5]) -> Result<(), Fault> {
    let [dependency @ .., _weight] = priority;
    if u32::from_be_bytes(dependency) & 0x7fff_ffff == stream {
        return Err(Fault::protocol("a stream depends on itself"));
    }
    Ok(())
}

/// The error code in the payload of RST_STREAM.
pub(crate) fn reset_code(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |code| u32::from_be_bytes(*code))
}

/// The last stream and the error code in the payload of GOAWAY.
pub(crate) fn go_away_code(payload: &[u8]) -> u32 {
    payload.get(4..).and_then(|rest| rest.first_chunk()).map_or(0, |code| u32::from_be_bytes(*code))
}

/// The increment in the payload of WINDOW_UPDATE (RFC 9113 section 6.9).
///
/// # Errors
/// An increment of zero: of the connection on stream 0, else of the stream.
pub(crate) fn window_increment(stream: u32, payload: &[u8]) -> Result<u32, Fault> {
    const WHY: &str = "WINDOW_UPDATE opens nothing";
    let increment = payload.first_chunk().map_or(0, |octets| u32::from_be_bytes(*octets));
    match increment & 0x7fff_ffff {
        0 if stream == 0 => Err(Fault::protocol(WHY)),
        0 => Err(Fault::Stream(ErrorCode::ProtocolError, WHY)),
        increment => Ok(increment),
    }
}

/// The stream and the field value in the payload of PRIORITY_UPDATE (RFC 9218 section 7.1).
///
/// # Errors
/// Of the connection: stream 0, or one that a client cannot open.
pub(crate) fn priority_update(payload: &[u8]) -> Result<(u32, &[u8]), Fault> {
    let (stream, value) =
        payload.split_first_chunk::<4>().ok_or(Fault::size("PRIORITY_UPDATE is too short"))?;
    let stream = u32::from_be_bytes(*stream) & 0x7fff_ffff;
    if stream.is_multiple_of(2) {
        return Err(Fault::protocol("PRIORITY_UPDATE is for a stream that no client opens"));
    }
    Ok((stream, value))
}
