//! A connection's descriptor, closed through the ring whatever becomes of the connection.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use super::Ring;

/// An accepted socket. Dropping it cancels what is in flight for it and closes it, in the order
/// of submissions, so that its number cannot be used again under an operation that is queued.
#[derive(Debug)]
pub struct Socket {
    ring: Rc<Ring>,
    fd: Option<OwnedFd>,
}

impl Socket {
    /// Takes the descriptor.
    pub fn new(ring: &Rc<Ring>, fd: OwnedFd) -> Self {
        Self { ring: Rc::clone(ring), fd: Some(fd) }
    }

    /// Closes it when nothing is in flight for it any more: the end of an orderly close.
    pub fn close(mut self) {
        if let Some(fd) = self.fd.take() {
            self.ring.close(fd);
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.fd {
            Some(fd) => fd.as_fd(),
            None => unreachable!("only close and drop take the descriptor"),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(fd) = self.fd.take() {
            self.ring.abort(fd);
        }
    }
}
