//! Telling cheaply whether a head that was incomplete is worth parsing again.

use super::HeadLimits;
use super::head::MAX_EMPTY_LINES;
use super::method::MAX_METHOD_BYTES;

/// Remembers how much of a partial head has been looked at, so that a head which comes byte by
/// byte costs time proportional to its length, not to the square of it.
///
/// Use: parse what came first; if more bytes are needed, make a `HeadScan` and parse again only
/// when [`worth_parsing`](Self::worth_parsing) says so. It never misses the end of a head or a
/// limit passed; at most once each for a few harmless reasons it is wrong in the other direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    /// Bytes looked at.
    seen: usize,
    /// Lines among them that are not empty.
    lines: usize,
}

impl HeadScan {
    /// Looks at what is new in `bytes`, which begin where they began in every call before.
    pub fn worth_parsing(&mut self, bytes: &[u8], limits: &HeadLimits) -> bool {
        // Fewer than before: another head, which has to be looked at.
        let Some(new) = bytes.get(self.seen..) else { return true };
        let mut notable = false;
        for at in memchr::memchr_iter(b'\n', new) {
            let line = &bytes[..self.seen + at];
            let empty = line == b"\r" || line.ends_with(b"\n\r");
            self.lines += usize::from(!empty);
            // The head's end, or a line end that the parser refuses.
            notable |= line.ends_with(b"\r\n\r") || !line.ends_with(b"\r");
        }
        self.seen = bytes.len();

        // Each of these makes the parser refuse the head, complete or not.
        let empty_lines = 2 * MAX_EMPTY_LINES;
        let version = b" HTTP/1.1\r".len();
        let longest_line = empty_lines + MAX_METHOD_BYTES + 1 + limits.max_target_bytes + version;
        notable
            || bytes.len() >= limits.max_head_bytes
            || self.lines > 1 + limits.max_fields
            || (self.lines == 0 && bytes.len() > longest_line)
    }
}
