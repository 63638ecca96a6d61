//! Waiting for the peer. The invariant: send memory is taken when the socket has room for what it
//! will hold, and never held for a peer that does not read; however many of those there are, all
//! of it is there for the others.

use std::time::Duration;

use super::{WriteError, Writer};
use crate::ring::{SendBuf, SendClass, Socket};

/// Bytes of room in a socket that are worth a send of their own: more than a full record. Below,
/// a longer body waits until the kernel calls the socket writable, which is a third of it.
pub(super) const WORTHWHILE: usize = 32 * 1024;

/// How long a connection waits for its peer before it counts as held up.
pub const HELD_UP: Duration = Duration::from_millis(50);

impl Writer {
    /// A buffer for `wanted` bytes, once the socket takes them or a good part of them.
    pub(super) async fn buffer(
        &mut self,
        socket: &Socket,
        class: SendClass,
        wanted: usize,
    ) -> Result<SendBuf, WriteError> {
        self.wait_for_peer(socket, wanted).await?;
        if let Some(buffer) = self.ring.try_send_buffer(class) {
            return Ok(buffer);
        }
        let began = self.ring.clock();
        let buffer = self.ring.within(self.stall, self.ring.send_buffer(class)).await?;
        self.notes.departure.waited_for_buffer(self.ring.clock().saturating_sub(began));
        Ok(buffer)
    }

    /// Waits until the socket takes `wanted` bytes or a good part of them.
    pub(super) async fn wait_for_peer(
        &mut self,
        socket: &Socket,
        wanted: usize,
    ) -> Result<(), WriteError> {
        let wanted = wanted.min(WORTHWHILE);
        if self.open >= wanted {
            return Ok(());
        }
        self.open = socket.send_queue().map_err(WriteError::Socket)?.free();
        if self.open >= wanted {
            return Ok(());
        }
        // Boxed, so that a connection that need not wait does not carry what waiting takes.
        Box::pin(self.wait_until_writable(socket)).await
    }

    /// Waits until the kernel calls the socket writable, for as long as the peer takes something.
    pub(super) async fn wait_until_writable(&mut self, socket: &Socket) -> Result<(), WriteError> {
        // The answer waits for the socket, as it does between a submission and its completion.
        self.note_submission();
        let mut queue = socket.send_queue().map_err(WriteError::Socket)?;
        let mut advanced = self.ring.now();
        let mut limit = HELD_UP.min(self.stall);
        loop {
            let writable = self.ring.writable(socket);
            let waited = self.ring.within(limit, writable).await;
            let before =
                std::mem::replace(&mut queue, socket.send_queue().map_err(WriteError::Socket)?);
            if let Ok(writable) = waited {
                writable.map_err(WriteError::Socket)?;
                self.open = queue.free().max(WORTHWHILE);
                return Ok(());
            }
            // A large socket that is read slowly takes long to become writable. What counts is
            // that the peer takes something.
            let now = self.ring.now();
            if queue.queued < before.queued {
                advanced = now;
            }
            if !self.pace.keeps_up(now, 0) {
                return Err(WriteError::TooSlow);
            }
            let stalled = Duration::from_millis(now.saturating_sub(advanced));
            limit = self.stall.saturating_sub(stalled);
            if limit.is_zero() {
                return Err(WriteError::Stalled);
            }
        }
    }
}
