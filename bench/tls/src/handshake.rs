//! The handshake, by rustls's unbuffered connections.
//!
//! The invariant: rustls is given whole records, one more only when it asks for more, so what
//! follows the handshake stays in the caller's buffer, still sealed.

use std::error::Error;
use std::fmt;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{ExtractedSecrets, HandshakeKind};

use crate::record::{Fault, Opener, Sealer, record_len};

/// Why a handshake failed.
#[derive(Debug)]
pub enum Failure {
    /// rustls refused something, or the peer sent an alert.
    Tls(rustls::Error),
    /// The peer's bytes are no records.
    Record(Fault),
    /// The peer closed, or sent data too early.
    OutOfOrder,
    /// The negotiated suite or version is none that the record layer knows.
    Unsupported,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(error) => write!(f, "TLS handshake: {error}"),
            Self::Record(fault) => write!(f, "TLS handshake: {fault}"),
            Self::OutOfOrder => f.write_str("TLS handshake: the peer broke it off"),
            Self::Unsupported => f.write_str("TLS handshake: not TLS 1.3 with a known suite"),
        }
    }
}

impl Error for Failure {}

/// One of rustls's two unbuffered connections.
pub trait Side: Sized {
    /// rustls's marker for the side.
    type Data;

    /// Hands rustls `records`.
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8])
    -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// Whether the handshake was full or resumed.
    fn kind(&self) -> Option<HandshakeKind>;

    /// The protocol that ALPN chose.
    fn alpn(&self) -> Option<&[u8]>;

    /// Takes the keys out.
    ///
    /// # Errors
    ///
    /// rustls's, if the handshake is not done or extraction is not enabled.
    fn finish(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), rustls::Error>;
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        records: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(records)
    }

    fn kind(&self) -> Option<HandshakeKind> {
        self.handshake_kind()
    }

    fn alpn(&self) -> Option<&[u8]> {
        self.alpn_protocol()
    }

    fn finish(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), rustls::Error> {
        self.dangerous_into_kernel_connection()
    }
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        records: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(records)
    }

    fn kind(&self) -> Option<HandshakeKind> {
        self.handshake_kind()
    }

    fn alpn(&self) -> Option<&[u8]> {
        self.alpn_protocol()
    }

    fn finish(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), rustls::Error> {
        self.dangerous_into_kernel_connection()
    }
}

/// A finished handshake.
pub struct Session<Data> {
    /// Seals what we send.
    pub sealer: Sealer,
    /// Opens what we receive.
    pub opener: Opener,
    /// rustls's rest, which knows what to do with tickets.
    pub kernel: KernelConnection<Data>,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// The protocol that ALPN chose.
    pub alpn: Option<Vec<u8>>,
}

impl<Data> fmt::Debug for Session<Data> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("resumed", &self.resumed).finish_non_exhaustive()
    }
}

/// A handshake under way.
pub struct Handshake<S> {
    connection: S,
    /// Bytes of the caller's buffer that rustls has been given and not yet discarded.
    given: usize,
}

impl<S> fmt::Debug for Handshake<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("given", &self.given).finish_non_exhaustive()
    }
}

/// What a step of a handshake came to.
#[derive(Debug)]
pub enum Step<S: Side> {
    /// More bytes are needed.
    More(Handshake<S>),
    /// Done; what is left in the input follows the handshake.
    Done(Box<Session<S::Data>>),
}

impl<S: Side> Handshake<S> {
    /// Begins.
    pub fn new(connection: S) -> Self {
        Self { connection, given: 0 }
    }

    /// Takes whole records from the front of `input`, appends to `output` what must be sent.
    ///
    /// # Errors
    ///
    /// Every [`Failure`]. What stands in `output` then, an alert, should still be sent.
    pub fn step(mut self, input: &mut Vec<u8>, output: &mut Vec<u8>) -> Result<Step<S>, Failure> {
        loop {
            let status = self.connection.process(&mut input[..self.given]);
            let discard = status.discard;
            let mut blocked = false;
            let mut done = false;
            match status.state.map_err(Failure::Tls)? {
                ConnectionState::EncodeTlsData(mut data) => {
                    append(output, |room| data.encode(room))?;
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::BlockedHandshake => blocked = true,
                ConnectionState::WriteTraffic(_) => done = true,
                _ => return Err(Failure::OutOfOrder),
            }
            input.drain(..discard);
            self.given -= discard;
            if done {
                return self.done();
            }
            if blocked {
                let rest = input.get(self.given..).unwrap_or_default();
                match record_len(rest).map_err(Failure::Record)? {
                    Some(len) if len <= rest.len() => self.given += len,
                    _ => return Ok(Step::More(self)),
                }
            }
        }
    }

    fn done(self) -> Result<Step<S>, Failure> {
        let resumed = self.connection.kind() == Some(HandshakeKind::Resumed);
        let alpn = self.connection.alpn().map(<[u8]>::to_vec);
        let (secrets, kernel) = self.connection.finish().map_err(Failure::Tls)?;
        if kernel.protocol_version() != rustls::ProtocolVersion::TLSv1_3 {
            return Err(Failure::Unsupported);
        }
        let sealer = Sealer::new(&secrets.tx).ok_or(Failure::Unsupported)?;
        let opener = Opener::new(&secrets.rx).ok_or(Failure::Unsupported)?;
        Ok(Step::Done(Box::new(Session { sealer, opener, kernel, resumed, alpn })))
    }
}

/// Runs `encode` at the end of `output`, with as much room as it asks for.
fn append(
    output: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), Failure> {
    let start = output.len();
    loop {
        match encode(&mut output[start..]) {
            Ok(len) => {
                output.truncate(start + len);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(size)) => {
                output.resize(start + size.required_size, 0);
            }
            Err(EncodeError::AlreadyEncoded) => return Err(Failure::OutOfOrder),
        }
    }
}

/// The payloads of the tickets in the handshake messages of one record; nothing if the record
/// holds any other message or a part of one.
pub fn tickets(mut messages: &[u8]) -> Option<Vec<&[u8]>> {
    const NEW_SESSION_TICKET: u8 = 4;
    let mut found = Vec::new();
    while !messages.is_empty() {
        let (&[kind, a, b, c], rest) = messages.split_first_chunk::<4>()?;
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        let (payload, rest) = rest.split_at_checked(len)?;
        if kind != NEW_SESSION_TICKET {
            return None;
        }
        found.push(payload);
        messages = rest;
    }
    Some(found)
}
