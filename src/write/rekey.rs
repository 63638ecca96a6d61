//! New keys for what is sent, before the old ones have sealed too much (RFC 8446 sections 4.6.3
//! and 5.5). The invariant: no key seals more records than its AEAD may, however long one response
//! is.

use std::{
    fmt,
    future::poll_fn,
    task::{Poll, ready},
};

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
    /// The peer has asked for it, and no `KeyUpdate` was sealed since.
    owed: bool,
    /// A `KeyUpdate` is in flight.
    leaving: bool,
}

impl fmt::Debug for NextKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextKeys").field("derive", &self.derive.is_some()).finish_non_exhaustive()
    }
}

impl Writer {
    /// Says where the next keys come from. Without it, a key that is used up ends the connection.
    pub(crate) fn derive_keys_by(&mut self, derive: impl FnMut() -> Option<TrafficKeys> + 'static) {
        self.next_keys.derive = Some(Box::new(derive));
    }

    /// The peer asked for a new key. It is sent before the next content (RFC 8446 section 4.6.3):
    /// by [`Self::update_key`], once [`Self::needs_key`].
    pub(crate) fn owe_key(&mut self) {
        self.next_keys.owed = true;
    }

    /// Whether the key has sealed nearly as many records as it may (RFC 8446 section 5.5), or the
    /// peer has asked for a new one.
    pub(crate) fn needs_key(&self) -> bool {
        self.next_keys.owed || self.sealing.is_exhausted()
    }

    /// Whether a `KeyUpdate` that the peer has asked for has not left.
    pub(crate) fn is_updating_key(&self) -> bool {
        self.next_keys.owed || self.next_keys.leaving
    }

    /// Sends a `KeyUpdate` under the old key, behind all that waits, and goes on under the next. May
    /// be dropped: from the moment in which the `KeyUpdate` is sealed, whatever leaves behind it is
    /// sealed under the next key.
    ///
    /// # Errors
    /// [`WriteError::KeyUsedUp`] if there is no next key.
    pub(crate) async fn update_key(&mut self, socket: &Socket) -> Result<(), WriteError> {
        poll_fn(|_| self.poll_update_key(socket)).await
    }

    /// The same, polled. There must be no plaintext in the room that was not committed.
    ///
    /// # Errors
    /// [`WriteError::KeyUsedUp`] if there is no next key.
    pub(crate) fn poll_update_key(&mut self, socket: &Socket) -> Poll<Result<(), WriteError>> {
        if !self.next_keys.leaving {
            if self.next_keys.derive.is_none() {
                return Poll::Ready(Err(WriteError::KeyUsedUp));
            }
            ready!(self.poll_flush(socket))?;
            let wanted = MAX_OVERHEAD + KEY_UPDATE.len();
            ready!(self.poll_memory(socket, SendClass::Small, wanted))?;
            // No wait from here to the submission, or keys and records would be out of step.
            let keys = self.next_keys.derive.as_mut().and_then(|derive| derive());
            let keys = keys.ok_or(WriteError::KeyUsedUp)?;
            self.sealing.control(ContentType::Handshake, &KEY_UPDATE)?;
            if self.sealing.rekeys_at_once() {
                self.sealing.rekey(socket, &keys)?;
            } else {
                self.next_keys.following = Some(keys);
            }
            self.next_keys.owed = false;
            self.next_keys.leaving = self.depart(socket)?;
        }
        self.poll_departed(socket)
    }

    /// A send has left: if it was a `KeyUpdate`, what follows is sealed under the next key.
    pub(super) fn follow_key_update(&mut self, socket: &Socket) -> Result<(), WriteError> {
        self.next_keys.leaving = false;
        match self.next_keys.following.take() {
            Some(keys) => self.sealing.rekey(socket, &keys),
            None => Ok(()),
        }
    }
}
