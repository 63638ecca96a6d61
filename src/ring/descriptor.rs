//! The descriptor that an operation works on, kept open by the operation itself.
//!
//! The kernel resolves a descriptor's number when the operation is submitted, not when its future
//! is made. If the number were closed and used again in between, the operation would run on
//! another connection. So each operation's slot owns what it works on until its last completion.

use std::{
    os::fd::{AsRawFd, OwnedFd, RawFd},
    rc::Rc,
    sync::Arc,
};

use super::{OpenFile, Socket};

/// An open descriptor with several owners; the last one closes it.
#[derive(Clone, Debug)]
pub(crate) enum Descriptor {
    /// Of this worker alone: sockets, files, folders.
    Local(Rc<OwnedFd>),
    /// A file, with how it is read.
    File(Rc<OpenFile>),
    /// Shared with other threads: listeners, eventfds.
    Shared(Arc<OwnedFd>),
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Local(fd) => fd.as_raw_fd(),
            Self::File(file) => file.as_raw_fd(),
            Self::Shared(fd) => fd.as_raw_fd(),
        }
    }
}

impl From<&Rc<OwnedFd>> for Descriptor {
    fn from(fd: &Rc<OwnedFd>) -> Self {
        Self::Local(Rc::clone(fd))
    }
}

impl From<&Rc<OpenFile>> for Descriptor {
    fn from(file: &Rc<OpenFile>) -> Self {
        Self::File(Rc::clone(file))
    }
}

impl From<&Arc<OwnedFd>> for Descriptor {
    fn from(fd: &Arc<OwnedFd>) -> Self {
        Self::Shared(Arc::clone(fd))
    }
}

impl From<&Socket> for Descriptor {
    fn from(socket: &Socket) -> Self {
        socket.descriptor()
    }
}
