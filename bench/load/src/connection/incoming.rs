//! Bytes in: the handshake, then records, then responses that must be as they should.
//!
//! The responses of both protocols are checked by the same three steps: `begin`, `piece`, `done`.

use std::sync::Arc;
use std::time::Instant;

use ringway_bench_tls::handshake::{Handshake, Session, Step, tickets};
use ringway_bench_tls::record::{Content, HEADER, record_len};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};

use super::streams::Streams;
use super::{Asked, Codec, Common, Connection, Records, Role, State, record};
use crate::bodies::{Difference, Reading};
use crate::frames::{Event as Frame, GRANTED};
use crate::response::Event;
use crate::tally::{Failure, Trouble};

impl Connection {
    /// The socket is connected.
    pub(crate) fn connected(&mut self, common: &mut Common) -> Result<(), Trouble> {
        let Some((config, name)) = &common.tls else {
            self.state = State::Open(Codec::Plain);
            self.streams = common.blocks.is_some().then(Box::default);
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
                self.shaken(*session, common)?;
                let mut rest = std::mem::take(&mut self.input);
                self.records(&mut rest, common)?;
            }
        }
        Ok(())
    }

    fn shaken(
        &mut self,
        session: Session<ClientConnectionData>,
        common: &mut Common,
    ) -> Result<(), Trouble> {
        let Session { sealer, opener, kernel, resumed, alpn } = session;
        if common.blocks.is_some() {
            if alpn.as_deref() != Some(b"h2") {
                return Err(Trouble::new(Failure::Handshake, "the server does not speak HTTP/2"));
            }
            self.streams = Some(Box::default());
        }
        *(if resumed { &mut common.tally.resumed } else { &mut common.tally.full }) += 1;
        let tickets = common.keep_tickets.then_some(kernel);
        self.state = State::Open(Codec::Tls(Box::new(Records { sealer, opener, tickets })));
        Ok(())
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
        common.tally.records += 1;
        match records.opener.open(bytes).map_err(record)? {
            (Content::Data, plain) => self.responses(plain, common),
            (Content::Handshake, messages) => {
                let found = tickets(messages)
                    .ok_or_else(|| record("a handshake message other than a whole ticket"))?;
                common.tally.tickets += found.len() as u64;
                let Some(kernel) = &mut records.tickets else { return Ok(()) };
                found.into_iter().try_for_each(|payload| {
                    kernel.handle_new_session_ticket(payload).map_err(record)
                })
            }
            (Content::Alert, &[_, CLOSE_NOTIFY]) => {
                self.last_answer = true;
                common.tally.close_notifies += 1;
                Ok(())
            }
            (Content::Alert, alert) => Err(record(format!("the server's alert {alert:?}"))),
        }
    }

    fn responses(&mut self, mut bytes: &[u8], common: &mut Common) -> Result<(), Trouble> {
        if let Some(mut streams) = self.streams.take() {
            let outcome = self.frames(&mut streams, bytes, common);
            self.streams = Some(streams);
            return outcome;
        }
        while let Some(event) =
            self.reader.next(&mut bytes).map_err(|what| Trouble::new(Failure::Malformed, what))?
        {
            let Some(&Asked { path, due, .. }) = self.waiting.front() else {
                return Err(Trouble::new(Failure::Malformed, "a response that was not asked for"));
            };
            match event {
                Event::Head(head) => {
                    self.last_answer |= head.close;
                    self.reading = begin(common, path, head.bytes, head.status, head.length)?;
                }
                Event::Body(piece) => {
                    body_piece(self.role, common, path, &mut self.reading, piece)?;
                }
                Event::End => {
                    let reading = std::mem::take(&mut self.reading);
                    self.waiting.pop_front();
                    self.done(common, path, due, reading)?;
                }
            }
        }
        Ok(())
    }

    fn frames(
        &mut self,
        streams: &mut Streams,
        mut bytes: &[u8],
        common: &mut Common,
    ) -> Result<(), Trouble> {
        while let Some(event) = streams
            .frames
            .next(&mut bytes)
            .map_err(|what| Trouble::new(Failure::Malformed, what))?
        {
            match event {
                Frame::Head { stream, bytes, status, length } => {
                    let stream = streams.get(stream)?;
                    let length = length
                        .ok_or_else(|| Trouble::new(Failure::Malformed, "no Content-Length"))?;
                    if length > u64::from(GRANTED) {
                        let what = "a body of more than a gibibyte, which the window does not hold";
                        return Err(Trouble::new(Failure::Length, what));
                    }
                    let path = stream.asked.path;
                    stream.reading = begin(common, path, bytes, status, length)?;
                    stream.left = Some(length);
                }
                Frame::Body { stream, piece } => {
                    let stream = streams.get(stream)?;
                    let path = stream.asked.path;
                    let left = stream
                        .left
                        .ok_or_else(|| Trouble::new(Failure::Malformed, "DATA before a head"))?;
                    let left = left
                        .checked_sub(piece.len() as u64)
                        .ok_or_else(|| differs(Difference::Length, path, left))?;
                    stream.left = Some(left);
                    body_piece(self.role, common, path, &mut stream.reading, piece)?;
                }
                Frame::End { stream } => {
                    let stream = streams.take(stream)?;
                    let Asked { path, due, .. } = stream.asked;
                    if stream.left != Some(0) {
                        return Err(differs(Difference::Length, path, 0));
                    }
                    self.done(common, path, due, stream.reading)?;
                }
                Frame::Reset { stream, code } => {
                    let what = format!("the server reset stream {stream} with code {code}");
                    return Err(Trouble::new(Failure::Reset, what));
                }
                Frame::Away { last, code } => {
                    self.last_answer = true;
                    if code != 0 {
                        let what = format!("the server's GOAWAY with code {code}");
                        return Err(Trouble::new(Failure::Reset, what));
                    }
                    if streams.is_beyond(last) {
                        let what = "the server's GOAWAY left streams unanswered";
                        return Err(Trouble::new(Failure::Reset, what));
                    }
                }
            }
        }
        Ok(())
    }

    /// A response is complete.
    fn done(
        &mut self,
        common: &mut Common,
        path: u16,
        due: Instant,
        reading: Reading,
    ) -> Result<(), Trouble> {
        common.bodies.end(path, reading).map_err(|d| differs(d, path, 0))?;
        self.answered += 1;
        self.served += 1;
        if self.role == Role::Active {
            common.tally.requests += 1;
            common.tally.latency(due.elapsed());
        }
        Ok(())
    }

    /// The server closed. An answer that is still owed makes it a failure.
    pub(crate) fn closed(&self) -> Result<(), Trouble> {
        let between = self.streams.as_ref().is_none_or(|streams| streams.frames.is_between());
        let broken = self.outstanding() > 0 || !self.reader.is_between() || !between;
        if broken || !matches!(self.state, State::Open(_) | State::Ending) {
            Err(Trouble::new(Failure::Closed, "the server closed the connection"))
        } else {
            Ok(())
        }
    }
}

/// A response begins.
fn begin(
    common: &mut Common,
    path: u16,
    bytes: usize,
    status: u16,
    length: u64,
) -> Result<Reading, Trouble> {
    common.tally.heads.0 += bytes as u64;
    common.tally.heads.1 += 1;
    if status != common.status {
        return Err(Trouble::new(Failure::Status, status));
    }
    common.bodies.begin(path, length).map_err(|d| differs(d, path, length))
}

/// A piece of its body comes.
fn body_piece(
    role: Role,
    common: &mut Common,
    path: u16,
    reading: &mut Reading,
    piece: &[u8],
) -> Result<(), Trouble> {
    let len = piece.len() as u64;
    common.bodies.piece(path, reading, piece).map_err(|d| differs(d, path, len))?;
    match role {
        Role::Slow => common.tally.slow_bytes += len,
        Role::Active => common.tally.body_bytes += len,
        Role::Idle => {}
    }
    Ok(())
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
