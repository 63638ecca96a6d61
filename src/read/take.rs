//! Handing plaintext on to who needs it for longer than a poll: in the memory in which it lies where
//! that can be given away, else as a copy.

use std::{ops::Range, rc::Rc};

use super::{Reader, held::Held};
use crate::ring::{Chunk, Content};

/// Content that is shorter is copied: the memory that it lies in is worth more than the copy.
pub(crate) const LENT_FROM: usize = 4096;

impl Reader {
    /// Lets go of the first `read` bytes of plaintext and of `copied` further ones, of which somebody has a
    /// copy.
    pub(crate) fn consume_copied(&mut self, read: usize, copied: usize) {
        if copied > 0 {
            let kernel = self.is_kernel();
            self.taken.note_copy(kernel, copied);
        }
        self.consume(read + copied);
    }

    /// Takes the bytes `data` of the plaintext, and lets go of its first `consumed` ones, which include
    /// them. If the plaintext has fewer, the next wait for more ends with [`ReadError::Defect`].
    ///
    /// [`ReadError::Defect`]: super::ReadError::Defect
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
        let copy = self.plaintext().get(data).map(<[u8]>::to_vec);
        self.overdrawn |= copy.is_none();
        // The connection ends with the next wait, and counts the defect.
        let copy = copy.unwrap_or_else(Vec::new);
        let kernel = self.is_kernel();
        self.taken.note_copy(kernel, copy.len());
        self.consume(consumed);
        Chunk::from(copy)
    }
}
