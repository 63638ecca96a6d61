//! The streams of an HTTP/2 connection: which request each one asks, and requests into frames.
//!
//! The invariant: a stream's number is used once, and `open` has a place for every stream from
//! `base` to `next`, empty once it is answered.

use std::collections::VecDeque;
use std::time::Instant;

use ringway_bench_h2::frame::{FrameHead, HEAD, MAX_WINDOW, flag, kind};

use super::Asked;
use crate::bodies::Reading;
use crate::frames::Frames;
use crate::plan::Blocks;
use crate::tally::{Failure, Trouble};

/// Change of the table's size to nothing (RFC 7541 section 6.3).
const NO_TABLE: u8 = 0x20;

/// A request that has been sent.
pub(crate) struct Stream {
    pub(crate) asked: Asked,
    /// Bytes of body to come; nothing before the head.
    pub(crate) left: Option<u64>,
    pub(crate) reading: Reading,
}

/// Where the fields that all requests share stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    /// Not sent yet.
    Unused,
    /// In the server's table.
    Filled,
    /// Nowhere, since the server wants a smaller table than requests need; said or to be said.
    Refused { said: bool },
}

/// The streams of a connection.
pub(crate) struct Streams {
    pub(crate) frames: Frames,
    open: VecDeque<Option<Stream>>,
    /// The number of the first of `open`.
    base: u32,
    next: u32,
    unanswered: usize,
    table: Table,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            frames: Frames::default(),
            open: VecDeque::new(),
            base: 1,
            next: 1,
            unanswered: 0,
            table: Table::Unused,
        }
    }
}

impl Streams {
    /// Requests that are unanswered, oldest first.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &Asked> {
        self.open.iter().flatten().map(|stream| &stream.asked)
    }

    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Whether numbers are left.
    pub(crate) fn may_ask(&self) -> bool {
        self.next < MAX_WINDOW - 2048
    }

    /// Whether another stream may be opened now.
    fn has_room(&self) -> bool {
        self.unanswered < self.frames.streams as usize && self.may_ask()
    }

    /// Whether there is something to write when so many requests are `owed`.
    pub(crate) fn wants_write(&self, owed: usize) -> bool {
        !self.frames.control.is_empty() || owed > 0 && self.has_room()
    }

    /// The unanswered request of a stream.
    pub(crate) fn get(&mut self, number: u32) -> Result<&mut Stream, Trouble> {
        let place = number.checked_sub(self.base).filter(|after| after % 2 == 0);
        place
            .and_then(|after| self.open.get_mut(after as usize / 2))
            .and_then(Option::as_mut)
            .ok_or_else(|| Trouble::new(Failure::Malformed, "a frame of a stream that is not open"))
    }

    /// A stream is answered.
    pub(crate) fn take(&mut self, number: u32) -> Result<Stream, Trouble> {
        self.get(number)?;
        let stream = self.open[(number - self.base) as usize / 2].take();
        self.unanswered -= 1;
        while let Some(None) = self.open.front() {
            self.open.pop_front();
            self.base += 2;
        }
        Ok(stream.expect("a stream that get has found"))
    }

    /// Whether a stream above `last` is unanswered.
    pub(crate) fn is_beyond(&self, last: u32) -> bool {
        let newest = self.open.iter().rposition(Option::is_some);
        newest.is_some_and(|place| self.base + 2 * place as u32 > last)
    }

    /// Puts into `room` the control frames, and then as many requests of `owed` as fit and the
    /// server allows. Answers with the bytes used.
    pub(crate) fn fill(
        &mut self,
        room: &mut [u8],
        owed: &mut VecDeque<Asked>,
        blocks: &[Blocks],
        now: Instant,
    ) -> usize {
        let control = &mut self.frames.control;
        let mut used = control.len().min(room.len());
        room[..used].copy_from_slice(&control[..used]);
        control.drain(..used);
        if !control.is_empty() {
            return used;
        }
        if self.frames.table < 4096 && !matches!(self.table, Table::Refused { .. }) {
            self.table = Table::Refused { said: false };
        }
        while self.has_room()
            && let Some(asked) = owed.front()
        {
            let blocks = &blocks[usize::from(asked.path)];
            let (before, block): (&[u8], &[u8]) = match self.table {
                Table::Unused => (&[], &blocks.first),
                Table::Filled => (&[], &blocks.later),
                Table::Refused { said: false } => (&[NO_TABLE], &blocks.literal),
                Table::Refused { said: true } => (&[], &blocks.literal),
            };
            let len = before.len() + block.len();
            let Some(place) = room.get_mut(used..used + HEAD + len) else { break };
            let flags = flag::END_STREAM | flag::END_HEADERS;
            let head = FrameHead { len, kind: kind::HEADERS, flags, stream: self.next };
            place[..HEAD].copy_from_slice(&head.bytes());
            place[HEAD..][..before.len()].copy_from_slice(before);
            place[HEAD + before.len()..].copy_from_slice(block);
            used += HEAD + len;
            self.table = match self.table {
                Table::Unused | Table::Filled => Table::Filled,
                Table::Refused { .. } => Table::Refused { said: true },
            };
            let asked = Asked { sent: now, ..*asked };
            owed.pop_front();
            self.open.push_back(Some(Stream { asked, left: None, reading: Reading::default() }));
            self.next += 2;
            self.unanswered += 1;
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Instant;

    use ringway_bench_h2::decoder::Decoder;
    use ringway_bench_h2::frame::{FrameHead, HEAD};

    use super::{Asked, Streams};
    use crate::plan::Blocks;

    fn owed(count: usize) -> VecDeque<Asked> {
        let now = Instant::now();
        (0..count).map(|_| Asked { path: 0, due: now, sent: now }).collect()
    }

    /// The streams and paths that `bytes` ask for, and their authorities.
    fn read(decoder: &mut Decoder, mut bytes: &[u8]) -> Vec<(u32, String)> {
        let mut seen = Vec::new();
        while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
            let head = FrameHead::read(*head);
            let (block, rest) = rest.split_at(head.len);
            bytes = rest;
            let mut line = String::new();
            decoder
                .decode(block, |name, value| {
                    line += std::str::from_utf8(name).unwrap();
                    line += "=";
                    line += std::str::from_utf8(value).unwrap();
                    line += " ";
                })
                .unwrap();
            seen.push((head.stream, line));
        }
        seen
    }

    #[test]
    fn requests_are_the_same_however_they_are_coded() {
        let blocks = [Blocks::new("h:1", "/a", &["X-Y: z".into()])];
        let line = ":method=GET :scheme=https :path=/a :authority=h:1 x-y=z ";
        for table in [4096, 0] {
            let (mut streams, mut decoder) = (Streams::default(), Decoder::default());
            let mut room = [0; 4096];
            let mut waiting = owed(3);
            streams.frames.control.clear();
            (streams.frames.table, streams.frames.streams) = (table, 100);
            let used = streams.fill(&mut room, &mut waiting, &blocks, Instant::now());
            let seen = read(&mut decoder, &room[..used]);
            assert_eq!(seen, [(1, line.into()), (3, line.into()), (5, line.into())]);
            assert_eq!((streams.unanswered(), waiting.len()), (3, 0));
            assert_eq!(decoder.table_size() > 0, table > 0);
        }
    }

    #[test]
    fn no_more_streams_than_the_server_allows_and_the_room_holds() {
        let blocks = [Blocks::new("h", "/a", &[])];
        let mut streams = Streams::default();
        let mut room = [0; 4096];
        let mut waiting = owed(5);
        streams.frames.streams = 2;
        // First the preface, in as many pieces as it takes.
        let preface = streams.frames.control.clone();
        assert_eq!(streams.fill(&mut room[..10], &mut waiting, &blocks, Instant::now()), 10);
        let rest = preface.len() - 10;
        assert_eq!(
            streams.fill(&mut room[..rest + 3], &mut waiting, &blocks, Instant::now()),
            rest
        );
        assert!(streams.wants_write(5));
        streams.fill(&mut room, &mut waiting, &blocks, Instant::now());
        assert_eq!((streams.unanswered(), waiting.len()), (2, 3));
        assert!(!streams.wants_write(3));
        // Answers in another order.
        assert!(streams.take(3).is_ok());
        assert!(streams.take(3).is_err() && streams.get(2).is_err() && streams.get(5).is_err());
        assert_eq!(streams.asked().count(), 1);
        assert!(streams.wants_write(3));
        assert!(streams.take(1).is_ok());
        streams.fill(&mut room, &mut waiting, &blocks, Instant::now());
        assert!(streams.get(5).is_ok() && streams.get(7).is_ok() && streams.get(1).is_err());
    }
}
