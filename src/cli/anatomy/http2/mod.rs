//! Requests over HTTP/2 (RFC 9113), as a client: one or several at once on one connection.
//!
//! It uses the frames and the field compression of the server. The tests of the server have a client
//! that shares no code with it; this one is for operators.

mod connection;
mod head;

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::parse::h2::{ErrorCode, FRAME_HEAD, Flags, FrameHead, Kind, PREFACE};
use crate::respond::h2 as frames;

use super::error::AnatomyError;
use super::exchange::{PIECE, Question, Talk};
use super::response::Head;
use super::stages::{Stage, Stages};
use connection::Connection;

/// The protocol as ALPN spells it (RFC 9113 section 3.1).
pub(super) const ALPN: &[u8] = b"h2";

/// The largest window (RFC 9113 section 6.9.1), of every stream and of the connection: this client
/// holds no answer back, so what is slow is not slow because of it.
const WINDOW: u32 = 0x7fff_ffff;

/// The window of a connection before any update.
const FIRST_WINDOW: u32 = 65_535;

/// One request of a connection. Times count from the moment when the client began to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    /// Odd, and rising in the order of the requests.
    pub(super) id: u32,
    /// None until the head of the final response is complete.
    pub(super) head: Option<Head>,
    /// Bytes of content, without padding.
    pub(super) content: u64,
    /// The first byte of the head of the final response.
    pub(super) first: Option<Duration>,
    /// The last byte of that head.
    pub(super) head_end: Option<Duration>,
    /// The end of the stream.
    pub(super) last: Option<Duration>,
    pub(super) outcome: Outcome,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has not.
    Open,
    /// With a whole response.
    Complete,
    /// By RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY says that the server did not process it.
    LeftOut,
    /// The connection ended before it.
    Cut,
}

impl Outcome {
    /// For people and programs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Reset(_) => "reset",
            Self::LeftOut => "left out",
            Self::Cut => "cut",
        }
    }

    /// The code of a reset stream.
    pub(super) fn code(self) -> Option<&'static str> {
        match self {
            Self::Reset(code) => Some(code_name(code)),
            Self::Open | Self::Complete | Self::LeftOut | Self::Cut => None,
        }
    }
}

/// The name of an error code (RFC 9113 section 7).
fn code_name(number: u32) -> &'static str {
    ErrorCode::of(number).map_or("an unregistered code", ErrorCode::name)
}

/// Sends `streams` requests in one piece and reads all responses. Returns the head of the first whole
/// response, and all streams.
///
/// # Errors
/// The connection failed, the server broke the protocol, or no response was whole.
pub(super) fn ask(
    talk: &mut Talk,
    question: &Question<'_>,
    streams: u16,
    stages: &mut Stages,
) -> Result<(Head, Vec<Stream>), AnatomyError> {
    let request = opening(question, streams)?;
    let begin = Instant::now();
    send(talk, &request, "requests")?;
    let sent = begin.elapsed();
    stages.set(Stage::Request, sent);

    let mut connection = Connection::new(streams, question.method == "HEAD");
    let mut piece = vec![0; PIECE];
    while !connection.is_done() {
        let length = talk.read(&mut piece, "wait for the responses")?;
        if length == 0 {
            connection.cut(begin.elapsed());
            break;
        }
        let taken = connection.take(&piece[..length], begin.elapsed());
        // Also the acknowledgements that a fault leaves behind: the server's log is then the better.
        let replies = connection.replies();
        if !replies.is_empty() {
            send(talk, &replies, "acknowledgement")?;
        }
        taken.map_err(AnatomyError::Http2)?;
    }
    let (streams, away) = connection.end();
    let Some(head) = streams.iter().find_map(Stream::whole) else {
        return Err(failure(&streams, away));
    };
    set_stages(stages, sent, &streams);
    // An orderly end; that it may not arrive changes nothing.
    let _ = send(talk, &frames::go_away(0, ErrorCode::NoError, ""), "close");
    Ok((head.clone(), streams))
}

impl Stream {
    /// The head, if the whole response came.
    fn whole(&self) -> Option<&Head> {
        self.head.as_ref().filter(|_| self.outcome == Outcome::Complete)
    }
}

/// The stages of all requests together: until the first byte of any, the end of that head, and the
/// end of all.
fn set_stages(stages: &mut Stages, sent: Duration, streams: &[Stream]) {
    let earliest = streams.iter().filter(|stream| stream.first.is_some());
    let Some(earliest) = earliest.min_by_key(|stream| stream.first) else { return };
    let first = earliest.first.unwrap_or(sent).max(sent);
    let head = earliest.head_end.unwrap_or(first).max(first);
    let last = streams.iter().filter_map(|stream| stream.last).max().unwrap_or(head).max(head);
    stages.set(Stage::Wait, first.saturating_sub(sent));
    stages.set(Stage::Head, head.saturating_sub(first));
    stages.set(Stage::Body, last.saturating_sub(head));
}

/// Why no response was whole.
fn failure(streams: &[Stream], away: Option<(u32, String)>) -> AnatomyError {
    if let Some((code, why)) = away {
        let why = if why.is_empty() { why } else { format!(": {why}") };
        return AnatomyError::Http2(format!("GOAWAY({}){why}", code_name(code)));
    }
    match streams.iter().find_map(|stream| stream.outcome.code()) {
        Some(code) => AnatomyError::Http2(format!("RST_STREAM({code})")),
        None => AnatomyError::Closed { during: "wait for the responses" },
    }
}

fn send(talk: &mut Talk, bytes: &[u8], during: &'static str) -> Result<(), AnatomyError> {
    let failed = |error| AnatomyError::io(during, talk.limit, error);
    talk.tls.writer().write_all(bytes).map_err(failed)?;
    talk.flush(during)
}

/// The preface, our SETTINGS and all requests.
fn opening(question: &Question<'_>, streams: u16) -> Result<Vec<u8>, AnatomyError> {
    // ENABLE_PUSH and INITIAL_WINDOW_SIZE.
    let settings: [(u16, u32); 2] = [(0x2, 0), (0x4, WINDOW)];
    let length = 6 * settings.len() as u32;
    let head = FrameHead { length, kind: Kind::Settings, flags: Flags(0), stream: 0 };
    let mut bytes = [&PREFACE[..], &head.bytes()].concat();
    for (name, value) in settings {
        bytes.extend_from_slice(&name.to_be_bytes());
        bytes.extend_from_slice(&value.to_be_bytes());
    }
    bytes.extend_from_slice(&frames::window_update(0, WINDOW - FIRST_WINDOW));
    let block = head::request(question)
        .ok_or_else(|| AnatomyError::Http2("the URL does not fit a HEADERS frame".to_owned()))?;
    bytes.reserve(usize::from(streams) * (FRAME_HEAD + block.len()));
    for number in 0..u32::from(streams) {
        let flags = Flags(Flags::END_HEADERS.0 | Flags::END_STREAM.0);
        let (length, stream) = (block.len() as u32, 2 * number + 1);
        bytes.extend_from_slice(&FrameHead { length, kind: Kind::Headers, flags, stream }.bytes());
        bytes.extend_from_slice(&block);
    }
    Ok(bytes)
}
