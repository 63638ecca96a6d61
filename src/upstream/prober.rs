//! Health checks: a thread for each pool that wants them asks each of its servers now and then.
//!
//! The invariant: a server that was not asked yet is as healthy as its exchanges say, and checks alone never
//! take out the last usable servers: if all are out, the one that is due first is tried all the same.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{Shared, server::Server, shared::lock};
use crate::{
    config::{HealthOptions, UpstreamAddress},
    ring::connect_unix,
};

/// Bytes of a response that are looked at.
const STATUS_LINE: usize = 12;

/// The threads that check. Dropping it ends them, each behind the check that it is at.
#[derive(Debug)]
pub(super) struct Probers {
    stops: Vec<mpsc::Sender<()>>,
}

impl Probers {
    /// Starts those that are asked for.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(super) fn start(pools: &[Arc<Shared>]) -> io::Result<Self> {
        let mut stops = Vec::new();
        for pool in pools {
            let health = pool.options.health.clone();
            let Some(path) = health.path.clone() else { continue };
            let (stop, stopped) = mpsc::channel();
            let pool = Arc::clone(pool);
            thread::Builder::new().name("health".to_owned()).spawn(move || {
                let mut random = pool.now() | 1;
                loop {
                    // A tenth more or less, so that several processes do not ask in step.
                    random = super::balance::mix(random);
                    let wait = health.interval / 10 * (9 + (random % 3) as u32);
                    if stopped.recv_timeout(wait) != Err(mpsc::RecvTimeoutError::Timeout) {
                        return;
                    }
                    for server in pool.servers() {
                        pool.check(server, &health, &path);
                    }
                }
            })?;
            stops.push(stop);
        }
        Ok(Self { stops })
    }

    /// Whether nothing is checked.
    pub(super) fn is_empty(&self) -> bool {
        self.stops.is_empty()
    }
}

impl Shared {
    /// Checks a server, and takes note of what that says.
    fn check(self: &Arc<Self>, server: &Server, health: &HealthOptions, path: &str) {
        use std::sync::atomic::Ordering::Relaxed;
        if !server.present.load(Relaxed) {
            return;
        }
        let result = probe(self, server, health, path);
        let good = matches!(result, Ok(200..=399));
        let changed = {
            let mut state = lock(&server.health);
            let changed = state.checked(good, health.fall, health.rise);
            server.blemished.store(state.is_blemished(), Relaxed);
            changed
        };
        match (changed, good) {
            (true, true) => {
                server.begin_ramp(self.now());
                log::info!("pool {}: {} passes its health check", self.name, server.shown());
                self.serve_line();
            }
            (true, false) => {
                let why = match result {
                    Ok(status) => format!("status {status}"),
                    Err(error) => error.to_string(),
                };
                log::warn!("pool {}: {} fails its health check: {why}", self.name, server.shown());
            }
            (false, _) => {}
        }
    }
}

/// Asks a server for the path. Its status.
fn probe(pool: &Shared, server: &Server, health: &HealthOptions, path: &str) -> io::Result<u16> {
    let until = Instant::now() + health.timeout;
    let host = match &server.address {
        UpstreamAddress::Unix(_) => "localhost".to_owned(),
        UpstreamAddress::Tcp(host, port) | UpstreamAddress::Tls(host, port) => {
            format!("{host}:{port}")
        }
    };
    let host = pool.options.host.clone().unwrap_or(host);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ringway health check\r\n\
         Connection: close\r\n\r\n"
    );
    if let UpstreamAddress::Unix(socket) = &server.address {
        // A full backlog would make a blocking connect(2) wait without a limit: it is a failed check.
        let stream = UnixStream::from(connect_unix(socket)?);
        return ask(Timed::Unix(stream, until), &request);
    }
    let address = lock(&server.resolved).ok_or(io::ErrorKind::AddrNotAvailable)?;
    let stream = TcpStream::connect_timeout(&address, left(until)?)?;
    let stream = Timed::Tcp(stream, until);
    match (&pool.tls, &server.tls_name) {
        (Some(config), Some(name)) => {
            let session = rustls::ClientConnection::new(Arc::clone(config), name.clone());
            let session = session.map_err(io::Error::other)?;
            ask(rustls::StreamOwned::new(session, stream), &request)
        }
        _ => ask(stream, &request),
    }
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn ask(mut stream: impl Read + Write, request: &str) -> io::Result<u16> {
    stream.write_all(request.as_bytes())?;
    let mut line = [0; STATUS_LINE];
    stream.read_exact(&mut line)?;
    let status = line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..));
    let status = status.and_then(|digits| std::str::from_utf8(digits).ok());
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "no response of HTTP/1");
    status.and_then(|digits| digits.parse().ok()).ok_or_else(malformed)
}

/// A connection on which every step has what is left until a deadline.
enum Timed {
    Tcp(TcpStream, Instant),
    Unix(UnixStream, Instant),
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream, until) => {
                stream.set_read_timeout(Some(left(*until)?))?;
                stream.read(buffer)
            }
            Self::Unix(stream, until) => {
                stream.set_read_timeout(Some(left(*until)?))?;
                stream.read(buffer)
            }
        }
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream, until) => {
                stream.set_write_timeout(Some(left(*until)?))?;
                stream.write(bytes)
            }
            Self::Unix(stream, until) => {
                stream.set_write_timeout(Some(left(*until)?))?;
                stream.write(bytes)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, path::Path};

    use super::*;
    use crate::config::{PoolOptions, UpstreamServer};

    /// A listener that never accepts, and connections that fill its backlog.
    fn full(path: &Path) -> (UnixListener, Vec<std::os::fd::OwnedFd>) {
        let listener = UnixListener::bind(path).unwrap();
        rustix::net::listen(&listener, 1).unwrap();
        let waiting = std::iter::from_fn(|| connect_unix(path).ok()).take(100).collect::<Vec<_>>();
        assert!(waiting.len() < 100, "the backlog has no end");
        (listener, waiting)
    }

    #[test]
    fn a_full_backlog_is_a_failed_check_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _full = full(&path);
        let server = UpstreamServer::new(UpstreamAddress::Unix(path));
        let options = PoolOptions::of(vec![server]);
        let pool = Shared::new("app", "us", options, None, None);
        let health = HealthOptions { timeout: Duration::from_hours(1), ..Default::default() };
        let error = probe(&pool, &pool.servers()[0], &health, "/").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
