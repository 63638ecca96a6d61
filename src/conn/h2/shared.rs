//! What the HTTP/2 connections of a worker share.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::replies::Spare;
use crate::{config::H2_HELD_BYTES, conn::Context, hpack::Decoder, observe::give_back};

/// Of [`H2_HELD_BYTES`], what may be taken for as long as clients like: heads that have not come whole,
/// answers that find no window, content that nobody has taken. The rest is for requests that wait for
/// this server alone: clients that hold all they can keep no other one from being answered.
const HELD_FOR_CLIENTS: usize = H2_HELD_BYTES / 4 * 3;

/// Memory of a worker for heads: nothing in it outlives the decision on one request.
#[derive(Debug)]
pub(in crate::conn) struct Shared {
    pub(super) scratch: RefCell<Scratch>,
    /// For control frames that wait.
    pub(super) spare: Spare,
    held: Cell<usize>,
}

/// Where heads are decoded.
#[derive(Debug)]
pub(super) struct Scratch {
    /// For Huffman text.
    pub(super) huffman: Box<[u8]>,
    /// For what is kept of a head.
    pub(super) text: Box<[u8]>,
    /// For all fields of a head, where responders want them.
    pub(super) fields: Vec<u8>,
}

impl Scratch {
    /// For heads of at most so many bytes.
    fn new(head_bytes: usize) -> Self {
        let zeroed = |length| vec![0; length].into_boxed_slice();
        Self {
            huffman: zeroed(head_bytes.max(Decoder::MIN_SCRATCH)),
            text: zeroed(head_bytes),
            fields: Vec::new(),
        }
    }
}

impl Shared {
    /// For heads of at most so many bytes.
    pub(in crate::conn) fn new(head_bytes: usize) -> Self {
        let scratch = RefCell::new(Scratch::new(head_bytes));
        Self { scratch, spare: Spare::default(), held: Cell::new(0) }
    }

    /// Heads have at most so many bytes from here on.
    pub(in crate::conn) fn set_head_bytes(&self, head_bytes: usize) {
        // Nothing in it outlives a poll, and this is a poll of its own.
        self.scratch.replace(Scratch::new(head_bytes));
    }
}

/// Memory that a connection holds, of the worker's account.
#[derive(Debug)]
pub(super) struct Held {
    context: Rc<Context>,
    bytes: usize,
}

impl Held {
    /// Takes memory for as long as the result lives. None if the account is used up.
    pub(super) fn take(context: &Rc<Context>, bytes: usize) -> Option<Self> {
        Self::take_within(context, bytes, H2_HELD_BYTES)
    }

    /// Takes memory that is given back when the client likes. None if clients have taken what they may.
    pub(super) fn take_for_client(context: &Rc<Context>, bytes: usize) -> Option<Self> {
        Self::take_within(context, bytes, HELD_FOR_CLIENTS)
    }

    fn take_within(context: &Rc<Context>, bytes: usize, most: usize) -> Option<Self> {
        let held = context.h2.held.get().checked_add(bytes).filter(|held| *held <= most)?;
        context.h2.held.set(held);
        Some(Self { context: Rc::clone(context), bytes })
    }

    /// Takes so many bytes more. False if the account is used up.
    #[must_use]
    pub(super) fn grow(&mut self, by: usize) -> bool {
        let more = Self::take(&self.context, by);
        self.add(more)
    }

    /// Takes so many bytes more that are given back when the client likes. False if clients have taken
    /// what they may.
    #[must_use]
    pub(super) fn grow_for_client(&mut self, by: usize) -> bool {
        let more = Self::take_for_client(&self.context, by);
        self.add(more)
    }

    fn add(&mut self, more: Option<Self>) -> bool {
        let Some(mut more) = more else { return false };
        self.bytes += std::mem::take(&mut more.bytes);
        true
    }

    /// Whether it may be held for as long as its client likes.
    pub(super) fn may_last(&self) -> bool {
        self.context.h2.held.get() <= HELD_FOR_CLIENTS
    }

    /// Gives so many bytes back.
    pub(super) fn shrink_by(&mut self, by: usize) {
        self.shrink(self.bytes.saturating_sub(by));
    }

    /// Gives back what is beyond so many bytes.
    pub(super) fn shrink(&mut self, to: usize) {
        let given = self.bytes.saturating_sub(to);
        self.bytes -= given;
        give_back(&self.context.h2.held, given);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        give_back(&self.context.h2.held, self.bytes);
    }
}
