//! Several ranges in one response: `multipart/byteranges` (RFC 9110 section 14.6, RFC 2046
//! section 5.1).
//!
//! The invariant: the length that is promised is the sum of the heads, the ranges and the end that
//! are written, by the same code; and nobody who can put a file into the folder can foresee the
//! boundary and forge a part.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};

use super::media_type::MAX_MEDIA_TYPE;
use super::range::{ByteRange, Ranges};

/// The bytes of a boundary.
const BOUNDARY_BYTES: usize = 32;

/// The most bytes of one part's head, or of the end: delimiters, a boundary, a media type and
/// three numbers of up to twenty digits.
pub const MAX_PART_HEAD: usize = 2 + 2 + BOUNDARY_BYTES + 2 + 16 + MAX_MEDIA_TYPE + 21 + 62 + 4;

/// What makes boundaries: keys that are random for each process.
#[derive(Clone, Debug, Default)]
pub struct Boundaries(RandomState);

impl Boundaries {
    /// The boundary of one response: a keyed hash of the version of the representation, the second
    /// and the ranges. A writer who changes the file to hold an observed boundary changes its tag.
    fn make(&self, entity_tag: &[u8], now: i64, ranges: &Ranges) -> Boundary {
        let ends = ranges.as_slice().iter().map(|range| (range.first, range.last));
        let ends = ends.fold(0, |all, end| self.0.hash_one((all, end)));
        let high = self.0.hash_one((0_u8, entity_tag, now, ends));
        let low = self.0.hash_one((1_u8, entity_tag, now, ends));
        Boundary([high, low])
    }
}

/// A boundary: 128 bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Boundary([u64; 2]);

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [high, low] = self.0;
        write!(f, "{high:016x}{low:016x}")
    }
}

impl fmt::Debug for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A response of several parts. Each part is its head, then the bytes of its range; the end
/// follows the last.
#[derive(Clone, Debug)]
pub struct Multipart {
    ranges: Ranges,
    boundary: Boundary,
    media_type: &'static str,
    complete_length: u64,
}

impl Multipart {
    /// Parts of a representation of so many bytes and of this media type.
    pub fn new(
        ranges: Ranges,
        media_type: &'static str,
        complete_length: u64,
        boundaries: &Boundaries,
        entity_tag: &[u8],
        now: i64,
    ) -> Self {
        let boundary = boundaries.make(entity_tag, now, &ranges);
        Self { ranges, boundary, media_type, complete_length }
    }

    /// The ranges, in the order of the parts.
    pub fn ranges(&self) -> &[ByteRange] {
        self.ranges.as_slice()
    }

    /// The boundary, for the `Content-Type` of the response.
    pub fn boundary(&self) -> Boundary {
        self.boundary
    }

    /// Writes the head of the part that carries `range`, up to the blank line before its bytes;
    /// says how many bytes that were. [`MAX_PART_HEAD`] bytes are always enough; with fewer it may
    /// fail.
    pub fn part_head(&self, range: ByteRange, out: &mut [u8]) -> io::Result<usize> {
        let room = out.len();
        let mut rest = out;
        self.write_part_head(range, &mut rest)?;
        Ok(room - rest.len())
    }

    /// Writes what follows the last part's bytes; says how many bytes that were.
    pub fn end(&self, out: &mut [u8]) -> io::Result<usize> {
        let room = out.len();
        let mut rest = out;
        self.write_end(&mut rest)?;
        Ok(room - rest.len())
    }

    /// The exact length of the response's content.
    pub fn content_length(&self) -> u64 {
        let mut count = Count(0);
        for &range in self.ranges() {
            // `Count` takes whatever is written to it.
            let _ = self.write_part_head(range, &mut count);
            count.0 = count.0.saturating_add(range.len());
        }
        // As above.
        let _ = self.write_end(&mut count);
        count.0
    }

    fn write_part_head(&self, range: ByteRange, out: &mut impl Write) -> io::Result<()> {
        let Self { boundary, media_type, complete_length, .. } = self;
        let ByteRange { first, last } = range;
        write!(
            out,
            "\r\n--{boundary}\r\nContent-Type: {media_type}\r\n\
             Content-Range: bytes {first}-{last}/{complete_length}\r\n\r\n"
        )
    }

    fn write_end(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "\r\n--{}--\r\n", self.boundary)
    }
}

/// Counts what is written to it.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::media_type;
    use super::super::range::{Selection, select};
    use super::{BOUNDARY_BYTES, Boundaries, MAX_PART_HEAD, Multipart, Ranges};

    fn ranges(value: &str, length: u64) -> Ranges {
        match select(value.as_bytes(), length) {
            Selection::Part(ranges) => ranges,
            other => panic!("{other:?}"),
        }
    }

    fn multipart(value: &str, length: u64) -> Multipart {
        let ranges = ranges(value, length);
        Multipart::new(ranges, "text/plain", length, &Boundaries::default(), b"\"x\"", 7)
    }

    #[test]
    fn the_parts_on_the_wire() {
        let body = b"0123456789";
        let multipart = multipart("bytes=0-1,-2", 10);
        let mut wire = Vec::new();
        let mut buffer = [0; MAX_PART_HEAD];
        for range in multipart.ranges() {
            let written = multipart.part_head(*range, &mut buffer).unwrap();
            wire.extend_from_slice(&buffer[..written]);
            wire.extend_from_slice(&body[range.first as usize..=range.last as usize]);
        }
        let written = multipart.end(&mut buffer).unwrap();
        wire.extend_from_slice(&buffer[..written]);
        let boundary = multipart.boundary().to_string();
        let expected = format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
             \r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\
             \r\n--{boundary}--\r\n"
        );
        assert_eq!(String::from_utf8(wire).unwrap(), expected);
        assert_eq!(multipart.content_length(), expected.len() as u64);
        assert_eq!(boundary.len(), BOUNDARY_BYTES);
    }

    #[test]
    fn the_largest_part_head_fits_and_a_small_buffer_fails() {
        let longest = media_type::of(b"x.pptx");
        let length = u64::MAX;
        let ranges = ranges("bytes=18446744073709551613-18446744073709551614", length);
        let multipart =
            Multipart::new(ranges, longest, length, &Boundaries::default(), b"\"x\"", 7);
        let range = multipart.ranges()[0];
        assert_eq!(multipart.part_head(range, &mut [0; MAX_PART_HEAD]).unwrap(), MAX_PART_HEAD);
        assert!(multipart.part_head(range, &mut [0; MAX_PART_HEAD - 1]).is_err());
        assert!(multipart.end(&mut [0; 8]).is_err());
    }

    #[test]
    fn boundaries_differ_by_process_version_and_ranges() {
        let keys = Boundaries::default();
        let one = ranges("bytes=0-1,4-5", 10);
        let two = ranges("bytes=0-1,4-6", 10);
        let boundary = keys.make(b"\"x\"", 7, &one);
        assert_eq!(boundary, keys.make(b"\"x\"", 7, &one));
        assert_ne!(boundary, keys.make(b"\"y\"", 7, &one));
        assert_ne!(boundary, keys.make(b"\"x\"", 8, &one));
        assert_ne!(boundary, keys.make(b"\"x\"", 7, &two));
        assert_ne!(boundary, Boundaries::default().make(b"\"x\"", 7, &one));
    }
}
