//! The client's side of a connection, frame by frame. Pure: it takes bytes with the time when they
//! came, and gives back the bytes of its acknowledgements.
//!
//! The invariant: a frame that is not allowed where it stands is an error, never passed over, so
//! what is drawn is what the server sent.

use std::time::Duration;

use crate::hpack::Decoder;
use crate::parse::h2::{
    FRAME_HEAD, Fault, Flags, FrameHead, Kind, MAX_FRAME_SIZE, go_away_code, header_block,
    reset_code,
};
use crate::respond::h2 as frames;

use super::head::Said;
use super::{Outcome, Stream};

/// The longest field block that is read, and the memory for its Huffman text.
const MOST_BLOCK: usize = 64 << 10;

/// So many bytes of content go back into a window at once.
const GIVE_BACK: u32 = 1 << 30;

/// A field block whose end has not come.
#[derive(Debug)]
struct Block {
    stream: u32,
    began: Duration,
    ends_stream: bool,
    bytes: Vec<u8>,
}

/// A connection with requests on it that were sent at once.
pub(super) struct Connection {
    /// Less than a frame.
    buffer: Vec<u8>,
    /// When the first byte of `buffer` came.
    began: Duration,
    decoder: Decoder,
    scratch: Vec<u8>,
    block: Option<Block>,
    streams: Vec<Open>,
    to_head: bool,
    replies: Vec<u8>,
    /// Bytes of content that were not given back to the connection's window.
    owed: u32,
    away: Option<(u32, String)>,
}

struct Open {
    stream: Stream,
    length: Option<u64>,
    owed: u32,
}

impl Connection {
    /// `to_head` says that the requests were HEAD.
    pub(super) fn new(streams: u16, to_head: bool) -> Self {
        let open = |number: u16| Open {
            stream: Stream {
                id: 2 * u32::from(number) + 1,
                head: None,
                content: 0,
                first: None,
                head_end: None,
                last: None,
                outcome: Outcome::Open,
            },
            length: None,
            owed: 0,
        };
        Self {
            buffer: Vec::new(),
            began: Duration::ZERO,
            decoder: Decoder::default(),
            scratch: vec![0; MOST_BLOCK],
            block: None,
            streams: (0..streams).map(open).collect(),
            to_head,
            replies: Vec::new(),
            owed: 0,
            away: None,
        }
    }

    /// Whether no stream is open.
    pub(super) fn is_done(&self) -> bool {
        self.streams.iter().all(|open| open.stream.outcome != Outcome::Open)
    }

    /// The frames that are due to the server.
    pub(super) fn replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.replies)
    }

    /// The connection has ended.
    pub(super) fn cut(&mut self, at: Duration) {
        for open in &mut self.streams {
            open.ends(Outcome::Cut, at);
        }
    }

    /// The streams, and the code and the debug data of GOAWAY if one came.
    pub(super) fn end(self) -> (Vec<Stream>, Option<(u32, String)>) {
        (self.streams.into_iter().map(|open| open.stream).collect(), self.away)
    }

    /// Takes what came at `at`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn take(&mut self, piece: &[u8], at: Duration) -> Result<(), String> {
        if self.buffer.is_empty() {
            self.began = at;
        }
        self.buffer.extend_from_slice(piece);
        let bytes = std::mem::take(&mut self.buffer);
        let mut rest = &bytes[..];
        while let Some(head) = FrameHead::parse(rest) {
            if head.kind == Kind::PushPromise {
                return Err("a push, which this client has switched off".to_owned());
            }
            if head.length > MAX_FRAME_SIZE {
                return Err(format!("a frame of {} bytes", head.length));
            }
            head.check().map_err(said)?;
            let Some((payload, tail)) = rest[FRAME_HEAD..].split_at_checked(head.length as usize)
            else {
                break;
            };
            self.frame(&head, payload, at)?;
            rest = tail;
            self.began = at;
        }
        self.buffer = rest.to_vec();
        Ok(())
    }

    fn frame(&mut self, head: &FrameHead, payload: &[u8], at: Duration) -> Result<(), String> {
        match (head.kind, &self.block) {
            (Kind::Continuation, Some(block)) if block.stream == head.stream => {}
            (Kind::Continuation, _) | (_, Some(_)) => {
                return Err("a frame within a field block, or a piece of none".to_owned());
            }
            (_, None) => {}
        }
        match head.kind {
            Kind::Data => self.data(head, payload, at),
            Kind::Headers => {
                let range = header_block(head, payload).map_err(said)?;
                let ends_stream = head.flags.has(Flags::END_STREAM);
                let (stream, began) = (head.stream, self.began);
                let bytes = payload[range].to_vec();
                self.block = Some(Block { stream, began, ends_stream, bytes });
                self.end_of_block(head, at)
            }
            Kind::Continuation => {
                if let Some(block) = &mut self.block {
                    block.bytes.extend_from_slice(payload);
                }
                self.end_of_block(head, at)
            }
            Kind::RstStream => {
                self.open(head.stream)?.ends(Outcome::Reset(reset_code(payload)), at);
                Ok(())
            }
            Kind::Settings | Kind::Ping if head.flags.has(Flags::ACK) => Ok(()),
            Kind::Settings => {
                self.replies.extend_from_slice(&frames::settings_ack());
                Ok(())
            }
            Kind::Ping => {
                let payload = payload.first_chunk().ok_or("PING of the wrong length")?;
                self.replies.extend_from_slice(&frames::ping_ack(*payload));
                Ok(())
            }
            Kind::GoAway => self.go_away(payload, at),
            Kind::PushPromise => Err("a push".to_owned()),
            // This client sends no content, so its windows for that do not matter.
            Kind::WindowUpdate | Kind::Priority | Kind::PriorityUpdate | Kind::Unknown(_) => Ok(()),
        }
    }

    fn data(&mut self, head: &FrameHead, payload: &[u8], at: Duration) -> Result<(), String> {
        let mut content = payload;
        if head.flags.has(Flags::PADDED) {
            let (&padding, rest) = payload.split_first().ok_or("DATA without its padding")?;
            let length = rest.len().checked_sub(padding.into());
            content = &rest[..length.ok_or("more padding than DATA")?];
        }
        let to_head = self.to_head;
        let stream = head.stream;
        let open = self.open(stream)?;
        if open.stream.head.is_none() {
            return Err("content before its head".to_owned());
        }
        open.stream.content += content.len() as u64;
        open.owed += head.length;
        let mut updates = Vec::new();
        if open.owed >= GIVE_BACK {
            updates.extend_from_slice(&frames::window_update(stream, open.owed));
            open.owed = 0;
        }
        if head.flags.has(Flags::END_STREAM) {
            open.completes(to_head, at)?;
        }
        self.owed += head.length;
        if self.owed >= GIVE_BACK {
            updates.extend_from_slice(&frames::window_update(0, self.owed));
            self.owed = 0;
        }
        self.replies.append(&mut updates);
        Ok(())
    }

    /// The frame brought a piece of a field block, and perhaps its end.
    fn end_of_block(&mut self, head: &FrameHead, at: Duration) -> Result<(), String> {
        if self.block.as_ref().is_some_and(|block| block.bytes.len() > MOST_BLOCK) {
            return Err(format!("a field block of more than {MOST_BLOCK} bytes"));
        }
        if !head.flags.has(Flags::END_HEADERS) {
            return Ok(());
        }
        let Some(block) = self.block.take() else { return Ok(()) };
        let mut fields = Said::default();
        let decoded = self.decoder.decode(&block.bytes, &mut self.scratch, &mut fields);
        decoded.map_err(|error| error.to_string())?;
        let to_head = self.to_head;
        let open = self.open(block.stream)?;
        if open.stream.head.is_none() {
            if fields.is_interim() && !block.ends_stream {
                return Ok(());
            }
            open.length = fields.length;
            open.stream.head = Some(fields.head(block.bytes.len())?);
            (open.stream.first, open.stream.head_end) = (Some(block.began), Some(at));
        } else if !block.ends_stream {
            return Err("a second head on a stream".to_owned());
        }
        if block.ends_stream { open.completes(to_head, at) } else { Ok(()) }
    }

    fn go_away(&mut self, payload: &[u8], at: Duration) -> Result<(), String> {
        let (last, rest) = payload.split_first_chunk().ok_or("GOAWAY of the wrong length")?;
        let last = u32::from_be_bytes(*last) & 0x7fff_ffff;
        let debug = String::from_utf8_lossy(rest.get(4..).unwrap_or(b"")).into_owned();
        let debug = debug.chars().filter(|c| !c.is_control()).collect();
        self.away = Some((go_away_code(payload), debug));
        for open in self.streams.iter_mut().filter(|open| open.stream.id > last) {
            open.ends(Outcome::LeftOut, at);
        }
        Ok(())
    }

    fn open(&mut self, stream: u32) -> Result<&mut Open, String> {
        let at = (stream as usize).checked_sub(1).filter(|at| at.is_multiple_of(2));
        let open = at.and_then(|at| self.streams.get_mut(at / 2));
        open.ok_or_else(|| format!("a frame on stream {stream}, which was not opened"))
    }
}

impl Open {
    fn ends(&mut self, outcome: Outcome, at: Duration) {
        if self.stream.outcome == Outcome::Open {
            self.stream.outcome = outcome;
            self.stream.last = Some(at);
        }
    }

    /// END_STREAM came. Content has to be as long as its Content-Length (RFC 9113 section 8.1.1).
    fn completes(&mut self, to_head: bool, at: Duration) -> Result<(), String> {
        let content = self.stream.content;
        let without = to_head || self.stream.head.as_ref().is_some_and(|head| head.status == 304);
        match self.length {
            Some(length) if length != content && !(without && content == 0) => {
                Err(format!("{content} bytes of content where Content-Length says {length}"))
            }
            _ => {
                self.ends(Outcome::Complete, at);
                Ok(())
            }
        }
    }
}

fn said(fault: Fault) -> String {
    match fault {
        Fault::Stream(_, why) | Fault::Connection(_, why) => why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpack::BlockWriter;
    use crate::parse::h2::ErrorCode;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn frame(kind: Kind, flags: Flags, stream: u32, payload: &[u8]) -> Vec<u8> {
        let head = FrameHead { length: payload.len() as u32, kind, flags, stream };
        [&head.bytes()[..], payload].concat()
    }

    fn block(status: u16, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = [0; 1024];
        let mut block = BlockWriter::new(&mut bytes);
        block.status(status);
        for (name, value) in fields {
            block.field(name, value.as_bytes());
        }
        let length = block.finish().unwrap();
        bytes[..length].to_vec()
    }

    const END: Flags = Flags(0x5);

    /// Two answers whose frames alternate, with a head in two pieces and an interim head.
    fn answers() -> Vec<u8> {
        let head = block(
            200,
            &[("server", "x"), ("content-length", "5"), ("server-timing", "turn;dur=2")],
        );
        [
            frame(Kind::Settings, Flags(0), 0, &[]),
            frame(Kind::Headers, Flags(4), 1, &block(103, &[])),
            frame(Kind::Headers, Flags(0), 3, &head[..7]),
            frame(Kind::Continuation, Flags(4), 3, &head[7..]),
            frame(Kind::Headers, Flags(4), 1, &block(404, &[])),
            frame(Kind::Data, Flags(0), 3, b"he"),
            frame(Kind::Data, Flags(1), 1, b"no"),
            frame(Kind::Data, Flags(9), 3, b"\x02llo\0\0"),
        ]
        .concat()
    }

    #[test]
    fn answers_in_pieces_of_any_size() {
        let wire = answers();
        for size in 1..=wire.len() {
            let mut connection = Connection::new(2, false);
            for (number, piece) in wire.chunks(size).enumerate() {
                assert!(!connection.is_done());
                connection.take(piece, at(number as u64)).unwrap();
            }
            assert!(connection.is_done());
            assert_eq!(connection.replies(), frames::settings_ack());
            let (streams, away) = connection.end();
            let [one, two] = &streams[..] else { panic!("{streams:?}") };
            let status = |stream: &Stream| stream.head.as_ref().unwrap().status;
            assert_eq!((status(one), one.content, one.outcome), (404, 2, Outcome::Complete));
            assert_eq!((status(two), two.content, two.outcome), (200, 5, Outcome::Complete));
            assert_eq!(two.head.as_ref().unwrap().metrics[0].name, "turn");
            assert!(two.first <= two.head_end && two.head_end <= two.last && one.last <= two.last);
            assert!(two.first < one.last || size > 20, "the first byte is that of the head");
            assert_eq!(away, None);
        }
    }

    #[test]
    fn streams_that_do_not_complete_say_how_they_ended() {
        let mut connection = Connection::new(4, false);
        let head = frame(Kind::Headers, END, 1, &block(204, &[]));
        let mut away = frames::go_away(5, ErrorCode::EnhanceYourCalm, "why").to_vec();
        away.extend(b"why");
        let reset = frames::rst_stream(3, ErrorCode::RefusedStream);
        connection.take(&[&head[..], &reset, &away].concat(), at(1)).unwrap();
        assert!(!connection.is_done());
        connection.cut(at(2));
        let (streams, away) = connection.end();
        let outcomes: Vec<_> = streams.iter().map(|stream| stream.outcome).collect();
        assert_eq!(
            outcomes,
            [Outcome::Complete, Outcome::Reset(7), Outcome::Cut, Outcome::LeftOut]
        );
        assert_eq!(outcomes[1].code(), Some("REFUSED_STREAM"));
        assert_eq!(away, Some((11, "why".to_owned())));
        let error = super::super::failure(&streams[1..], away).to_string();
        assert!(error.contains("GOAWAY(ENHANCE_YOUR_CALM): why"), "{error}");
    }

    #[test]
    fn what_breaks_the_protocol_is_an_error() {
        let head = || frame(Kind::Headers, Flags(4), 1, &block(200, &[("content-length", "3")]));
        let wrong: [(Vec<u8>, &str); 9] = [
            (frame(Kind::Data, Flags(1), 1, b"x"), "before its head"),
            (frame(Kind::Headers, END, 3, &block(200, &[])), "not opened"),
            (frame(Kind::PushPromise, Flags(4), 1, &[0; 8]), "push"),
            (frame(Kind::Continuation, Flags(4), 1, &[]), "field block"),
            ([frame(Kind::Headers, Flags(0), 1, &[]), head()].concat(), "field block"),
            (frame(Kind::Headers, END, 1, &[]), ":status"),
            (frame(Kind::Headers, END, 1, &[0xff; 9]), "HPACK"),
            ([head(), frame(Kind::Data, Flags(1), 1, b"xx")].concat(), "Content-Length says 3"),
            ([head(), head()].concat(), "second head"),
        ];
        for (wire, says) in wrong {
            let error = Connection::new(1, false).take(&wire, at(0)).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let mut connection = Connection::new(1, true);
        let whole = frame(Kind::Headers, END, 1, &block(200, &[("content-length", "3")]));
        connection.take(&whole, at(0)).unwrap();
        assert!(connection.is_done(), "a response to HEAD has no content");
    }
}
