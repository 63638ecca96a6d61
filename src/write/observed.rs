//! What a [`Writer`] records of itself: how its queue left, and what was done with content.

use super::Writer;
use crate::{
    observe::{Delivery, Moved, RequestClock, Sending},
    ring::{Socket, TcpInfo},
};

/// What a [`Writer`] notes.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) moved: Moved,
    /// The batch that is gathered. Once it is submitted, its departure has it.
    pub(super) gathering: Sending,
    /// Bytes of a page that stand behind the head that is queued next.
    inline: u64,
}

impl Writer {
    /// What was done with content since this was last asked.
    pub(crate) fn take_moved(&mut self) -> Moved {
        std::mem::take(&mut self.notes.moved)
    }

    /// Content that is no file's is queued next: so many bytes stand behind their head already, or
    /// were copied into memory of their own.
    pub(crate) fn note_page(&mut self, inline: usize, shared: usize) {
        self.notes.moved.inline += inline as u64;
        self.notes.inline = inline as u64;
        self.notes.moved.shared += shared as u64;
    }

    /// The batch that is gathered and has not been submitted.
    pub(crate) fn gathering(&mut self) -> &mut Sending {
        &mut self.notes.gathering
    }

    /// The last byte of an answer was queued, or lies among `uncommitted` bytes of the room. The
    /// request ends when the batch with that byte has left: at once if it has.
    pub(crate) fn carry(
        &mut self,
        socket: &Socket,
        request: &mut RequestClock,
        uncommitted: usize,
    ) {
        let waits = uncommitted > 0 || self.gathered() > 0;
        match &mut self.departure {
            Some(departure) if !waits => {
                departure.sending.carries(request);
                self.notes.gathering.holds_no_head();
            }
            _ => self.notes.gathering.carries(request),
        }
        if !waits {
            settle(&mut self.notes.gathering, socket);
        }
    }

    /// An answer broke off: its request ends incompletely with the connection, in the stage that its
    /// batch has reached.
    #[cold]
    pub(crate) fn breaks_off(&mut self, request: &mut RequestClock) {
        match &mut self.departure {
            Some(departure) => departure.sending.carries(request),
            None => self.notes.gathering.carries(request),
        }
    }

    /// The send in flight has left: the requests that ride on it end.
    pub(super) fn note_departed(&mut self, socket: &Socket) {
        let Some(departure) = &mut self.departure else { return };
        self.notes.gathering.follows(&departure.sending);
        settle(&mut departure.sending, socket);
        self.departure = None;
    }

    /// A head is queued, with what stands inline behind it.
    pub(super) fn note_head(&mut self, length: usize) {
        let moved = &mut self.notes.moved;
        moved.head += (length as u64).saturating_sub(std::mem::take(&mut self.notes.inline));
    }

    /// Something is submitted. Reads the clock if it is the first.
    pub(super) fn note_submission(&mut self) {
        if !self.notes.gathering.has_begun() {
            self.notes.gathering.submitted(self.ring.clock());
        }
    }
}

/// All of a batch has left: its requests end. If it was slow, the kernel is asked for the reason
/// first.
fn settle(sending: &mut Sending, socket: &Socket) {
    if sending.is_slow() {
        note_delivery(sending, socket);
    }
    sending.all_left();
}

#[cold]
fn note_delivery(sending: &mut Sending, socket: &Socket) {
    let Ok(info) = TcpInfo::of(socket) else { return };
    let [busy, window_shut, buffer_empty] = info.busy();
    let retransmits = info.retransmits();
    sending.delivered(Delivery { busy, window_shut, buffer_empty, retransmits });
}
