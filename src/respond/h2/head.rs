//! Response heads: HEADERS frames of one piece each (RFC 9113 sections 6.2 and 8.3.2).

use crate::{
    hpack::BlockWriter,
    parse::h2::{FRAME_HEAD, Flags, FrameHead, Kind, MAX_FRAME_SIZE},
    respond::{DateCache, HeadFault, decimal::Decimal, head::value_is_safe},
};

/// `server: ringway`, not indexed: the index of the name, and the value's length before it.
const SERVER: &[u8] = &[0x0f, 54 - 15, 7, b'r', b'i', b'n', b'g', b'w', b'a', b'y'];

/// The index of `date`, not indexed. Its value stands as it is: Huffman text would save eight octets
/// and cost their coding.
const NAME_DATE: [u8; 2] = [0x0f, 33 - 15];

/// Writes one response head. The first fault is kept and comes out of [`finish`](Self::finish);
/// until then every call is safe and cheap.
///
/// No head needs a CONTINUATION: the buffer ends where the shortest SETTINGS_MAX_FRAME_SIZE does.
#[derive(Debug)]
pub(crate) struct HeadWriter<'b> {
    frame: &'b mut [u8; FRAME_HEAD],
    block: BlockWriter<'b>,
    fault: Option<HeadFault>,
}

impl<'b> HeadWriter<'b> {
    /// Begins a head at the start of `buffer`. None if that has no room for a frame. With
    /// `empties_table` the block begins with a size update, which is due where the peer has lowered
    /// its table.
    #[inline]
    pub(crate) fn new(buffer: &'b mut [u8], status: u16, empties_table: bool) -> Option<Self> {
        let (frame, rest) = buffer.split_first_chunk_mut::<FRAME_HEAD>()?;
        let room = rest.len().min(MAX_FRAME_SIZE as usize);
        let mut block = BlockWriter::new(rest.get_mut(..room)?);
        if empties_table {
            block.empty_table();
        }
        block.status(status);
        Some(Self { frame, block, fault: None })
    }

    /// `Server: ringway`, without a version: an attacker need not learn it.
    #[inline]
    pub(crate) fn server(&mut self) {
        self.block.fields(SERVER);
    }

    /// `Date`.
    #[inline]
    pub(crate) fn date(&mut self, date: &DateCache) {
        self.block.fields(&[NAME_DATE[0], NAME_DATE[1], date.as_bytes().len() as u8]);
        self.block.fields(date.as_bytes());
    }

    /// A field with any value; the name is written in lower case.
    #[inline]
    pub(crate) fn field(&mut self, name: &str, value: &[u8]) {
        if value_is_safe(value) {
            self.block.field(name, value);
        } else {
            self.fault = Some(HeadFault::ForbiddenByte);
        }
    }

    /// A field whose value is a number.
    #[inline]
    pub(crate) fn field_u64(&mut self, name: &str, number: u64) {
        self.block.field(name, Decimal::new(number).as_bytes());
    }

    /// Whole fields that [`made_block`] made. None, where that failed, fails the head too.
    #[inline]
    pub(crate) fn made(&mut self, block: Option<&[u8]>) {
        match block {
            Some(block) => self.block.fields(block),
            None => self.fault = Some(HeadFault::Overflow),
        }
    }

    /// Ends the head and returns its length in bytes, the frame's head included.
    ///
    /// # Errors
    /// The first fault; the buffer then holds nothing that may be sent.
    #[inline]
    pub(crate) fn finish(self, stream: u32, end_stream: bool) -> Result<usize, HeadFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let length = self.block.finish().ok_or(HeadFault::Overflow)?;
        let end = if end_stream { Flags::END_STREAM.0 } else { 0 };
        let flags = Flags(Flags::END_HEADERS.0 | end);
        let head = FrameHead { length: length as u32, kind: Kind::Headers, flags, stream };
        *self.frame = head.bytes();
        Ok(FRAME_HEAD + length)
    }
}

/// The field block of fields that are sent again and again, to be made once. None if they do not
/// fit a head.
pub(crate) fn made_block<'f>(
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
) -> Option<Box<[u8]>> {
    let mut bytes = [0; 4096];
    let mut block = BlockWriter::new(&mut bytes);
    for (name, value) in fields {
        block.field(name, value);
    }
    let length = block.finish()?;
    bytes.get(..length).map(Box::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpack::{Decoder, Field, FieldVisitor};

    #[derive(Default)]
    struct Lines(Vec<String>);

    impl FieldVisitor for Lines {
        fn field(&mut self, field: Field<'_>) -> bool {
            let text = |bytes| str::from_utf8(bytes).unwrap();
            self.0.push(format!("{}: {}", text(field.name), text(field.value)));
            true
        }

        fn oversized(&mut self, _bytes: usize) {}
    }

    fn lines(block: &[u8]) -> Vec<String> {
        let (mut lines, mut scratch) = (Lines::default(), [0; Decoder::MIN_SCRATCH]);
        Decoder::default().decode(block, &mut scratch, &mut lines).unwrap();
        lines.0
    }

    #[test]
    fn a_head_is_one_frame() {
        let fields = [("Content-Type", &b"text/html"[..]), ("ETag", b"\"x\"")];
        let made = made_block(fields.into_iter()).unwrap();
        let mut buffer = [0; 512];
        let mut head = HeadWriter::new(&mut buffer, 206, true).unwrap();
        head.server();
        head.date(&DateCache::new());
        head.made(Some(&made));
        head.field("X-Own", b"a b");
        head.field_u64("Content-Length", 18_000);
        let length = head.finish(5, true).unwrap();
        let frame = FrameHead::parse(&buffer).unwrap();
        assert_eq!(frame.check(), Ok(()));
        assert_eq!((frame.kind, frame.stream), (Kind::Headers, 5));
        assert!(frame.flags.has(Flags::END_HEADERS) && frame.flags.has(Flags::END_STREAM));
        assert_eq!(frame.length as usize + FRAME_HEAD, length);
        let expected = [
            ":status: 206",
            "server: ringway",
            "date: Thu, 01 Jan 1970 00:00:00 GMT",
            "content-type: text/html",
            "etag: \"x\"",
            "x-own: a b",
            "content-length: 18000",
        ];
        assert_eq!(lines(&buffer[FRAME_HEAD..length]), expected);
    }

    #[test]
    fn faults_come_out_at_the_end() {
        let mut buffer = [0; 512];
        let mut head = HeadWriter::new(&mut buffer, 200, false).unwrap();
        head.field("x", b"a\r\nb");
        assert_eq!(head.finish(1, false), Err(HeadFault::ForbiddenByte));
        assert!(HeadWriter::new(&mut buffer[..8], 200, false).is_none());
        let mut head = HeadWriter::new(&mut buffer[..20], 200, false).unwrap();
        head.field("x-long", b"0123456789");
        assert_eq!(head.finish(1, false), Err(HeadFault::Overflow));
        let mut large = vec![0; 20_000];
        let mut head = HeadWriter::new(&mut large, 200, false).unwrap();
        head.field("x", &[0x80; 16_384]);
        assert_eq!(head.finish(1, false), Err(HeadFault::Overflow), "it would need CONTINUATION");
    }
}
