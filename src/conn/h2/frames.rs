//! What frames do, but for those of a request's head: settings, windows, resets, priorities,
//! content.

use super::{
    Connection, Cost, Stop,
    drain::PING,
    inbound::{State, connection_fault, payload},
    streams::Answering,
};
use crate::{
    decode::h2::{ContentFault, DataPayload},
    observe::Why,
    parse::h2::{
        ErrorCode, FRAME_HEAD, Flags, FrameHead, Kind, Priority, go_away_code, priority_frame,
        priority_update, reset_code, window_increment,
    },
    respond::{Status, h2 as respond},
};

/// A WINDOW_UPDATE under this that opens nothing is paid for.
const SMALL_INCREMENT: u32 = 1024;

const BEYOND: &str = "DATA is beyond the window";

const WINDOW_OVERFLOW: &str = "a window exceeds 2^31-1";

impl Connection<'_> {
    /// Acts on a frame whose payload has arrived completely, and consumes it.
    pub(super) fn whole_frame(&mut self, head: &FrameHead) -> Result<(), Stop> {
        let length = FRAME_HEAD + head.length as usize;
        let payload = payload(self.session, length)?;
        let stream = head.stream;
        match head.kind {
            Kind::Headers => return self.headers(head),
            Kind::Continuation => return self.continuation(head),
            Kind::Settings => self.settings(head, length)?,
            Kind::Ping => {
                let octets = payload.first_chunk().ok_or(Stop::defect("a PING is too short"))?;
                self.ping(head.flags.has(Flags::ACK), *octets)?;
            }
            Kind::Priority => {
                priority_frame(stream, payload).map_err(connection_fault)?;
                self.spend(Cost::Control)?;
            }
            Kind::PriorityUpdate => {
                let (stream, value) = priority_update(payload).map_err(connection_fault)?;
                let priority = Priority::parse(value);
                self.prioritize(stream, priority)?;
                self.spend(Cost::Control)?;
            }
            Kind::RstStream => {
                let code = reset_code(payload);
                self.reset_by_peer(stream, code)?;
            }
            Kind::WindowUpdate => match window_increment(stream, payload) {
                Ok(increment) => self.window_update(stream, increment)?,
                Err(fault) if self.is_idle(stream) => return Err(connection_fault(fault)),
                Err(fault) => self.fault(stream, fault)?,
            },
            Kind::GoAway => {
                log::debug!("http2: the client leaves with code {}", go_away_code(payload));
                let now = self.now();
                self.client_leaves.get_or_insert(now);
                self.spend(Cost::Control)?;
            }
            // Neither comes here: `inbound` and `FrameHead::check` have dealt with them.
            Kind::Data | Kind::Unknown(_) | Kind::PushPromise => {
                return Err(Stop::defect("a frame came where it cannot"));
            }
        }
        self.session.reader.consume(length);
        Ok(())
    }

    /// Whether no request has been made on a stream yet.
    pub(super) fn is_idle(&self, stream: u32) -> bool {
        stream > self.last_stream || stream.is_multiple_of(2)
    }

    fn settings(&mut self, head: &FrameHead, length: usize) -> Result<(), Stop> {
        if head.flags.has(Flags::ACK) {
            self.acknowledged = true;
            return self.spend(Cost::Control);
        }
        let payload = payload(self.session, length)?;
        let applied = self.peer.apply(payload).map_err(connection_fault)?;
        self.table_lowered |= applied.table_lowered;
        if applied.window_change != 0 {
            for number in 0..self.streams.len() {
                let slot = self.streams.nth(number)?;
                let stream = self.streams.at(slot)?;
                if stream.window.change(applied.window_change).is_err() {
                    return Err(Stop::GoAway(ErrorCode::FlowControlError, WINDOW_OVERFLOW));
                }
                self.ready_if_open(slot)?;
            }
        }
        self.reply(&respond::settings_ack())?;
        self.spend(Cost::Settings(self.streams.len()))
    }

    fn ping(&mut self, ack: bool, payload: [u8; 8]) -> Result<(), Stop> {
        if ack && payload == PING {
            self.drain_acknowledged()?;
        } else if !ack {
            self.reply(&respond::ping_ack(payload))?;
        }
        self.spend(Cost::Ping)
    }

    fn prioritize(&mut self, stream: u32, priority: Priority) -> Result<(), Stop> {
        if stream > self.last_stream {
            self.recent.prioritize(stream, priority);
            return Ok(());
        }
        let Some(slot) = self.streams.find(stream) else { return Ok(()) };
        let queued = self.streams.at(slot)?.queued;
        self.schedule.remove(&mut self.streams, slot);
        self.streams.at(slot)?.priority = priority;
        if queued {
            self.schedule.insert(&mut self.streams, slot);
        }
        Ok(())
    }

    fn reset_by_peer(&mut self, stream: u32, code: u32) -> Result<(), Stop> {
        if self.is_idle(stream) {
            return Err(Stop::GoAway(ErrorCode::ProtocolError, "RST_STREAM is for an idle stream"));
        }
        let found = self.streams.find(stream).and_then(|slot| self.streams.get(slot));
        let Some(answering) = found.map(|stream| stream.answering) else {
            // An answer that has not left yet was in vain too.
            let in_vain = stream > self.flushed_stream;
            return self.spend(if in_vain { Cost::ResetByPeer } else { Cost::Closed });
        };
        log::debug!("http2: the client resets stream {stream} with code {code}");
        self.context.count(|counts| counts.http2_reset_by_client += 1);
        self.drop_stream(stream, Why::ClientCancel)?;
        match answering {
            Answering::Looking | Answering::Making | Answering::Sending => {
                self.spend(Cost::ResetByPeer)
            }
            Answering::Orphaned | Answering::Done => self.spend(Cost::Closed),
        }
    }

    fn window_update(&mut self, stream: u32, increment: u32) -> Result<(), Stop> {
        let overflow = Stop::GoAway(ErrorCode::FlowControlError, WINDOW_OVERFLOW);
        if stream == 0 {
            let was_open = self.window.available() > 0;
            self.window.change(increment.into()).map_err(|_| overflow)?;
            if !was_open {
                self.connection_window_opened()?;
            } else if increment < SMALL_INCREMENT {
                self.spend(Cost::SmallWindow)?;
            }
            return Ok(());
        }
        if self.is_idle(stream) {
            return Err(Stop::GoAway(
                ErrorCode::ProtocolError,
                "WINDOW_UPDATE is for an idle stream",
            ));
        }
        let Some(slot) = self.streams.find(stream) else { return self.spend(Cost::LateWindow) };
        let open = self.streams.at(slot)?;
        let was_open = open.window.available() > 0;
        if open.window.change(increment.into()).is_err() {
            self.reset(stream, ErrorCode::FlowControlError, Why::Http2FlowControl)?;
            return self.spend(Cost::ResetForFault);
        }
        self.ready_if_open(slot)?;
        if was_open && increment < SMALL_INCREMENT {
            self.spend(Cost::SmallWindow)?;
        }
        Ok(())
    }

    /// The head of a DATA frame was read.
    pub(super) fn begin_data(&mut self, head: &FrameHead) -> Result<(), Stop> {
        let FrameHead { length, stream, flags, .. } = *head;
        if self.is_idle(stream) {
            return Err(Stop::GoAway(ErrorCode::ProtocolError, "DATA is for an idle stream"));
        }
        if !self.receive.receive(length) {
            return Err(Stop::GoAway(ErrorCode::FlowControlError, BEYOND));
        }
        let end_stream = flags.has(Flags::END_STREAM);
        let payload = DataPayload::new(head);
        let slot = self.streams.find(stream);
        let open = slot.and_then(|slot| self.streams.get_mut(slot));
        let wanted = match open {
            Some(open) if open.remote_open => {
                if !open.receive.receive(length) {
                    return Err(Stop::GoAway(ErrorCode::FlowControlError, BEYOND));
                }
                true
            }
            Some(open) if open.answering != Answering::Orphaned => {
                self.reset(stream, ErrorCode::StreamClosed, Why::Http2Protocol)?;
                self.spend(Cost::ResetForFault)?;
                false
            }
            _ if self.recent.was_reset(stream) => {
                self.spend(Cost::Closed)?;
                false
            }
            _ => {
                self.reset(stream, ErrorCode::StreamClosed, Why::Http2Protocol)?;
                self.spend(Cost::ResetForFault)?;
                false
            }
        };
        let stream = if wanted { stream } else { 0 };
        self.inbound.state = State::Data { stream, payload, length, end_stream, kept: 0 };
        Ok(())
    }

    /// Whether the frame that is being read needs no more bytes.
    pub(super) fn data_is_complete(&self) -> bool {
        matches!(&self.inbound.state, State::Data { payload, .. } if payload.is_finished())
    }

    /// Takes what has arrived of a DATA frame's payload. Content has no use for files: it is
    /// counted and dropped, so all of it goes back to the windows at once.
    pub(super) fn data(&mut self) -> Result<(), Stop> {
        let State::Data { stream, payload, length, end_stream, .. } = &mut self.inbound.state
        else {
            return Err(Stop::defect("content came where none can"));
        };
        let (id, length, end_stream) = (*stream, *length, *end_stream);
        let bytes = self.session.reader.plaintext();
        let (taken, content) = payload.take(bytes).map_err(connection_fault)?;
        let (finished, empty) = (payload.is_finished(), payload.was_empty());
        self.patience.moved(taken as u64);
        if empty && !end_stream {
            self.spend(Cost::EmptyData)?;
        }
        if let Some(slot) = self.streams.find(id).filter(|_| id != 0)
            && self.streams.at(slot)?.exchange.is_some()
        {
            return self.streamed_data(slot, taken, content);
        }
        self.session.reader.consume(taken);
        if finished {
            self.inbound.state = State::Frame;
            if let Some(increment) = self.receive.consumed(length) {
                self.reply(&respond::window_update(0, increment))?;
            }
        }
        let Some(slot) = self.streams.find(id).filter(|_| id != 0) else { return Ok(()) };
        let now = self.now();
        let stream = self.streams.at(slot)?;
        let most = stream.terms.limits.body_bytes;
        if stream.answering == Answering::Done && !stream.cut {
            stream.since = now;
        }
        match stream.sum.add(content.len(), most) {
            // Content that is too large is answered with 413, or cut off behind the answer.
            Ok(()) | Err(ContentFault::TooLarge) => {}
            Err(ContentFault::Length(_)) => return self.wrong_length(id),
        }
        if stream.answering == Answering::Done {
            stream.dropped += content.len() as u64;
            stream.cut |= stream.dropped > most;
            let timeouts = &stream.terms.timeouts;
            let taken = now.saturating_sub(stream.done_at);
            let grace = timeouts.body_progress.as_millis() as u64;
            let least = timeouts.body_min_rate.saturating_mul(taken) / 1000;
            if !stream.cut && !end_stream && taken > grace && stream.dropped < least {
                // Its client dribbles, and the answer is there: only the place is held.
                self.context.count(|counts| counts.timed_out += 1);
                return self.cut_off(id);
            }
        }
        if !finished {
            return Ok(());
        }
        if end_stream {
            return self.content_ended(id, Vec::new());
        }
        if !stream.cut
            && let Some(increment) = stream.receive.consumed(length)
        {
            self.reply(&respond::window_update(id, increment))?;
        }
        Ok(())
    }

    /// Takes what has arrived of a DATA frame's payload, for a responder. The connection's window opens
    /// at once, since what waits is in an account; the stream's as its content is taken.
    fn streamed_data(
        &mut self,
        slot: super::streams::Slot,
        taken: usize,
        content: std::ops::Range<usize>,
    ) -> Result<(), Stop> {
        let State::Data { stream, payload, length, end_stream, kept } = &mut self.inbound.state
        else {
            return Err(Stop::defect("content came where none can"));
        };
        *kept += content.len() as u32;
        let (id, padding, length, end_stream) = (*stream, *length - *kept, *length, *end_stream);
        let finished = payload.is_finished();
        let stream = self.streams.at(slot)?;
        // A tunnel's bytes are no content of the request.
        let endless = stream.exchange.as_ref().is_some_and(|exchange| exchange.connects);
        let most = if endless { u64::MAX } else { stream.terms.limits.body_bytes };
        let summed = stream.sum.add(content.len(), most);
        match summed {
            Ok(()) => _ = self.take_content(slot, content, taken)?,
            Err(error) => {
                self.session.reader.consume(taken);
                match error {
                    ContentFault::TooLarge => {
                        self.refuse_content(
                            slot,
                            Status::ContentTooLarge,
                            Why::RequestBodyTooLarge,
                        )?;
                    }
                    ContentFault::Length(_) => self.wrong_length(id)?,
                }
            }
        }
        if !finished {
            return Ok(());
        }
        self.inbound.state = State::Frame;
        if let Some(increment) = self.receive.consumed(length) {
            self.reply(&respond::window_update(0, increment))?;
        }
        let Some(slot) = self.streams.find(id) else { return Ok(()) };
        if end_stream {
            return self.content_ended(id, Vec::new());
        }
        if let Some(increment) = self.streams.at(slot)?.receive.consumed(padding) {
            self.reply(&respond::window_update(id, increment))?;
        }
        Ok(())
    }

    /// END_STREAM has come, with content or with trailers, as lines.
    pub(super) fn content_ended(&mut self, id: u32, trailers: Vec<u8>) -> Result<(), Stop> {
        let Some(slot) = self.streams.find(id) else { return Ok(()) };
        let stream = self.streams.at(slot)?;
        stream.remote_open = false;
        if stream.sum.finish().is_err() {
            return self.wrong_length(id);
        }
        if stream.answering == Answering::Done {
            drop(self.close_stream(slot)?);
            return Ok(());
        }
        self.end_content(slot, trailers)
    }

    fn wrong_length(&mut self, id: u32) -> Result<(), Stop> {
        log::debug!("http2: stream {id}: its content is not as long as Content-Length says");
        self.reset(id, ErrorCode::ProtocolError, Why::Http2Protocol)?;
        self.spend(Cost::ResetForFault)
    }

    /// The answer is complete and the rest of the request is not worth reading.
    pub(super) fn cut_off(&mut self, id: u32) -> Result<(), Stop> {
        self.reply(&respond::rst_stream(id, ErrorCode::NoError))?;
        self.recent.reset(id);
        if let Some(slot) = self.streams.find(id) {
            drop(self.close_stream(slot)?);
        }
        Ok(())
    }
}
