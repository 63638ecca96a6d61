//! The server behind the proxy, on one thread: it does what a request's path says.
//!
//! The invariant: it keeps every connection until the proxy ends it, so that whatever is held is held because
//! the proxy holds it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// An answer that has an end comes this much later.
const LATE: Duration = Duration::from_millis(100);
/// Time between two pieces of an answer without end.
const BETWEEN: Duration = Duration::from_millis(100);
/// What an answer without end is made of.
static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
/// How often it looks at the time.
const TURN: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// The paths, below that of a pool.
pub(crate) const LATER: &str = "later";
pub(crate) const SILENT: &str = "silent";
pub(crate) const STALLED: &str = "stalled";
pub(crate) const DRIPPING: &str = "dripping";
pub(crate) const POURING: &str = "pouring";
pub(crate) const TUNNEL: &str = "tunnel";

/// Starts it; it ends with the process. Its port.
pub(crate) fn start(prepare: impl FnOnce() + Send + 'static) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        prepare();
        serve(&listener);
    });
    Ok(port)
}

fn serve(listener: &TcpListener) {
    let mut peers: Vec<Peer> = Vec::new();
    loop {
        let mut waited: Vec<_> =
            peers.iter().map(|peer| PollFd::new(&peer.socket, peer.flags())).collect();
        waited.push(PollFd::new(listener, PollFlags::IN));
        if poll(&mut waited, Some(&TURN)).is_err() {
            continue;
        }
        let ready: Vec<_> = waited.iter().map(PollFd::revents).collect();
        let now = Instant::now();
        let mut ready = ready.into_iter();
        peers.retain_mut(|peer| peer.turn(ready.next().unwrap_or(PollFlags::empty()), now).is_ok());
        while let Ok((socket, _)) = listener.accept() {
            if socket.set_nonblocking(true).is_ok() {
                peers.push(Peer { socket, held: Vec::new(), content: 0, doing: Doing::Read });
            }
        }
    }
}

/// A connection of the proxy.
struct Peer {
    socket: TcpStream,
    /// The head, as far as it has come.
    held: Vec<u8>,
    /// Content that is still to come.
    content: usize,
    doing: Doing,
}

#[derive(Clone, Copy)]
enum Doing {
    /// Waits for a request, or for the rest of one.
    Read,
    /// Answers at a time.
    Answer(Instant),
    /// Sends the next piece at a time.
    Drip(Instant),
    /// Sends whatever is taken.
    Pour,
    Nothing,
}

impl Peer {
    fn flags(&self) -> PollFlags {
        match self.doing {
            Doing::Pour => PollFlags::IN | PollFlags::OUT,
            _ => PollFlags::IN,
        }
    }

    /// An error ends the connection.
    fn turn(&mut self, ready: PollFlags, now: Instant) -> io::Result<()> {
        if !ready.intersection(PollFlags::IN | PollFlags::HUP | PollFlags::ERR).is_empty() {
            self.read(now)?;
        }
        match self.doing {
            Doing::Answer(at) if at <= now => {
                self.doing = Doing::Read;
                self.socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
            Doing::Drip(at) if at <= now => {
                self.doing = Doing::Drip(now + BETWEEN);
                self.some(b"1\r\nx\r\n")
            }
            Doing::Pour if ready.contains(PollFlags::OUT) => self.some(&PIECE),
            _ => Ok(()),
        }
    }

    /// Sends what is taken of these bytes.
    fn some(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.socket.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            other => other.map(drop),
        }
    }

    fn read(&mut self, now: Instant) -> io::Result<()> {
        let mut piece = [0; 16 << 10];
        let read = match self.socket.read(&mut piece) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            other => other?,
        };
        if self.content > 0 {
            self.content = self.content.saturating_sub(read);
        } else {
            self.held.extend_from_slice(&piece[..read]);
            let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") else {
                return Ok(());
            };
            let content = length(&self.held[..end]);
            self.content = content.saturating_sub(self.held.len() - end - 4);
        }
        if self.content == 0 {
            self.doing = begin(&mut self.socket, &self.held, now)?;
            self.held.clear();
        }
        Ok(())
    }
}

/// The length of the content that a head announces.
fn length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// Begins to answer a request that is here as a whole.
fn begin(socket: &mut TcpStream, head: &[u8], now: Instant) -> io::Result<Doing> {
    let head = String::from_utf8_lossy(head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (answer, doing) = match path.rsplit('/').next().unwrap_or_default() {
        SILENT => ("", Doing::Nothing),
        STALLED => ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx", Doing::Nothing),
        DRIPPING => ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Doing::Drip(now)),
        // More than anybody reads.
        POURING => ("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n", Doing::Pour),
        TUNNEL => (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            Doing::Nothing,
        ),
        _ => ("", Doing::Answer(now + LATE)),
    };
    socket.write_all(answer.as_bytes())?;
    Ok(doing)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Duration;

    use super::{DRIPPING, LATER, STALLED, TUNNEL, start};

    #[test]
    fn it_does_what_the_path_says() {
        let port = start(|| {}).unwrap();
        let ask = |method: &str, path: &str, content: &str| {
            let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
            let length = content.len();
            let head = format!("{method} /app/{path} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
            socket.write_all(head.as_bytes()).unwrap();
            socket.write_all(content.as_bytes()).unwrap();
            socket
        };
        let read = |socket: &mut TcpStream, end: &str| {
            let mut answer = Vec::new();
            while !answer.ends_with(end.as_bytes()) {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                answer.push(byte[0]);
            }
            String::from_utf8(answer).unwrap()
        };
        let mut kept = ask("POST", LATER, "content");
        assert!(read(&mut kept, "\r\n\r\nok").starts_with("HTTP/1.1 200 "));
        kept.write_all(b"GET /app/later HTTP/1.1\r\n\r\n").unwrap();
        assert!(read(&mut kept, "\r\n\r\nok").starts_with("HTTP/1.1 200 "));
        read(&mut ask("GET", DRIPPING, ""), "\r\n\r\n1\r\nx\r\n1\r\nx\r\n");
        read(&mut ask("GET", STALLED, ""), "\r\n\r\nx");
        assert!(read(&mut ask("GET", TUNNEL, ""), "\r\n\r\n").starts_with("HTTP/1.1 101 "));
    }
}
