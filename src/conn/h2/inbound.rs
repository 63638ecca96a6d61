//! Reading frames where they lie, in turns.

use super::{Connection, Stop, shared::Held};
use crate::{
    conn::{Session, session::ended_by_read},
    decode::h2::DataPayload,
    parse::h2::{ErrorCode, FRAME_HEAD, Fault, FrameHead, Kind, PREFACE, expect_preface},
    read::Filled,
};

/// Requests that are answered in one turn, before other connections have theirs.
pub(super) const REQUESTS_A_TURN: u32 = 32;

/// Frames that are read in one turn.
const FRAMES_A_TURN: u32 = 256;

/// Bytes of frames that are read in one turn.
const BYTES_A_TURN: usize = 256 * 1024;

/// What is read next.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    pub(super) state: State,
    /// A field block that comes in pieces.
    pub(super) joined: Option<Box<Joined>>,
    /// Since when something has been incomplete, in milliseconds; 0 for not at all.
    pub(super) incomplete_since: u64,
    /// The next request came with bytes that were received just now.
    pub(super) fresh: bool,
    /// Requests of this turn.
    pub(super) requests: u32,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// The client's preface.
    #[default]
    Preface,
    /// SETTINGS, which must be the first frame.
    FirstFrame,
    /// A frame.
    Frame,
    /// The payload of DATA.
    Data {
        /// The stream; 0 if nobody wants its content any more.
        stream: u32,
        payload: DataPayload,
        /// All octets of the payload, padding included.
        length: u32,
        end_stream: bool,
        /// Octets of content that went to a responder.
        kept: u32,
    },
    /// The rest of a frame that is ignored.
    Skip(u32),
}

/// The pieces of a field block (RFC 9113 section 6.10).
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) stream: u32,
    pub(super) end_stream: bool,
    pub(super) block: Vec<u8>,
    /// Its memory, in the worker's account.
    pub(super) held: Held,
    pub(super) continuations: u32,
}

/// What one step has done.
enum Step {
    /// Something was read.
    Read,
    /// More has to come.
    Incomplete,
}

impl Connection<'_> {
    /// Reads a turn of frames, as far as they have arrived and may be read. True if there may be more
    /// to read at once.
    pub(super) async fn read(&mut self) -> Result<bool, Stop> {
        self.inbound.requests = 0;
        if self.is_slowed_down() {
            return Ok(false);
        }
        let (mut frames, mut bytes) = (0, 0);
        let was_departing = self.session.writer.is_departing();
        loop {
            if !self.may_read() {
                return Ok(false);
            }
            let before = self.session.reader.plaintext().len();
            match self.step()? {
                Step::Read => {
                    frames += 1;
                    bytes += before.saturating_sub(self.session.reader.plaintext().len());
                }
                Step::Incomplete => {
                    if !self.fill_at_hand().await? {
                        return Ok(false);
                    }
                    self.inbound.fresh = true;
                }
            }
            if frames >= FRAMES_A_TURN
                || bytes >= BYTES_A_TURN
                || self.inbound.requests >= REQUESTS_A_TURN
                // The room is full, and most sends have left by the next turn.
                || (!was_departing && self.session.writer.is_departing())
            {
                return Ok(true);
            }
        }
    }

    /// Opens what has arrived. A key that the client asks for is sent at the end of the turn.
    async fn fill_at_hand(&mut self) -> Result<bool, Stop> {
        loop {
            let filled = self.session.reader.fill_at_hand();
            self.session.clock.opened(self.session.reader.take_opening());
            let ended = |error| ended_by_read(&self.session.clock, error);
            match filled.map_err(ended)? {
                None => return Ok(false),
                Some(Filled::More) => return Ok(true),
                Some(other) => {
                    self.seal()?;
                    if matches!(other, Filled::Closed) {
                        // What was asked before is answered before.
                        Box::pin(self.flush()).await?;
                    }
                    if self.session.accept(self.socket, other)? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn step(&mut self) -> Result<Step, Stop> {
        let available = self.session.reader.plaintext().len();
        match self.inbound.state {
            State::Preface => {
                let bytes = self.session.reader.plaintext();
                if !expect_preface(bytes).map_err(connection_fault)? {
                    return Ok(self.incomplete(available));
                }
                self.session.reader.consume(PREFACE.len());
                self.inbound.state = State::FirstFrame;
                Ok(Step::Read)
            }
            State::FirstFrame | State::Frame => self.frame(available),
            State::Skip(0) => {
                self.inbound.state = State::Frame;
                Ok(Step::Read)
            }
            State::Skip(rest) => {
                let taken = available.min(rest as usize);
                if taken == 0 {
                    return Ok(self.incomplete(1));
                }
                self.session.reader.consume(taken);
                self.inbound.state = State::Skip(rest - taken as u32);
                Ok(Step::Read)
            }
            State::Data { .. } => {
                if available == 0 && !self.data_is_complete() {
                    return Ok(Step::Incomplete);
                }
                self.data()?;
                Ok(Step::Read)
            }
        }
    }

    fn incomplete(&mut self, available: usize) -> Step {
        if available > 0 && self.inbound.incomplete_since == 0 {
            self.inbound.incomplete_since = self.now();
        }
        Step::Incomplete
    }

    fn frame(&mut self, available: usize) -> Result<Step, Stop> {
        let Some(head) = FrameHead::parse(self.session.reader.plaintext()) else {
            return Ok(self.incomplete(available));
        };
        if self.inbound.state == State::FirstFrame
            && (head.kind != Kind::Settings || head.flags.has(crate::parse::h2::Flags::ACK))
        {
            return Err(Stop::GoAway(
                ErrorCode::ProtocolError,
                "the first frame of the client is not SETTINGS",
            ));
        }
        match head.check() {
            Ok(()) => {}
            Err(fault @ Fault::Stream(..))
                if !self.is_idle(head.stream) && self.inbound.joined.is_none() =>
            {
                self.session.reader.consume(FRAME_HEAD);
                self.inbound.incomplete_since = 0;
                self.inbound.state = State::Skip(head.length);
                self.fault(head.stream, fault)?;
                return Ok(Step::Read);
            }
            Err(fault) => return Err(connection_fault(fault)),
        }
        if let Some(joined) = &self.inbound.joined
            && (head.kind != Kind::Continuation || head.stream != joined.stream)
        {
            return Err(Stop::GoAway(
                ErrorCode::ProtocolError,
                "another frame stands within a field block",
            ));
        }
        match head.kind {
            Kind::Data => {
                self.session.reader.consume(FRAME_HEAD);
                self.inbound.incomplete_since = 0;
                self.begin_data(&head)?;
                return Ok(Step::Read);
            }
            Kind::Unknown(_) => {
                self.session.reader.consume(FRAME_HEAD);
                self.inbound.incomplete_since = 0;
                self.inbound.state = State::Skip(head.length);
                self.spend(super::Cost::Control)?;
                return Ok(Step::Read);
            }
            Kind::Headers
            | Kind::Priority
            | Kind::RstStream
            | Kind::Settings
            | Kind::PushPromise
            | Kind::Ping
            | Kind::GoAway
            | Kind::WindowUpdate
            | Kind::Continuation
            | Kind::PriorityUpdate => {}
        }
        if available < FRAME_HEAD + head.length as usize {
            return Ok(self.incomplete(available));
        }
        self.inbound.state = State::Frame;
        if self.inbound.joined.is_none() {
            self.inbound.incomplete_since = 0;
        }
        self.whole_frame(&head)?;
        Ok(Step::Read)
    }
}

/// The payload of a frame that has arrived completely and is so long with its head.
pub(super) fn payload(session: &Session, length: usize) -> Result<&[u8], Stop> {
    let payload = session.reader.plaintext().get(FRAME_HEAD..length);
    payload.ok_or(Stop::defect("a frame is not there that has arrived"))
}

/// A fault that is the connection's.
pub(super) fn connection_fault(fault: Fault) -> Stop {
    Stop::GoAway(fault.code(), fault.why())
}
