//! A POST to the collector: one connection for each, since there is one every few seconds at most.
//!
//! The invariant: it ends within [`CONNECT`] and [`EXCHANGE`], however the collector behaves, and
//! reads no more than [`ANSWER`] bytes of it. A name is resolved by the system, within its own limits
//! of time (resolv.conf(5)).

use std::{
    fmt,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use crate::config::Collector;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

/// How long the request and its answer may take.
const EXCHANGE: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read, at most.
const ANSWER: usize = 64 << 10;

/// Field lines of an answer that are looked at.
const FIELDS: usize = 64;

/// Why spans did not arrive.
#[derive(Debug)]
pub(super) enum PostError {
    /// The collector could not be reached, or did not answer in time.
    Io(io::Error),
    /// Its answer is not HTTP.
    NotHttp,
    /// It answered with this status.
    Status(u16),
}

impl PostError {
    /// Whether another try may succeed ("Retryable Response Codes" of OTLP/HTTP).
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Io(_) => true,
            Self::Status(status) => matches!(status, 429 | 502 | 503 | 504),
            Self::NotHttp => false,
        }
    }
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::NotHttp => f.write_str("the answer is not HTTP"),
            Self::Status(status) => write!(f, "it answered {status}"),
        }
    }
}

impl From<io::Error> for PostError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Sends a message of protobuf; returns the content of the answer, if that is a success.
pub(super) fn post(to: &Collector, message: &[u8]) -> Result<Vec<u8>, PostError> {
    let mut stream = connect(to)?;
    let until = Instant::now() + EXCHANGE;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\
         User-Agent: ringway/{}\r\nConnection: close\r\n\r\n",
        to.path(),
        to.authority(),
        message.len(),
        env!("CARGO_PKG_VERSION"),
    );
    for bytes in [head.as_bytes(), message] {
        stream.set_write_timeout(Some(left(until)?))?;
        stream.write_all(bytes)?;
    }
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(answered) = content_of(&answer)? {
            return answered;
        }
        stream.set_read_timeout(Some(left(until)?))?;
        let read = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..read]);
        if read == 0 || answer.len() > ANSWER {
            return content_at_end(&answer);
        }
    }
}

fn connect(to: &Collector) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (to.host(), to.port()).to_socket_addrs()?.take(4) {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

type Answered = Result<Vec<u8>, PostError>;

/// The head of an answer: its status, its length if it says one, and where its content begins.
fn head_of(answer: &[u8]) -> Result<Option<(u16, Option<usize>, usize)>, PostError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let Ok(parsed) = response.parse(answer) else { return Err(PostError::NotHttp) };
    let (httparse::Status::Complete(begin), Some(status)) = (parsed, response.code) else {
        return Ok(None);
    };
    let length = response.headers.iter().find(|f| f.name.eq_ignore_ascii_case("content-length"));
    let length =
        length.and_then(|field| std::str::from_utf8(field.value).ok()?.trim().parse().ok());
    Ok(Some((status, length, begin)))
}

/// What an answer says, once all of it is there.
fn content_of(answer: &[u8]) -> Result<Option<Answered>, PostError> {
    let Some((status, length, begin)) = head_of(answer)? else { return Ok(None) };
    if !(200..300).contains(&status) {
        return Ok(Some(Err(PostError::Status(status))));
    }
    let content = length.and_then(|length| answer.get(begin..)?.get(..length));
    Ok(content.map(|content| Ok(content.to_vec())))
}

/// What an answer says that ends with its connection, or is longer than is read: spans have arrived if
/// its status says so. Content in chunks, which only names what was rejected, is not looked into.
fn content_at_end(answer: &[u8]) -> Answered {
    match head_of(answer)? {
        Some((200..300, _, _)) => Ok(Vec::new()),
        Some((status, _, _)) => Err(PostError::Status(status)),
        None => Err(PostError::NotHttp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_length() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for cut in 0..whole.len() {
            assert!(content_of(&whole[..cut]).unwrap().is_none(), "{cut}");
        }
        assert_eq!(content_of(whole).unwrap().unwrap().unwrap(), b"abc");
    }

    #[test]
    fn a_status_says_whether_to_try_again() {
        for (status, passing) in
            [(400, false), (404, false), (429, true), (500, false), (503, true)]
        {
            let answer = format!("HTTP/1.1 {status} X\r\n\r\n");
            let error = content_of(answer.as_bytes()).unwrap().unwrap().unwrap_err();
            assert_eq!(error.is_passing(), passing, "{status}");
        }
        assert!(!content_of(b"SSH-2.0-x\r\n").unwrap_err().is_passing());
    }

    #[test]
    fn content_up_to_the_end_counts_by_its_status() {
        assert_eq!(content_at_end(b"HTTP/1.1 202 X\r\n\r\nwhatever").unwrap(), b"");
        assert!(matches!(content_at_end(b"HTTP/1.1 503 X\r\n\r\n"), Err(PostError::Status(503))));
        assert!(matches!(content_at_end(b"HTTP/1.1 20"), Err(PostError::NotHttp)));
    }
}
