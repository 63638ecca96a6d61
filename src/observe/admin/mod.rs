//! The admin listener: `/metrics`, `/anatomy.json`, `/history.json` and the page that draws it, on loopback or a
//! Unix socket.
//!
//! The invariant: it cannot hold up serving. It has threads of its own with blocking sockets, at
//! most `MOST` connections at a time, a time for each, and no state; its answers are made when
//! it is asked for.

mod http;

use std::{
    fmt,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::FileTypeExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    fs::Mode,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with},
};

use super::{Anatomy, Span, page::PAGE};
use crate::config::AdminAddress;
use http::Asked;

/// Connections at a time.
const MOST: usize = 16;

/// Connections that wait to be accepted, on a Unix socket.
const BACKLOG: i32 = 128;

/// For each read and each write of a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The source of the answers.
pub(crate) trait Source: Send + Sync + 'static {
    /// All that is known now, since the start.
    fn anatomy(&self) -> Anatomy;

    /// What happened within a time of the last hour.
    fn within(&self, span: Span) -> Anatomy;

    /// Whether the server wants requests.
    fn is_ready(&self) -> bool;

    /// The last hour in a few figures for each of its parts, as JSON.
    fn history(&self) -> String;
}

/// The admin listener cannot be set up.
#[derive(Debug)]
pub struct AdminError {
    address: AdminAddress,
    error: io::Error,
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error } = self;
        write!(f, "the admin listener cannot use {address}: {error}")?;
        match error.raw_os_error() {
            Some(libc::EADDRINUSE) => {
                write!(f, "; another program listens there: stop it, or choose another --admin")
            }
            Some(libc::EAFNOSUPPORT) => {
                write!(f, "; in a systemd unit, let RestrictAddressFamilies= name AF_UNIX as well")
            }
            Some(libc::ENOENT | libc::EACCES) if address.as_unix().is_some() => write!(
                f,
                "; name a path in a folder that exists and that this user may write to, such as \
                 RuntimeDirectory= of a systemd unit"
            ),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for AdminError {}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// A socket that listens, and that nobody serves yet.
#[derive(Debug)]
pub(crate) struct AdminSocket {
    address: AdminAddress,
    listener: Listener,
}

impl AdminSocket {
    /// Listens at `address`.
    ///
    /// # Errors
    /// The address cannot be used.
    pub(crate) fn bind(address: &AdminAddress) -> Result<Self, AdminError> {
        let listener = Listener::bind(address)
            .map_err(|error| AdminError { address: address.clone(), error })?;
        Ok(Self { address: address.clone(), listener })
    }
}

/// A connection of either kind.
trait Stream: Read + Write + Send {
    /// Whether browsers reach it, so that the name in the request matters.
    fn is_tcp(&self) -> bool;
}

impl Stream for TcpStream {
    fn is_tcp(&self) -> bool {
        true
    }
}

impl Stream for UnixStream {
    fn is_tcp(&self) -> bool {
        false
    }
}

/// An admin listener that listens. Dropping it ends it; connections that it serves are finished
/// within their time.
#[derive(Debug)]
pub(crate) struct Admin {
    address: Option<SocketAddr>,
    stop: Arc<OwnedFd>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Admin {
    /// Serves at `socket`, and answers from `source`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(socket: AdminSocket, source: Arc<dyn Source>) -> Result<Self, AdminError> {
        let AdminSocket { address, listener } = socket;
        let failed = |error| AdminError { address: address.clone(), error };
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let stop = Arc::new(stop);
        let (bound, stopped) = (listener.address(), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || listener.serve(&stopped, &source))
            .map_err(failed)?;
        Ok(Self { address: bound, stop, thread: Some(thread) })
    }

    /// Where it listens, with the port that it got; None for a Unix socket.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Listener {
    fn bind(address: &AdminAddress) -> io::Result<Self> {
        if let Some(path) = address.as_unix() {
            return bind_unix(path).map(|listener| Self::Unix(listener, path.to_owned()));
        }
        let tcp = address.as_tcp().ok_or(io::ErrorKind::InvalidInput)?;
        TcpListener::bind(tcp).map(Self::Tcp)
    }

    fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Box::new(stream))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Box::new(stream))
            }
        }
    }

    fn serve(self, stop: &OwnedFd, source: &Arc<dyn Source>) {
        let live = Arc::new(AtomicUsize::new(0));
        while self.wait(stop) {
            let mut stream = match self.accept() {
                Ok(stream) => stream,
                Err(error) => {
                    log::debug!("admin: accept: {error}");
                    thread::sleep(Duration::from_millis(20));
                    continue;
                }
            };
            if live.load(Ordering::Relaxed) >= MOST {
                let text = "Too many connections to the admin listener.\n";
                let _ = http::answer(&mut stream, 503, "text/plain", text, false);
                continue;
            }
            live.fetch_add(1, Ordering::Relaxed);
            let place = Place(Arc::clone(&live));
            let source = Arc::clone(source);
            let spawned =
                thread::Builder::new().name("admin-connection".to_owned()).spawn(move || {
                    let _place = place;
                    if let Err(error) = respond(&mut *stream, &*source) {
                        log::debug!("admin: {error}");
                    }
                });
            if let Err(error) = spawned {
                log::warn!("admin: a thread: {error}");
            }
        }
        if let Self::Unix(_, path) = &self {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Waits for a connection. False when it is time to stop.
    fn wait(&self, stop: &OwnedFd) -> bool {
        let listener = match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener, _) => listener.as_fd(),
        };
        let mut waited = [
            PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(listener, PollFlags::IN),
        ];
        loop {
            match poll(&mut waited, None) {
                Ok(_) => return !waited[0].revents().contains(PollFlags::IN),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

/// One of `MOST` connections.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Binds a socket in the file system that only this user reaches. What a server left behind that
/// ended without a word is removed first.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let left = std::fs::symlink_metadata(path).is_ok_and(|left| left.file_type().is_socket());
    if left && UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // bind(2) gives the file the mode of the socket's inode (net/unix/af_unix.c), so that there is
    // no moment at which others could connect.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

fn respond(mut stream: &mut (dyn Stream + 'static), source: &dyn Source) -> io::Result<()> {
    let local_names = stream.is_tcp();
    let (path, query, head_only, exposition) = match http::ask(&mut stream, local_names)? {
        Asked::Path { path, query, head_only, exposition } => (path, query, head_only, exposition),
        Asked::Refused(status) => {
            let text = match status {
                405 => "Only GET and HEAD are answered here.\n",
                421 => "Use localhost, 127.0.0.1 or [::1] as the host's name.\n",
                431 => "The request head is too large.\n",
                _ => "This is no request that can be answered.\n",
            };
            return http::answer(&mut stream, status, "text/plain; charset=utf-8", text, false);
        }
        Asked::Gone => return Ok(()),
    };
    let (status, media_type, body) = match path.as_str() {
        "/" => (200, "text/html; charset=utf-8", PAGE.into()),
        "/anatomy.json" => match http::span(&query) {
            Ok(None) => (200, "application/json", source.anatomy().to_json()),
            Ok(Some(span)) => (200, "application/json", source.within(span).to_json()),
            Err(text) => (400, "text/plain; charset=utf-8", text.to_owned()),
        },
        "/readyz" if source.is_ready() => (200, "text/plain; charset=utf-8", "ready\n".to_owned()),
        "/readyz" => (503, "text/plain; charset=utf-8", "stopping\n".to_owned()),
        "/history.json" => (200, "application/json", source.history()),
        "/metrics" => {
            let text = Arc::new(source.anatomy()).to_metrics(exposition);
            (200, exposition.media_type(), text)
        }
        _ => {
            let text = "There are /, /metrics, /anatomy.json, /history.json and /readyz here.\n";
            (404, "text/plain; charset=utf-8", text.to_owned())
        }
    };
    http::answer(&mut stream, status, media_type, &body, head_only)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_unix_socket_is_its_owners_alone_from_its_first_moment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let listener = bind_unix(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        assert!(bind_unix(&path).is_err(), "somebody listens there");
        drop(listener);
        assert!(bind_unix(&path).is_ok(), "what is left behind is removed");
    }

    #[test]
    fn a_refused_family_names_the_setting() {
        let address: AdminAddress = "unix:/run/x".parse().unwrap();
        let error = |code| AdminError {
            address: address.clone(),
            error: io::Error::from_raw_os_error(code),
        };
        let text = error(libc::EAFNOSUPPORT).to_string();
        assert!(text.contains("RestrictAddressFamilies= name AF_UNIX"), "{text}");
        assert!(error(libc::ENOENT).to_string().contains("RuntimeDirectory="));
    }
}
