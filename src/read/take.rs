//! Handing plaintext on to who needs it for longer than a poll: in the memory in which it lies where
//! that can be given away, else as a copy.

use std::{ops::Range, rc::Rc};

use super::{Reader, held::Held};
use crate::ring::{Chunk, Content};

/// Content that is shorter is copied: the memory that it lies in is worth more than the copy.
const LENT_FROM: usize = 4096;

impl Reader {
    /// Takes the bytes `data` of the plaintext, and lets go of its first `consumed` ones, which include
    /// them.
    pub(crate) fn take(&mut self, data: Range<usize>, consumed: usize) -> Chunk {
        let all = consumed == self.plaintext().len();
        if all && data.len() >= LENT_FROM {
            if !self.gathered.is_empty() {
                let (memory, from) = self.gathered.take();
                let content = Content::Gathered(Rc::new(memory));
                return Chunk::new(content, from + data.start..from + data.end);
            }
            match self.held.take().map(Held::into_lease) {
                Some(Ok((lease, plain))) => {
                    let content = Content::Lease(Rc::new(lease));
                    return Chunk::new(content, plain.start + data.start..plain.start + data.end);
                }
                Some(Err(held)) => self.held = Some(held),
                None => {}
            }
        }
        let copy = self.plaintext().get(data).unwrap_or(&[]).to_vec();
        let kernel = self.is_kernel();
        self.taken.note_copy(kernel, copy.len());
        self.consume(consumed);
        Chunk::from(copy)
    }
}
