//! The times of one request.
//!
//! The invariant: a request's parts follow each other without a gap, so they add up to its total.
//! At each moment it is in one stage, and [`enter`](OpenRequest::enter) gives the time since the
//! last change to the stage that it leaves; how the answer left is noted by the [`Sending`] of its
//! batch.

use std::{net::IpAddr, rc::Rc};

use super::{
    Delivery, End, Endpoint, LayerTimes, Passed, Phase, Route, Sending, Stage, Why,
    connection::Connection,
    stage::{ALWAYS, REQUEST_STAGES, SELDOM},
    streams::NO_PLACE,
};

/// Bytes of a request's head that are kept for the slowest requests: its first line, mostly.
pub(crate) const HEAD_KEPT: usize = 104;

/// Bytes of a request's head that are kept for the access log.
pub(crate) const HEAD_LOGGED: usize = 4096;

/// The parts of a request's total, see [`REQUEST_STAGES`].
pub(super) type Parts = [u64; REQUEST_STAGES.len()];

/// A request that is not done.
#[derive(Debug)]
pub(super) struct OpenRequest {
    /// Its connection; None while it is in the store.
    pub(super) connection: Option<Rc<Connection>>,
    /// The one before it in its batch.
    pub(super) before: Option<Box<OpenRequest>>,
    pub(super) arrived: u64,
    /// When its stage began.
    entered: u64,
    stage: Stage,
    parts: Parts,
    /// Of the parts that few requests pass, a bit for each that may be other than 0, by its place.
    seldom: u32,
    pub(super) first_byte: u64,
    pub(super) bytes: u64,
    pub(super) number: u64,
    /// What the worker had done when it arrived.
    pub(super) requests_before: u64,
    pub(super) turns_before: u64,
    pub(super) lost_before: u64,
    /// Requests of its connection that had ended when it arrived.
    pub(super) siblings_before: u64,
    /// What the worker had lost when a wait began that is not for the worker.
    lost_apart: u64,
    /// The identifier of its stream in HTTP/2, else 0.
    pub(super) stream: u32,
    /// Its place among the open streams of its connection.
    pub(super) place: u16,
    pub(super) status: u16,
    pub(super) route: Option<Route>,
    particulars: Particulars,
    /// Something of these may be there.
    has_particulars: bool,
    head_len: u8,
    head: [u8; HEAD_KEPT],
    /// More of it, if it is logged.
    logged: Vec<u8>,
}

/// What few requests have. The others pay for a look at one flag.
#[derive(Debug, Default)]
pub(super) struct Particulars {
    /// Why and where it was refused, or ends without its answer.
    pub(super) end: Option<End>,
    /// What the kernel said while its answer left, if it was asked.
    pub(super) delivery: Option<Delivery>,
    /// The endpoint of an application that answers.
    pub(super) endpoint: Endpoint,
    /// The own times of its layers.
    pub(super) layers: LayerTimes,
    /// How it was passed on to a server of a pool.
    pub(super) passed: Passed,
    /// The client that a proxy in front names, if it is another than the connection's.
    pub(super) client: Option<IpAddr>,
}

impl Default for OpenRequest {
    fn default() -> Self {
        Self {
            connection: None,
            before: None,
            arrived: 0,
            entered: 0,
            stage: Stage::Parse,
            parts: [0; REQUEST_STAGES.len()],
            seldom: 0,
            first_byte: 0,
            bytes: 0,
            number: 0,
            requests_before: 0,
            turns_before: 0,
            lost_before: 0,
            siblings_before: 0,
            lost_apart: 0,
            stream: 0,
            place: NO_PLACE,
            status: 0,
            route: None,
            particulars: Particulars::default(),
            has_particulars: false,
            head_len: 0,
            head: [0; HEAD_KEPT],
            logged: Vec::new(),
        }
    }
}

impl OpenRequest {
    /// Begins anew: its first bytes arrived at `arrived`, and its task works on them from `now` on.
    #[inline]
    pub(super) fn begin(&mut self, arrived: u64, now: u64) {
        self.arrived = arrived;
        self.entered = now.max(arrived);
        self.stage = Stage::Parse;
        for place in ALWAYS_PLACES {
            self.parts[place] = 0;
        }
        for place in places_of(std::mem::take(&mut self.seldom)) {
            self.parts[place] = 0;
        }
        self.parts[RUN_QUEUE] = self.entered - arrived;
        (self.status, self.route, self.bytes) = (0, None, 0);
        if std::mem::take(&mut self.has_particulars) {
            self.particulars = Particulars::default();
        }
        self.head_len = 0;
    }

    /// Begins anew: its first bytes arrived at `arrived`, together with those of another request of
    /// its connection, which the worker came to at `reached` and served until `now`.
    #[inline]
    pub(super) fn begin_behind(&mut self, arrived: u64, reached: u64, now: u64) {
        self.begin(arrived, reached.clamp(arrived, now.max(arrived)));
        self.parts[TURN] = now.saturating_sub(self.entered);
        self.entered = self.entered.max(now);
        self.seldom |= 1 << TURN;
    }

    /// Of its time until now, so many nanoseconds went into opening the records that brought it.
    #[inline]
    pub(super) fn opened(&mut self, nanoseconds: u64) {
        let decrypt = nanoseconds.min(self.parts[RUN_QUEUE]);
        self.parts[RUN_QUEUE] -= decrypt;
        self.parts[DECRYPT] += decrypt;
    }

    /// `stage` begins `now`; the time since the last change belongs to the stage before. Returns
    /// how much that was.
    #[inline]
    pub(super) fn enter(&mut self, stage: Stage, now: u64) -> u64 {
        let passed = now.saturating_sub(self.entered);
        self.leave(self.stage, passed, stage);
        passed
    }

    /// It leaves the stage `left`, in which `passed` nanoseconds have passed, and `stage` begins. Where it is
    /// known which it leaves, little has to be done.
    #[inline]
    pub(super) fn leave(&mut self, left: Stage, passed: u64, stage: Stage) {
        if let Some(part) = left.part() {
            self.parts[part] += passed;
            self.seldom |= SELDOM_PARTS & 1 << part;
            self.entered += passed;
        }
        self.stage = stage;
    }

    /// Of its time until `now`, so many nanoseconds in all went into compressing its answer: what is new of
    /// that is taken from the stage that it is in.
    pub(super) fn compressed(&mut self, nanoseconds: u64, now: u64) {
        self.enter(self.stage, now);
        if let Some(part) = self.stage.part().filter(|part| *part != COMPRESS) {
            let new = nanoseconds.saturating_sub(self.parts[COMPRESS]).min(self.parts[part]);
            self.parts[part] -= new;
            self.parts[COMPRESS] += new;
            self.seldom |= 1 << COMPRESS;
        }
    }

    /// Notes the stage that began `now` where it stands among the open streams of its connection.
    pub(super) fn notes_stage(&self, now: u64) {
        if let Some(connection) = &self.connection {
            let mut streams = connection.streams.borrow_mut();
            streams.note(self.place, |noted| (noted.stage, noted.entered) = (self.stage, now));
        }
    }

    /// A wait that is not for the worker begins, or ends if the request was in it: `left`. The worker has
    /// lost so much until now, `in_turn` of it at the beginning of this turn. Of what it lost during such
    /// a wait only that counts with which the present turn began, since the request could go on then.
    pub(super) fn waits_apart(&mut self, left: Stage, lost: u64, in_turn: u64) {
        if left.is_apart() {
            let meanwhile = lost.saturating_sub(self.lost_apart);
            self.lost_before += meanwhile.saturating_sub(in_turn);
        }
        self.lost_apart = lost.max(self.lost_before);
    }

    /// It is refused, or ends, for this reason. The first one counts.
    pub(super) fn ends(&mut self, why: Why) -> End {
        let phase = Phase::Request(self.stage);
        *self.particulars_mut().end.get_or_insert(End { why, phase })
    }

    /// What few requests have.
    #[inline]
    pub(super) fn particulars(&self) -> &Particulars {
        &self.particulars
    }

    /// The same, to note it.
    pub(super) fn particulars_mut(&mut self) -> &mut Particulars {
        self.has_particulars = true;
        &mut self.particulars
    }

    /// The same; None if the request has nothing of it.
    #[inline]
    pub(super) fn has_particulars(&self) -> Option<&Particulars> {
        self.has_particulars.then_some(&self.particulars)
    }

    /// The stage that it is in.
    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// When its stage began.
    pub(super) fn entered(&self) -> u64 {
        self.entered
    }

    /// Whether it may have passed parts that few requests pass.
    #[inline]
    pub(super) fn has_seldom_parts(&self) -> bool {
        self.seldom != 0
    }

    /// The parts that few requests pass, as far as it may have passed them: each stage with its time.
    #[inline]
    pub(super) fn seldom_parts(&self) -> impl Iterator<Item = (Stage, u64)> + '_ {
        places_of(self.seldom).map(|place| (REQUEST_STAGES[place], self.parts[place]))
    }

    /// The parts until its stage began.
    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The beginning of its head.
    pub(super) fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    /// As much of its head as is logged.
    pub(super) fn logged_head(&self) -> &[u8] {
        &self.logged
    }

    /// The first `length` of these bytes are its head, behind empty lines; at most `logged` of them
    /// are logged. What comes after the head of a refused request is no head: the first call counts.
    #[inline]
    pub(super) fn keep_head(&mut self, bytes: &[u8], length: usize, logged: usize) {
        if self.head_len > 0 {
            return;
        }
        let bytes = without_empty_lines(bytes.get(..length).unwrap_or(bytes));
        if let Some(first) = bytes.first_chunk() {
            // Of a known length, which takes a few instructions and no call.
            self.head = *first;
        } else {
            self.head.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        }
        self.head_len = bytes.len().min(HEAD_KEPT) as u8;
        if logged > 0 {
            self.logged.extend_from_slice(bytes.get(..logged).unwrap_or(bytes));
        }
    }

    /// Keeps what a request without a head in the form of HTTP/1 asks for, in that form.
    pub(super) fn keep_asked(&mut self, line: [&[u8]; 2], logged: usize) {
        if self.head_len > 0 {
            return;
        }
        let [method, target] = line;
        let mut room = &mut self.head[..];
        for part in [method, b" ", target, b" HTTP/1.1\r\n"] {
            let (to, rest) = room.split_at_mut(part.len().min(room.len()));
            to.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            room = rest;
        }
        self.head_len = (HEAD_KEPT - room.len()) as u8;
        self.log(&[method, b" ", target, b" HTTP/1.1\r\n"], logged);
    }

    /// Keeps fields of such a request: names with their colons, and values, of which empty ones are
    /// left out.
    pub(super) fn keep_fields(&mut self, fields: &[(&[u8], &[u8])], logged: usize) {
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            self.log(&[name, value, b"\r\n"], logged);
        }
        self.log(&[b"\r\n"], logged);
    }

    fn log(&mut self, parts: &[&[u8]], logged: usize) {
        for part in parts {
            let room = logged.saturating_sub(self.logged.len());
            self.logged.extend_from_slice(part.get(..room).unwrap_or(part));
        }
    }

    /// Forgets its head; the memory of a long one is not kept for the next.
    pub(super) fn forget_head(&mut self) {
        if self.logged.capacity() > 1024 {
            self.logged = Vec::new();
        }
        self.logged.clear();
    }

    /// Enters the stage that its batch is in, which has not left completely.
    pub(super) fn begins_to_leave(&mut self, sending: &Sending) {
        for (stage, at) in [(Stage::FirstWrite, sending.begun), (Stage::LastWrite, sending.first)] {
            if at > 0 {
                self.enter(stage, at);
            }
        }
    }

    /// Completes its parts, now that its last byte has left, and returns their sum. What left
    /// together left at the same time; an answer that was queued while an earlier one was leaving
    /// waited for nothing.
    #[inline]
    pub(super) fn settle(&mut self, sending: &Sending) -> u64 {
        let begun = sending.begun.max(self.entered);
        let first = sending.first.max(begun);
        let last = sending.last.max(first);
        let before = if self.stage == Stage::Respond {
            RESPOND
        } else {
            self.stage.part().unwrap_or(RESPOND)
        };
        let parts = &mut self.parts;
        // The head of a response in several batches has left before.
        let first_write = if parts[FIRST_WRITE] > 0 { LAST_WRITE } else { FIRST_WRITE };
        parts[before] += begun - self.entered;
        parts[LAST_WRITE] += last - first;
        parts[first_write] += first - begun;
        self.seldom |= SELDOM_PARTS & 1 << before;
        if sending.has_waited() {
            self.settle_waits(sending, (before, begun - self.entered), last - first);
        }
        if self.parts[LAST_WRITE] > 0 {
            self.seldom |= 1 << LAST_WRITE;
        }
        last.saturating_sub(self.arrived)
    }

    /// Of the gap before the first submission, which is a part of its own, and of that behind it, what was
    /// waited for send memory or a file belongs there.
    #[cold]
    fn settle_waits(&mut self, sending: &Sending, (before, gap): (usize, u64), rest: u64) {
        for (part, gap, has_begun) in [(before, gap, false), (LAST_WRITE, rest, true)] {
            let (buffer, file) = sending.waits(has_begun, gap);
            self.parts[part] -= buffer + file;
            self.parts[BUFFER] += buffer;
            self.parts[PROCESS] += file;
        }
        self.seldom |= 1 << BUFFER | 1 << PROCESS;
    }
}

/// Empty lines before a request line are skipped (RFC 9112 section 2.2).
#[inline]
fn without_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let [b'\r' | b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// The place of a stage among the parts.
pub(super) const fn place(stage: Stage) -> usize {
    let mut place = 0;
    while REQUEST_STAGES[place] as usize != stage as usize {
        place += 1;
    }
    place
}

/// The place of each of these stages among the parts.
const fn places<const COUNT: usize>(stages: [Stage; COUNT]) -> [usize; COUNT] {
    let (mut places, mut at) = ([0; COUNT], 0);
    while at < COUNT {
        places[at] = place(stages[at]);
        at += 1;
    }
    places
}

/// The places of the parts that each request passes.
pub(super) const ALWAYS_PLACES: [usize; ALWAYS.len()] = places(ALWAYS);

/// A bit for each part that few requests pass, by its place.
const SELDOM_PARTS: u32 = {
    let (places, mut bits, mut at) = (places(SELDOM), 0, 0);
    while at < SELDOM.len() {
        bits |= 1 << places[at];
        at += 1;
    }
    bits
};

/// The places whose bits are set, each of which is that of a part.
#[inline]
fn places_of(mut bits: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = bits.checked_ilog2()?;
        bits ^= 1 << place;
        Some(place as usize)
    })
}

const RUN_QUEUE: usize = place(Stage::RunQueue);
const TURN: usize = place(Stage::Turn);
const DECRYPT: usize = place(Stage::Decrypt);
const PROCESS: usize = place(Stage::Process);
const COMPRESS: usize = place(Stage::Compress);
const BUFFER: usize = place(Stage::Buffer);
const RESPOND: usize = place(Stage::Respond);
const FIRST_WRITE: usize = place(Stage::FirstWrite);
const LAST_WRITE: usize = place(Stage::LastWrite);

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
