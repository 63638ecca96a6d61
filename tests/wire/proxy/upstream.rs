//! A server of our own behind the proxy, which does what its script says, honest or not.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::net::RecvFlags;

use crate::server::PATIENCE;

/// A request as the server read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// Request line and field lines, without the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The lines behind chunked content.
    pub(crate) trailers: Vec<String>,
    /// Which request of its connection it is.
    pub(crate) number: usize,
}

impl Request {
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The values of all lines with this name.
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        lines
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }
}

/// What the script answers with.
pub(crate) type Script = dyn Fn(&Request, &mut TcpStream) -> Then + Send + Sync;

/// What becomes of the connection behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Continue,
    Close,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    /// Connections that this side has not ended.
    open: Mutex<Vec<(usize, TcpStream)>>,
    peak: AtomicUsize,
    /// Connections that the proxy ended.
    ended: AtomicUsize,
}

impl Seen {
    /// Counts the connections that neither side has ended: one whose FIN has come is over, whether its
    /// thread has read that or not.
    fn opened(&self, connection: usize, stream: &TcpStream) {
        let mut open = self.open.lock().unwrap();
        open.push((connection, stream.try_clone().unwrap()));
        let is_open = |stream: &TcpStream| {
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            !matches!(rustix::net::recv(stream, &mut [0_u8; 1][..], flags), Ok((0, _)))
        };
        let count = open.iter().filter(|(_, stream)| is_open(stream)).count();
        self.peak.fetch_max(count, SeqCst);
    }
}

/// A running server. Its threads end with the process.
pub(crate) struct Upstream {
    pub(crate) address: String,
    seen: Arc<Seen>,
}

impl Upstream {
    /// A server that answers with `ok` when the test says so.
    pub(crate) fn held() -> (Self, mpsc::Sender<()>) {
        let (go, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let upstream = Self::start(move |_, stream| {
            let _ = wait.lock().unwrap().recv();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            Then::Continue
        });
        (upstream, go)
    }

    /// Reads each request whole and answers it by the script.
    pub(crate) fn start(
        script: impl Fn(&Request, &mut TcpStream) -> Then + Send + Sync + 'static,
    ) -> Self {
        let script: Arc<Script> = Arc::new(script);
        Self::raw(move |stream, seen| {
            for number in 0.. {
                let Some(read) = read_request(stream) else { return };
                let request = Request { number, ..read };
                seen(request.clone());
                if script(&request, stream) == Then::Close {
                    return;
                }
            }
        })
    }

    /// Each connection is the script's alone, which says what it has read.
    pub(crate) fn raw(
        serve: impl Fn(&mut TcpStream, &dyn Fn(Request)) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Seen::default());
        let (serve, noted) = (Arc::new(serve), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                // Without a deadline of its own: a stop of the process would end a wait that has one.
                stream.set_nodelay(true).unwrap();
                let (serve, seen) = (Arc::clone(&serve), Arc::clone(&noted));
                let connection = seen.connections.fetch_add(1, SeqCst);
                seen.opened(connection, &stream);
                thread::spawn(move || {
                    let note = |request| seen.requests.lock().unwrap().push(request);
                    serve(&mut stream, &note);
                    seen.open.lock().unwrap().retain(|(other, _)| *other != connection);
                    let _ = stream.shutdown(Shutdown::Write);
                    // Until the proxy has ended its side too, so that no reset overtakes bytes.
                    let _ = io::copy(&mut stream, &mut io::sink());
                    seen.ended.fetch_add(1, SeqCst);
                });
            }
        });
        Self { address, seen }
    }

    /// Answers all with these bytes.
    pub(crate) fn fixed(answer: &'static [u8]) -> Self {
        Self::start(move |_, stream| {
            let _ = stream.write_all(answer);
            Then::Continue
        })
    }

    /// What was read so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// Connections that were ever accepted.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }

    /// The most connections that were open at a time.
    pub(crate) fn peak(&self) -> usize {
        self.seen.peak.load(SeqCst)
    }

    /// Waits until so many connections have ended on both sides.
    pub(crate) fn expect_ended(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.seen.ended.load(SeqCst) < count {
            assert!(Instant::now() < deadline, "the proxy keeps a connection open");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until so many requests were read.
    pub(crate) fn expect_requests(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.seen.requests.lock().unwrap().len() < count {
            assert!(Instant::now() < deadline, "a request does not arrive");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Reads one request, strictly. None at the end of the connection.
pub(crate) fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let head = read_head(stream)?;
    let field = |name: &str| {
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    if let Some(length) = field("Content-Length") {
        body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).ok()?;
    } else if field("Transfer-Encoding").is_some() {
        loop {
            let size = usize::from_str_radix(&read_line(stream)?, 16).unwrap();
            if size == 0 {
                loop {
                    match read_line(stream)? {
                        line if line.is_empty() => break,
                        line => trailers.push(line),
                    }
                }
                break;
            }
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk).ok()?;
            body.extend_from_slice(&chunk);
            assert_eq!(read_line(stream)?, "", "a chunk ends with CRLF");
        }
    }
    Some(Request { head, body, trailers, number: 0 })
}

/// Reads a head byte by byte, and nothing behind it.
pub(crate) fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            assert!(head.is_empty(), "a head ends in the middle: {}", head.escape_ascii());
            return None;
        }
        head.push(byte[0]);
    }
    head.truncate(head.len() - 4);
    Some(String::from_utf8(head).unwrap())
}

fn read_line(stream: &mut TcpStream) -> Option<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        line.push(byte[0]);
    }
    line.truncate(line.len() - 2);
    Some(String::from_utf8(line).unwrap())
}
