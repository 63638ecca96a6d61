//! Long content of a stated length, received into the memory that it is sent from.

use std::task::{Poll, ready};

use super::{
    failure::Reason,
    pool::Pool,
    talk::{Ends, Talk},
};
use crate::ring::ReadInto;

/// Bytes of content from which on it is received into the memory that it is sent from: less than that comes
/// in few receive buffers.
pub(super) const RELAYED: u64 = 64 * 1024;

/// Bytes that arrived at once, after which more are likely to have arrived.
pub(super) const LIKELY_MORE: usize = 12 * 1024;

impl Talk {
    /// Bytes of content that are still to come, if they can be received straight into memory now.
    pub(super) fn relays(&mut self) -> Option<u64> {
        if !self.relays || self.connection.is_secured() || !self.sender.is_done() {
            return None;
        }
        // Once this has begun, receive buffers take what has arrived before it.
        let at_rest = self.connection.comes_to_rest();
        let Ends::By(decoder) = &self.content else { return None };
        decoder.rest().filter(|rest| at_rest && *rest > 0 && self.input.is_none())
    }

    /// Receives what has arrived into this memory, which it takes at the first call: None if nothing has,
    /// else the memory and how many bytes are in it.
    pub(super) fn poll_relay(
        &mut self,
        pool: &Pool,
        memory: &mut Option<ReadInto>,
    ) -> Poll<Result<Option<(ReadInto, usize)>, Reason>> {
        if let Some(memory) = memory.take() {
            self.relay = self.connection.begin_receive_into(memory);
        }
        let Some(flight) = &mut self.relay else { return Poll::Ready(Err(Reason::Local)) };
        let polled = flight.poll();
        let Poll::Ready((received, memory)) = polled else {
            ready!(self.poll_late(pool));
            self.relay = None;
            return Poll::Ready(Err(Reason::ReadTimeout));
        };
        self.relay = None;
        let count = match received {
            Ok(0) => return Poll::Ready(Err(Reason::Incomplete)),
            Ok(count) => count,
            // Nothing has arrived: what comes next is waited for without memory.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {
                self.relays = false;
                return Poll::Ready(Ok(None));
            }
            Err(_) => return Poll::Ready(Err(Reason::Incomplete)),
        };
        self.waiting = false;
        self.relays = count >= LIKELY_MORE;
        let Ends::By(decoder) = &mut self.content else {
            return Poll::Ready(Err(Reason::Framing));
        };
        if !decoder.pass(count as u64) {
            return Poll::Ready(Err(Reason::Framing));
        }
        if decoder.is_finished() {
            self.content = Ends::Over;
        }
        Poll::Ready(Ok(Some((memory, count))))
    }
}
