//! Exchanges whose answer is made while it is sent: by an application, or by another server.
//!
//! The protocol polls a [`Responder`] for a head and then, chunk by chunk, for content; it hands over
//! request content through an [`Intake`], one piece at a time and only when it is wanted. So each side
//! holds back the other: nobody asks, nobody reads, and the client's window closes.
//!
//! The invariant: nothing here knows how a message is framed. A content that does not end in order
//! (the client is gone, too slow, or breaks its framing) never looks like an end: the protocol drops
//! the responder, and with it the exchange.

use std::task::{self, Poll};

use super::Reply;
use crate::{
    observe::{Endpoint, LayerTimes, Passed, RequestClock, Stage, Why},
    parse::{BodyLength, Version},
    respond::{Status, forward::Present},
    ring::{Chunk, ReadInto},
};

/// What makes the answer to one request. Dropping it ends the exchange: the answer is complete, or
/// the client has left.
///
/// No method has a default, here nor in [`ResponseContent`], so that a responder around another one
/// forwards all of it or does not compile. Such a wrapper gives out the inner content as it is, or
/// wraps it, and changes single facts of the inner [`Report`].
pub(in crate::conn) trait Responder {
    /// Polls for the head of the answer, by the task of the connection. Interim heads
    /// ([`StreamedHead::is_interim`]) may come before the final one, but not for a client of HTTP/1.0, which
    /// knows none. Futures of the ring wake that task; others need
    /// [`Ring::waker`](crate::ring::Ring::waker), as `cx` wakes nobody.
    ///
    /// Deadlines other than the client's are the responder's own
    /// ([`Ring::poll_until`](crate::ring::Ring::poll_until)).
    fn poll_head(
        &mut self,
        cx: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Result<Answered, Failure>>;

    /// The content behind a head that was [`Answered::Streamed`]. None: every answer is whole.
    fn content(&mut self) -> Option<&mut dyn ResponseContent>;

    /// Which stages the exchange is in. Asked for before and behind each poll.
    fn stages(&self) -> Stages;

    /// How the exchange stands.
    fn report(&self) -> Report;
}

/// The content of an answer as it is made.
pub(in crate::conn) trait ResponseContent {
    /// Polls for the next content: never an empty chunk; None at its end. It is polled only while
    /// the client takes what came before.
    fn poll_chunk(
        &mut self,
        cx: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Option<Result<Chunk, Failure>>>;

    /// The trailer fields, once the content has ended. Asked for once.
    fn take_trailers(&mut self) -> Fields;

    /// The client does not take what it was given: what comes next may be taken into memory, within bounds,
    /// so that its maker is done with it. The current task is woken to call this again.
    fn take_ahead(&mut self);

    /// A source whose content can be received into the memory that it is sent from. Asked before each
    /// chunk, and only where content leaves unchanged.
    fn relay(&mut self) -> Option<&mut dyn Relay>;
}

/// Content that is received from another connection into the memory that it is sent from.
pub(in crate::conn) trait Relay {
    /// Bytes of content that are still to come, if what arrives next of them can be received so; else
    /// chunks bring it.
    fn relays(&mut self) -> Option<u64>;

    /// Receives into such memory, which it takes at the first call: None if nothing has arrived, else the
    /// memory and how many bytes are in it, at least one.
    fn poll_relay(
        &mut self,
        memory: &mut Option<ReadInto>,
    ) -> Poll<Result<Option<(ReadInto, usize)>, Failure>>;

    /// So many bytes that were received so could not be sent then: they were copied.
    fn set_aside(&mut self, count: usize);
}

/// The stages of an exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::conn) struct Stages {
    /// The stage that polls of the responder belong to; None: they are not distinguished from waits.
    pub(in crate::conn) works: Option<Stage>,
    /// The stage that a wait for the head, or for more content, belongs to; None: the present one.
    pub(in crate::conn) waits: Option<Stage>,
    /// Nanoseconds of the polls until now that went into compressing content.
    pub(in crate::conn) compressing: u64,
}

/// What a responder reports of its exchange.
#[derive(Clone, Copy, Debug)]
pub(in crate::conn) struct Report {
    /// The endpoint of an application that answers, as far as it is known.
    pub(in crate::conn) endpoint: Endpoint,
    /// The own times of an application's layers until now.
    pub(in crate::conn) layers: LayerTimes,
    /// What the access log says of a request that is passed on.
    pub(in crate::conn) passed: Passed,
    /// Why there is no answer, for the client, in a word of RFC 9209 section 2.3.
    pub(in crate::conn) proxy_error: Option<&'static str>,
    /// Whether the responder itself bounds the time for which neither side of a two-way exchange
    /// sends anything. Else the protocol does, by `stream_idle`.
    pub(in crate::conn) limits_silence: bool,
    /// Whether the request is answered although the client has ended its side with close_notify: it
    /// may still read (RFC 8446 section 6.1). Else that ends the exchange.
    pub(in crate::conn) answers_half_closed: bool,
    /// Whether a connection of HTTP/1 ends behind the answer.
    pub(in crate::conn) ends_connection: bool,
}

impl Report {
    /// There is nothing to say of the exchange.
    pub(super) const NOTHING: Self = Self {
        endpoint: Endpoint::UNNAMED,
        layers: LayerTimes::NONE,
        passed: Passed::NOWHERE,
        proxy_error: None,
        limits_silence: false,
        answers_half_closed: false,
        ends_connection: false,
    };
}

impl dyn Responder + '_ {
    /// Enters what is recorded of the exchange. How it stands.
    pub(in crate::conn) fn record(&self, clock: &mut RequestClock) -> Report {
        let report = self.report();
        clock.of(report.endpoint);
        clock.layers(&report.layers);
        clock.compressed(self.stages().compressing);
        clock.passed(report.passed);
        report
    }

    /// Polls for the next content of a streamed answer, as [`ResponseContent::poll_chunk`]. A responder
    /// that streams an answer without content to it is a defect: the answer breaks off.
    pub(in crate::conn) fn poll_chunk(
        &mut self,
        cx: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Option<Result<Chunk, Failure>>> {
        match self.content() {
            Some(content) => content.poll_chunk(cx, intake),
            None => Poll::Ready(Some(Err(Failure::NO_CONTENT))),
        }
    }
}

/// What the first poll of a responder brought.
pub(in crate::conn) type First = Poll<Result<Answered, Failure>>;

/// What a responder has for an answer.
#[derive(Debug)]
#[cfg_attr(not(feature = "service"), allow(dead_code))]
pub(in crate::conn) enum Answered {
    /// A head, behind which content comes in chunks.
    Streamed(StreamedHead),
    /// A reply that owns all it is made of: the responder is not polled again.
    Whole(Reply<'static>),
}

/// The head of an answer.
#[derive(Debug)]
pub(in crate::conn) struct StreamedHead {
    /// Three digits; below 200 it is an interim head, to which nothing but its fields belongs. Behind 101 both sides send what
    /// they like until one of them closes: the chunks and the intake are that.
    pub(in crate::conn) status: u16,
    /// All fields but those of the connection (`Connection`, `Keep-Alive`, `Transfer-Encoding`,
    /// `Upgrade`) and `Content-Length`. A `Date` or a `Server` takes the place of ours.
    pub(in crate::conn) fields: Fields,
    /// Which of the fields that every answer has are among them.
    pub(in crate::conn) present: Present,
    /// Bytes of content; None if that is not known. An answer to HEAD states it and has no content.
    pub(in crate::conn) length: Option<u64>,
}

impl StreamedHead {
    /// Whether another head follows (RFC 9110 section 15.2).
    pub(in crate::conn) fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// Field lines, whose names and values were checked.
#[derive(Debug, Default)]
pub(in crate::conn) enum Fields {
    /// None.
    #[default]
    None,
    /// Lines of HTTP/1, each with its CRLF: `Name: value`, with one space.
    Lines(Vec<u8>),
    /// A map of an application. Its `Content-Length` is none of the fields.
    #[cfg(feature = "service")]
    Map(super::field_map::FieldMap),
}

impl Fields {
    /// Each field, in order.
    pub(in crate::conn) fn each(&self, field: impl FnMut(&str, &[u8])) {
        match self {
            Self::None => {}
            Self::Lines(lines) => each_line(lines, field),
            #[cfg(feature = "service")]
            Self::Map(map) => map.each(field),
        }
    }

    /// Bytes that the fields take as lines of HTTP/1.1.
    pub(in crate::conn) fn wire_bytes(&self) -> usize {
        if let Self::Lines(lines) = self {
            return lines.len();
        }
        let mut bytes = 0;
        self.each(|name, value| bytes += line_bytes(name, value));
        bytes
    }
}

/// Bytes that a field takes as a line of HTTP/1.1.
pub(super) fn line_bytes(name: &str, value: &[u8]) -> usize {
    name.len() + value.len() + b": \r\n".len()
}

/// Each of the lines `Name: value`, in order.
pub(super) fn each_line(lines: &[u8], mut field: impl FnMut(&str, &[u8])) {
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b": ").unwrap_or(value);
        if let Ok(name) = str::from_utf8(name) {
            field(name, value);
        }
    }
}

/// Why there is no answer, or no more of it. The log has it already.
#[derive(Clone, Copy, Debug)]
pub(in crate::conn) struct Failure {
    /// What the client gets, if no head has left. Else its answer is cut, visibly.
    pub(in crate::conn) status: Status,
    /// The reason that is counted.
    pub(in crate::conn) why: Why,
}

impl Failure {
    /// A responder streams an answer and has no content for it.
    pub(in crate::conn) const NO_CONTENT: Self =
        Self { status: Status::InternalServerError, why: Why::ServerDefect };
}

/// The content of a request on its way from the protocol to the responder: one piece at most.
#[derive(Debug)]
pub(in crate::conn) struct Intake {
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    length: BodyLength,
    piece: Option<Chunk>,
    wanted: bool,
    ended: bool,
    trailers: Fields,
}

impl Intake {
    /// Content that is framed as `length` says.
    pub(in crate::conn) fn new(length: BodyLength) -> Self {
        let ended = matches!(length, BodyLength::None | BodyLength::Length(0));
        Self { length, piece: None, wanted: false, ended, trailers: Fields::None }
    }

    /// The next piece, which is not empty; None at the end. While there is neither the content is
    /// wanted: the protocol reads, and polls the responder again.
    pub(in crate::conn) fn poll_piece(&mut self) -> Poll<Option<Chunk>> {
        if let Some(piece) = self.piece.take() {
            return Poll::Ready(Some(piece));
        }
        self.wanted = !self.ended;
        if self.ended { Poll::Ready(None) } else { Poll::Pending }
    }

    /// Bytes of the whole content, if the request states them.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(in crate::conn) fn length(&self) -> Option<u64> {
        match self.length {
            BodyLength::None => Some(0),
            BodyLength::Length(length) => Some(length),
            BodyLength::Chunked => None,
        }
    }

    /// Whether all of the content was handed over, or waits here.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(in crate::conn) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether all of the content was taken.
    pub(in crate::conn) fn is_drained(&self) -> bool {
        self.ended && self.piece.is_none()
    }

    /// Whether the responder waits for content.
    pub(in crate::conn) fn is_wanted(&self) -> bool {
        self.wanted && self.piece.is_none() && !self.ended
    }

    /// Hands over a piece that was wanted.
    pub(in crate::conn) fn put(&mut self, piece: Chunk) {
        debug_assert!(self.piece.is_none(), "a piece that was not taken would be lost");
        if !piece.is_empty() {
            self.piece = Some(piece);
            self.wanted = false;
        }
    }

    /// Nothing comes behind what was handed over.
    pub(in crate::conn) fn end(&mut self) {
        self.ended = true;
    }

    /// The same, behind these trailers, which were checked.
    pub(in crate::conn) fn end_with(&mut self, trailers: Fields) {
        self.trailers = trailers;
        self.ended = true;
    }

    /// The trailers of the request, once its content has ended. They are given once.
    pub(in crate::conn) fn take_trailers(&mut self) -> Fields {
        std::mem::take(&mut self.trailers)
    }
}

/// Every field line of a request, as it came.
pub(in crate::conn) trait EachField {
    /// Name and value of the field at a place, which becomes that of the next one. The first is at 0; None
    /// behind the last.
    fn field_at<'f>(&'f self, place: &mut usize) -> Option<(&'f str, &'f [u8])>;

    /// How many there are, at most.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    fn count(&self) -> usize;

    /// Calls `field` with each name and value, in order.
    fn each<'f>(&'f self, field: &mut dyn FnMut(&'f str, &'f [u8])) {
        let mut place = 0;
        while let Some((name, value)) = self.field_at(&mut place) {
            field(name, value);
        }
    }
}

impl EachField for crate::parse::Fields<'_, '_> {
    fn field_at<'f>(&'f self, place: &mut usize) -> Option<(&'f str, &'f [u8])> {
        let field = self.at(*place)?;
        *place += 1;
        Some(field)
    }

    fn count(&self) -> usize {
        self.len()
    }
}

/// A request head, borrowed where it lies.
#[derive(Clone, Copy)]
pub(in crate::conn) struct Incoming<'r> {
    /// The method, a token.
    pub(in crate::conn) method: &'r [u8],
    /// The path as it was sent, or `*`.
    pub(in crate::conn) path: &'r [u8],
    /// What follows the first `?`, if there is one.
    pub(in crate::conn) query: Option<&'r [u8]>,
    /// `host[:port]` of the target, if the target itself has it: the absolute form of HTTP/1.1,
    /// `:authority` of HTTP/2.
    pub(in crate::conn) authority: Option<&'r [u8]>,
    /// The version; None for HTTP/2.
    pub(in crate::conn) version: Option<Version>,
    /// All field lines.
    pub(in crate::conn) fields: &'r dyn EachField,
    /// The bytes that their values lie in: one copy of these is a copy of all.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(in crate::conn) values: &'r [u8],
    /// How the content ends.
    pub(in crate::conn) body: BodyLength,
    /// The whole content, not empty, if the responder is to have it with the head: nothing comes through an
    /// intake then.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(in crate::conn) here: Option<&'r [u8]>,
    /// It came by TLS.
    pub(in crate::conn) secure: bool,
    /// `:protocol` of an extended CONNECT (RFC 8441). If the answer is 2xx, the chunks and the intake
    /// are a tunnel. None for all other requests: HTTP/1.1 has `Upgrade` among its fields.
    pub(in crate::conn) protocol: Option<&'r [u8]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart_as_they_were_put_together() {
        let lines = Fields::Lines(b"A: b\r\nC-D: e: f\r\nG: \r\n".to_vec());
        let mut seen = Vec::new();
        lines.each(|name, value| seen.push((name.to_owned(), value.to_vec())));
        let expected = [("A", &b"b"[..]), ("C-D", b"e: f"), ("G", b"")];
        assert_eq!(seen, expected.map(|(name, value)| (name.to_owned(), value.to_vec())));
        assert_eq!(lines.wire_bytes(), b"A: b\r\nC-D: e: f\r\nG: \r\n".len());
        assert_eq!(Fields::None.wire_bytes(), 0);
    }

    #[test]
    fn content_is_asked_for_before_it_is_read() {
        let mut intake = Intake::new(BodyLength::Length(5));
        assert!(!intake.is_wanted());
        assert!(intake.poll_piece().is_pending());
        assert!(intake.is_wanted());
        intake.put(Chunk::from(b"abc".to_vec()));
        assert!(!intake.is_wanted(), "one piece at a time");
        assert!(matches!(intake.poll_piece(), Poll::Ready(Some(piece)) if &*piece == b"abc"));
        assert!(!intake.is_wanted());
        assert!(intake.poll_piece().is_pending());
        intake.put(Chunk::from(b"de".to_vec()));
        intake.end();
        assert!(matches!(intake.poll_piece(), Poll::Ready(Some(_))), "the end is behind the piece");
        assert!(matches!(intake.poll_piece(), Poll::Ready(None)));
        for none in [BodyLength::None, BodyLength::Length(0)] {
            let mut intake = Intake::new(none);
            assert!(matches!(intake.poll_piece(), Poll::Ready(None)));
            assert!(!intake.is_wanted());
        }
    }
}
