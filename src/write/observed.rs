//! What a [`Writer`] records of itself: how its queue left, and what was done with content.

use super::Writer;
use crate::{
    observe::{Delivery, Moved, Sending},
    ring::{Socket, TcpInfo},
};

/// What a [`Writer`] notes.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) moved: Moved,
    pub(super) departure: Sending,
    /// Bytes of a page that stand behind the head that is queued next.
    inline: u64,
}

impl Writer {
    /// What was done with content since this was last asked.
    pub fn take_moved(&mut self) -> Moved {
        std::mem::take(&mut self.notes.moved)
    }

    /// Content that is no file's is queued next: so many bytes stand behind their head already, or
    /// were copied into memory of their own.
    pub fn note_page(&mut self, inline: usize, shared: usize) {
        self.notes.moved.inline += inline as u64;
        self.notes.inline = inline as u64;
        self.notes.moved.shared += shared as u64;
    }

    /// The batch that waits, or is leaving.
    pub fn departure(&mut self) -> &mut Sending {
        &mut self.notes.departure
    }

    /// A head is queued, with what stands inline behind it.
    pub(super) fn note_head(&mut self, length: usize) {
        self.notes.departure.holds_head();
        let moved = &mut self.notes.moved;
        moved.head += (length as u64).saturating_sub(std::mem::take(&mut self.notes.inline));
    }

    /// What was sent took long to leave: the kernel knows what for. Called before its requests end.
    #[cold]
    pub(crate) fn note_delivery(&mut self, socket: &Socket) {
        let Ok(info) = TcpInfo::of(socket) else { return };
        let [busy, window_shut, buffer_empty] = info.busy();
        let retransmits = info.retransmits();
        self.notes.departure.delivered(Delivery { busy, window_shut, buffer_empty, retransmits });
    }

    /// Something is submitted. Reads the clock if it is the first.
    pub(super) fn note_submission(&mut self) {
        if !self.notes.departure.has_begun() {
            self.notes.departure.submitted(self.ring.clock());
        }
    }
}
