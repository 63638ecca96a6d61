//! One connection with its requests, looked at closely: what each part took, and what was
//! agreed and received.
//!
//! The invariant: every wait has the same deadline, and what the server sends is counted and let
//! go, never kept.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, HandshakeKind};

use super::error::AnatomyError;
use super::http2::{self, Stream};
use super::records::{Count, Counted};
use super::response::{Head, HeadReader};
use super::stages::{Stage, Stages};
use super::target::Target;

/// How long the server may take to end the connection after us; then we end it alone.
const GOOD_BYE: Duration = Duration::from_secs(2);
/// Bytes that are read at a time.
pub(super) const PIECE: usize = 64 << 10;

/// What to ask.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) target: &'a Target,
    /// `GET` or `HEAD`.
    pub(super) method: &'static str,
    /// Over HTTP/2, so many requests at once on each connection. None is one over HTTP/1.1.
    pub(super) streams: Option<u16>,
    /// For the whole exchange.
    pub(super) limit: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) address: SocketAddr,
    pub(super) stages: Stages,
    /// Time of the handshake that this client computed; the rest of it was waiting.
    pub(super) handshake_work: Duration,
    pub(super) agreed: Agreed,
    /// The head of the response; of several, of the first that is whole.
    pub(super) head: Head,
    /// Bytes of content of all responses, without the framing of chunks and frames.
    pub(super) content: u64,
    /// The requests of an HTTP/2 connection; none over HTTP/1.1.
    pub(super) streams: Vec<Stream>,
    /// Records and bytes on the wire from the request on.
    pub(super) sent: Count,
    pub(super) received: Count,
    pub(super) ending: Ending,
}

/// What the handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) version: String,
    pub(super) suite: String,
    /// `None` where a resumption went without.
    pub(super) group: Option<String>,
    pub(super) resumed: bool,
    /// The server wanted another key share, which cost a round trip.
    pub(super) retried: bool,
}

/// How the server ended the connection after our `close_notify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// By its own.
    Notified,
    /// By FIN without it, or by a reset.
    Silent,
    /// Not within two seconds.
    Open,
}

/// Finds the addresses of the target, and what that took.
pub(super) fn look_up(target: &Target) -> Result<(Vec<SocketAddr>, Duration), AnatomyError> {
    let begin = Instant::now();
    let lookup = |error| AnatomyError::Lookup { host: target.host.clone(), error };
    let addresses: Vec<_> =
        (target.host.as_str(), target.port).to_socket_addrs().map_err(lookup)?.collect();
    Ok((addresses, begin.elapsed()))
}

/// Connects to the first of `addresses` that answers, asks, and closes.
pub(super) fn run(
    question: &Question<'_>,
    addresses: &[SocketAddr],
    config: Arc<ClientConfig>,
) -> Result<Exchange, AnatomyError> {
    let deadline = Instant::now() + question.limit;
    let (socket, address, connected) = connect(question, addresses)?;
    let name = question.target.name.clone();
    let begin = Instant::now();
    let tls = ClientConnection::new(config, name).map_err(AnatomyError::Tls)?;
    let mut talk = Talk { tls, wire: Counted::new(socket), deadline, limit: question.limit };
    let handshake_work = begin.elapsed() + talk.handshake()?;
    let mut stages = Stages::default();
    stages.set(Stage::Connect, connected);
    stages.set(Stage::Handshake, begin.elapsed());
    let agreed = agreed(&talk.tls);
    let (sent, received) = (talk.wire.sent.count(), talk.wire.received.count());
    let (head, content, streams) = match question.streams {
        None => {
            let (head, content) = talk.ask(question, &mut stages)?;
            (head, content, Vec::new())
        }
        Some(_) if talk.tls.alpn_protocol() != Some(http2::ALPN) => {
            return Err(AnatomyError::NoHttp2);
        }
        Some(streams) => {
            let (head, streams) = http2::ask(&mut talk, question, streams, &mut stages)?;
            (head, streams.iter().map(|stream| stream.content).sum(), streams)
        }
    };
    let (sent, received) =
        (talk.wire.sent.count().since(sent), talk.wire.received.count().since(received));
    let begin = Instant::now();
    let ending = talk.close();
    stages.set(Stage::Close, begin.elapsed());
    Ok(Exchange {
        address,
        stages,
        handshake_work,
        agreed,
        head,
        content,
        streams,
        sent,
        received,
        ending,
    })
}

fn connect(
    question: &Question<'_>,
    addresses: &[SocketAddr],
) -> Result<(TcpStream, SocketAddr, Duration), AnatomyError> {
    let mut refused = AnatomyError::Lookup {
        host: question.target.host.clone(),
        error: std::io::ErrorKind::NotFound.into(),
    };
    for &address in addresses {
        let begin = Instant::now();
        match TcpStream::connect_timeout(&address, question.limit) {
            Ok(socket) => {
                let elapsed = begin.elapsed();
                let nodelay = socket.set_nodelay(true);
                nodelay.map_err(|error| AnatomyError::Connect { address, error })?;
                return Ok((socket, address, elapsed));
            }
            Err(error) => refused = AnatomyError::Connect { address, error },
        }
    }
    Err(refused)
}

fn agreed(tls: &ClientConnection) -> Agreed {
    let version = match tls.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
        other => format!("{other:?}"),
    };
    let suite = tls.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    Agreed {
        version,
        suite: suite.unwrap_or_else(|| "none".to_owned()),
        group: tls.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())),
        resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        retried: tls.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest),
    }
}

/// The client's side of one connection.
pub(super) struct Talk {
    pub(super) tls: ClientConnection,
    wire: Counted<TcpStream>,
    deadline: Instant,
    pub(super) limit: Duration,
}

impl Talk {
    /// Completes the handshake. Answers what this client computed in it.
    fn handshake(&mut self) -> Result<Duration, AnatomyError> {
        let mut work = Duration::ZERO;
        while self.tls.is_handshaking() {
            self.flush("TLS handshake")?;
            if !self.tls.is_handshaking() {
                break;
            }
            self.receive("TLS handshake")?;
            let begin = Instant::now();
            let processed = self.tls.process_new_packets();
            work += begin.elapsed();
            if let Err(error) = processed {
                // The alert gives the server the reason; that it may not arrive changes nothing.
                let _ = self.flush("TLS handshake");
                return Err(AnatomyError::Tls(error));
            }
        }
        Ok(work)
    }

    /// Sends the request and reads the response.
    fn ask(
        &mut self,
        question: &Question<'_>,
        stages: &mut Stages,
    ) -> Result<(Head, u64), AnatomyError> {
        let begin = Instant::now();
        let target = question.target;
        let request = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ringway-anatomy/{}\r\nAccept: */*\r\n\r\n",
            question.method,
            target.path,
            target.authority(),
            env!("CARGO_PKG_VERSION"),
        );
        let sending = |error| AnatomyError::io("request", question.limit, error);
        self.tls.writer().write_all(request.as_bytes()).map_err(sending)?;
        self.flush("request")?;
        stages.set(Stage::Request, begin.elapsed());

        let begin = Instant::now();
        let mut piece = vec![0; PIECE];
        let mut reader = HeadReader::new(question.method == "HEAD");
        let mut first = None;
        let (head, mut body, mut content) = loop {
            let length = self.read(&mut piece, "wait for the response")?;
            first.get_or_insert_with(Instant::now);
            if length == 0 {
                return Err(AnatomyError::Closed { during: "wait for the response" });
            }
            let said = reader.take(&piece[..length]).map_err(AnatomyError::Response)?;
            if let Some((head, mut body, rest)) = said {
                let content = body.take(&rest).map_err(framing)?;
                break (head, body, content);
            }
        };
        let now = Instant::now();
        let first = first.unwrap_or(now);
        stages.set(Stage::Wait, first - begin);
        stages.set(Stage::Head, now - first);

        let mut closed = false;
        while !body.is_complete(closed) {
            if closed {
                return Err(AnatomyError::Closed { during: "body" });
            }
            let length = self.read(&mut piece, "body")?;
            closed = length == 0;
            content += body.take(&piece[..length]).map_err(framing)?;
        }
        stages.set(Stage::Body, now.elapsed());
        Ok((head, content))
    }

    /// Says good-bye and waits for the server to do the same.
    fn close(&mut self) -> Ending {
        self.deadline = Instant::now() + GOOD_BYE;
        self.tls.send_close_notify();
        if self.flush("close").is_err() || self.wire.stream.shutdown(Shutdown::Write).is_err() {
            return Ending::Silent;
        }
        let mut piece = [0; 4096];
        loop {
            match self.read(&mut piece, "close") {
                Ok(0) => return Ending::Notified,
                Ok(_) => {}
                Err(AnatomyError::Late { .. }) => return Ending::Open,
                Err(_) => return Ending::Silent,
            }
        }
    }

    /// Plaintext; 0 after the server's `close_notify`.
    pub(super) fn read(
        &mut self,
        into: &mut [u8],
        during: &'static str,
    ) -> Result<usize, AnatomyError> {
        loop {
            match self.tls.reader().read(into) {
                Ok(length) => return Ok(length),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(AnatomyError::io(during, self.limit, error)),
            }
            self.receive(during)?;
            self.tls.process_new_packets().map_err(AnatomyError::Tls)?;
        }
    }

    /// Waits for some bytes of records. An end of the stream is left to the reader, which knows
    /// whether it was announced.
    fn receive(&mut self, during: &'static str) -> Result<(), AnatomyError> {
        let failed = |error| AnatomyError::io(during, self.limit, error);
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(AnatomyError::Late { during, after: self.limit });
        }
        self.wire.stream.set_read_timeout(Some(left)).map_err(failed)?;
        let length = self.tls.read_tls(&mut self.wire).map_err(failed)?;
        if length == 0 && self.tls.is_handshaking() {
            return Err(AnatomyError::Closed { during });
        }
        Ok(())
    }

    pub(super) fn flush(&mut self, during: &'static str) -> Result<(), AnatomyError> {
        let failed = |error| AnatomyError::io(during, self.limit, error);
        let left = self.deadline.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));
        self.wire.stream.set_write_timeout(Some(left)).map_err(failed)?;
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.wire).map_err(failed)?;
        }
        Ok(())
    }
}

fn framing(what: &'static str) -> AnatomyError {
    AnatomyError::Response(what.to_owned())
}
