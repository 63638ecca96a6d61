//! The text of request heads as applications get them. It lies in blocks of its worker, one head behind the
//! other: what has been dropped is written again, so that an application that answers at once takes no
//! memory for it.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

use crate::config::HEAD_BLOCK_BYTES;

/// Bytes of a block. A value that an application keeps holds on to no more than that, unless its own head is
/// longer.
const BLOCK: usize = HEAD_BLOCK_BYTES;

thread_local! {
    /// The block that is written at present, from its first free byte on.
    static BLOCKS: RefCell<BytesMut> = RefCell::default();
}

/// The bytes that `write` appends, `length` at most.
pub(super) fn copied(length: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    if length > BLOCK {
        return copied_apart(length, write);
    }
    BLOCKS.with_borrow_mut(|block| {
        // A block that nobody else holds is used from its beginning again.
        if !block.try_reclaim(length) {
            renew(block);
        }
        write(block);
        block.split().freeze()
    })
}

/// The same for what is longer than a block: in memory of its own.
#[cold]
fn copied_apart(length: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut own = BytesMut::with_capacity(length);
    write(&mut own);
    own.freeze()
}

#[cold]
fn renew(block: &mut BytesMut) {
    *block = BytesMut::with_capacity(BLOCK);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &[u8]) -> Bytes {
        copied(text.len(), |block| block.extend_from_slice(text))
    }

    #[test]
    fn a_block_is_written_again_once_its_heads_are_dropped() {
        let long = [b'a'; BLOCK / 2];
        let first = head(&long);
        let place = first.as_ptr();
        assert_eq!(head(b"b"), "b");
        drop(first);
        assert_eq!(head(&long).as_ptr(), place);
        let (kept, other) = (head(b"kept"), head(&[b'c'; BLOCK]));
        assert_eq!((&*kept, &*other), (&b"kept"[..], &[b'c'; BLOCK][..]));
    }

    #[test]
    fn a_long_head_has_a_block_of_its_own() {
        let long = vec![b'a'; 3 * BLOCK];
        assert_eq!(head(&long), long);
        assert_eq!(head(b"").len(), 0);
    }
}
