//! Who opens the records, and with which keys: this module, the kernel, or first the one and then
//! the other.

use std::{io, os::fd::AsFd};

use super::{ReadError, Reader, opening::missing};
use crate::{
    record::{Opener, TlsVersion, TrafficKeys},
    ring::Socket,
    tls::kernel,
};

/// Who opens the records.
#[derive(Debug)]
pub(super) enum Decrypt {
    /// This module, in place.
    User(Opener),
    /// This module still, until what was read ahead ends at a record boundary; then the kernel,
    /// with these keys.
    HandingOver(Opener, Box<TrafficKeys>),
    /// The kernel; this module parses control records only.
    Kernel,
}

impl Reader {
    /// Takes the keys that follow a [`KeyUpdate`](super::Filled::KeyUpdate).
    ///
    /// # Errors
    /// The kernel cannot change keys (before Linux 6.14): the connection must be closed.
    pub fn rekey(&mut self, socket: &Socket, keys: TrafficKeys) -> io::Result<()> {
        match &mut self.decrypt {
            Decrypt::User(opener) => *opener = Opener::new(&keys),
            Decrypt::HandingOver(opener, pending) => {
                *opener = Opener::new(&keys);
                **pending = keys;
            }
            Decrypt::Kernel => return kernel::install_receive(socket.as_fd(), &keys),
        }
        Ok(())
    }

    /// A client that has sent something after the handshake is expected to go on: from now on one
    /// submission receives it all. Not sooner, since many connections bring one request, right
    /// behind the handshake, and then a close_notify. Nothing is armed behind that, so that closing
    /// need not cancel it.
    pub(super) fn expect_more(&mut self) {
        if matches!(self.decrypt, Decrypt::User(_)) {
            self.stream.make_multishot();
        }
    }

    /// Lets the kernel take over if no record is in pieces; else asks for no more than the rest
    /// of the one that is.
    ///
    /// # Errors
    /// The record that is in pieces is none.
    pub(super) fn approach_hand_over(&mut self, socket: &Socket) -> Result<(), ReadError> {
        let Decrypt::HandingOver(opener, keys) = &mut self.decrypt else { return Ok(()) };
        if !self.stream.is_at_rest() {
            // A receive is armed from before: what it brings may still be ciphertext.
            return Ok(());
        }
        if !self.partial.is_empty() {
            self.stream.limit(missing(&self.partial)? as u32);
            return Ok(());
        }
        keys.advance_to(opener.sequence());
        let installed = kernel::install_receive(socket.as_fd(), keys);
        let Decrypt::HandingOver(opener, _) = std::mem::replace(&mut self.decrypt, Decrypt::Kernel)
        else {
            return Err(ReadError::Defect("what was handed over was not ours"));
        };
        match installed {
            // Without it a TLS 1.3 record is decrypted into the kernel's own pages first.
            Ok(()) if self.version == TlsVersion::Tls13 => {
                let _ = kernel::expect_no_padding(socket.as_fd());
            }
            Ok(()) => {}
            Err(error) => {
                log::debug!("read: the kernel did not take the receive keys: {error}");
                self.decrypt = Decrypt::User(opener);
            }
        }
        self.stream.make_multishot();
        Ok(())
    }
}
