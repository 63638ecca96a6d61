//! What follows a response head: content that is owned, and taken piece by piece.
//!
//! The invariant: the pieces follow each other without a gap, and together they are as long as
//! [`Source::remaining`] said at first. So a response can stop anywhere and go on later, and
//! nothing of the request or of the cache entry has to be kept for it.

use std::{borrow::Cow, fmt, io, ops::Range, rc::Rc};

use super::WriteError;
use crate::ring::{Chunk, OpenFile, Pages};

/// Content that has not left.
#[derive(Debug, Default)]
pub(crate) enum Source {
    /// None, or no more.
    #[default]
    Nothing,
    /// The rest of a small page, from this byte on.
    Page(Cow<'static, [u8]>, usize),
    /// A few bytes of others, which are copied when they are sent.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    Shared(Chunk),
    /// A range of bytes that never change.
    Pages(Rc<Pages>, Range<usize>),
    /// A range of an open file, which is read when it is sent.
    File(Rc<OpenFile>, Range<u64>),
    /// Several ranges, each behind a head of its own.
    Parts(Box<Parts>),
}

/// The next bytes of a [`Source`], as they lie.
#[derive(Debug)]
pub(crate) enum Piece<'s> {
    /// Bytes to copy: they are few, and live no longer than the source.
    Copied(&'s [u8]),
    /// Bytes that never change: they may be lent to the kernel, or sealed where they lie.
    Lent(&'s Rc<Pages>, Range<usize>),
    /// Bytes that have to be read first.
    Read(&'s Rc<OpenFile>, Range<u64>),
}

impl Piece<'_> {
    /// How many bytes these are.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Copied(bytes) => bytes.len() as u64,
            Self::Lent(_, range) => range.len() as u64,
            Self::Read(_, range) => range.end.saturating_sub(range.start),
        }
    }

    /// Whether these are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Source {
    /// A small page, which is copied when it is sent.
    pub(crate) fn page(page: Cow<'static, [u8]>) -> Self {
        Self::Page(page, 0)
    }

    /// Bytes of memory of its own that it holds, at most, apart from those of stores and files.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::Nothing | Self::Pages(..) | Self::File(..) => 0,
            Self::Page(page, _) => page.len(),
            Self::Shared(chunk) => chunk.len(),
            Self::Parts(_) => std::mem::size_of::<Parts>(),
        }
    }

    /// Bytes that have not been taken.
    pub(crate) fn remaining(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Page(page, from) => page.len().saturating_sub(*from) as u64,
            Self::Shared(chunk) => chunk.len() as u64,
            Self::Pages(_, range) => range.len() as u64,
            Self::File(_, range) => range.end.saturating_sub(range.start),
            Self::Parts(parts) => parts.remaining,
        }
    }

    /// The next bytes; never none of them, but None at the end.
    pub(crate) fn piece(&self) -> Option<Piece<'_>> {
        let piece = match self {
            Self::Nothing => return None,
            Self::Page(page, from) => Piece::Copied(page.get(*from..)?),
            Self::Shared(chunk) => Piece::Copied(chunk),
            Self::Pages(pages, range) => Piece::Lent(pages, range.clone()),
            Self::File(file, range) => Piece::Read(file, range.clone()),
            Self::Parts(parts) => parts.piece()?,
        };
        (!piece.is_empty()).then_some(piece)
    }

    /// Takes note that the first `count` bytes of [`Self::piece`] were taken.
    ///
    /// # Errors
    /// [`WriteError::Defect`] if the piece is shorter, or the head of the next part cannot be made.
    pub(crate) fn advance(&mut self, count: u64) -> Result<(), WriteError> {
        let piece = self.piece().map_or(0, |piece| piece.len());
        if count > piece {
            return Err(WriteError::Defect("more was taken of a source than it had"));
        }
        match self {
            Self::Nothing => {}
            Self::Page(_, from) => *from += count as usize,
            Self::Shared(chunk) => chunk.advance(count as usize),
            Self::Pages(_, range) => range.start += count as usize,
            Self::File(_, range) => range.start += count,
            Self::Parts(parts) => parts.advance(count)?,
        }
        if self.remaining() == 0 {
            // What it held is let go before the last of it has left.
            *self = Self::Nothing;
        }
        Ok(())
    }
}

/// How a content of several parts is divided.
pub(crate) trait Division: fmt::Debug {
    /// Which bytes of the whole the part has; None behind the last.
    fn range(&self, part: usize) -> Option<Range<u64>>;

    /// Writes what stands before a part, or, for the number of parts, behind the last; says how
    /// many bytes that were.
    ///
    /// # Errors
    /// There is not room enough.
    fn frame(&self, part: usize, out: &mut [u8]) -> io::Result<usize>;
}

/// The bytes that parts are ranges of.
#[derive(Debug)]
pub(crate) enum Whole {
    /// Bytes that never change.
    Pages(Rc<Pages>),
    /// An open file.
    File(Rc<OpenFile>),
}

/// Several ranges of one content, each behind a head of its own, and an end.
#[derive(Debug)]
pub(crate) struct Parts {
    division: Box<dyn Division>,
    whole: Whole,
    /// The part whose head or content is next.
    part: usize,
    /// What is left of its head.
    frame: Frame,
    /// What is left of its content.
    range: Range<u64>,
    remaining: u64,
}

/// Room for the head of one part.
const FRAME_ROOM: usize = 384;

/// The head of one part, as far as it has not been taken.
#[derive(Debug)]
struct Frame {
    bytes: [u8; FRAME_ROOM],
    rest: Range<usize>,
}

impl Parts {
    /// The parts of `whole`, which are `length` bytes with their heads and the end.
    ///
    /// # Errors
    /// [`WriteError::Defect`] if the first head cannot be made.
    pub(crate) fn new(
        division: Box<dyn Division>,
        whole: Whole,
        length: u64,
    ) -> Result<Box<Self>, WriteError> {
        let frame = Frame { bytes: [0; FRAME_ROOM], rest: 0..0 };
        let mut parts =
            Box::new(Self { division, whole, part: 0, frame, range: 0..0, remaining: length });
        parts.begin_part()?;
        Ok(parts)
    }

    fn begin_part(&mut self) -> Result<(), WriteError> {
        let framed = self.division.frame(self.part, &mut self.frame.bytes);
        let length = framed.map_err(|_| WriteError::Defect("the head of a part has no room"))?;
        self.frame.rest = 0..length;
        // What ends the last part has no content behind it.
        self.range = self.division.range(self.part).unwrap_or(0..0);
        Ok(())
    }

    fn piece(&self) -> Option<Piece<'_>> {
        if !self.frame.rest.is_empty() {
            return self.frame.bytes.get(self.frame.rest.clone()).map(Piece::Copied);
        }
        let Range { start, end } = self.range;
        Some(match &self.whole {
            Whole::Pages(pages) => Piece::Lent(pages, start as usize..end as usize),
            Whole::File(file) => Piece::Read(file, start..end),
        })
    }

    fn advance(&mut self, count: u64) -> Result<(), WriteError> {
        self.remaining = self
            .remaining
            .checked_sub(count)
            .ok_or(WriteError::Defect("the parts are longer than was promised"))?;
        if self.frame.rest.is_empty() {
            self.range.start += count;
        } else {
            self.frame.rest.start += count as usize;
        }
        let ended = self.frame.rest.is_empty() && self.range.is_empty();
        if ended && self.division.range(self.part).is_some() {
            self.part += 1;
            self.begin_part()?;
        } else if ended && self.remaining > 0 {
            return Err(WriteError::Defect("the parts are shorter than was promised"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ranges of one content, each behind its number in brackets.
    #[derive(Debug)]
    struct Numbered(Vec<Range<u64>>);

    impl Division for Numbered {
        fn range(&self, part: usize) -> Option<Range<u64>> {
            self.0.get(part).cloned()
        }

        fn frame(&self, part: usize, out: &mut [u8]) -> io::Result<usize> {
            let text = format!("[{part}]");
            let room = out.get_mut(..text.len()).ok_or(io::ErrorKind::WriteZero)?;
            room.copy_from_slice(text.as_bytes());
            Ok(text.len())
        }
    }

    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

    fn parts(ranges: &[Range<u64>], length: u64) -> Source {
        let whole = Whole::Pages(Rc::new(Pages::from(ALPHABET)));
        Source::Parts(Parts::new(Box::new(Numbered(ranges.to_vec())), whole, length).unwrap())
    }

    /// All of a source, taken in steps of at most so many bytes.
    fn drain(mut source: Source, steps: &[u64]) -> Result<Vec<u8>, WriteError> {
        let mut all = Vec::new();
        let mut steps = steps.iter().cycle();
        loop {
            let Some(piece) = source.piece() else { return Ok(all) };
            let count = piece.len().min(*steps.next().unwrap()) as usize;
            match piece {
                Piece::Copied(bytes) => all.extend_from_slice(&bytes[..count]),
                Piece::Lent(pages, range) => all.extend_from_slice(&pages[range][..count]),
                Piece::Read(..) => unreachable!("no file is drained here"),
            }
            let before = source.remaining();
            source.advance(count as u64)?;
            assert_eq!(source.remaining(), before - count as u64);
        }
    }

    #[test]
    fn parts_stand_behind_their_heads_and_an_end() {
        let drained = drain(parts(&[0..2, 24..26], 13), &[u64::MAX]).unwrap();
        assert_eq!(drained, b"[0]ab[1]yz[2]");
    }

    /// A length that was promised wrongly breaks the response; it never leaves one that looks whole.
    #[test]
    fn a_wrong_length_is_a_defect() {
        for length in [12, 14] {
            let drained = drain(parts(&[0..2, 24..26], length), &[u64::MAX]);
            assert!(matches!(drained, Err(WriteError::Defect(_))), "{length}: {drained:?}");
        }
        let mut source = Source::page(Cow::Borrowed(b"page"));
        assert!(matches!(source.advance(5), Err(WriteError::Defect(_))));
    }

    proptest! {
        #[test]
        fn however_it_is_taken_all_of_it_comes_in_order(
            ends in proptest::collection::vec((0_u64..20, 1_u64..7), 1..6),
            steps in proptest::collection::vec(1_u64..9, 1..5),
            from in 0_usize..26,
        ) {
            let ranges: Vec<_> = ends.iter().map(|(from, len)| *from..from + len).collect();
            let mut expected = Vec::new();
            for (number, range) in ranges.iter().enumerate() {
                expected.extend_from_slice(format!("[{number}]").as_bytes());
                expected.extend_from_slice(&ALPHABET[range.start as usize..range.end as usize]);
            }
            expected.extend_from_slice(format!("[{}]", ranges.len()).as_bytes());
            let source = parts(&ranges, expected.len() as u64);
            prop_assert_eq!(drain(source, &steps).unwrap(), expected);
            let pages = Rc::new(Pages::from(ALPHABET));
            prop_assert_eq!(drain(Source::Pages(pages, from..26), &steps).unwrap(), &ALPHABET[from..]);
            let page = Source::Page(Cow::Borrowed(ALPHABET), from);
            prop_assert_eq!(drain(page, &steps).unwrap(), &ALPHABET[from..]);
            let shared = Source::Shared(Chunk::from(ALPHABET[from..].to_vec()));
            prop_assert_eq!(drain(shared, &steps).unwrap(), &ALPHABET[from..]);
        }
    }
}
