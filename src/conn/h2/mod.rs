//! HTTP/2 (RFC 9113): one task for a connection and all of its streams.
//!
//! [`serve`] is the loop: read a turn of frames and answer what they ask, gather what is ready to
//! leave, submit it, wait for whatever comes first. Frames are read while a send is in flight, and
//! while files are. Most requests are answered where they are read:
//! head and content are gathered at once, without a place among the [`streams`]. The invariants: a
//! frame is read only while there is room for the replies that it may cause; a field block is
//! decoded in its order or the connection ends; an answer is sent completely, or its stream is
//! reset.

mod answers;
mod chunks;
mod content;
mod deadlines;
mod drain;
mod exchange;
mod fields;
mod flow;
mod frames;
mod framing;
mod gather;
mod heads;
mod inbound;
mod lookups;
mod patience;
mod reads;
mod recent;
mod relays;
mod replies;
mod requests;
mod room;
mod schedule;
mod shared;
mod streams;
mod windows;

use std::{collections::VecDeque, convert::Infallible, ops::Range, rc::Rc};

use super::{Context, Session, session::ending_of_write};
use crate::{
    close::Ending,
    hpack::Decoder,
    observe::{RequestClock, Why},
    parse::h2::{ErrorCode, Fault, MAX_FRAME_SIZE, PeerSettings},
    respond::h2 as respond,
    ring::Socket,
    write::WriteError,
};
use drain::Drain;
use flow::{INITIAL_WINDOW, ReceiveWindow, SendWindow};
use inbound::Inbound;
use lookups::Lookup;
use patience::{Cost, Left, Patience, SLOW_MS};
use reads::Reads;
use recent::Recent;
use relays::RelayWish;
use replies::Replies;
use room::{Lent, Wanted};
use schedule::Schedule;
use streams::{Slot, Streams};

pub(in crate::conn) use shared::Shared;

/// Look-ups of one connection at a time; while there are so many, nothing is read.
const LOOKUPS: usize = 8;

/// Turns for which answers may wait for those of the next one: with the turn that sends, room for
/// the requests of a hundred streams.
const HELD_TURNS: u32 = 3;

/// Why the loop ended.
#[derive(Debug)]
enum Stop {
    /// The connection ends so, without another word.
    Close(Ending),
    /// GOAWAY with this code and reason, after all that was ready; then the connection lingers.
    GoAway(ErrorCode, &'static str),
    /// GOAWAY(NO_ERROR), then this: nothing was open.
    Leave(Ending),
}

impl From<Ending> for Stop {
    fn from(ending: Ending) -> Self {
        Self::Close(ending)
    }
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        Self::Close(ending_of_write(&error))
    }
}

impl Stop {
    /// A defect of this server: the connection ends loudly.
    const fn defect(why: &'static str) -> Self {
        Self::GoAway(ErrorCode::InternalError, why)
    }
}

/// A connection.
struct Connection<'c> {
    context: &'c Rc<Context>,
    socket: &'c Socket,
    session: &'c mut Session,
    /// Plaintext that lies in the writer's room and is not sealed yet.
    filled: usize,
    /// The rest of a frame, which goes before all else.
    lent: Option<Lent>,
    /// Room that was not found.
    wanted: Option<Wanted>,
    reads: Reads,
    /// The stream that relays, and its wait for memory.
    relaying: Option<Slot>,
    relay_wish: Option<RelayWish>,
    /// Streams whose heads have not been gathered, in the order in which these were made.
    heads: VecDeque<Slot>,
    /// Streams that a responder answers.
    exchanges: usize,
    /// No responder that was polled has a deadline before this, in milliseconds.
    exchange_deadline: u64,
    decoder: Decoder,
    inbound: Inbound,
    peer: PeerSettings,
    /// The next field block begins with a size update.
    table_lowered: bool,
    /// The peer has acknowledged our SETTINGS.
    acknowledged: bool,
    /// SETTINGS_ENABLE_CONNECT_PROTOCOL was sent.
    connects: bool,
    streams: Streams,
    /// No stream has a deadline before this, in milliseconds; some may have none that soon.
    stream_deadline: u64,
    schedule: Schedule,
    /// What may be sent on all streams together.
    window: SendWindow,
    /// What the client may send on all streams together.
    receive: ReceiveWindow,
    replies: Replies,
    patience: Patience,
    /// The peer was sent elsewhere, since it has used up most of its patience.
    warned: bool,
    /// When the client has sent GOAWAY: once nothing is open, it probably asks for nothing more.
    client_leaves: Option<u64>,
    /// Nothing is read before, in milliseconds on the worker's clock.
    slow_until: u64,
    recent: Recent,
    /// The highest stream that the client has opened.
    last_stream: u32,
    /// Streams that were left out last.
    skipped: Range<u32>,
    /// The highest when the send in flight was submitted, and when the last one that has left was.
    departing_stream: u32,
    flushed_stream: u32,
    requests: u64,
    drain: Drain,
    lookups: Vec<Lookup>,
    established: u64,
    /// Since when no stream has been open.
    idle_since: u64,
    /// Memory was given back, and no field block has come since.
    rests: bool,
    /// Turns since the last send was submitted whose answers wait for those of the next turn.
    held_turns: u32,
}

/// Serves requests until the connection ends; says how it is to be closed.
pub(super) async fn serve(context: &Rc<Context>, socket: &Socket, session: &mut Session) -> Ending {
    let now = context.ring.now();
    let mut connection = Connection {
        context,
        socket,
        session,
        filled: 0,
        lent: None,
        wanted: None,
        reads: Reads::default(),
        relaying: None,
        relay_wish: None,
        heads: VecDeque::new(),
        exchanges: 0,
        exchange_deadline: u64::MAX,
        decoder: Decoder::default(),
        inbound: Inbound::default(),
        peer: PeerSettings::default(),
        table_lowered: false,
        acknowledged: false,
        connects: false,
        streams: Streams::new(context.terms().limits.h2_streams),
        stream_deadline: u64::MAX,
        schedule: Schedule::default(),
        window: SendWindow::new(INITIAL_WINDOW),
        receive: ReceiveWindow::default(),
        replies: Replies::default(),
        patience: Patience::new(now),
        warned: false,
        client_leaves: None,
        slow_until: 0,
        recent: Recent::default(),
        last_stream: 0,
        skipped: 0..0,
        departing_stream: 0,
        flushed_stream: 0,
        requests: 0,
        drain: Drain::default(),
        lookups: Vec::new(),
        established: now,
        idle_since: now,
        rests: true,
        held_turns: 0,
    };
    let stop = match connection.run().await {
        Ok(never) => match never {},
        Err(stop) => stop,
    };
    match stop {
        // What failed while writing has said no more.
        Stop::Close(Ending::Reset) => connection.session.clock.ends(Why::ClientReset),
        Stop::Close(Ending::Defect(_)) => connection.session.clock.ends(Why::ServerDefect),
        Stop::Close(_) | Stop::GoAway(..) | Stop::Leave(_) => {}
    }
    // Boxed, as all that a connection seldom waits for: it is made room for in each connection otherwise.
    Box::pin(connection.end(stop)).await
}

impl Connection<'_> {
    async fn run(&mut self) -> Result<Infallible, Stop> {
        self.greet()?;
        // Answers are gathered where requests are read, and SETTINGS must come before them.
        while !self.gather_replies()? {
            Box::pin(self.make_way()).await?;
        }
        loop {
            if self.departed()? {
                // Between two sends, since it waits: a send that is in flight does not keep frames from
                // being read.
                if self.session.writer.needs_key() {
                    Box::pin(self.session.refresh_key(self.socket)).await?;
                }
                self.send_reads()?;
            }
            let more_to_read = self.read().await?;
            self.poll_exchanges()?;
            let more_to_send = self.gather()?;
            if more_to_read && self.holds_answers() {
                self.context.ring.yield_now().await;
                continue;
            }
            self.depart()?;
            if self.is_finished() {
                return Err(Stop::Close(Ending::Linger));
            }
            if more_to_read || more_to_send {
                self.context.ring.yield_now().await;
            } else {
                self.wait().await?;
            }
        }
    }

    /// Our SETTINGS, which leave with the first flush.
    fn greet(&mut self) -> Result<(), Stop> {
        let terms = self.context.terms();
        let limits = &terms.limits;
        // Each field counts 32 bytes besides its text (RFC 9113 section 6.5.2).
        let fields = limits.head_fields + crate::parse::h2::MAX_CRUMBS;
        let list = limits.head_bytes.saturating_add(32 * fields);
        // What this connection was made with, whatever holds for others by now.
        let streams = u32::try_from(self.streams.most()).unwrap_or(u32::MAX);
        self.connects = self.context.tunnels();
        let list = u32::try_from(list).unwrap_or(u32::MAX);
        self.reply(&respond::settings(streams, list, self.connects))
    }

    /// Whether the answers of this turn leave with those of the next one: it ended because it had
    /// answered as many requests as a turn may, and others have arrived. Other connections have their
    /// turns in between, so that a client with many streams costs few sends and delays nobody. Room
    /// that was not found, or a send in flight, decides otherwise.
    fn holds_answers(&mut self) -> bool {
        let holds = self.inbound.requests >= inbound::REQUESTS_A_TURN
            && self.held_turns < HELD_TURNS
            && self.wanted.is_none()
            && !self.session.writer.is_departing();
        self.held_turns = if holds { self.held_turns + 1 } else { 0 };
        holds
    }

    fn now(&self) -> u64 {
        self.context.ring.now()
    }

    /// Queues a control frame.
    fn reply(&mut self, frame: &[u8]) -> Result<(), Stop> {
        if self.replies.push(frame, &self.context.h2.spare) {
            return Ok(());
        }
        Err(Stop::defect("control frames found no room"))
    }

    /// Whether frames may be read now.
    fn may_read(&self) -> bool {
        self.replies.has_room() && self.lookups.len() < LOOKUPS
    }

    /// Whether a peer that has used up most of its patience waits for its turn.
    fn is_slowed_down(&self) -> bool {
        self.now() < self.slow_until
    }

    /// Pays for what the peer has done.
    fn spend(&mut self, cost: Cost) -> Result<(), Stop> {
        let now = self.now();
        let price = self.patience.price(cost);
        if price > 0 {
            self.context.count(|counts| *cost.account(counts) += price);
        }
        match self.patience.spend(cost, now) {
            Left::Enough => self.slow_until = 0,
            Left::Low => {
                self.slow_until = now + SLOW_MS;
                self.warn_once(cost.why())?;
            }
            Left::None => {
                self.context.count(|counts| counts.http2_floods += 1);
                return Err(Stop::GoAway(ErrorCode::EnhanceYourCalm, cost.why()));
            }
        }
        Ok(())
    }

    /// What a breach of the protocol brings: the end of its stream, or of the connection.
    fn fault(&mut self, stream: u32, fault: Fault) -> Result<(), Stop> {
        match fault {
            Fault::Connection(code, why) => Err(Stop::GoAway(code, why)),
            Fault::Stream(code, why) => {
                log::debug!("http2: stream {stream}: {code}: {why}");
                self.reset(stream, code, why_of(code))?;
                self.spend(Cost::ResetForFault)
            }
        }
    }

    /// Resets a stream, open or not.
    fn reset(&mut self, stream: u32, code: ErrorCode, why: Why) -> Result<(), Stop> {
        self.context.count(|counts| counts.http2_reset_by_server += 1);
        self.reply(&respond::rst_stream(stream, code))?;
        self.recent.reset(stream);
        self.drop_stream(stream, why)
    }

    /// Frees the place of a stream that is no longer wanted, as soon as nothing is in flight for it.
    fn drop_stream(&mut self, stream: u32, why: Why) -> Result<(), Stop> {
        let Some(slot) = self.streams.find(stream) else { return Ok(()) };
        self.schedule.remove(&mut self.streams, slot);
        self.forget_read(stream)?;
        let open = self.streams.at(slot)?;
        if open.kept_head.take().is_some() {
            self.heads.retain(|waiting| *waiting != slot);
        }
        let open = self.streams.at(slot)?;
        if open.answering == streams::Answering::Looking {
            open.answering = streams::Answering::Orphaned;
            open.remote_open = false;
            std::mem::take(&mut open.clock).abandon(why);
            return Ok(());
        }
        self.close_stream(slot)?.abandon(why);
        Ok(())
    }

    /// Closes a stream that is not in the schedule.
    fn close_stream(&mut self, slot: streams::Slot) -> Result<RequestClock, Stop> {
        self.exchanges -= usize::from(self.streams.at(slot)?.exchange.take().is_some());
        self.relaying = self.relaying.filter(|relaying| *relaying != slot);
        let clock = self.streams.close(slot)?;
        self.context.count(|counts| counts.http2_closed += 1);
        if self.streams.is_empty() {
            self.idle_since = self.now();
        }
        Ok(clock)
    }

    /// The largest payload of a DATA frame of ours: with its head it fills a record.
    fn most_of_a_frame(&self) -> u32 {
        self.peer.max_frame_size.min(MAX_FRAME_SIZE - crate::parse::h2::FRAME_HEAD as u32)
    }
}

/// Why a request ended whose stream is reset with this code.
fn why_of(code: ErrorCode) -> Why {
    match code {
        ErrorCode::FlowControlError => Why::Http2FlowControl,
        ErrorCode::RefusedStream => Why::Http2Refused,
        ErrorCode::Cancel => Why::ServerTimeout,
        ErrorCode::InternalError => Why::ServerFile,
        _ => Why::Http2Protocol,
    }
}
