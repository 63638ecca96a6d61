//! Control frames that wait to leave: acknowledgements, resets, window updates.
//!
//! The invariant: a frame is only read while there is room for all replies that it may cause, so
//! what the peer provokes is bounded by a kilobyte, whatever it sends and however little it reads.

use super::Stop;

/// Bytes that wait at most.
const CAPACITY: usize = 1024;

/// The most that reading one frame adds: an acknowledgement, a reset and two window updates, a
/// GOAWAY with its PING.
const MOST_FOR_A_FRAME: usize = 128;

/// The queue.
#[derive(Debug)]
pub(super) struct Replies {
    bytes: [u8; CAPACITY],
    used: usize,
}

impl Default for Replies {
    fn default() -> Self {
        Self { bytes: [0; CAPACITY], used: 0 }
    }
}

impl Replies {
    /// Whether another frame may be read.
    pub(super) fn has_room(&self) -> bool {
        self.used + MOST_FOR_A_FRAME <= CAPACITY
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Adds a frame. False if it does not fit, which is a fault of this server: reading should have
    /// stopped.
    #[must_use]
    pub(super) fn push(&mut self, frame: &[u8]) -> bool {
        let Some(room) = self.bytes.get_mut(self.used..self.used + frame.len()) else {
            return false;
        };
        room.copy_from_slice(frame);
        self.used += frame.len();
        true
    }

    /// What waits, in order.
    pub(super) fn waiting(&self) -> Result<&[u8], Stop> {
        self.bytes.get(..self.used).ok_or(Stop::defect("more control frames wait than fit"))
    }

    /// All of it has been copied out.
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_a_frame_or_none_is_read() {
        let mut replies = Replies::default();
        let mut frames = 0;
        while replies.has_room() {
            assert!(replies.push(&[frames as u8; MOST_FOR_A_FRAME]));
            frames += 1;
        }
        assert_eq!((frames, replies.waiting().unwrap().len()), (8, 1024));
        assert!(!replies.push(&[0]) && !replies.is_empty());
        assert_eq!(replies.waiting().unwrap()[128..256], [1; 128]);
        replies.clear();
        assert!(replies.is_empty() && replies.has_room());
    }
}
