//! Reading HTTP/2 responses (RFC 9113), pure.
//!
//! The invariant: [`Frames`] answers for every byte once, in order. What the protocol wants said
//! in return (acknowledgements, window updates) is appended to [`Frames::control`].

use ringway_bench_h2::decoder::Decoder;
use ringway_bench_h2::frame::{
    self, FrameHead, HEAD, MAX_FRAME, PREFACE, WINDOW, flag, kind, put, setting,
};

use crate::response::Malformed;

/// The windows that the server gets, of the connection and of each stream: as much as h2load
/// gives, so that no window is what is measured.
pub const GRANTED: u32 = 1 << 30;
/// Most bytes of a header block.
const MAX_BLOCK: usize = 64 << 10;

/// The next thing in a connection's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A response's head is complete.
    Head {
        /// The stream.
        stream: u32,
        /// Bytes of its frames.
        bytes: usize,
        /// The status code.
        status: u16,
        /// Content-Length.
        length: Option<u64>,
    },
    /// A piece of a body, not empty.
    Body {
        /// The stream.
        stream: u32,
        /// The bytes.
        piece: &'a [u8],
    },
    /// A response is complete.
    End {
        /// The stream.
        stream: u32,
    },
    /// The server reset a stream.
    Reset {
        /// The stream.
        stream: u32,
        /// Its error code.
        code: u32,
    },
    /// The server will take no more streams.
    Away {
        /// The last stream that it takes.
        last: u32,
        /// Its error code.
        code: u32,
    },
}

/// What is being read.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// The head of a frame.
    Head,
    /// A frame that is used when it is whole.
    Whole(FrameHead),
    /// The length of the padding of DATA.
    Padded(FrameHead),
    /// Bytes of DATA, and how many of them and of its padding are to come.
    Data { head: FrameHead, left: usize, padding: usize },
}

/// Splits a stream of bytes into frames.
#[derive(Debug)]
pub struct Frames {
    place: Place,
    /// A frame's head or payload that came in pieces.
    held: Vec<u8>,
    /// A header block that came in several frames, and the bytes of those.
    block: Vec<u8>,
    /// The stream and the flags of the HEADERS that CONTINUATIONs must follow.
    continued: Option<FrameHead>,
    block_bytes: usize,
    /// An END_STREAM to report.
    end: Option<u32>,
    decoder: Decoder,
    /// Bytes of DATA since the last WINDOW_UPDATE.
    taken: u32,
    /// Frames to be sent before any request.
    pub control: Vec<u8>,
    /// Streams that the server allows at once; one until its SETTINGS are there.
    pub streams: u32,
    /// Whether its SETTINGS are still to come.
    streams_unsaid: bool,
    /// The size of the server's table for our fields.
    pub table: u32,
}

impl Default for Frames {
    /// The start of a connection; `control` holds the preface.
    fn default() -> Self {
        let mut control = PREFACE.to_vec();
        let settings = [(setting::ENABLE_PUSH, 0), (setting::INITIAL_WINDOW_SIZE, GRANTED)];
        frame::put_settings(&mut control, &settings);
        frame::put_window_update(&mut control, 0, GRANTED - WINDOW);
        Self {
            place: Place::Head,
            held: Vec::new(),
            block: Vec::new(),
            continued: None,
            block_bytes: 0,
            end: None,
            decoder: Decoder::default(),
            taken: 0,
            control,
            streams: 1,
            streams_unsaid: true,
            table: 4096,
        }
    }
}

impl Frames {
    /// Whether the stream of bytes stands between two frames.
    pub fn is_between(&self) -> bool {
        matches!(self.place, Place::Head) && self.held.is_empty() && self.continued.is_none()
    }

    /// Takes the next event from the front of `input`; nothing if more bytes are needed.
    ///
    /// # Errors
    ///
    /// What is wrong with the frame; the connection is lost then.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, Malformed> {
        loop {
            if let Some(stream) = self.end.take() {
                return Ok(Some(Event::End { stream }));
            }
            match self.place {
                Place::Head => {
                    let Some(head) = self.head(input) else { return Ok(None) };
                    self.begin(head)?;
                }
                Place::Padded(head) => {
                    let Some((&padding, rest)) = input.split_first() else { return Ok(None) };
                    *input = rest;
                    let padding = usize::from(padding);
                    let left = (head.len - 1).checked_sub(padding).ok_or("padding beyond DATA")?;
                    self.place = Place::Data { head, left, padding };
                }
                Place::Data { head, left: 0, padding } => {
                    if padding > input.len() {
                        let padding = padding - input.len();
                        *input = &[];
                        self.place = Place::Data { head, left: 0, padding };
                        return Ok(None);
                    }
                    *input = &input[padding..];
                    self.place = Place::Head;
                    self.end = head.has(flag::END_STREAM).then_some(head.stream);
                }
                Place::Data { .. } if input.is_empty() => return Ok(None),
                Place::Data { head, left, padding } => {
                    let (piece, rest) = input.split_at(left.min(input.len()));
                    *input = rest;
                    self.place = Place::Data { head, left: left - piece.len(), padding };
                    return Ok(Some(Event::Body { stream: head.stream, piece }));
                }
                Place::Whole(head) => {
                    let event = if self.held.is_empty() && input.len() >= head.len {
                        let (payload, rest) = input.split_at(head.len);
                        *input = rest;
                        self.whole(head, payload)?
                    } else {
                        let (missing, rest) =
                            input.split_at((head.len - self.held.len()).min(input.len()));
                        *input = rest;
                        self.held.extend_from_slice(missing);
                        if self.held.len() < head.len {
                            return Ok(None);
                        }
                        let mut payload = std::mem::take(&mut self.held);
                        let event = self.whole(head, &payload)?;
                        payload.clear();
                        self.held = payload;
                        event
                    };
                    self.place = Place::Head;
                    if event.is_some() {
                        return Ok(event);
                    }
                }
            }
        }
    }

    fn head(&mut self, input: &mut &[u8]) -> Option<FrameHead> {
        if self.held.is_empty()
            && let Some((head, rest)) = input.split_first_chunk::<HEAD>()
        {
            *input = rest;
            return Some(FrameHead::read(*head));
        }
        let (missing, rest) = input.split_at((HEAD - self.held.len()).min(input.len()));
        *input = rest;
        self.held.extend_from_slice(missing);
        let head = self.held.first_chunk::<HEAD>().copied()?;
        self.held.clear();
        Some(FrameHead::read(head))
    }

    fn begin(&mut self, head: FrameHead) -> Result<(), Malformed> {
        if head.len > MAX_FRAME {
            return Err("a frame of more than 16,384 bytes");
        }
        if self
            .continued
            .is_some_and(|h| head.kind != kind::CONTINUATION || head.stream != h.stream)
        {
            return Err("a header block that another frame interrupts");
        }
        self.place = match head.kind {
            kind::DATA if head.has(flag::PADDED) && head.len == 0 => {
                return Err("padding beyond DATA");
            }
            kind::DATA if head.has(flag::PADDED) => Place::Padded(head),
            kind::DATA => Place::Data { head, left: head.len, padding: 0 },
            _ => Place::Whole(head),
        };
        if head.kind == kind::DATA {
            self.taken += head.len as u32;
            if self.taken >= GRANTED / 2 {
                frame::put_window_update(&mut self.control, 0, self.taken);
                self.taken = 0;
            }
        }
        Ok(())
    }

    /// A frame other than DATA is whole.
    fn whole(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Event<'static>>, Malformed> {
        let number = |at: usize| {
            payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
        };
        match head.kind {
            kind::HEADERS => {
                let block = frame::unpadded(head, payload).ok_or("padding beyond HEADERS")?;
                self.block_bytes = HEAD + payload.len();
                if head.has(flag::END_HEADERS) {
                    return self.fields(head, block);
                }
                self.block.clear();
                self.block.extend_from_slice(block);
                self.continued = Some(head);
                Ok(None)
            }
            kind::CONTINUATION => {
                let first = self.continued.ok_or("CONTINUATION without HEADERS")?;
                self.block.extend_from_slice(payload);
                self.block_bytes += HEAD + payload.len();
                if self.block.len() > MAX_BLOCK {
                    return Err("a header block of more than 64 KiB");
                }
                if !head.has(flag::END_HEADERS) {
                    return Ok(None);
                }
                self.continued = None;
                let block = std::mem::take(&mut self.block);
                let event = self.fields(first, &block);
                self.block = block;
                event
            }
            kind::SETTINGS if head.has(flag::ACK) => Ok(None),
            kind::SETTINGS => {
                if self.streams_unsaid {
                    (self.streams, self.streams_unsaid) = (u32::MAX, false);
                }
                let settings = frame::settings(payload).ok_or("SETTINGS of another length")?;
                for (id, value) in settings {
                    match id {
                        setting::MAX_CONCURRENT_STREAMS => self.streams = value,
                        setting::HEADER_TABLE_SIZE => self.table = value,
                        // No body is sent, so neither windows nor frame sizes matter.
                        _ => {}
                    }
                }
                put(&mut self.control, kind::SETTINGS, flag::ACK, 0, &[]);
                Ok(None)
            }
            kind::PING => {
                if payload.len() != 8 {
                    return Err("PING of another length");
                }
                if !head.has(flag::ACK) {
                    put(&mut self.control, kind::PING, flag::ACK, 0, payload);
                }
                Ok(None)
            }
            kind::RST_STREAM => {
                let code = number(0).ok_or("RST_STREAM of another length")?;
                Ok(Some(Event::Reset { stream: head.stream, code }))
            }
            kind::GOAWAY => {
                let last = number(0).ok_or("GOAWAY of another length")?;
                let code = number(4).ok_or("GOAWAY of another length")?;
                Ok(Some(Event::Away { last, code }))
            }
            kind::PUSH_PROMISE => Err("PUSH_PROMISE, which was switched off"),
            _ => Ok(None),
        }
    }

    /// A header block is whole.
    fn fields(
        &mut self,
        head: FrameHead,
        block: &[u8],
    ) -> Result<Option<Event<'static>>, Malformed> {
        let (mut status, mut length, mut wrong) = (None, None, false);
        let decoded = self.decoder.decode(block, |name, value| match name {
            b":status" => {
                wrong |= status.replace(number(value)).is_some();
            }
            b"content-length" => {
                wrong |= length.replace(number(value)).is_some();
            }
            _ => {}
        });
        decoded.map_err(|_| "a header block that cannot be decoded")?;
        if wrong || length == Some(None) {
            return Err("a status or Content-Length that is no number, or two of them");
        }
        let ends = head.has(flag::END_STREAM);
        self.end = ends.then_some(head.stream);
        match status {
            Some(Some(status @ 200..=999)) => {
                let bytes = self.block_bytes;
                let (stream, status) = (head.stream, status as u16);
                Ok(Some(Event::Head { stream, bytes, status, length: length.flatten() }))
            }
            Some(Some(100..=199)) => Err("an interim response that was not asked for"),
            Some(_) => Err("a status that is no status"),
            None if ends => Ok(None),
            None => Err("a head without status"),
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ringway_bench_h2::encode::{Literal, block, literal};
    use ringway_bench_h2::frame::{code, flag, kind, put, put_reset, put_settings, setting};

    use super::{Event, Frames};

    /// Reads `stream` in pieces; events as text, bodies joined.
    fn read(frames: &mut Frames, stream: &[u8], piece: usize) -> Result<Vec<String>, &'static str> {
        let mut seen: Vec<String> = Vec::new();
        let mut body = Vec::new();
        for mut bytes in stream.chunks(piece) {
            while let Some(event) = frames.next(&mut bytes)? {
                match event {
                    Event::Body { piece, .. } => body.extend_from_slice(piece),
                    Event::End { stream } => {
                        let text = String::from_utf8(std::mem::take(&mut body)).unwrap();
                        seen.push(format!("{stream} {text}"));
                    }
                    other => seen.push(format!("{other:?}")),
                }
            }
            assert!(bytes.is_empty());
        }
        Ok(seen)
    }

    fn response(status: &str, length: &str) -> Vec<u8> {
        block([(":status", status), ("server", "x"), ("content-length", length)])
    }

    #[test]
    fn responses_are_read_in_any_pieces() {
        let mut stream = Vec::new();
        put_settings(&mut stream, &[(setting::MAX_CONCURRENT_STREAMS, 7)]);
        let head = response("200", "5");
        put(&mut stream, kind::HEADERS, 0, 1, &head[..3]);
        put(&mut stream, kind::CONTINUATION, 0, 1, &[]);
        put(&mut stream, kind::CONTINUATION, flag::END_HEADERS, 1, &head[3..]);
        put(&mut stream, kind::DATA, flag::PADDED, 1, b"\x02hel\0\0");
        put(&mut stream, kind::PING, 0, 0, b"12345678");
        put(&mut stream, kind::DATA, flag::END_STREAM, 1, b"lo");
        let none = response("404", "0");
        put(&mut stream, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 3, &none);
        put_reset(&mut stream, 5, code::CANCEL);
        put(&mut stream, kind::GOAWAY, 0, 0, &[0, 0, 0, 9, 0, 0, 0, 0]);
        for piece in 1..stream.len() {
            let mut frames = Frames::default();
            frames.control.clear();
            let seen = read(&mut frames, &stream, piece).unwrap();
            let bytes = 3 * 9 + head.len();
            assert_eq!(
                seen,
                [
                    format!("Head {{ stream: 1, bytes: {bytes}, status: 200, length: Some(5) }}"),
                    "1 hello".into(),
                    format!(
                        "Head {{ stream: 3, bytes: {}, status: 404, length: Some(0) }}",
                        9 + none.len()
                    ),
                    "3 ".into(),
                    "Reset { stream: 5, code: 8 }".into(),
                    "Away { last: 9, code: 0 }".into(),
                ],
                "in pieces of {piece}"
            );
            assert_eq!(frames.streams, 7);
            assert!(frames.is_between());
            let mut replies = Vec::new();
            put(&mut replies, kind::SETTINGS, flag::ACK, 0, &[]);
            put(&mut replies, kind::PING, flag::ACK, 0, b"12345678");
            assert_eq!(frames.control, replies);
        }
    }

    #[test]
    fn what_is_no_response_is_refused() {
        let mut twice = response("200", "1");
        literal(&mut twice, Literal::Plain, b"content-length", b"1");
        for (head, why) in [
            (response("2oo", "1"), "status"),
            (response("100", "1"), "interim"),
            (response("200", "-1"), "number"),
            (twice, "two"),
            (block([("server", "x")]), "without status"),
            (vec![0x80], "decoded"),
        ] {
            let mut stream = Vec::new();
            put(&mut stream, kind::HEADERS, flag::END_HEADERS, 1, &head);
            let refused = read(&mut Frames::default(), &stream, 1000).unwrap_err();
            assert!(refused.contains(why), "{refused}: {why}");
        }
        for (frame, payload) in [
            (kind::CONTINUATION, &b"x"[..]),
            (kind::PUSH_PROMISE, b"\0\0\0\x02"),
            (kind::PING, b"short"),
            (kind::GOAWAY, b"short"),
            (kind::SETTINGS, b"short"),
        ] {
            let mut stream = Vec::new();
            put(&mut stream, frame, flag::END_HEADERS, 0, payload);
            assert!(read(&mut Frames::default(), &stream, 1000).is_err(), "{frame}");
        }
    }

    #[test]
    fn the_window_is_opened_again_before_it_shuts() {
        let mut frames = Frames::default();
        frames.control.clear();
        let mut stream = Vec::new();
        put(&mut stream, kind::DATA, 0, 1, &[b'x'; 16_384]);
        for _ in 0..super::GRANTED / 2 / 16_384 {
            assert!(frames.control.is_empty());
            let mut bytes = stream.as_slice();
            while frames.next(&mut bytes).unwrap().is_some() {}
        }
        assert_eq!(frames.control, [0, 0, 4, 8, 0, 0, 0, 0, 0, 0x20, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 1..300), piece in 1..50usize) {
            let mut frames = Frames::default();
            'stream: for mut bytes in bytes.chunks(piece) {
                loop {
                    match frames.next(&mut bytes) {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => break 'stream,
                    }
                }
            }
        }
    }
}
