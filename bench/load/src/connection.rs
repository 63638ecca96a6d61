//! One connection: what it has asked, what it has yet to send, and the bytes that came.
//!
//! The invariants: one write and one receive are in flight at most; the socket is closed only
//! when nothing is, so no completion ever meets another connection in the same place; answers
//! come in the order of the questions.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use ringway_bench_ring::{Ring, Slot};
use ringway_bench_tls::handshake::{Handshake, Session, Step, tickets};
use ringway_bench_tls::record::{
    Content, HEADER, MAX_PLAINTEXT, OVERHEAD, Opener, Sealer, record_len,
};
use rustls::ClientConfig;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::pki_types::ServerName;

use crate::bodies::{Bodies, Difference, Reading};
use crate::response::{Event, Reader};
use crate::tally::{Failure, Tally, Trouble};

/// Records that a connection leaves to its sealing key when it is retired.
const KEY_RESERVE: u64 = 1024;

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) path: u16,
    /// When it was due: latency counts from here.
    pub(crate) due: Instant,
    /// When it was handed to the kernel, or queued before that: time-outs count from here.
    pub(crate) sent: Instant,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Active,
    Idle,
    Slow,
}

/// Where a connection stands.
pub(crate) enum State {
    /// No socket.
    Down,
    Connecting,
    Shaking(Box<Handshake<UnbufferedClientConnection>>),
    Open(Codec),
    /// All is answered; the close_notify in `output` is to be written.
    Ending,
    /// Shut down; the operations in flight are to end.
    Closing,
}

/// How bytes become requests and responses.
pub(crate) enum Codec {
    Plain,
    Tls(Box<Records>),
}

/// The record layer of an open connection.
pub(crate) struct Records {
    sealer: Sealer,
    opener: Opener,
    /// Present if tickets are wanted.
    tickets: Option<KernelConnection<ClientConnectionData>>,
}

/// What all connections of a thread share.
#[derive(Debug)]
pub(crate) struct Common {
    /// Nothing for plain HTTP.
    pub(crate) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub(crate) keep_tickets: bool,
    /// The request for each path.
    pub(crate) requests: Vec<Vec<u8>>,
    pub(crate) status: u16,
    pub(crate) bodies: Bodies,
    pub(crate) tally: Tally,
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) role: Role,
    pub(crate) state: State,
    socket: Option<OwnedFd>,
    /// Bytes that came and cannot be used before more come.
    input: Vec<u8>,
    /// Handshake messages and alerts to be written.
    output: Vec<u8>,
    reader: Reader,
    reading: Reading,
    /// Requests to be written.
    owed: VecDeque<Asked>,
    /// Requests to be answered.
    waiting: VecDeque<Asked>,
    /// What is left of the write in flight.
    writing: Option<(usize, usize)>,
    pub(crate) receiving: bool,
    /// A connect is in flight.
    pub(crate) connecting: bool,
    /// The server said that it will close.
    pub(crate) last_answer: bool,
    /// Since when this state has lasted, for time-outs of connecting and handshakes.
    pub(crate) since: Instant,
    /// Responses since the engine last asked.
    answered: u32,
    /// Whether the engine has it on its list of connections to write to.
    pub(crate) dirty: bool,
    /// Whether the engine has it on its list of connections that may be given a request.
    pub(crate) listed: bool,
    /// Bytes that a slow connection may read now.
    pub(crate) allowance: f64,
}

impl Connection {
    pub(crate) fn new(role: Role, now: Instant) -> Self {
        Self {
            role,
            state: State::Down,
            socket: None,
            input: Vec::new(),
            output: Vec::new(),
            reader: Reader::default(),
            reading: Reading::default(),
            owed: VecDeque::new(),
            waiting: VecDeque::new(),
            writing: None,
            receiving: false,
            connecting: false,
            last_answer: false,
            since: now,
            answered: 0,
            dirty: false,
            listed: false,
            allowance: 0.0,
        }
    }

    /// The socket.
    ///
    /// # Panics
    ///
    /// If the connection is down.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_ref().expect("a connection that is up").as_fd()
    }

    /// Takes a socket that is about to be connected.
    pub(crate) fn open(&mut self, socket: OwnedFd, now: Instant) {
        *self = Self {
            owed: std::mem::take(&mut self.owed),
            input: std::mem::take(&mut self.input),
            output: std::mem::take(&mut self.output),
            dirty: self.dirty,
            listed: self.listed,
            ..Self::new(self.role, now)
        };
        self.input.clear();
        self.output.clear();
        self.socket = Some(socket);
        self.state = State::Connecting;
    }

    /// The socket is connected.
    pub(crate) fn connected(&mut self, common: &mut Common) -> Result<(), Trouble> {
        let Some((config, name)) = &common.tls else {
            self.state = State::Open(Codec::Plain);
            return Ok(());
        };
        let connection = UnbufferedClientConnection::new(Arc::clone(config), name.clone())
            .map_err(|error| Trouble::new(Failure::Handshake, error))?;
        self.state = State::Shaking(Box::new(Handshake::new(connection)));
        self.receive(&mut [], common)
    }

    /// Takes the bytes that came.
    pub(crate) fn receive(&mut self, bytes: &mut [u8], common: &mut Common) -> Result<(), Trouble> {
        if !matches!(self.state, State::Shaking(_)) {
            return self.records(bytes, common);
        }
        self.input.extend_from_slice(bytes);
        let State::Shaking(handshake) = std::mem::replace(&mut self.state, State::Closing) else {
            unreachable!("it is shaking hands, as seen above")
        };
        let step = handshake
            .step(&mut self.input, &mut self.output)
            .map_err(|failure| Trouble::new(Failure::Handshake, failure))?;
        match step {
            Step::More(handshake) => self.state = State::Shaking(Box::new(handshake)),
            Step::Done(session) => {
                self.shaken(*session, common);
                let mut rest = std::mem::take(&mut self.input);
                self.records(&mut rest, common)?;
            }
        }
        Ok(())
    }

    fn shaken(&mut self, session: Session<ClientConnectionData>, common: &mut Common) {
        let Session { sealer, opener, kernel, resumed } = session;
        *(if resumed { &mut common.tally.resumed } else { &mut common.tally.full }) += 1;
        let tickets = common.keep_tickets.then_some(kernel);
        self.state = State::Open(Codec::Tls(Box::new(Records { sealer, opener, tickets })));
    }

    /// Opens the records in `bytes`, in place; what is left of the last one waits in `input`.
    fn records(&mut self, mut bytes: &mut [u8], common: &mut Common) -> Result<(), Trouble> {
        let mut state = std::mem::replace(&mut self.state, State::Closing);
        let State::Open(codec) = &mut state else {
            self.state = state;
            return Ok(());
        };
        let Codec::Tls(records) = codec else {
            self.responses(bytes, common)?;
            self.state = state;
            return Ok(());
        };
        while !self.input.is_empty() && !bytes.is_empty() {
            let whole = record_len(&self.input).map_err(record)?.unwrap_or(HEADER);
            let (missing, rest) = bytes.split_at_mut((whole - self.input.len()).min(bytes.len()));
            self.input.extend_from_slice(missing);
            bytes = rest;
            if record_len(&self.input).map_err(record)? == Some(self.input.len()) {
                let mut input = std::mem::take(&mut self.input);
                self.record(records, &mut input, common)?;
                input.clear();
                self.input = input;
            }
        }
        while let Some(len) = record_len(bytes).map_err(record)?
            && len <= bytes.len()
        {
            let (whole, rest) = bytes.split_at_mut(len);
            self.record(records, whole, common)?;
            bytes = rest;
        }
        self.input.extend_from_slice(bytes);
        self.state = state;
        Ok(())
    }

    fn record(
        &mut self,
        records: &mut Records,
        bytes: &mut [u8],
        common: &mut Common,
    ) -> Result<(), Trouble> {
        const CLOSE_NOTIFY: u8 = 0;
        match records.opener.open(bytes).map_err(record)? {
            (Content::Data, plain) => self.responses(plain, common),
            (Content::Handshake, messages) => {
                let found = tickets(messages)
                    .ok_or_else(|| record("a handshake message other than a whole ticket"))?;
                let Some(kernel) = &mut records.tickets else { return Ok(()) };
                found.into_iter().try_for_each(|payload| {
                    kernel.handle_new_session_ticket(payload).map_err(record)
                })
            }
            (Content::Alert, &[_, CLOSE_NOTIFY]) => {
                self.last_answer = true;
                Ok(())
            }
            (Content::Alert, alert) => Err(record(format!("the server's alert {alert:?}"))),
        }
    }

    fn responses(&mut self, mut bytes: &[u8], common: &mut Common) -> Result<(), Trouble> {
        while let Some(event) =
            self.reader.next(&mut bytes).map_err(|what| Trouble::new(Failure::Malformed, what))?
        {
            let Some(&Asked { path, due, .. }) = self.waiting.front() else {
                return Err(Trouble::new(Failure::Malformed, "a response that was not asked for"));
            };
            match event {
                Event::Head(head) => {
                    self.last_answer |= head.close;
                    if head.status != common.status {
                        return Err(Trouble::new(Failure::Status, head.status));
                    }
                    self.reading = common
                        .bodies
                        .begin(path, head.length)
                        .map_err(|d| differs(d, path, head.length))?;
                }
                Event::Body(piece) => {
                    let len = piece.len() as u64;
                    common
                        .bodies
                        .piece(path, &mut self.reading, piece)
                        .map_err(|d| differs(d, path, len))?;
                    match self.role {
                        Role::Slow => common.tally.slow_bytes += len,
                        Role::Active => common.tally.body_bytes += len,
                        Role::Idle => {}
                    }
                }
                Event::End => {
                    let reading = std::mem::take(&mut self.reading);
                    common.bodies.end(path, reading).map_err(|d| differs(d, path, 0))?;
                    self.waiting.pop_front();
                    self.answered += 1;
                    if self.role == Role::Active {
                        common.tally.requests += 1;
                        common.tally.latency(due.elapsed());
                    }
                }
            }
        }
        Ok(())
    }

    /// Queues a request.
    pub(crate) fn ask(&mut self, asked: Asked) {
        self.owed.push_back(asked);
    }

    /// Requests that are queued or unanswered.
    pub(crate) fn outstanding(&self) -> usize {
        self.owed.len() + self.waiting.len()
    }

    /// When each of them was due.
    pub(crate) fn dues(&self) -> impl Iterator<Item = Instant> + '_ {
        self.owed.iter().chain(&self.waiting).map(|asked| asked.due)
    }

    /// Forgets them, and says how many they were.
    pub(crate) fn give_up(&mut self) -> usize {
        let lost = self.outstanding();
        self.owed.clear();
        self.waiting.clear();
        lost
    }

    /// Since when the server owes something: an answer, or a connection and its handshake.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        match self.state {
            State::Connecting | State::Shaking(_) | State::Ending => Some(self.since),
            State::Open(_) => self.waiting.front().map(|asked| asked.sent),
            State::Down | State::Closing => None,
        }
    }

    /// Responses since this was last asked.
    pub(crate) fn take_answered(&mut self) -> u32 {
        std::mem::take(&mut self.answered)
    }

    /// Whether a new request may be queued: the connection is open, the server will go on, and
    /// the key will last.
    pub(crate) fn may_ask(&self) -> bool {
        match &self.state {
            State::Open(_) if self.last_answer => false,
            State::Open(Codec::Tls(records)) => records.sealer.left() > KEY_RESERVE,
            State::Open(Codec::Plain) => true,
            _ => false,
        }
    }

    /// Begins to close: with a close_notify, if TLS is spoken.
    pub(crate) fn end(&mut self, now: Instant) {
        if let State::Open(Codec::Tls(records)) = &mut self.state {
            let mut alert = [0; OVERHEAD + 2];
            alert[HEADER] = 1;
            if let Ok(len) = records.sealer.seal(&mut alert, Content::Alert, 2) {
                self.output.extend_from_slice(&alert[..len]);
            }
        }
        self.state = State::Ending;
        self.since = now;
    }

    /// Ends both directions, so that the operations in flight end.
    pub(crate) fn shut(&mut self) {
        if let Some(socket) = &self.socket {
            // A socket that is not connected any more has nothing to shut.
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
        }
        self.output.clear();
        self.state = State::Closing;
    }

    /// Closes the socket, if nothing is in flight on it.
    pub(crate) fn close(&mut self) -> bool {
        let free = self.writing.is_none() && !self.receiving && !self.connecting;
        if free {
            self.socket = None;
            self.state = State::Down;
        }
        free
    }

    /// Whether there is something to write and no write in flight.
    pub(crate) fn wants_write(&self) -> bool {
        let has = !self.output.is_empty()
            || matches!(self.state, State::Open(_)) && !self.owed.is_empty();
        has && self.writing.is_none() && self.socket.is_some()
    }

    /// Whether all that was to be written has been.
    pub(crate) fn is_written(&self) -> bool {
        self.output.is_empty() && self.writing.is_none()
    }

    /// Writes what there is, as much as fits into `slot`: handshake messages first, then all
    /// requests that are owed, in one record.
    pub(crate) fn write(
        &mut self,
        key: u32,
        mut slot: Slot,
        ring: &mut Ring,
        requests: &[Vec<u8>],
    ) -> Result<(), Trouble> {
        let mut used = self.output.len().min(slot.len());
        slot[..used].copy_from_slice(&self.output[..used]);
        self.output.drain(..used);
        if self.output.is_empty() && !self.owed.is_empty() {
            let now = Instant::now();
            let room = &mut slot[used..];
            match &mut self.state {
                State::Open(Codec::Plain) => {
                    used += fill(room, &mut self.owed, &mut self.waiting, requests, now);
                }
                State::Open(Codec::Tls(records)) if room.len() > OVERHEAD => {
                    let end = room.len().min(OVERHEAD + MAX_PLAINTEXT) - (OVERHEAD - HEADER);
                    let plain = &mut room[HEADER..end];
                    let len = fill(plain, &mut self.owed, &mut self.waiting, requests, now);
                    if len > 0 {
                        used += records.sealer.seal(room, Content::Data, len).map_err(record)?;
                    }
                }
                _ => {}
            }
        }
        if used > 0 {
            let socket = self.socket.as_ref().expect("a connection that is up").as_fd();
            ring.write(key, socket, slot, 0, used).map_err(closed)?;
            self.writing = Some((0, used));
        }
        Ok(())
    }

    /// A write ended; goes on if it was short.
    pub(crate) fn written(
        &mut self,
        key: u32,
        slot: Slot,
        result: io::Result<usize>,
        ring: &mut Ring,
    ) -> Result<(), Trouble> {
        let (from, to) = self.writing.take().expect("one write in flight");
        let from = from + result.map_err(closed)?;
        if from < to && !matches!(self.state, State::Closing) {
            ring.write(key, self.socket(), slot, from, to).map_err(closed)?;
            self.writing = Some((from, to));
        }
        Ok(())
    }

    /// The server closed. An answer that is still owed makes it a failure.
    pub(crate) fn closed(&self) -> Result<(), Trouble> {
        let broken = self.outstanding() > 0 || !self.reader.is_between();
        if broken || !matches!(self.state, State::Open(_) | State::Ending) {
            Err(Trouble::new(Failure::Closed, "the server closed the connection"))
        } else {
            Ok(())
        }
    }
}

/// Moves as many requests as fit from `owed` to `waiting`, their bytes into `room`.
fn fill(
    room: &mut [u8],
    owed: &mut VecDeque<Asked>,
    waiting: &mut VecDeque<Asked>,
    requests: &[Vec<u8>],
    now: Instant,
) -> usize {
    let mut used = 0;
    while let Some(asked) = owed.front() {
        let request = &requests[usize::from(asked.path)];
        let Some(place) = room.get_mut(used..used + request.len()) else { break };
        place.copy_from_slice(request);
        used += request.len();
        waiting.push_back(Asked { sent: now, ..*asked });
        owed.pop_front();
    }
    used
}

fn record(what: impl ToString) -> Trouble {
    Trouble::new(Failure::Record, what)
}

fn closed(error: io::Error) -> Trouble {
    Trouble::new(Failure::Closed, error)
}

fn differs(difference: Difference, path: u16, len: u64) -> Trouble {
    match difference {
        Difference::Length => Trouble::new(
            Failure::Length,
            format!("path {path}: a body of {len} bytes, not as long as it should be"),
        ),
        Difference::Bytes => {
            Trouble::new(Failure::Body, format!("path {path}: the body's bytes differ"))
        }
    }
}
