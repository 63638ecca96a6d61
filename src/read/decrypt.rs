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
    /// Nobody: the connection has no TLS.
    Plain,
}

impl Decrypt {
    /// The keys with which the kernel opens the next record, if it is to.
    fn keys_to_hand_over(&mut self) -> Option<&TrafficKeys> {
        let Self::HandingOver(opener, keys) = self else { return None };
        keys.advance_to(opener.sequence());
        Some(keys)
    }
}

impl Reader {
    /// Takes the keys that follow a [`KeyUpdate`](super::Filled::KeyUpdate).
    ///
    /// # Errors
    /// The kernel cannot change keys (before Linux 6.14): the connection must be closed.
    pub(crate) fn rekey(&mut self, socket: &Socket, keys: TrafficKeys) -> io::Result<()> {
        match &mut self.decrypt {
            Decrypt::User(opener) => *opener = Opener::new(&keys),
            Decrypt::HandingOver(opener, pending) => {
                *opener = Opener::new(&keys);
                **pending = keys;
            }
            Decrypt::Kernel => return kernel::install_receive(socket.as_fd(), &keys),
            Decrypt::Plain => return Err(io::ErrorKind::Unsupported.into()),
        }
        Ok(())
    }

    /// A client that has sent something after the handshake is expected to go on: from now on one
    /// submission receives it all. Not sooner, since many connections bring one request, right
    /// behind the handshake, and then a close_notify. Nothing is armed behind that, so that closing
    /// need not cancel it.
    pub(super) fn expect_more(&mut self) {
        if matches!(self.decrypt, Decrypt::User(_) | Decrypt::Plain) {
            self.stream.make_multishot();
        }
    }

    /// Lets the kernel take over if no record is in pieces; else asks for no more than the rest
    /// of the one that is.
    ///
    /// # Errors
    /// The record that is in pieces is none.
    pub(super) fn approach_hand_over(&mut self, socket: &Socket) -> Result<(), ReadError> {
        // A receive that is armed from before may still bring ciphertext.
        if !matches!(self.decrypt, Decrypt::HandingOver(..)) || !self.stream.is_at_rest() {
            return Ok(());
        }
        if !self.partial.is_empty() {
            self.stream.limit(missing(&self.partial)? as u32);
            return Ok(());
        }
        let Some(keys) = self.decrypt.keys_to_hand_over() else { return Ok(()) };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ContentType, Sealer, Suite};

    /// Records that came behind the handshake were opened here: the kernel goes on behind them.
    #[test]
    fn the_kernel_gets_the_number_of_the_next_record() {
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            let keys =
                || TrafficKeys::new(Suite::Aes128Gcm, version, &[1; 16], [2; 12], 7).unwrap();
            let mut sealer = Sealer::new(&keys());
            let mut sealed = || {
                let mut record = vec![0; 4 + sealer.overhead()];
                sealer.seal(ContentType::ApplicationData, b"text", &mut record).unwrap();
                record
            };
            let mut decrypt = Decrypt::HandingOver(Opener::new(&keys()), Box::new(keys()));
            for _ in 0..3 {
                let Decrypt::HandingOver(opener, _) = &mut decrypt else { unreachable!() };
                opener.open(&mut sealed()).unwrap();
            }
            let handed_over = decrypt.keys_to_hand_over().unwrap();
            assert_eq!(handed_over.sequence(), 10);
            Opener::new(handed_over).open(&mut sealed()).unwrap();
        }
    }
}
