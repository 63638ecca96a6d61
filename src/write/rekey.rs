//! New keys for what is sent, before the old ones have sealed too much (RFC 8446 sections 4.6.3
//! and 5.5). The invariant: no key seals more records than its AEAD may, however long one response
//! is.

use std::fmt;

use super::{WriteError, Writer};
use crate::{
    record::{ContentType, KEY_UPDATE, TrafficKeys},
    ring::Socket,
};

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
        self.sealing.is_exhausted()
    }

    /// Sends a `KeyUpdate` under the old key, behind all that waits, and goes on under the next.
    ///
    /// # Errors
    /// [`WriteError::KeyUsedUp`] if there is no next key.
    pub async fn update_key(&mut self, socket: &Socket) -> Result<(), WriteError> {
        let keys = self.next_keys.0.as_mut().and_then(|derive| derive());
        let keys = keys.ok_or(WriteError::KeyUsedUp)?;
        self.control(socket, ContentType::Handshake, &KEY_UPDATE).await?;
        self.sealing.rekey(socket, &keys)
    }
}
