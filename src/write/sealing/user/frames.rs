//! Content in frames of HTTP/2, sealed from where it lies.
//!
//! The head of the first frame ends the open record. Each further head is the end of the record
//! with the last content before it, since the AEAD takes one run of bytes and a few behind it. So
//! content is not copied, and full records stay full: 16,375 bytes and the next head.

use super::{Held, UserSealing};
use crate::{
    record::{ContentType, MAX_PLAINTEXT, Sealer},
    write::{
        RecordSizing, WriteError,
        sealing::{FRAME_HEAD, Frames, WORTH_A_FRAME},
    },
};

const NO_MEMORY: WriteError = WriteError::Defect("there is no memory for the records of a frame");

impl UserSealing {
    /// Seals as much of `content` as there is memory for and as leaves without exceeding `open`
    /// bytes. Says how much; 0 if that is not worth a frame.
    pub(in crate::write::sealing) fn seal_frames(
        &mut self,
        content: &[u8],
        frames: &mut Frames<'_>,
        open: usize,
        now: u64,
    ) -> Result<usize, WriteError> {
        let Self { sealer, sizing, held } = self;
        let Some(held) = held else { return Ok(0) };
        if held.open + FRAME_HEAD > MAX_PLAINTEXT {
            held.close(sealer, sizing)?;
        }
        let limit = held.memory.len().min(open);
        let room = Room { limit, most: frames.most, overhead: sealer.overhead() };
        let begin = held.sealed + held.open + FRAME_HEAD + room.overhead;
        let mut next = room.frame(begin, content.len(), sizing.next(now));
        if next == 0 {
            return Ok(0);
        }
        held.append(sealer, &(frames.head)(next as u32))?;
        held.close(sealer, sizing)?;
        let mut rest = content;
        while next > 0 {
            let (frame, behind) = rest.split_at_checked(next).ok_or(NO_MEMORY)?;
            let size = sizing.next(now);
            let end = held.sealed + room.taken(frame.len(), size) + FRAME_HEAD;
            next = room.frame(end, behind.len(), size);
            let head = if next > 0 { Some((frames.head)(next as u32)) } else { None };
            let tail = head.as_ref().map_or(&[][..], |head| head);
            held.seal_frame(sealer, sizing, frame, tail, now)?;
            rest = behind;
        }
        Ok(content.len() - rest.len())
    }
}

/// What bounds frames.
struct Room {
    /// Where memory ends, or what may leave.
    limit: usize,
    /// Content of a frame, at most.
    most: usize,
    /// What a record adds to its plaintext.
    overhead: usize,
}

impl Room {
    /// Bytes that records of this size take for so much content, at most.
    fn taken(&self, content: usize, size: usize) -> usize {
        content + self.overhead * content.div_ceil(size)
    }

    /// Content of a frame whose records begin at `at`, of `left` that there is; 0 for none.
    fn frame(&self, at: usize, left: usize, size: usize) -> usize {
        let most = self.most.min(MAX_PLAINTEXT);
        // A frame that is not the last leaves room for the next head in its record.
        let wanted = if left <= most { left } else { most.min(MAX_PLAINTEXT - FRAME_HEAD) };
        let free = self.limit.saturating_sub(at);
        let fits = free.saturating_sub(self.overhead * free.div_ceil(size));
        if fits >= wanted {
            wanted
        } else if fits >= WORTH_A_FRAME {
            fits.min(MAX_PLAINTEXT - FRAME_HEAD)
        } else {
            0
        }
    }
}

impl Held {
    /// Copies bytes behind those of the open record.
    fn append(&mut self, sealer: &Sealer, bytes: &[u8]) -> Result<(), WriteError> {
        let at = self.sealed + sealer.prefix() + self.open;
        let room = self.memory.get_mut(at..at + bytes.len());
        room.ok_or(NO_MEMORY)?.copy_from_slice(bytes);
        self.open += bytes.len();
        Ok(())
    }

    /// Seals the content of a frame, with `tail` at the end of its last record.
    fn seal_frame(
        &mut self,
        sealer: &mut Sealer,
        sizing: &mut RecordSizing,
        mut content: &[u8],
        tail: &[u8],
        now: u64,
    ) -> Result<(), WriteError> {
        while !content.is_empty() {
            let size = sizing.next(now).min(content.len());
            let (run, rest) = content.split_at_checked(size).ok_or(NO_MEMORY)?;
            let tail = if rest.is_empty() { tail } else { &[] };
            let out = self.memory.get_mut(self.sealed..).ok_or(NO_MEMORY)?;
            self.sealed += sealer.seal_with_tail(ContentType::ApplicationData, run, tail, out)?;
            sizing.sealed(run.len() + tail.len());
            content = rest;
        }
        Ok(())
    }
}
