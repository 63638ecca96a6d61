//! Why writing ended. Whatever it was, the response is broken: the peer gets a closed connection,
//! never bytes that were not promised.

use std::{fmt, io};

use crate::record::SealError;

/// Why nothing more can be sent.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The socket failed.
    Socket(io::Error),
    /// The file could not be read.
    File(io::Error),
    /// The file has become shorter than it was when its length was promised.
    FileShrank,
    /// The file could not be read within the response timeout.
    FileStalled,
    /// No byte left for longer than the response timeout.
    Stalled,
    /// The peer takes less than the minimum rate.
    TooSlow,
    /// A send has failed before: what was sealed for it may or may not have left.
    GivenUp,
    /// The peer sends requests and takes no responses, and there is no memory left to hold them.
    Overrun,
    /// The key has sealed as many records as it may, and there is no other (TLS 1.2, or kernel TLS
    /// that takes no new keys).
    KeyUsedUp,
    /// An invariant of this server does not hold; this says which.
    Defect(&'static str),
    /// The record layer refused: a defect of ours.
    Seal(SealError),
}

impl From<SealError> for WriteError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => write!(f, "sending: {error}"),
            Self::File(error) => write!(f, "reading the file: {error}"),
            Self::FileShrank => f.write_str("the file shrank while it was sent"),
            Self::FileStalled => {
                f.write_str("the file could not be read within the response timeout")
            }
            Self::Stalled => f.write_str("the peer took no byte within the response timeout"),
            Self::TooSlow => f.write_str("the peer takes less than the minimum rate"),
            Self::GivenUp => f.write_str("a send has failed before"),
            Self::Overrun => f.write_str("the peer sends requests and takes no responses"),
            Self::KeyUsedUp => f.write_str("the key has sealed as many records as it may"),
            Self::Defect(what) => write!(f, "a defect of this server: {what}"),
            Self::Seal(error) => write!(f, "sealing: {error}"),
        }
    }
}

impl std::error::Error for WriteError {}
