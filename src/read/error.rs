//! Why reading ended, and what the peer gets.

use std::{fmt, io};

use crate::record::{AlertDescription, RecordError};

/// Why nothing more can be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The socket failed: there is nobody to answer.
    Socket(io::Error),
    /// A record was refused; the peer gets [`RecordError::alert`].
    Record(RecordError),
    /// The kernel refused a record; the peer gets this alert, if sending still works.
    Kernel(AlertDescription),
    /// FIN without close_notify: what came before may have been cut (RFC 8446 section 6.1).
    Truncated,
    /// The peer sent a fatal alert, with this description.
    PeerFailed(u8),
    /// More control records in a row than anyone needs.
    Flood,
    /// An invariant of this server does not hold; this says which.
    Defect(&'static str),
}

impl ReadError {
    pub(super) const BEYOND: Self = Self::Defect("a record does not lie where it was received");

    /// The alert that the peer gets, if it gets one.
    pub(crate) fn alert(&self) -> Option<AlertDescription> {
        match self {
            Self::Record(error) => Some(error.alert()),
            Self::Kernel(alert) => Some(*alert),
            Self::Flood => Some(AlertDescription::UnexpectedMessage),
            Self::Socket(_) | Self::Truncated | Self::PeerFailed(_) | Self::Defect(_) => None,
        }
    }

    /// What a failed receive on a kernel-TLS socket means (`net/tls/tls_sw.c`).
    pub(super) fn from_kernel(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EBADMSG) => Self::Kernel(AlertDescription::BadRecordMac),
            Some(libc::EMSGSIZE) => Self::Kernel(AlertDescription::RecordOverflow),
            Some(libc::EINVAL) => Self::Kernel(AlertDescription::UnexpectedMessage),
            _ => Self::Socket(error),
        }
    }
}

impl From<RecordError> for ReadError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => write!(f, "receiving: {error}"),
            Self::Record(error) => write!(f, "record: {error}"),
            Self::Kernel(alert) => write!(f, "kernel TLS refused a record: {alert:?}"),
            Self::Truncated => f.write_str("the peer closed without close_notify"),
            Self::PeerFailed(alert) => write!(f, "the peer sent alert {alert}"),
            Self::Defect(what) => write!(f, "a defect of this server: {what}"),
            Self::Flood => f.write_str("too many control records in a row"),
        }
    }
}

impl std::error::Error for ReadError {}
