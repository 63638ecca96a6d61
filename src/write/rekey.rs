//! New keys for what is sent, before the old ones have sealed too much (RFC 8446 sections 4.6.3
//! and 5.5). The invariant: no key seals more records than its AEAD may, however long one response
//! is.

use std::fmt;

use super::{WriteError, Writer};
use crate::{
    record::{ContentType, KEY_UPDATE, MAX_OVERHEAD, TrafficKeys},
    ring::{SendClass, Socket},
};

/// Derives the next keys; None if that fails.
type Derive = Box<dyn FnMut() -> Option<TrafficKeys>>;

/// A writer's next keys.
#[derive(Default)]
pub(super) struct NextKeys {
    /// Where they come from, if there are any.
    derive: Option<Derive>,
    /// Those that follow the `KeyUpdate` in flight.
    following: Option<TrafficKeys>,
}

impl fmt::Debug for NextKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextKeys").field("derive", &self.derive.is_some()).finish_non_exhaustive()
    }
}

impl Writer {
    /// Says where the next keys come from. Without it, a key that is used up ends the connection.
    pub fn derive_keys_by(&mut self, derive: impl FnMut() -> Option<TrafficKeys> + 'static) {
        self.next_keys.derive = Some(Box::new(derive));
    }

    /// Whether the key has sealed nearly as many records as it may (RFC 8446 section 5.5).
    pub fn is_exhausted(&self) -> bool {
        self.sealing.is_exhausted()
    }

    /// Sends a `KeyUpdate` under the old key, behind all that waits, and goes on under the next. May
    /// be dropped: from the moment in which the `KeyUpdate` is sealed, whatever leaves behind it is
    /// sealed under the next key.
    ///
    /// # Errors
    /// [`WriteError::KeyUsedUp`] if there is no next key.
    pub async fn update_key(&mut self, socket: &Socket) -> Result<(), WriteError> {
        if self.next_keys.derive.is_none() {
            return Err(WriteError::KeyUsedUp);
        }
        self.flush(socket).await?;
        self.take_memory(socket, SendClass::Small, MAX_OVERHEAD + KEY_UPDATE.len()).await?;
        // No wait from here to the submission, or keys and records would be out of step.
        let keys = self.next_keys.derive.as_mut().and_then(|derive| derive());
        let keys = keys.ok_or(WriteError::KeyUsedUp)?;
        self.sealing.control(ContentType::Handshake, &KEY_UPDATE)?;
        if self.sealing.rekeys_at_once() {
            self.sealing.rekey(socket, &keys)?;
        } else {
            self.next_keys.following = Some(keys);
        }
        self.flush(socket).await
    }

    /// A send has left: if it was a `KeyUpdate`, what follows is sealed under the next key.
    pub(super) fn follow_key_update(&mut self, socket: &Socket) -> Result<(), WriteError> {
        match self.next_keys.following.take() {
            Some(keys) => self.sealing.rekey(socket, &keys),
            None => Ok(()),
        }
    }
}
