//! New keys for what is sent, before the old ones have sealed too much (RFC 8446 sections 4.6.3
//! and 5.5). The invariant: no key seals more records than its AEAD may, however long one response
//! is.

use std::{fmt, os::fd::AsFd};

use super::{WriteError, Writer, writer::Seal};
use crate::{
    record::{ContentType, KEY_UPDATE, Sealer, TrafficKeys},
    ring::Socket,
    tls::kernel,
};

/// Records that may still be sealed by the kernel once its key counts as used up; what is queued
/// then, at most one message, fits many times.
const KERNEL_MARGIN: u64 = 1 << 10;

/// Derives the next keys; None if that fails.
type Derive = Box<dyn FnMut() -> Option<TrafficKeys>>;

/// Where a writer's next keys come from, if there are any.
#[derive(Default)]
pub(super) struct NextKeys(Option<Derive>);

impl fmt::Debug for NextKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NextKeys").field(&self.0.is_some()).finish()
    }
}

impl Writer {
    /// Says where the next keys come from. Without it, a key that is used up ends the connection.
    pub fn derive_keys_by(&mut self, derive: impl FnMut() -> Option<TrafficKeys> + 'static) {
        *self.next_keys = NextKeys(Some(Box::new(derive)));
    }

    /// Whether the key has sealed nearly as many records as it may (RFC 8446 section 5.5).
    pub fn is_exhausted(&self) -> bool {
        match &self.seal {
            Seal::User { sealer, .. } => sealer.exhausted(),
            Seal::Kernel { suite, records, .. } => *records >= suite.record_limit() - KERNEL_MARGIN,
        }
    }

    /// Sends a `KeyUpdate` under the old key, behind all that waits, and goes on under the next.
    ///
    /// # Errors
    /// [`WriteError::KeyUsedUp`] if there is no next key.
    pub async fn update_key(&mut self, socket: &Socket) -> Result<(), WriteError> {
        let keys = self.next_keys.0.as_mut().and_then(|derive| derive());
        let keys = keys.ok_or(WriteError::KeyUsedUp)?;
        self.control(socket, ContentType::Handshake, &KEY_UPDATE).await?;
        match &mut self.seal {
            Seal::User { sealer, .. } => *sealer = Sealer::new(&keys),
            Seal::Kernel { records, .. } => {
                kernel::install_transmit(socket.as_fd(), &keys).map_err(WriteError::Socket)?;
                *records = keys.sequence();
            }
        }
        Ok(())
    }
}
