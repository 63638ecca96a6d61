//! Content of a request that is held until a connection is taken for it, and for a second try.

use std::{rc::Rc, task::Poll};

use super::{
    exchange::{Exchange, RequestContent, Stage},
    pool::HeldOf,
};
use crate::{
    config::REQUEST_STATE_BYTES,
    observe::PassedOn,
    ring::{Chunk, Content},
};

impl Exchange {
    /// Gathers content until all of it is here, or as much as is held.
    pub(super) fn poll_hold(&mut self, content: &mut impl RequestContent) -> Poll<()> {
        let most = self.pool.shared.options.hold_request;
        loop {
            if self.held_bytes >= most && !content.is_ended() {
                return Poll::Ready(());
            }
            let piece = match content.poll_piece() {
                Poll::Pending => {
                    // A receive buffer is not to wait for a slow client.
                    let holds = self.count_held() && self.copy_held();
                    return if holds { Poll::Pending } else { Poll::Ready(()) };
                }
                Poll::Ready(None) => {
                    self.whole = true;
                    return Poll::Ready(());
                }
                Poll::Ready(Some(piece)) => piece,
            };
            self.held_bytes += piece.len();
            self.held.push(piece);
            // What follows one receive buffer goes into memory of its own.
            if self.held.len() > 1 && !self.copy_held() {
                return Poll::Ready(());
            }
        }
    }

    /// Counts what is held: content and, while the client is waited for, the head. HTTP/2 has many such
    /// requests on a connection. False if the worker holds as much as it may.
    pub(super) fn count_held(&mut self) -> bool {
        let of_head = match self.stage {
            Stage::Holding => self.request.head.capacity() + REQUEST_STATE_BYTES,
            _ => 0,
        };
        let bytes = self.held_bytes + of_head;
        if let Some(held) = &mut self.holding {
            return held.grow(bytes.saturating_sub(held.bytes()));
        }
        self.holding = self.pool.hold(HeldOf::Requests, bytes);
        self.holding.is_some()
    }

    /// Moves what is held into one piece of memory. False if the worker holds as much as it may: then
    /// the request streams.
    pub(super) fn copy_held(&mut self) -> bool {
        if self.held.iter().all(|piece| matches!(piece.parts().0, Content::Gathered(_)))
            && self.held.len() <= 1
        {
            return true;
        }
        if !self.count_held() {
            return false;
        }
        let mut bytes = Vec::new();
        if let Some((Content::Gathered(first), range)) = self.held.first().map(Chunk::parts)
            && range == (0..first.len())
        {
            let first = Rc::clone(first);
            self.held.remove(0);
            // Nobody else has it before it is sent.
            bytes = Rc::try_unwrap(first).unwrap_or_else(|bytes| bytes.to_vec());
        }
        let more = self.held.iter().map(|piece| piece.len()).sum();
        bytes.reserve(more);
        self.pool.note_passed_on(PassedOn { held: more as u64, ..PassedOn::default() });
        for piece in self.held.drain(..) {
            bytes.extend_from_slice(&piece);
        }
        self.held.push(Chunk::from(bytes));
        true
    }
}
