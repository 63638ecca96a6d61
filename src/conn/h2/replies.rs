//! Control frames that wait to leave: acknowledgements, resets, window updates.
//!
//! The invariant: a frame is only read while there is room for all replies that it may cause, so
//! what the peer provokes is bounded by a kilobyte, whatever it sends and however little it reads.

use std::cell::RefCell;

/// Bytes that wait at most.
const CAPACITY: usize = 1024;

/// The most that reading one frame adds: an acknowledgement, a reset and two window updates, a
/// GOAWAY with its PING.
const MOST_FOR_A_FRAME: usize = 128;

/// The queue. It has memory only while something waits: most connections rest.
#[derive(Debug, Default)]
pub(super) struct Replies {
    bytes: Vec<u8>,
}

/// The memory of a queue that is empty, for the next one of the worker that is not: control frames mostly
/// leave in the turn that makes them.
#[derive(Debug, Default)]
pub(super) struct Spare(RefCell<Vec<u8>>);

impl Spare {
    fn take(&self) -> Vec<u8> {
        let mut bytes = self.0.take();
        bytes.reserve_exact(CAPACITY);
        bytes
    }
}

impl Replies {
    /// Whether another frame may be read.
    pub(super) fn has_room(&self) -> bool {
        self.bytes.len() + MOST_FOR_A_FRAME <= CAPACITY
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds a frame. False if it does not fit, which is a fault of this server: reading should have
    /// stopped.
    #[must_use]
    pub(super) fn push(&mut self, frame: &[u8], spare: &Spare) -> bool {
        if self.bytes.len() + frame.len() > CAPACITY {
            return false;
        }
        if self.bytes.capacity() == 0 {
            self.bytes = spare.take();
        }
        self.bytes.extend_from_slice(frame);
        true
    }

    /// What waits, in order.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.bytes
    }

    /// All of it has been copied out.
    pub(super) fn clear(&mut self, spare: &Spare) {
        self.bytes.clear();
        spare.0.replace(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_a_frame_or_none_is_read() {
        let (mut replies, spare) = (Replies::default(), Spare::default());
        let mut frames = 0;
        while replies.has_room() {
            assert!(replies.push(&[frames as u8; MOST_FOR_A_FRAME], &spare));
            frames += 1;
        }
        assert_eq!((frames, replies.waiting().len()), (8, 1024));
        assert!(!replies.push(&[0], &spare) && !replies.is_empty());
        assert_eq!(replies.waiting()[128..256], [1; 128]);
        replies.clear(&spare);
        assert!(replies.is_empty() && replies.has_room());
    }

    #[test]
    fn an_empty_queue_has_no_memory_and_the_next_one_needs_none_of_its_own() {
        let (mut one, mut other, spare) =
            (Replies::default(), Replies::default(), Spare::default());
        assert!(one.push(b"a", &spare));
        let memory = one.waiting().as_ptr();
        one.clear(&spare);
        assert_eq!(one.bytes.capacity(), 0);
        assert!(other.push(b"b", &spare));
        assert_eq!((other.waiting(), other.waiting().as_ptr()), (&b"b"[..], memory));
        assert_eq!(other.bytes.capacity(), CAPACITY);
    }
}
