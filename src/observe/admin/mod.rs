//! The admin listener: `/metrics`, `/anatomy.json`, `/history.json` and the page that draws it, on loopback, on a
//! Unix socket, or for other hosts behind a [`Door`].
//!
//! The invariant: it cannot hold up serving. It has threads of its own with blocking sockets, at
//! most `MOST` connections at a time, a time for each, and no state; its answers are made when
//! it is asked for.

mod door;
mod http;

pub(crate) use door::{Door, SharedToken};

use std::{
    fmt,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener},
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
use door::{Secured, Timed};
use http::Asked;

/// Connections at a time.
const MOST: usize = 16;

/// Connections that wait to be accepted, on a Unix socket.
const BACKLOG: i32 = 128;

/// For each read and each write of a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// For a whole connection of TCP, so that slow clients do not keep the others out for long.
const WHOLE: Duration = Duration::from_secs(30);

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
    door: Option<Door>,
}

impl AdminSocket {
    /// Listens at `address`, and lets those in who pass the door. A Unix socket has none.
    ///
    /// # Errors
    /// The address cannot be used.
    pub(crate) fn bind(address: &AdminAddress, door: Option<Door>) -> Result<Self, AdminError> {
        let listener = Listener::bind(address)
            .map_err(|error| AdminError { address: address.clone(), error })?;
        Ok(Self { address: address.clone(), listener, door })
    }
}

/// A connection of any kind.
#[allow(clippy::large_enum_variant, reason = "16 at most")]
enum Stream {
    Tcp(Timed),
    Secured(Secured),
    Unix(UnixStream),
}

impl Stream {
    fn as_io(&mut self) -> &mut dyn ReadWrite {
        match self {
            Self::Tcp(stream) => stream,
            Self::Secured(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }

    /// Says that nothing follows, where the connection has a word for that.
    fn end(&mut self) -> io::Result<()> {
        let Self::Secured(stream) = self else { return Ok(()) };
        stream.conn.send_close_notify();
        stream.flush()
    }
}

trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}

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
        let AdminSocket { address, listener, door } = socket;
        let failed = |error| AdminError { address: address.clone(), error };
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let stop = Arc::new(stop);
        let (bound, stopped) = (listener.address(), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || listener.serve(&stopped, &source, door.map(Arc::new).as_ref()))
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

    fn accept(&self, door: Option<&Arc<Door>>) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                let stream = Timed::new(stream, PATIENCE, WHOLE);
                match door {
                    Some(door) => door.secure(stream).map(Stream::Secured),
                    None => Ok(Stream::Tcp(stream)),
                }
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Stream::Unix(stream))
            }
        }
    }

    fn serve(self, stop: &OwnedFd, source: &Arc<dyn Source>, door: Option<&Arc<Door>>) {
        let live = Arc::new(AtomicUsize::new(0));
        while self.wait(stop) {
            let mut stream = match self.accept(door) {
                Ok(stream) => stream,
                Err(error) => {
                    log::debug!("admin: accept: {error}");
                    thread::sleep(Duration::from_millis(20));
                    continue;
                }
            };
            if live.load(Ordering::Relaxed) >= MOST {
                // A handshake would hold up those behind.
                if !matches!(stream, Stream::Secured(_)) {
                    let text = "Too many connections to the admin listener.\n";
                    // A client that does not take the refusal loses no more than that.
                    let _ = http::answer(stream.as_io(), 503, "text/plain", text, false);
                }
                continue;
            }
            live.fetch_add(1, Ordering::Relaxed);
            let place = Place(Arc::clone(&live));
            let (source, door) = (Arc::clone(source), door.map(Arc::clone));
            let spawned =
                thread::Builder::new().name("admin-connection".to_owned()).spawn(move || {
                    let _place = place;
                    if let Err(error) = respond(&mut stream, &*source, door.as_deref()) {
                        match &door {
                            Some(door) => door.refused(&error),
                            None => log::debug!("admin: {error}"),
                        }
                    }
                });
            if let Err(error) = spawned {
                log::warn!("admin: a thread: {error}");
            }
        }
        if let Self::Unix(_, path) = &self {
            // Another start may have replaced or removed it.
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

fn respond(stream: &mut Stream, source: &dyn Source, door: Option<&Door>) -> io::Result<()> {
    // Browsers reach an address of TCP. With TLS the certificate has the name that they ask for.
    let local_names = matches!(stream, Stream::Tcp(_));
    let asked = http::ask(stream.as_io(), local_names, door)?;
    let (path, query, head_only, exposition) = match asked {
        Asked::Path { path, query, head_only, exposition } => (path, query, head_only, exposition),
        Asked::Refused(status) => {
            let text = match status {
                401 => "This needs the token of the admin listener.\n",
                405 => "Only GET and HEAD are answered here.\n",
                421 => "Use localhost, 127.0.0.1 or [::1] as the host's name.\n",
                431 => "The request head is too large.\n",
                _ => "This is no request that can be answered.\n",
            };
            if let (401, Some(door)) = (status, door) {
                door.refused(&"a request without the token, or with a wrong one");
            }
            http::answer(stream.as_io(), status, "text/plain; charset=utf-8", text, false)?;
            return stream.end();
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
    http::answer(stream.as_io(), status, media_type, &body, head_only)?;
    stream.end()
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
