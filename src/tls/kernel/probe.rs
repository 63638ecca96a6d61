//! What this kernel's TLS can do, found out by trying.
//!
//! Versions of kernels say little: modules may be missing, ciphers may be missing, a container
//! may forbid the socket options. So each item is really set, on a connection to ourselves.

#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;

use super::{expect_no_padding, install_receive, install_transmit, install_ulp};
use crate::record::{Suite, TlsVersion, TrafficKeys};

/// A direction of a connection, as the server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// What we send.
    Transmit,
    /// What we receive.
    Receive,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transmit => "send",
            Self::Receive => "receive",
        })
    }
}

/// Which step the kernel refused, and with which error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// No connection to ourselves over 127.0.0.1 could be made.
    Loopback(i32),
    /// The upper-layer protocol `tls` could not be attached.
    Ulp(i32),
    /// The keys were refused.
    Keys(i32),
    /// `TLS_RX_EXPECT_NO_PAD` was refused.
    NoPadding(i32),
    /// New keys in place of old ones were refused.
    Rekey(i32),
}

impl Obstacle {
    /// What the operator can do about it, if anything.
    pub(crate) fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Ulp(libc::ENOENT) => Some(
                "load the module as root: modprobe tls (and for every start: echo tls > \
                 /etc/modules-load.d/tls.conf)",
            ),
            Self::Ulp(libc::EPERM | libc::EACCES) => {
                Some("allow setsockopt(TCP_ULP) in the container's seccomp profile or LSM")
            }
            Self::Keys(libc::ENOENT) => Some(
                "load the cipher's modules as root: modprobe -a gcm aesni_intel \
                 chacha20poly1305",
            ),
            Self::Keys(libc::EINVAL | libc::EOPNOTSUPP) => {
                Some("run a kernel of 5.11 or later, which knows all ciphers that we use")
            }
            Self::NoPadding(libc::ENOPROTOOPT) => Some("run a kernel of 6.0 or later"),
            Self::Rekey(libc::EBUSY) => Some("run a kernel of 6.14 or later"),
            _ => None,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, errno) = match *self {
            Self::Loopback(errno) => ("no connection over 127.0.0.1", errno),
            Self::Ulp(libc::ENOENT) => return f.write_str("the kernel has no tls ULP (ENOENT)"),
            Self::Ulp(errno) => ("the kernel refuses the tls ULP", errno),
            Self::Keys(errno) => ("the kernel refuses this cipher", errno),
            Self::NoPadding(errno) => ("the kernel has no TLS_RX_EXPECT_NO_PAD", errno),
            Self::Rekey(errno) => ("the kernel refuses new keys", errno),
        };
        write!(f, "{what}: {}", io::Error::from_raw_os_error(errno))
    }
}

/// One combination that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// The version of TLS.
    pub version: TlsVersion,
    /// The cipher.
    pub suite: Suite,
    /// The direction.
    pub direction: Direction,
    /// Whether the kernel took it.
    pub outcome: Result<(), Obstacle>,
}

/// What kernel TLS can do here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KtlsSupport {
    /// Every version, cipher and direction.
    pub attempts: Vec<Attempt>,
    /// Whether records can be decrypted straight into the reader's buffer (TLS 1.3).
    pub no_padding: Result<(), Obstacle>,
    /// Whether keys can be replaced after a `KeyUpdate` (TLS 1.3).
    pub rekey: Result<(), Obstacle>,
}

impl KtlsSupport {
    /// Whether the kernel can protect this direction of a connection.
    pub(crate) fn covers(&self, version: TlsVersion, suite: Suite, direction: Direction) -> bool {
        self.attempts.iter().any(|attempt| {
            (attempt.version, attempt.suite, attempt.direction) == (version, suite, direction)
                && attempt.outcome.is_ok()
        })
    }

    /// Whether the kernel can do anything at all.
    pub(crate) fn is_available(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.outcome.is_ok())
    }

    /// Why the kernel can do nothing; `None` if it can do something.
    pub(crate) fn unavailable(&self) -> Option<Obstacle> {
        if self.is_available() {
            return None;
        }
        self.attempts.iter().find_map(|attempt| attempt.outcome.err())
    }
}

/// Tries everything. Takes a millisecond or so, and a few sockets, which it closes.
pub(crate) fn probe() -> KtlsSupport {
    let mut attempts = Vec::new();
    for version in [TlsVersion::Tls13, TlsVersion::Tls12] {
        for suite in Suite::ALL {
            let socket = prepared_socket();
            for direction in [Direction::Transmit, Direction::Receive] {
                let outcome = match &socket {
                    Ok((socket, _peer)) => install(socket, version, suite, direction, 1)
                        .map_err(|error| Obstacle::Keys(errno(&error))),
                    Err(obstacle) => Err(*obstacle),
                };
                attempts.push(Attempt { version, suite, direction, outcome });
            }
        }
    }
    KtlsSupport { attempts, no_padding: probe_no_padding(), rekey: probe_rekey() }
}

fn probe_no_padding() -> Result<(), Obstacle> {
    let (socket, _peer) = prepared_socket()?;
    install(&socket, TlsVersion::Tls13, Suite::Aes128Gcm, Direction::Receive, 1)
        .map_err(|error| Obstacle::Keys(errno(&error)))?;
    expect_no_padding(socket.as_fd()).map_err(|error| Obstacle::NoPadding(errno(&error)))
}

fn probe_rekey() -> Result<(), Obstacle> {
    let (socket, _peer) = prepared_socket()?;
    let install =
        |key| install(&socket, TlsVersion::Tls13, Suite::Aes128Gcm, Direction::Transmit, key);
    install(1).map_err(|error| Obstacle::Keys(errno(&error)))?;
    install(2).map_err(|error| Obstacle::Rekey(errno(&error)))
}

/// One end of a connection to ourselves, with the ULP, and the other end to keep it alive.
fn prepared_socket() -> Result<(TcpStream, TcpStream), Obstacle> {
    let (socket, peer) = loopback_pair().map_err(|error| Obstacle::Loopback(errno(&error)))?;
    install_ulp(socket.as_fd()).map_err(|error| Obstacle::Ulp(errno(&error)))?;
    Ok((socket, peer))
}

/// Two ends of one connection. A stranger who connects first is turned away.
pub(crate) fn loopback_pair() -> io::Result<(TcpStream, TcpStream)> {
    const STRANGERS: usize = 16;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    for _ in 0..STRANGERS {
        let (theirs, from) = listener.accept()?;
        if from == ours.local_addr()? {
            return Ok((ours, theirs));
        }
    }
    Err(io::Error::from_raw_os_error(libc::ECONNREFUSED))
}

/// Keys that protect nothing, distinguished by `key`.
pub(super) fn test_keys(suite: Suite, version: TlsVersion, key: u8) -> io::Result<TrafficKeys> {
    let bytes = [key; 32];
    bytes
        .get(..suite.key_length())
        .and_then(|bytes| TrafficKeys::new(suite, version, bytes, [key; 12], 0))
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Sets keys that protect nothing, distinguished by `key`.
fn install(
    socket: &TcpStream,
    version: TlsVersion,
    suite: Suite,
    direction: Direction,
    key: u8,
) -> io::Result<()> {
    let keys = test_keys(suite, version, key)?;
    match direction {
        Direction::Transmit => install_transmit(socket.as_fd(), &keys),
        Direction::Receive => install_receive(socket.as_fd(), &keys),
    }
}

/// The error's number; every error here comes from the kernel and has one.
fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}
