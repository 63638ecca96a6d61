//! Requests around the time at which a server closes unused connections. `scripts/nightly` has a million.
//!
//! All clients of a server are tasks of one thread, and each has a pool of its own, so that nobody else uses
//! its connections to the server: however many there are, a connection rests for as long as its client does.

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    many::number,
    upstream::{Request, Upstream, read_head},
};
use crate::{configured::Configured, server::PATIENCE};

/// The first requests of a client to a new Ringway, which knows nothing of the server: as many that meet the
/// server's closing, and then as many from which the time is learned in any case, since three closings have to
/// agree. They can all be repeated.
const MEET: u64 = 8;
const TAUGHT: u64 = MEET + 6;

/// Requests of a client to a Ringway, before all begin with a new one.
const ROUND: u64 = 500;

/// Clients of each server, and in longer runs as many as reach this many requests a second.
const CLIENTS: u64 = 4;
const RATE: u64 = 300;

/// Requests that are still to be made, by all clients of all servers together.
#[derive(Clone)]
pub(super) struct Left(Arc<AtomicU64>);

impl Left {
    /// As many as `RINGWAY_PACED` says, or few.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(number("RINGWAY_PACED", 300) as u64)))
    }

    fn is_some(&self) -> bool {
        self.0.load(Relaxed) > 0
    }

    fn take(&self) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

/// Whether this is a longer run.
pub(super) fn is_long() -> bool {
    std::env::var_os("RINGWAY_PACED").is_some()
}

/// What came of requests, and what Ringway counted meanwhile.
#[derive(Default)]
struct Outcome {
    gets: u64,
    posts: u64,
    failed: Vec<String>,
    counted: [u64; COUNTERS.len()],
}

const COUNTERS: [&str; 4] =
    ["connections_opened", "connections_reused", "closed_while_unused", "second_tries"];

impl Outcome {
    fn add(&mut self, other: Self) {
        self.gets += other.gets;
        self.posts += other.posts;
        self.failed.extend(other.failed);
        for (all, more) in self.counted.iter_mut().zip(other.counted) {
            *all += more;
        }
    }
}

/// After how many milliseconds a server closes an unused connection. It has to: nothing is paced otherwise.
pub(super) fn idle(address: &str) -> u64 {
    let address = address.strip_prefix("http://").unwrap();
    let once = || {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answered = Instant::now();
        // What is behind the answer is the end.
        while socket.read(&mut [0; 4096]).unwrap() > 0 {
            answered = Instant::now();
        }
        answered.elapsed()
    };
    (0..3).map(|_| once()).min().unwrap().as_millis() as u64
}

/// Clients that ask a server, through a Ringway of theirs, until nothing is left to be made: none fails. The
/// server closes connections that were unused for `idle` milliseconds. Gives back how many requests there were.
pub(super) fn pace(name: &str, address: &str, idle: u64, left: &Left) -> u64 {
    let clients = if is_long() { (RATE * idle / 1_000).max(CLIENTS) } else { CLIENTS };
    let mut all = Outcome::default();
    for round in 0.. {
        if !left.is_some() || !all.failed.is_empty() {
            break;
        }
        all.add(through_one(address, idle, (round, clients), left));
    }
    let Outcome { gets, posts, failed, counted } = all;
    let counted: Vec<_> = COUNTERS.iter().zip(counted).collect();
    println!(
        "{name}, which closes after {idle} ms: {gets} GET and {posts} POST of {clients} clients, {} failed; \
         {counted:?}",
        failed.len()
    );
    let some = &failed[..failed.len().min(20)];
    assert!(failed.is_empty(), "{name}: {} failed, such as {some:#?}", failed.len());
    gets + posts
}

/// The requests of a round, through a Ringway that was started for them.
fn through_one(address: &str, idle: u64, (round, clients): (u64, u64), left: &Left) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let admin = folder.path().join("socket");
    let mut text = format!("[observe]\nadmin = 'unix:{}'\n[[site]]\n", admin.display());
    let numbers = || 0..clients;
    text.extend(numbers().map(|at| format!("[[site.route]]\npath = '/{at}/'\nproxy = 'p{at}'\n")));
    text.extend(numbers().map(|at| format!("[pool.p{at}]\nservers = '{address}'\nmax = 2\n")));
    let server = Configured::start_with("plain = '127.0.0.1:0'\n", &text, |_| {});
    let (_, plain) = server.start_block.split_once("http://").unwrap();
    let plain: SocketAddr = plain.split('/').next().unwrap().parse().unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcomes = runtime.block_on(async {
        let clients = numbers().map(|at| client(plain, (at, round), idle, left.clone()));
        clients.collect::<JoinSet<_>>().join_all().await
    });
    let metrics = metrics(&admin);
    let counted = COUNTERS.map(|name| sum(&metrics, name));
    let mut all = Outcome { counted, ..Outcome::default() };
    for outcome in outcomes {
        all.add(outcome);
    }
    if !all.failed.is_empty() {
        println!("{}", server.log());
    }
    all
}

/// Sends requests, each with a path of its own, and pauses between them.
async fn client(plain: SocketAddr, (at, round): (u64, u64), idle: u64, left: Left) -> Outcome {
    let mut outcome = Outcome::default();
    let mut socket = TcpStream::connect(plain).await.unwrap();
    for sent in 0..ROUND {
        if !left.take() && sent >= TAUGHT {
            break;
        }
        let (method, count) = if sent >= TAUGHT && sent.is_multiple_of(3) {
            ("POST", &mut outcome.posts)
        } else {
            ("GET", &mut outcome.gets)
        };
        *count += 1;
        let request = format!(
            "{method} /{at}/{round}/{sent} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = timeout(PATIENCE, ask(&mut socket, request.as_bytes())).await;
        match answer.map_err(io::Error::from).and_then(|answer| answer) {
            Ok(200) => {}
            other => {
                outcome.failed.push(format!("{method} {sent} of client {at}: {other:?}"));
                socket = TcpStream::connect(plain).await.unwrap();
            }
        }
        sleep(Duration::from_millis(pause(sent, idle))).await;
    }
    outcome
}

/// Milliseconds behind a request: about as long as the server keeps a connection, or, one time in eight each,
/// as long as Ringway uses it for every method, and for those that may run twice alone.
fn pause(sent: u64, idle: u64) -> u64 {
    let about = match (sent, sent % 8) {
        (..MEET, _) => idle,
        (MEET..TAUGHT, _) => return idle + 40,
        (_, 3) => idle * 2 / 5,
        (_, 6) => idle * 4 / 5,
        _ => idle,
    };
    about.saturating_sub(4) + sent * 7 % 9
}

/// Sends a request and takes the answer: its status.
async fn ask(socket: &mut TcpStream, request: &[u8]) -> io::Result<u16> {
    socket.write_all(request).await?;
    let mut answer = Vec::new();
    loop {
        if socket.read_buf(&mut answer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&answer[..end]).unwrap().to_ascii_lowercase();
        let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: "));
        let is_whole = match length {
            Some(length) => answer.len() == end + 4 + length.parse::<usize>().unwrap(),
            None => answer.ends_with(b"\r\n0\r\n\r\n"),
        };
        if is_whole {
            return Ok(head.split(' ').nth(1).unwrap().parse().unwrap());
        }
    }
}

fn metrics(admin: &Path) -> String {
    let mut asked = UnixStream::connect(admin).unwrap();
    asked.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut metrics = String::new();
    asked.read_to_string(&mut metrics).unwrap();
    metrics
}

/// A counter of all pools together.
fn sum(metrics: &str, name: &str) -> u64 {
    let start = format!("ringway_pool_{name}_total{{");
    let lines = metrics.lines().filter(|line| line.starts_with(&start));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Requests that come just when the server closes its unused connections: none fails, and none that may not
/// run twice does.
#[test]
fn no_request_fails_around_the_time_at_which_a_server_closes() {
    const IDLE: u64 = 60;
    let upstream = Upstream::raw(|stream, note| {
        stream.set_read_timeout(Some(Duration::from_millis(IDLE))).unwrap();
        while let Some(head) = read_head(stream) {
            let head = head.lines().next().unwrap().to_owned();
            note(Request { head, ..Request::default() });
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    });
    let sent = pace("a server of the test", &upstream.address, IDLE, &Left::new());
    let mut runs = HashMap::<String, (usize, bool)>::new();
    for request in upstream.requests() {
        let run = runs.entry(request.path().to_owned()).or_default();
        *run = (run.0 + 1, request.head.starts_with("POST"));
    }
    assert_eq!(runs.len() as u64, sent, "every request was served");
    for (path, (times, once)) in runs {
        assert!(times == 1 || !once, "{path} ran {times} times");
    }
}
