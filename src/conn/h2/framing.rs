//! What stands before and behind the content that a responder makes: the head of its answer, and the
//! frame that ends the stream, with trailers or without.

use super::{
    Connection, Stop,
    answers::{MAX_HEAD_ROOM, OWN_FIELDS, Sink},
    exchange::{NO_EXCHANGE, Step},
    streams::{Answering, How, Slot},
};
use crate::{
    conn::{
        exchange::{Failure, Fields, ResponseContent, StreamedHead},
        sites::Served,
    },
    hpack::BlockWriter,
    observe::{ServerTiming, Stage, Why},
    parse::h2::{FRAME_HEAD, Flags, FrameHead, Kind},
    respond::{
        HeadFault, Status,
        h2::{self as respond, HeadWriter},
    },
};

/// Bytes that a field takes in a block besides its text, at most.
const MOST_FOR_A_FIELD: usize = 10;

impl Connection<'_> {
    /// The head of an answer is there.
    pub(super) fn begin_streamed(&mut self, slot: Slot, head: &StreamedHead) -> Result<(), Stop> {
        let (context, now) = (self.context, self.now());
        let stream = self.streams.at(slot)?;
        let Some(exchange) = &mut stream.exchange else { return Err(NO_EXCHANGE) };
        let tunnel = exchange.connects && (200..=299).contains(&head.status);
        let bodiless = exchange.to_head || matches!(head.status, 204 | 304);
        let ends = !tunnel && (bodiless || head.length == Some(0));
        let mut room = FRAME_HEAD + OWN_FIELDS + 2 * exchange.served.own_fields_len;
        head.fields.each(|name, value| room += name.len() + value.len() + MOST_FOR_A_FIELD);
        let timing =
            if exchange.served.terms.server_timing { ServerTiming::LONGEST_LINE } else { 0 };
        let mut bytes = vec![0; room.min(MAX_HEAD_ROOM - timing)];
        let written = write_streamed(context, &exchange.served, &mut bytes, head, tunnel);
        let written = written.and_then(|writer| writer.finish(stream.id, ends));
        let length = match written {
            Ok(length) if exchange.held.grow(room) => length,
            written => {
                let why: &dyn std::fmt::Display = match &written {
                    Ok(_) => &"there is no memory for the head of an answer",
                    Err(fault) => fault,
                };
                context.warn(why);
                let (status, why) = (Status::InternalServerError, Why::ServerError);
                return self.fail(slot, Failure { status, why });
            }
        };
        bytes.truncate(length);
        exchange.step = if ends { Step::Ended } else { Step::Content };
        exchange.left = if tunnel { None } else { head.length };
        if tunnel {
            exchange.open_tunnel();
        }
        exchange.is_two_way |= tunnel || (!ends && stream.remote_open);
        (exchange.moved_at, exchange.waits) = (now, None);
        stream.clock.enter(Stage::Respond);
        (stream.status, stream.how) = (head.status, How::Copied);
        stream.answering = Answering::Sending;
        stream.kept_head = Some(bytes.into_boxed_slice());
        self.heads.push_back(slot);
        Ok(())
    }

    /// An interim head is there (RFC 9110 section 15.2), which leaves before the responder is polled for the
    /// next one. False for one that cannot be written: a client can do without it.
    pub(super) fn begin_interim(&mut self, slot: Slot, head: &StreamedHead) -> Result<bool, Stop> {
        let stream = self.streams.at(slot)?;
        let exchange = stream.exchange.as_mut().ok_or(NO_EXCHANGE)?;
        let mut room = FRAME_HEAD + OWN_FIELDS;
        head.fields.each(|name, value| room += name.len() + value.len() + MOST_FOR_A_FIELD);
        let mut bytes = vec![0; room.min(MAX_HEAD_ROOM)];
        let Ok(length) = write_interim(&mut bytes, stream.id, head) else { return Ok(false) };
        if !exchange.held.grow(length) {
            return Ok(false);
        }
        bytes.truncate(length);
        exchange.waits = None;
        stream.clock.enter(Stage::Respond);
        stream.kept_head = Some(bytes.into_boxed_slice());
        self.heads.push_back(slot);
        Ok(true)
    }

    /// An interim head of so many bytes has been gathered: the responder goes on.
    pub(super) fn interim_sent(&mut self, slot: Slot, length: usize) -> Result<(), Stop> {
        let stream = self.streams.at(slot)?;
        let exchange = stream.exchange.as_mut().ok_or(NO_EXCHANGE)?;
        exchange.held.shrink_by(length);
        stream.clock.enter(Stage::Process);
        self.poll_exchange(slot).map(|_| ())
    }

    /// The content has ended: an empty frame says so, or the trailers.
    pub(super) fn end_streamed(&mut self, slot: Slot) -> Result<(), Stop> {
        let stream = self.streams.at(slot)?;
        let exchange = stream.exchange.as_mut().ok_or(NO_EXCHANGE)?;
        if exchange.left.is_some_and(|left| left > 0) {
            self.context.warn(&"less content was given than had been promised");
            return self.cut(slot, Why::ServerError);
        }
        let content = exchange.responder.content();
        let trailers = content.map_or(Fields::None, ResponseContent::take_trailers);
        let mut room = 0;
        trailers.each(|name, value| room += name.len() + value.len() + MOST_FOR_A_FIELD);
        let end = if room == 0 {
            Some(respond::data(stream.id, 0, true).to_vec())
        } else {
            let mut bytes = vec![0; (FRAME_HEAD + room).min(MAX_HEAD_ROOM)];
            let length = write_trailers(&mut bytes, stream.id, |field| trailers.each(field));
            length.map(|length| {
                bytes.truncate(length);
                bytes
            })
        };
        let Some(end) = end.filter(|end| exchange.held.grow(end.len())) else {
            self.context.warn(&"trailers are too long to be sent");
            return self.cut(slot, Why::ServerError);
        };
        exchange.step = Step::Ended;
        stream.kept_head = Some(end.into_boxed_slice());
        self.heads.push_back(slot);
        Ok(())
    }
}

fn write_interim(room: &mut [u8], stream: u32, interim: &StreamedHead) -> Result<usize, HeadFault> {
    let mut head = HeadWriter::new(room, interim.status, false).ok_or(HeadFault::Overflow)?;
    interim.fields.each(|name, value| head.field(name, value));
    head.finish(stream, false)
}

fn write_streamed<'b>(
    context: &crate::conn::Context,
    served: &Served,
    room: &'b mut [u8],
    streamed: &StreamedHead,
    tunnel: bool,
) -> Result<HeadWriter<'b>, HeadFault> {
    let mut head = HeadWriter::new(room, streamed.status, false).ok_or(HeadFault::Overflow)?;
    let (mut dated, mut named) = (false, false);
    streamed.fields.each(|name, value| {
        if served.site.leaves_out(name) {
            return;
        }
        dated |= name.eq_ignore_ascii_case("date");
        named |= name.eq_ignore_ascii_case("server");
        head.field(name, value);
    });
    served.site.write_own_fields(streamed.status < 400, &mut Sink(&mut head));
    if !named {
        head.server();
    }
    if !dated {
        head.date(&context.time.date());
    }
    // A tunnel has no length (RFC 9110 section 9.3.6).
    let stated = streamed.length.filter(|_| !tunnel && !matches!(streamed.status, 204 | 304));
    if let Some(length) = stated {
        head.field_u64("content-length", length);
    }
    Ok(head)
}

/// Writes trailers as one frame that ends the stream. None if they do not fit.
fn write_trailers(
    room: &mut [u8],
    stream: u32,
    each: impl FnOnce(&mut dyn FnMut(&str, &[u8])),
) -> Option<usize> {
    let (frame, rest) = room.split_first_chunk_mut::<FRAME_HEAD>()?;
    let mut block = BlockWriter::new(rest);
    each(&mut |name, value| block.field(name, value));
    let length = block.finish()?;
    let flags = Flags(Flags::END_HEADERS.0 | Flags::END_STREAM.0);
    let head = FrameHead { length: length as u32, kind: Kind::Headers, flags, stream };
    *frame = head.bytes();
    Some(FRAME_HEAD + length)
}
