//! Waiting for the peer, and for memory to send from. The invariant: send memory is taken when the
//! socket has room for what it will hold, and never held for a peer that does not read; however many
//! of those there are, all of it is there for the others.

use std::{
    task::{Poll, ready},
    time::Duration,
};

use super::{WriteError, Writer};
use crate::ring::{Claim, Flight, SendBuf, SendClass, SendQueue, Socket};

/// Bytes of room in a socket that are worth a send of their own: more than a full record. Below,
/// a longer body waits until the kernel calls the socket writable, which is a third of it.
pub(super) const WORTHWHILE: usize = 32 * 1024;

/// How long a connection waits for its peer before it counts as held up.
pub(crate) const HELD_UP: Duration = Duration::from_millis(50);

/// Waits of a writer that are not over.
#[derive(Debug, Default)]
pub(super) struct Waits {
    peer: Option<Box<PeerWait>>,
    memory: Option<Box<MemoryWait>>,
}

/// The socket is full.
#[derive(Debug)]
struct PeerWait {
    writable: Flight<()>,
    queue: SendQueue,
    /// When the peer last took something, in milliseconds on the worker's clock.
    advanced: u64,
    /// When to look whether it did since.
    until: u64,
}

/// The worker's memory is in use.
#[derive(Debug)]
struct MemoryWait {
    claim: Claim,
    /// When the wait began, in nanoseconds.
    began: u64,
    until: u64,
}

impl Waits {
    pub(super) fn is_for_peer(&self) -> bool {
        self.peer.is_some()
    }

    pub(super) fn is_any(&self) -> bool {
        self.peer.is_some() || self.memory.is_some()
    }
}

impl Writer {
    /// A buffer for `wanted` bytes, if the socket takes them or a good part of them without a wait, there
    /// is one, and nobody waits for it: what most answers find.
    #[inline]
    pub(super) fn buffer_at_hand(&mut self, class: SendClass, wanted: usize) -> Option<SendBuf> {
        if self.waits.is_any() || self.open < wanted.min(WORTHWHILE) {
            return None;
        }
        self.ring.try_send_buffer(class)
    }

    /// A buffer for `wanted` bytes, once the socket takes them or a good part of them. May be
    /// dropped and called again.
    #[inline(never)]
    pub(super) fn poll_buffer(
        &mut self,
        socket: &Socket,
        class: SendClass,
        wanted: usize,
    ) -> Poll<Result<SendBuf, WriteError>> {
        if self.waits.memory.as_ref().is_some_and(|wait| wait.claim.class() != class) {
            self.waits.memory = None;
        }
        if self.waits.memory.is_none() {
            ready!(self.poll_room(socket, wanted))?;
            if let Some(buffer) = self.ring.try_send_buffer(class) {
                return Poll::Ready(Ok(buffer));
            }
        }
        let (ring, stall) = (&self.ring, self.stall);
        let wait = self.waits.memory.get_or_insert_with(|| {
            let until = ring.now().saturating_add(stall);
            Box::new(MemoryWait { claim: ring.claim(class), began: ring.clock(), until })
        });
        let Poll::Ready(buffer) = wait.claim.poll() else {
            return ring.poll_until(wait.until).map(|()| Err(WriteError::Stalled));
        };
        let waited = ring.clock().saturating_sub(wait.began);
        self.notes.gathering.waited_for_buffer(waited);
        self.waits.memory = None;
        Poll::Ready(Ok(buffer))
    }

    /// Waits until the socket takes `wanted` bytes or a good part of them.
    fn poll_room(&mut self, socket: &Socket, wanted: usize) -> Poll<Result<(), WriteError>> {
        let wanted = wanted.min(WORTHWHILE);
        if self.waits.peer.is_none() {
            if self.open >= wanted {
                return Poll::Ready(Ok(()));
            }
            self.open = socket.send_queue().map_err(WriteError::Socket)?.free();
            if self.open >= wanted {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_writable(socket)
    }

    /// Waits until the kernel calls the socket writable, for as long as the peer takes something.
    pub(super) fn poll_writable(&mut self, socket: &Socket) -> Poll<Result<(), WriteError>> {
        // The answer waits for the socket, as it does between a submission and its completion.
        self.note_submission();
        let ring = &self.ring;
        let wait = match &mut self.waits.peer {
            Some(wait) => wait,
            none => {
                let queue = socket.send_queue().map_err(WriteError::Socket)?;
                let writable = ring.begin_writable(socket);
                let advanced = ring.now();
                let limit = (HELD_UP.as_millis() as u64).min(self.stall);
                let until = advanced.saturating_add(limit);
                none.insert(Box::new(PeerWait { writable, queue, advanced, until }))
            }
        };
        loop {
            if let Poll::Ready((writable, ())) = wait.writable.poll() {
                self.waits.peer = None;
                writable.map_err(WriteError::Socket)?;
                let queue = socket.send_queue().map_err(WriteError::Socket)?;
                self.open = queue.free().max(WORTHWHILE);
                return Poll::Ready(Ok(()));
            }
            ready!(ring.poll_until(wait.until));
            // A large socket that is read slowly takes long to become writable. What counts is
            // that the peer takes something.
            let queue = socket.send_queue().map_err(WriteError::Socket)?;
            let before = std::mem::replace(&mut wait.queue, queue);
            let now = ring.now();
            if queue.queued < before.queued {
                wait.advanced = now;
            }
            if !self.pace.keeps_up(now, 0) {
                return Poll::Ready(Err(WriteError::TooSlow));
            }
            let limit = self.stall.saturating_sub(now.saturating_sub(wait.advanced));
            if limit == 0 {
                return Poll::Ready(Err(WriteError::Stalled));
            }
            wait.until = now.saturating_add(limit);
        }
    }
}
