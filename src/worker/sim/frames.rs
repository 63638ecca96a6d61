//! HTTP/2 as a simulated client speaks it: requests as frames, and what the answers must be.

use std::collections::BTreeMap;

use super::{
    answers::{self, Exchange, Head},
    requests,
};
use crate::{
    hpack::{BlockWriter, Decoder, Field, FieldVisitor},
    parse::h2::{ErrorCode, FRAME_HEAD, Flags, FrameHead, Kind, PREFACE},
};

/// What a client opens its windows by: more than all answers of a play.
const WINDOW: u32 = 1 << 27;

/// An answer so far.
#[derive(Debug, Default)]
struct Partial {
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The streams of a client.
#[derive(Debug, Default)]
pub(super) struct Streams {
    next: u32,
    due: BTreeMap<u32, (Exchange, Partial)>,
    received: Vec<u8>,
    decoder: Decoder,
    /// GOAWAY has come, and whether it was for a fault.
    away: Option<bool>,
    pub(super) whole: usize,
    /// What the client has to say to what came.
    pub(super) replies: Vec<u8>,
}

struct Fields<'f>(&'f mut Vec<(String, String)>);

impl FieldVisitor for Fields<'_> {
    fn field(&mut self, field: Field<'_>) -> bool {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.0.push((text(field.name), text(field.value)));
        true
    }

    fn oversized(&mut self, _: usize) {
        panic!("a field of an answer is too long");
    }
}

fn frame(kind: Kind, flags: Flags, stream: u32, payload: &[u8]) -> Vec<u8> {
    let head = FrameHead { length: payload.len() as u32, kind, flags, stream };
    [&head.bytes()[..], payload].concat()
}

impl Streams {
    /// The client's preface and its windows.
    pub(super) fn greeting() -> Vec<u8> {
        let setting = [&[0, 4][..], &WINDOW.to_be_bytes()].concat();
        [
            PREFACE.to_vec(),
            frame(Kind::Settings, Flags(0), 0, &setting),
            frame(Kind::WindowUpdate, Flags(0), 0, &WINDOW.to_be_bytes()),
        ]
        .concat()
    }

    /// The frames of a request of this kind.
    pub(super) fn ask(&mut self, kind: u8) -> Vec<u8> {
        let (mut bytes, mut exchange) = requests::request(kind);
        if bytes.windows(17).any(|window| window.eq_ignore_ascii_case(b"transfer-encoding")) {
            // No request of HTTP/2 is.
            (bytes, exchange) = requests::request(0);
        }
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut fields);
        let parsed = request.parse(&bytes).expect("a request");
        let httparse::Status::Complete(length) = parsed else { panic!("half a request") };
        let mut block = [0; 8192];
        let mut writer = BlockWriter::new(&mut block);
        writer.field(":method", request.method.unwrap_or("GET").as_bytes());
        writer.field(":scheme", b"https");
        writer.field(":path", request.path.unwrap_or("/").as_bytes());
        writer.field(":authority", b"x");
        for field in request.headers.iter() {
            if !["host", "connection"].contains(&&field.name.to_ascii_lowercase()[..]) {
                writer.field(field.name, field.value);
            }
        }
        let written = writer.finish().expect("room for a head");
        let stream = 2 * self.next + 1;
        self.next += 1;
        self.due.insert(stream, (exchange, Partial::default()));
        let content = &bytes[length..];
        let end = if content.is_empty() { Flags::END_STREAM.0 } else { 0 };
        let flags = Flags(Flags::END_HEADERS.0 | end);
        let mut frames = frame(Kind::Headers, flags, stream, &block[..written]);
        if !content.is_empty() {
            frames.extend(frame(Kind::Data, Flags::END_STREAM, stream, content));
        }
        frames
    }

    /// Whether everything that was asked has been answered, or the server has said that it will
    /// not be.
    pub(super) fn are_complete(&self) -> bool {
        self.due.is_empty() || self.away.is_some()
    }

    pub(super) fn take(&mut self, bytes: &[u8], refusals: bool) {
        self.received.extend_from_slice(bytes);
        while let Some(head) = FrameHead::parse(&self.received) {
            let end = FRAME_HEAD + head.length as usize;
            if self.received.len() < end {
                return;
            }
            assert!(head.length <= 16_384, "a frame is longer than was agreed");
            let payload: Vec<u8> = self.received.drain(..end).skip(FRAME_HEAD).collect();
            self.judge(head, &payload, refusals);
        }
    }

    fn judge(&mut self, head: FrameHead, payload: &[u8], refusals: bool) {
        let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("a word"));
        match head.kind {
            Kind::Headers => {
                assert!(head.flags.has(Flags::END_HEADERS), "heads are whole");
                let mut fields = Vec::new();
                let mut scratch = vec![0; Decoder::MIN_SCRATCH];
                self.decoder
                    .decode(payload, &mut scratch, &mut Fields(&mut fields))
                    .expect("HPACK");
                let (_, partial) = self.due.get_mut(&head.stream).expect("a stream that is due");
                assert!(partial.fields.is_empty(), "two heads");
                if fields[0].1 != "100" {
                    partial.fields = fields;
                }
            }
            Kind::Data => {
                let (_, partial) = self.due.get_mut(&head.stream).expect("a stream that is due");
                assert!(!partial.fields.is_empty(), "content before its head");
                partial.body.extend_from_slice(payload);
            }
            Kind::RstStream => {
                // An answer that is whole may be followed by NO_ERROR.
                let known = self.due.remove(&head.stream).is_some();
                let orderly = !known && word(0) == ErrorCode::NoError.number();
                assert!(orderly || refusals, "stream {} is reset: {}", head.stream, word(0));
            }
            Kind::GoAway => {
                let fault = word(4) != ErrorCode::NoError.number();
                assert!(!fault || refusals, "GOAWAY {}: {}", word(4), payload.escape_ascii());
                self.away = Some(fault);
            }
            Kind::Settings if !head.flags.has(Flags::ACK) => {
                self.replies.extend(frame(Kind::Settings, Flags::ACK, 0, &[]));
            }
            Kind::Ping if !head.flags.has(Flags::ACK) => {
                self.replies.extend(frame(Kind::Ping, Flags::ACK, 0, payload));
            }
            Kind::Settings | Kind::Ping | Kind::WindowUpdate => {}
            other => panic!("a server sends no {other:?}"),
        }
        let ends = matches!(head.kind, Kind::Headers | Kind::Data);
        if ends && head.flags.has(Flags::END_STREAM) {
            self.finish(head.stream, refusals);
        }
    }

    fn finish(&mut self, stream: u32, refusals: bool) {
        let Some((exchange, Partial { fields, body })) = self.due.remove(&stream) else { return };
        let field = |name: &str| {
            let found = fields.iter().find(|(other, _)| other == name);
            found.map(|(_, value)| value.clone())
        };
        let head = Head {
            status: field(":status").and_then(|text| text.parse().ok()).unwrap_or(0),
            length: 0,
            content: field("content-length").map(|text| text.parse().expect("a length")),
            gzip: field("content-encoding").is_some_and(|coding| coding == "gzip"),
            closes: false,
            range: field("content-range"),
        };
        if let Some(length) = head.content
            && !exchange.head_only
            && head.status != 304
        {
            assert_eq!(length, body.len(), "stream {stream} is as long as it says");
        }
        answers::check(&head, &body, &exchange, refusals);
        self.whole += 1;
    }

    /// The server said that nothing more comes.
    pub(super) fn closed(&self, refusals: bool) {
        let begun = self.due.values().any(|(_, partial)| !partial.fields.is_empty());
        assert!(
            refusals || self.away == Some(true) || !begun,
            "the connection was closed in order in the middle of an answer"
        );
    }
}
