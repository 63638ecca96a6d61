//! Driving rustls through a handshake, without I/O.
//!
//! The invariant: **rustls never sees a byte beyond the record that it needs**. Input is cut
//! into records here, each is given to rustls alone, and when the handshake completes the rest of
//! the input is left to the caller, untouched.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{CertificateError, HandshakeKind, ProtocolVersion, ServerConfig};

use super::client_hello::{self, is_inappropriate_fallback};
use super::error::HandshakeError;
use super::established::Established;
use crate::record::{HEADER, RecordHeader};
use crate::tls::{Lineage, identity::Parsed};
use crate::wall_clock::unix_seconds;

/// How far a handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeState {
    /// More bytes of the client are needed.
    NeedMore,
    /// The handshake is complete: send what is in the output, then call [`Handshake::finish`].
    Finished,
}

/// What a call of [`Handshake::advance`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advance {
    /// Bytes taken from the front of the input: all of them unless the handshake is finished.
    /// What is then left is protected by the keys of [`Established::receive`].
    pub consumed: usize,
    /// Whether more is needed.
    pub state: HandshakeState,
}

/// One connection's handshake.
pub(crate) struct Handshake {
    connection: UnbufferedServerConnection,
    /// What rustls still holds (fragments of a message), then a part of the next record.
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that rustls has seen.
    held: usize,
    /// Bytes that the client has sent.
    received: usize,
    /// Records that the client has sent.
    records: usize,
    /// Whether we have sent something.
    answered: bool,
    finished: bool,
    lineage: Lineage,
}

/// Bytes that hold most first flights of a client without a post-quantum key share.
const USUAL: usize = 1024;

/// Alert `handshake_failure`.
const HANDSHAKE_FAILURE: &[u8] = &[21, 3, 3, 0, 2, 2, 40];

/// Alert `certificate_expired` (RFC 8446 section 6), fatal, in a record of its own.
const CERTIFICATE_EXPIRED: &[u8] = &[21, 3, 3, 0, 2, 2, 45];

/// Alert `inappropriate_fallback` (RFC 7507 section 2), fatal. It answers a ClientHello, so it is in
/// clear, in a record of the version that such a client speaks.
const INAPPROPRIATE_FALLBACK: &[u8] = &[21, 3, 3, 0, 2, 2, 86];

impl Handshake {
    /// Most bytes that a client may send in a handshake. A first flight with a post-quantum key
    /// share and a ticket takes about 2 KiB.
    pub(crate) const MAX_BYTES: usize = client_hello::MAX_BYTES;

    /// Most records that a client may send in a handshake; three to five is usual.
    pub(crate) const MAX_RECORDS: usize = client_hello::MAX_RECORDS;

    /// Begins a handshake. Fails only for a configuration that rustls cannot use.
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, HandshakeError> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config).map_err(HandshakeError::Tls)?,
            buffer: Vec::with_capacity(USUAL),
            held: 0,
            received: 0,
            records: 0,
            answered: false,
            finished: false,
            lineage: Lineage::default(),
        })
    }

    /// Takes what the client has sent and appends the answer to `output`: whole flights,
    /// session tickets included.
    ///
    /// The first call should have the whole ClientHello: only then is a fallback noticed.
    ///
    /// After an error `output` holds the alert to send before closing, if there is one.
    pub(crate) fn advance(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<Advance, HandshakeError> {
        if self.is_untouched() && is_inappropriate_fallback(input) {
            output.extend_from_slice(INAPPROPRIATE_FALLBACK);
            return Err(HandshakeError::InappropriateFallback);
        }
        let mut rest = input;
        while !self.finished {
            let Some(missing) = self.missing() else {
                return Err(self.refuse_framing(output));
            };
            if missing == 0 {
                self.process_record(output)?;
                continue;
            }
            let taken = missing.min(rest.len());
            let (now, later) = rest.split_at(taken);
            if taken == 0 {
                break;
            }
            self.received += taken;
            if self.received > Self::MAX_BYTES {
                return Err(HandshakeError::TooLong);
            }
            self.buffer.extend_from_slice(now);
            rest = later;
        }
        let state = if self.finished { HandshakeState::Finished } else { HandshakeState::NeedMore };
        Ok(Advance { consumed: input.len() - rest.len(), state })
    }

    /// Whether the client has sent nothing yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.received == 0
    }

    /// Ends a finished handshake and yields its keys.
    pub(crate) fn finish(self) -> Result<Established, HandshakeError> {
        if !self.finished {
            return Err(HandshakeError::Unfinished);
        }
        Established::from_rustls(self.connection)
    }

    /// Bytes still missing of the next record's header or, once that is known, of the record;
    /// `None` if its header cannot be one.
    fn missing(&self) -> Option<usize> {
        let partial = self.buffer.get(self.held..)?;
        let wanted = match RecordHeader::parse_initial(partial) {
            Ok(None) => HEADER,
            Ok(Some(header)) => header.record_length(),
            Err(_) => return None,
        };
        wanted.checked_sub(partial.len())
    }

    /// Gives rustls the one record that is complete.
    fn process_record(&mut self, output: &mut Vec<u8>) -> Result<(), HandshakeError> {
        let before = output.len();
        let resumed_before = self.is_resumed();
        let processed = self.let_rustls_process(output);
        if let Err(HandshakeError::Tls(rustls::Error::General(_))) = &processed
            && !self.answered
            && self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_2)
        {
            // Such as a client that can verify none of our keys: rustls leaves it without a word.
            // Nothing of a first flight of TLS 1.2 is encrypted.
            output.extend_from_slice(HANDSHAKE_FAILURE);
        }
        processed?;
        self.answered |= output.len() > before;
        if self.connection.handshake_kind().is_some_and(|kind| kind != HandshakeKind::Resumed) {
            self.lineage.begin_anew();
        }
        if !resumed_before && self.is_resumed_too_late() {
            // The answer of this step has not been sent, so neither side has keys: the alert is in
            // clear. Later it would not be, and the certificate was valid when the session resumed.
            output.truncate(before);
            output.extend_from_slice(CERTIFICATE_EXPIRED);
            return Err(HandshakeError::Tls(CertificateError::Expired.into()));
        }
        Ok(())
    }

    fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// rustls takes a ticket's word for the client's certificate, and gives a new ticket in turn,
    /// so that a session could outlive the certificate that it began with.
    fn is_resumed_too_late(&self) -> bool {
        if !self.is_resumed() {
            return false;
        }
        let leaf = self.connection.peer_certificates().and_then(<[_]>::first);
        leaf.is_some_and(|leaf| match Parsed::parse(leaf) {
            Ok(leaf) => leaf.not_after() < unix_seconds(),
            Err(_) => true,
        })
    }

    fn let_rustls_process(&mut self, output: &mut Vec<u8>) -> Result<(), HandshakeError> {
        self.records += 1;
        if self.records > Self::MAX_RECORDS {
            return Err(HandshakeError::TooLong);
        }
        self.held = self.buffer.len();
        loop {
            let UnbufferedStatus { discard, state } =
                self.lineage.during(|| self.connection.process_tls_records(&mut self.buffer));
            let step = match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(output, |room| data.encode(room)).map(|()| Step::Continue)
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    Ok(Step::Continue)
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    Ok(Step::Settled)
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    Err(HandshakeError::Closed)
                }
                // Data before the client's Finished: early data, which we never offer.
                Ok(_) => Err(HandshakeError::EarlyData),
                Err(error) => Err(HandshakeError::Tls(error)),
            };
            self.buffer.drain(..discard);
            self.held = self.buffer.len();
            match step {
                Ok(Step::Continue) => {}
                Ok(Step::Settled) => break,
                Err(error) => {
                    self.take_alert(output);
                    return Err(error);
                }
            }
        }
        if !self.connection.is_handshaking() {
            // A message begun under the old keys cannot go on under the new ones (RFC 8446
            // section 5.1).
            if self.held != 0 {
                return Err(HandshakeError::Unaligned);
            }
            self.finished = true;
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// After an error rustls still holds the alert for the client, perhaps behind a flight.
    ///
    /// It is not asked again once it has handed that over: it would look at the bad record anew.
    fn take_alert(&mut self, output: &mut Vec<u8>) {
        while self.connection.wants_write() {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut self.buffer);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else {
                return;
            };
            if append(output, |room| data.encode(room)).is_err() {
                return;
            }
            self.buffer.drain(..discard);
        }
    }

    /// What to say to bytes that are no TLS record. Someone who speaks HTTP to this port gets
    /// their own error; for all else rustls has the right alert, protected if need be.
    fn refuse_framing(&mut self, output: &mut Vec<u8>) -> HandshakeError {
        if self.records == 0 && looks_like_http(&self.buffer) {
            return HandshakeError::PlainHttp;
        }
        match self.process_record(output) {
            Err(error) => error,
            Ok(()) => HandshakeError::NotTls,
        }
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("received", &self.received)
            .field("records", &self.records)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}

enum Step {
    Continue,
    Settled,
}

/// Appends to `output` what `encode` writes, which says how much room it needs by failing first.
fn append(
    output: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), HandshakeError> {
    let start = output.len();
    let needed = match encode(&mut []) {
        Ok(_) => return Ok(()),
        Err(EncodeError::InsufficientSize(size)) => size.required_size,
        Err(EncodeError::AlreadyEncoded) => return Err(HandshakeError::Keys),
    };
    output.resize(start + needed, 0);
    let written =
        output.get_mut(start..).and_then(|room| encode(room).ok()).ok_or(HandshakeError::Keys)?;
    output.truncate(start + written);
    Ok(())
}

/// Whether the first five bytes begin an HTTP/1 request or the HTTP/2 preface.
fn looks_like_http(bytes: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 10] = [
        b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELET", b"OPTIO", b"PATCH", b"CONNE", b"TRACE",
        b"PRI ",
    ];
    BEGINNINGS.iter().any(|beginning| bytes.starts_with(beginning))
}
