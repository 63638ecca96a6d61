//! What an HTTP/2 peer did wrong, and what it gets for that (RFC 9113 sections 5.4 and 7).

use std::fmt;

/// An error code of RST_STREAM and GOAWAY (RFC 9113 section 7).
#[allow(dead_code, reason = "the registry is whole; a few codes are received only")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum ErrorCode {
    /// No error: the end of something that was in order.
    NoError = 0x0,
    /// The peer broke the protocol.
    ProtocolError = 0x1,
    /// This server failed.
    InternalError = 0x2,
    /// The peer sent more than its windows allow, or overflowed one of ours.
    FlowControlError = 0x3,
    /// SETTINGS were not acknowledged in time.
    SettingsTimeout = 0x4,
    /// A frame for a stream that has ended.
    StreamClosed = 0x5,
    /// A frame of the wrong length.
    FrameSizeError = 0x6,
    /// The stream was not processed and may be tried again.
    RefusedStream = 0x7,
    /// The stream is no longer wanted.
    Cancel = 0x8,
    /// The field compression is no longer in step.
    CompressionError = 0x9,
    /// The TCP connection behind a CONNECT failed.
    ConnectError = 0xa,
    /// The peer causes more work than it is entitled to.
    EnhanceYourCalm = 0xb,
    /// TLS is too weak.
    InadequateSecurity = 0xc,
    /// The request must be made over HTTP/1.1.
    Http11Required = 0xd,
}

impl ErrorCode {
    /// Every code, in the order of their numbers.
    pub(crate) const ALL: [Self; 14] = [
        Self::NoError,
        Self::ProtocolError,
        Self::InternalError,
        Self::FlowControlError,
        Self::SettingsTimeout,
        Self::StreamClosed,
        Self::FrameSizeError,
        Self::RefusedStream,
        Self::Cancel,
        Self::CompressionError,
        Self::ConnectError,
        Self::EnhanceYourCalm,
        Self::InadequateSecurity,
        Self::Http11Required,
    ];

    /// The code with this number. None if it is not registered.
    pub(crate) fn of(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// The number on the wire.
    pub(crate) const fn number(self) -> u32 {
        self as u32
    }

    /// The name as RFC 9113 writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NoError => "NO_ERROR",
            Self::ProtocolError => "PROTOCOL_ERROR",
            Self::InternalError => "INTERNAL_ERROR",
            Self::FlowControlError => "FLOW_CONTROL_ERROR",
            Self::SettingsTimeout => "SETTINGS_TIMEOUT",
            Self::StreamClosed => "STREAM_CLOSED",
            Self::FrameSizeError => "FRAME_SIZE_ERROR",
            Self::RefusedStream => "REFUSED_STREAM",
            Self::Cancel => "CANCEL",
            Self::CompressionError => "COMPRESSION_ERROR",
            Self::ConnectError => "CONNECT_ERROR",
            Self::EnhanceYourCalm => "ENHANCE_YOUR_CALM",
            Self::InadequateSecurity => "INADEQUATE_SECURITY",
            Self::Http11Required => "HTTP_1_1_REQUIRED",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A breach of the protocol. The sentence goes into the log, and into GOAWAY as debug data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The stream ends: RST_STREAM with this code.
    Stream(ErrorCode, &'static str),
    /// The connection ends: GOAWAY with this code.
    Connection(ErrorCode, &'static str),
}

impl Fault {
    /// A PROTOCOL_ERROR of the connection.
    pub(crate) const fn protocol(why: &'static str) -> Self {
        Self::Connection(ErrorCode::ProtocolError, why)
    }

    /// A FRAME_SIZE_ERROR of the connection.
    pub(crate) const fn size(why: &'static str) -> Self {
        Self::Connection(ErrorCode::FrameSizeError, why)
    }

    /// The code that the peer gets.
    pub(crate) const fn code(self) -> ErrorCode {
        match self {
            Self::Stream(code, _) | Self::Connection(code, _) => code,
        }
    }

    /// What was wrong.
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::Stream(_, why) | Self::Connection(_, why) => why,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = match self {
            Self::Stream(..) => "stream",
            Self::Connection(..) => "connection",
        };
        write!(f, "{scope} error {}: {}", self.code(), self.why())
    }
}

impl std::error::Error for Fault {}
