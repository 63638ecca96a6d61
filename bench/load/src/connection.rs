//! One connection: what it has asked, what it has yet to send, and the bytes that came.
//!
//! The invariants: one write and one receive are in flight at most; the socket is closed only
//! when nothing is, so no completion ever meets another connection in the same place; answers
//! of HTTP/1.1 come in the order of the questions.
//!
//! Here is how a connection stands; `incoming` is what it does with bytes that come, `outgoing`
//! how it writes, `streams` what an HTTP/2 connection has asked.

mod incoming;
mod outgoing;
mod streams;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use ringway_bench_h2::frame::HEAD;
use ringway_bench_tls::handshake::Handshake;
use ringway_bench_tls::record::{Content, HEADER, OVERHEAD, Opener, Sealer};
use rustls::ClientConfig;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::pki_types::ServerName;
use streams::Streams;

use crate::bodies::{Bodies, Reading};
use crate::plan::Blocks;
use crate::response::Reader;
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
    /// All is answered; the close_notify in `output` still has to leave.
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
    /// The same for HTTP/2, if it is spoken.
    pub(crate) blocks: Option<Vec<Blocks>>,
    pub(crate) status: u16,
    pub(crate) bodies: Bodies,
    pub(crate) tally: Tally,
}

impl Common {
    /// The most bytes that a request takes.
    pub(crate) fn longest(&self) -> usize {
        let lengths = self.requests.iter().map(Vec::len);
        let blocks = self.blocks.iter().flatten().map(|blocks| HEAD + 1 + blocks.literal.len());
        lengths.chain(blocks).max().unwrap_or(0)
    }
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
    /// The same for HTTP/2, while such a connection is open.
    streams: Option<Box<Streams>>,
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
    /// Responses in the measured interval, over all sockets that have been in this place.
    pub(crate) served: u64,
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
            streams: None,
            writing: None,
            receiving: false,
            connecting: false,
            last_answer: false,
            since: now,
            answered: 0,
            served: 0,
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
            served: self.served,
            dirty: self.dirty,
            listed: self.listed,
            ..Self::new(self.role, now)
        };
        self.input.clear();
        self.output.clear();
        self.socket = Some(socket);
        self.state = State::Connecting;
    }

    /// Queues a request.
    pub(crate) fn ask(&mut self, asked: Asked) {
        self.owed.push_back(asked);
    }

    /// Requests that are queued or unanswered.
    pub(crate) fn outstanding(&self) -> usize {
        let streams = self.streams.as_ref().map_or(0, |streams| streams.unanswered());
        self.owed.len() + self.waiting.len() + streams
    }

    /// When each of them was due.
    pub(crate) fn dues(&self) -> impl Iterator<Item = Instant> + '_ {
        self.owed.iter().chain(self.unanswered()).map(|asked| asked.due)
    }

    /// Requests that are unanswered, oldest first.
    fn unanswered(&self) -> impl Iterator<Item = &Asked> {
        self.waiting.iter().chain(self.streams.iter().flat_map(|streams| streams.asked()))
    }

    /// Forgets them, and says how many they were.
    pub(crate) fn give_up(&mut self) -> usize {
        let lost = self.outstanding();
        self.owed.clear();
        self.waiting.clear();
        self.streams = None;
        lost
    }

    /// Since when the server owes something: an answer, or a connection and its handshake.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        match self.state {
            State::Connecting | State::Shaking(_) | State::Ending => Some(self.since),
            State::Open(_) => self.unanswered().next().map(|asked| asked.sent),
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
            State::Open(_) if self.streams.as_ref().is_some_and(|s| !s.may_ask()) => false,
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
}

fn record(what: impl ToString) -> Trouble {
    Trouble::new(Failure::Record, what)
}
