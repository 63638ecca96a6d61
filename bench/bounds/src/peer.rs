//! One connection, without its socket: bytes in, bytes out.
//!
//! The invariant: what [`Peer::fill`] puts out is handshake messages first, then whole records of
//! the responses owed, in order; without TLS, the responses as they are.

use std::error::Error;
use std::sync::Arc;

use ringway_bench_tls::handshake::{Failure, Handshake, Step};
use ringway_bench_tls::record::{
    Content, Fault, HEADER, MAX_PLAINTEXT, OVERHEAD, Opener, Sealer, record_len,
};
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;

enum State {
    Shaking(Box<Handshake<UnbufferedServerConnection>>),
    Open { sealer: Sealer, opener: Opener },
    Plain,
    Broken,
}

/// A connection.
pub struct Peer {
    state: State,
    /// Bytes that came and cannot be used before more come.
    input: Vec<u8>,
    /// Handshake messages to be sent.
    output: Vec<u8>,
    /// Responses to be sent, the one under way included.
    owed: usize,
    /// How much of the one under way has been sealed.
    at: usize,
    /// What the client has sent, if it is to be passed on.
    passed: Option<Vec<u8>>,
}

impl Peer {
    /// A connection before its handshake, or without TLS.
    ///
    /// # Errors
    ///
    /// rustls's, if the configuration is not sound.
    pub fn new(config: Option<&Arc<ServerConfig>>) -> Result<Self, rustls::Error> {
        let state = match config {
            Some(config) => {
                let connection = UnbufferedServerConnection::new(Arc::clone(config))?;
                State::Shaking(Box::new(Handshake::new(connection)))
            }
            None => State::Plain,
        };
        Ok(Self { state, input: Vec::new(), output: Vec::new(), owed: 0, at: 0, passed: None })
    }

    /// What the client sends is owed no response, but to be passed on.
    #[must_use]
    pub fn passing(self) -> Self {
        Self { passed: Some(Vec::new()), ..self }
    }

    /// Takes what the client has sent, and leaves this memory for what comes.
    pub fn take_passed(&mut self, memory: &mut Vec<u8>) {
        memory.clear();
        if let Some(passed) = &mut self.passed {
            std::mem::swap(passed, memory);
        }
    }

    /// The next response can be filled in.
    pub fn owe(&mut self) {
        self.owed += 1;
    }

    /// Takes bytes that came.
    ///
    /// # Errors
    ///
    /// If the peer does not speak TLS as it should; the connection is lost then.
    pub fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Box<dyn Error>> {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Shaking(handshake) => {
                self.input.extend_from_slice(bytes);
                self.shake(*handshake)?;
            }
            State::Open { sealer, mut opener } => {
                self.records(&mut opener, bytes)?;
                self.state = State::Open { sealer, opener };
            }
            State::Plain => {
                match &mut self.passed {
                    Some(passed) => passed.extend_from_slice(bytes),
                    None => self.owed += 1,
                }
                self.state = State::Plain;
            }
            State::Broken => {}
        }
        Ok(())
    }

    fn shake(&mut self, handshake: Handshake<UnbufferedServerConnection>) -> Result<(), Failure> {
        match handshake.step(&mut self.input, &mut self.output)? {
            Step::More(handshake) => self.state = State::Shaking(Box::new(handshake)),
            Step::Done(session) => {
                let (sealer, mut opener) = (session.sealer, session.opener);
                let mut rest = std::mem::take(&mut self.input);
                self.records(&mut opener, &mut rest).map_err(Failure::Record)?;
                self.state = State::Open { sealer, opener };
                self.output.shrink_to_fit();
            }
        }
        Ok(())
    }

    fn records(&mut self, opener: &mut Opener, bytes: &mut [u8]) -> Result<(), Fault> {
        if self.input.is_empty() {
            let used = self.whole_records(opener, bytes)?;
            self.input.extend_from_slice(&bytes[used..]);
        } else {
            let mut joined = std::mem::take(&mut self.input);
            joined.extend_from_slice(bytes);
            let used = self.whole_records(opener, &mut joined)?;
            joined.drain(..used);
            self.input = joined;
        }
        Ok(())
    }

    /// Opens the records that are whole; answers with their length.
    fn whole_records(&mut self, opener: &mut Opener, bytes: &mut [u8]) -> Result<usize, Fault> {
        let mut used = 0;
        while let Some(len) = record_len(&bytes[used..])?
            && let Some(record) = bytes.get_mut(used..used + len)
        {
            let (content, plaintext) = opener.open(record)?;
            match &mut self.passed {
                Some(passed) if content == Content::Data => passed.extend_from_slice(plaintext),
                Some(_) => {}
                None => self.owed += usize::from(content == Content::Data),
            }
            used += len;
        }
        Ok(used)
    }

    /// Whether there is anything to send.
    pub fn wants_write(&self) -> bool {
        self.owed > 0 || !self.output.is_empty()
    }

    /// Copies as much of the queued output into `room` as fits; answers with its length.
    ///
    /// # Errors
    ///
    /// If the key has reached its limit of records.
    pub fn fill(&mut self, room: &mut [u8], response: &[u8]) -> Result<usize, Fault> {
        let mut used = self.output.len().min(room.len());
        room[..used].copy_from_slice(&self.output[..used]);
        self.output.drain(..used);
        while self.output.is_empty() && self.owed > 0 {
            let rest = &response[self.at..];
            let piece = match &mut self.state {
                State::Open { sealer, .. } => {
                    let piece = &rest[..rest.len().min(MAX_PLAINTEXT)];
                    let Some(record) = room.get_mut(used..used + piece.len() + OVERHEAD) else {
                        break;
                    };
                    record[HEADER..][..piece.len()].copy_from_slice(piece);
                    used += sealer.seal(record, Content::Data, piece.len())?;
                    piece
                }
                State::Plain if used < room.len() => {
                    let piece = &rest[..rest.len().min(room.len() - used)];
                    room[used..][..piece.len()].copy_from_slice(piece);
                    used += piece.len();
                    piece
                }
                State::Plain | State::Shaking(_) | State::Broken => break,
            };
            self.at += piece.len();
            if self.at == response.len() {
                self.at = 0;
                self.owed -= 1;
            }
        }
        Ok(used)
    }
}
